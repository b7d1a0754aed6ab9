"""Two real branches, each with a param and results of its own, merged by the commands of docs/updating.md."""

import json
import re

import pytest
import yaml
from conftest import ROOT, change, commit, execute, stages_run

pytestmark = pytest.mark.slow
GENERATED = "dvc.lock code.yaml metrics plots"


def test_a_merge_of_two_branches_ends_by_three_commands(restored):
    commands = (ROOT / "docs/updating.md").read_text(encoding="utf-8")
    restore = re.search(rf"git restore --source=HEAD --staged --worktree -- {GENERATED}", commands)[0]
    for branch, values in (("ours", {"evaluate": {"top_k": 3}}), ("theirs", {"export": {"tolerance": 0.001}})):
        execute("git", "checkout", "-q", "-b", branch, "origin/main", cwd=restored)
        change(restored, values)
        execute("dvc", "repro", cwd=restored)
        commit(restored)
    execute("git", "checkout", "-q", "ours", cwd=restored)
    execute("dvc", "checkout", "-q", cwd=restored)
    merged = execute("git", "merge", "theirs", cwd=restored, expect=1).stdout
    assert "Merge conflict in dvc.lock" in merged and "Merge conflict in params.yaml" not in merged
    line = execute("python", "-m", "heldout", "doctor", cwd=restored, expect=1).stdout
    assert restore in line and "dvc repro" in line

    execute(*restore.split(), cwd=restored)
    assert "dvc.lock is stale" in execute(".ci/freshness", cwd=restored, expect=1).stdout
    output = execute("dvc", "repro", cwd=restored).stdout
    assert "Stage 'export' is cached - skipping run" in output and stages_run(output) == []
    commit(restored)
    assert execute(".ci/freshness", cwd=restored).stdout.endswith("dvc.lock is fresh\n")
    stages = yaml.safe_load((restored / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert stages["evaluate"]["params"]["params.yaml"]["evaluate"] == {"top_k": 3}
    assert stages["export"]["params"]["params.yaml"]["export"]["tolerance"] == 0.001
    assert "top_3_accuracy" in json.loads((restored / "metrics/eval.json").read_text(encoding="utf-8"))
    assert len(execute("git", "log", "-1", "--format=%P", cwd=restored).stdout.split()) == 2
