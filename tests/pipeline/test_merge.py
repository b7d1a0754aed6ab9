"""Two real branches, each with a param and results of its own, merged by the commands of docs/updating.md."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, change, commit, execute, stages_run

pytestmark = pytest.mark.slow
GENERATED = "dvc.lock code.yaml metrics plots"
RESTORE = f"git restore --source=HEAD --staged --worktree -- {GENERATED}"
REMEDY = "run `dvc repro` and commit dvc.lock, code.yaml, metrics/ and plots/\n"
PREDICTED, SCORED = {"predict": {"test_time_augmentation": "flip"}}, {"evaluate": {"top_k": 3}}
LIMITED, SKIPPED = {"data": {"max_megapixels": 90}}, {"data": {"on_problem": "skip"}}  # neither moves an output


def test_a_merge_of_two_branches_ends_by_three_commands(restored):
    commands = (ROOT / "docs/updating.md").read_text(encoding="utf-8")
    restore = re.search(rf"git restore --source=HEAD --staged --worktree -- {GENERATED}", commands)[0]
    for branch, values in (("ours", {"evaluate": {"top_k": 3}}), ("theirs", {"explain": {"images": 12}})):
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
    assert "Stage 'explain' is cached - skipping run" in output and stages_run(output) == ["report"]
    commit(restored)
    assert execute(".ci/freshness", cwd=restored).stdout.endswith("dvc.lock is fresh\n")
    stages = yaml.safe_load((restored / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert stages["evaluate"]["params"]["params.yaml"]["evaluate"]["top_k"] == 3
    assert stages["explain"]["params"]["params.yaml"]["explain"]["images"] == 12
    assert "top_3_accuracy" in json.loads((restored / "metrics/eval.json").read_text(encoding="utf-8"))
    assert len(execute("git", "log", "-1", "--format=%P", cwd=restored).stdout.split()) == 2


def gate(repository: Path, expect: int = 0) -> str:
    return execute(str(ROOT / ".ci/freshness"), cwd=repository, expect=expect).stdout


def branch(repository: Path, name: str, values: dict, run: bool = True) -> None:
    """A branch of main that changes params and, if asked, runs what follows."""
    execute("git", "checkout", "-q", "-b", name, "main", cwd=repository)
    execute("dvc", "checkout", "-q", cwd=repository)
    change(repository, values)
    if run:
        execute("dvc", "repro", cwd=repository)
    commit(repository)


def end_merge(repository: Path) -> list[str]:
    """The commands of docs/updating.md; the stages that ran."""
    execute(*shlex.split(RESTORE), cwd=repository)
    assert execute("git", "ls-files", "--unmerged", cwd=repository).stdout == ""
    output = execute("dvc", "repro", cwd=repository).stdout
    commit(repository)
    return stages_run(output)


def results(repository: Path) -> dict[str, bytes]:
    """The files that git keeps of what stages write."""
    names = execute("git", "ls-files", "dvc.lock", "code.yaml", "metrics", "plots", cwd=repository).stdout.split()
    return {name: (repository / name).read_bytes() for name in names}


def clean_run(repository: Path, *values: dict) -> dict[str, bytes]:
    """What a clone of `finished` in which nothing ran writes that runs with these params at once."""
    for sections in values:
        change(repository, sections)
    execute("dvc", "repro", cwd=repository)
    return results(repository)


def test_two_branches_that_both_ran_conflict_and_end_in_what_a_clean_run_writes(restored, never_run):
    branch(restored, "one", PREDICTED)
    branch(restored, "two", SCORED)
    merged = execute("git", "merge", "one", cwd=restored, expect=1).stdout
    assert {"dvc.lock", "metrics/eval.json"} <= {line.split()[-1] for line in merged.splitlines() if "CONFLICT" in line}
    line = gate(restored, expect=1)
    assert line.startswith("freshness: git is in the middle of a merge, in conflict: dvc.lock metrics/eval.json")
    assert line.endswith(": `heldout doctor` has the commands\n") and line.count("\n") == 1
    end_merge(restored)
    assert gate(restored).endswith("dvc.lock is fresh\n")
    assert results(restored) == clean_run(never_run, PREDICTED, SCORED)


def test_a_branch_that_did_not_run_merges_without_a_conflict_and_is_stale(restored, never_run):
    branch(restored, "one", LIMITED)
    branch(restored, "two", SCORED, run=False)
    execute("git", "merge", "-q", "-m", "merge", "one", cwd=restored)
    line = f"freshness: dvc.lock is stale, changed stages: evaluate report (those after them may follow): {REMEDY}"
    assert gate(restored, expect=1) == line
    assert end_merge(restored) == ["evaluate", "export", "report"]
    assert gate(restored).endswith("dvc.lock is fresh\n")
    assert results(restored) == clean_run(never_run, LIMITED, SCORED)


def test_two_branches_meet_in_the_entry_of_report(restored, never_run):
    """Without .gitattributes, as before 0.2, git would merge dvc.lock line by line into a run that never was; since the
    page lists all params, two changes of them meet in its entry, and git sees it."""
    execute("git", "rm", "-q", ".gitattributes", cwd=restored)
    commit(restored)
    branch(restored, "one", LIMITED)
    branch(restored, "two", SKIPPED)
    merged = execute("git", "merge", "-q", "--no-commit", "one", cwd=restored, expect=1).stdout
    assert "Merge conflict in dvc.lock" in merged
    end_merge(restored)
    assert gate(restored).endswith("dvc.lock is fresh\n")
    assert results(restored) == clean_run(never_run, LIMITED, SKIPPED)
