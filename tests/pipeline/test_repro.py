"""The contract of the graph, on real DVC repositories: what reruns, what is restored, what survives a kill."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from conftest import ROOT, change, commit, execute, stages_run
from test_graph import INSTANCES

from heldout.commands import doctor, schemas
from heldout.core import params

pytestmark = pytest.mark.slow

# Values that no schema tells: names of folders, files and columns, patterns.
BY_HAND: dict[str, Any] = {
    "data.dir": "data/other",
    "data.group_pattern": "(..)[.]png",
    "data.unlabelled": "0",
    "evaluate.slices": ["text"],
    "model.architecture": "resnet",
    "model.weights": "none",
    "predict.corruptions": ["blur"],
    "searched.md5": "0" * 32,
    "pretrain.methods": ["simclr"],
    "transfer.start": "data/other",
}


def different(name: str, value: Any, schema: Any) -> Any:
    """A value of params.yaml that is not `value`, and is allowed."""
    if name in BY_HAND:
        return BY_HAND[name]
    choices: list[Any] = []
    if isinstance(value, list):
        choices = [value[1:]] if isinstance(value[0], str) else [[number + 1 for number in value]]
    base, *fields = typing.get_args(schema) if typing.get_origin(schema) is typing.Annotated else (schema,)
    choices += [choice for choice in typing.get_args(base) if typing.get_origin(base) is typing.Literal]
    if base is bool:
        choices.append(not value)
    if base is str:
        choices.append("other words")
    if base in (int, float):
        limits = {type(limit).__name__: limit for field in fields for limit in field.metadata}
        low = next((getattr(limits[key], key.lower()) for key in ("Ge", "Gt") if key in limits), 0)
        high = next((getattr(limits[key], key.lower()) for key in ("Le", "Lt") if key in limits), low + 10)
        choices += [base((low + high) / 2), base((low + 3 * high) / 4)]
    for choice in choices:
        try:
            params.check("section", {"key": choice}, {"key": schema})
        except ValueError:
            continue
        if choice != value:
            return choice
    raise AssertionError(f"no other value of {name} is known: give one in BY_HAND")


def metrics(repository: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((repository / "metrics").iterdir())}


def test_second_repro_runs_nothing(restored):
    output = execute("dvc", "repro", cwd=restored).stdout
    assert stages_run(output) == []
    assert "Data and pipelines are up to date." in output


# `dvc status` for each of many params.yaml, in one process: importing DVC takes longer than its answer.
STATUS = """
import json, pathlib, sys
from dvc.repo import Repo
for line in sys.stdin:
    pathlib.Path("params.yaml").write_text(json.loads(line), encoding="utf-8")
    with Repo() as repo:
        print(json.dumps(sorted(repo.status())))
"""


def test_each_key_reruns_exactly_the_stages_that_read_its_section(restored):
    # README's table is written from the same graph.
    execute("cp", "-r", "data/sample", "data/other", cwd=restored)
    read = schemas.load(ROOT / "stages")
    text = (restored / "params.yaml").read_text(encoding="utf-8")
    current = yaml.safe_load(text)
    keys = [(name, key) for name, values in current.items() for key in (values if isinstance(values, dict) else [None])]
    assert len(keys) > 60
    variants = [text]
    for name, key in keys:
        other = current[name] + 1 if key is None else None
        changed = other or current[name] | {key: different(f"{name}.{key}", current[name][key], read[name][key])}
        variants.append(yaml.safe_dump(current | {name: changed}, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-c", STATUS], cwd=restored, input="".join(json.dumps(variant) + "\n" for variant in variants),
        stdout=subprocess.PIPE, text=True, check=True, timeout=3000,
    )  # fmt: skip
    unchanged, *statuses = map(json.loads, done.stdout.splitlines())
    assert unchanged == []
    for (name, key), status in zip(keys, statuses, strict=True):
        readers = {stage for stage, entry in INSTANCES.items() if name in entry.get("params", [])} - {"pretrain"}
        if key == "methods":
            readers |= {"pretrain@simclr"}  # which is no stage where it is off
        assert set(status) == readers, (name, key)


def test_a_reviewer_sees_what_a_value_changes_and_a_reverted_one_is_restored_from_the_run_cache(restored):
    results = {}
    for top_k in (3, 4):
        change(restored, {"evaluate": {"top_k": top_k}})
        assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["evaluate", "export", "report"]
        results[top_k] = metrics(restored)
        assert f"top_{top_k}_accuracy" in results[top_k]["eval.json"]
    commit(restored)
    difference = json.loads(execute("dvc", "metrics", "diff", "--json", "HEAD~1", cwd=restored).stdout)
    names = {f"top_{top_k}_accuracy{end}" for top_k in (4, 5) for end in ("", "_low", "_high")}
    assert set(difference["metrics/eval.json"]) == names
    shown = set(json.loads(execute("dvc", "plots", "show", "--json", cwd=restored).stdout)["data"])
    assert {"Loss by epoch", "Accuracy by epoch", "metrics/predictions.csv", "plots/confusion.png"} <= shown
    change(restored, {"evaluate": {"top_k": 3}})
    output = execute("dvc", "repro", cwd=restored).stdout
    assert "Stage 'evaluate' is cached - skipping run" in output
    assert stages_run(output) == []
    assert metrics(restored) == results[3]


def test_below_the_gate_nothing_ships_and_what_shipped_comes_back(restored):
    shipped = {path: path.read_bytes() for path in (restored / "export").rglob("*") if path.is_file()}
    change(restored, {"export": {"gate": 0.999}})
    output = execute("dvc", "repro", "--single-item", "export", cwd=restored, expect=255).stdout
    line = next(line for line in output.splitlines() if line.startswith("export: "))
    assert re.match(r"export: nothing ships: the accuracy is 0\.\d+ at least .* below export\.gate 0\.999; `dvc ", line)
    assert not (restored / "export").exists() and not (restored / "metrics/export.json").exists()
    for command in re.findall("`(.+?)`", line):
        execute(*command.split(), cwd=restored)
    assert shipped == {path: path.read_bytes() for path in (restored / "export").rglob("*") if path.is_file()}
    assert execute("git", "status", "--porcelain", "metrics", cwd=restored).stdout == ""


def test_export_reruns_where_the_threshold_moves_and_ships_it(restored):
    """A changed `evaluate.top_k` reruns `evaluate` alone, as above: calibration.json keeps its bytes."""
    change(restored, {"evaluate": {"target_accuracy": 0.9}})
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["evaluate", "export", "report"]
    shipped = json.loads((restored / "export/heldout.json").read_text(encoding="utf-8"))
    fitted = json.loads(metrics(restored)["calibration.json"])
    assert shipped["target_accuracy"] == 0.9 and shipped["threshold"] == fitted["threshold"]


def test_explain_reruns_alone_and_draws_as_many_as_it_is_told(restored):
    for count in (24, 0):
        if count != 24:
            change(restored, {"explain": {"images": count}})
            assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["explain", "report"]
        lines = (restored / "data/explanations/images.csv").read_text(encoding="utf-8").splitlines()
        assert lines[0] == "id,label,predicted,explained,reason" and len(lines) == 1 + count
        heatmaps = np.load(restored / "data/explanations/heatmaps.npy")
        assert heatmaps.shape == (count, 22, 22) and heatmaps.dtype == np.uint8


def append(repository: Path, module: str, text: str) -> None:
    with (repository / "src/heldout" / module).open("a", encoding="utf-8") as file:
        file.write(text)


def test_comments_rerun_the_stage_code_alone(restored):
    append(restored, "core/process.py", "# a comment\n")
    path = restored / "src/heldout/networks/build.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"""The networks:', '"""All networks:', 1).replace("x = cnn(", "x = cnn(  "), "utf-8")
    assert path.read_text(encoding="utf-8") != text
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["code"]
    assert execute("git", "status", "--porcelain", "code.yaml", "metrics", "plots", cwd=restored).stdout == ""


def test_an_edit_reruns_the_stages_that_import_it_and_params_diff_names_them(restored):
    append(restored, "evaluation/plots/style.py", "EDIT = 1\n")
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["code", "split", "evaluate"]
    commit(restored)
    difference = json.loads(execute("dvc", "params", "diff", "--json", "HEAD~1", cwd=restored).stdout)
    assert {name: set(keys) for name, keys in difference.items()} == {"code.yaml": {"split", "evaluate"}}


def test_a_stage_alone_refuses_code_that_was_edited(restored):
    append(restored, "data/index.py", "EDIT = 1\n")
    change(restored, {"data": {"max_megapixels": 90}})
    output = execute("dvc", "repro", "-s", "index", cwd=restored, expect=255).stdout
    assert "index: the code of the stage index is not the one that code.yaml holds: run `dvc repro`" in output
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["code", "index", "report"]


def test_an_edited_template_reruns_the_page_alone(restored):
    """No .py file, so no digest of code.yaml sees it: it is a dep of its own."""
    page = (restored / "report/index.html").read_text("utf-8")
    append(restored, "evaluation/report/template/page.html.j2", "<!-- an edit -->\n")
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["code", "report"]
    assert (restored / "report/index.html").read_text("utf-8") == page + "<!-- an edit -->\n"


def test_edited_code_is_stale_for_the_gates_and_an_edit_taken_back_is_restored_from_the_run_cache(restored):
    module = restored / "src/heldout/data/index.py"
    text = module.read_text(encoding="utf-8")
    before = metrics(restored)
    module.write_text(text + "EDIT = 1\n", encoding="utf-8")
    gate = execute("dvc", "repro", "--dry", "--allow-missing", cwd=restored, expect=None).stdout
    assert stages_run(gate) == ["code"]
    output = execute(str(ROOT / ".ci/freshness"), cwd=restored, expect=1).stdout
    assert "dvc.lock is stale, changed stages: code" in output
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["code", "index"]
    assert "dvc.lock is fresh" in execute(str(ROOT / ".ci/freshness"), cwd=restored).stdout
    module.write_text(text, encoding="utf-8")
    output = execute("dvc", "repro", cwd=restored).stdout
    assert stages_run(output) == ["code"]
    assert "Stage 'index' is cached - skipping run" in output
    assert metrics(restored) == before


def test_a_renamed_image_does_not_retrain(restored):
    image = restored / "data/sample/0/0000.png"
    image.rename(image.with_name("renamed.png"))
    change(restored, {"data": {"dir": "data/mine"}})
    (restored / "data/sample").rename(restored / "data/mine")
    ran = stages_run(execute("dvc", "repro", cwd=restored).stdout)
    assert not {"augment", "train", "predict"} & set(ran), ran  # export reads the list of the test for its groups


def test_pull_into_a_fresh_clone_leaves_nothing_to_run(clone):
    execute("dvc", "pull", "-q", cwd=clone)
    assert "up to date" in execute("dvc", "status", cwd=clone).stdout
    assert stages_run(execute("dvc", "repro", cwd=clone).stdout) == []
    assert execute("git", "status", "--porcelain", cwd=clone).stdout == ""


def test_a_clone_without_data_tells_fresh_from_stale(clone):
    gate = ("dvc", "repro", "--dry", "--allow-missing")
    execute(*gate, cwd=clone, expect=0)
    change(clone, {"train": {"epochs": 1}})
    execute(*gate, cwd=clone, expect=255)


def test_kills_and_interrupts_in_every_stage_end_in_the_same_lock(project, finished):
    """Two clones in two folders, one of them killed in every stage, have the same dvc.lock: byte for byte."""
    for number, stage in enumerate(INSTANCES):
        how = signal.SIGINT if number % 2 else signal.SIGKILL
        _repro_until(project, stage, how)
        assert "Traceback" not in (project / "repro.log").read_text(encoding="utf-8"), stage
    execute("dvc", "repro", cwd=project)
    assert (project / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    assert metrics(project) == metrics(finished)
    assert not list(project.rglob("partial.*"))
    assert stages_run(execute("dvc", "repro", cwd=project).stdout) == []


def _repro_until(repository: Path, stage: str, how: signal.Signals) -> None:
    """Start `dvc repro`; once it runs `stage`, kill it alone, or interrupt it and its children as Ctrl-C does."""
    log = repository / "repro.log"
    with log.open("w") as file:
        dvc = subprocess.Popen(["dvc", "repro"], cwd=repository, stdout=file, stderr=file, start_new_session=True)
        while dvc.poll() is None and f"Running stage '{stage}'" not in log.read_text(encoding="utf-8"):
            time.sleep(0.02)
        time.sleep(0.4)
        children = psutil.Process(dvc.pid).children(recursive=True) if dvc.poll() is None else []
        if how == signal.SIGKILL:
            dvc.kill()
        elif dvc.poll() is None:
            os.killpg(dvc.pid, how)
        dvc.wait(60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, f"{alive} outlived the dvc that started it"
    # As `make` does: a kill in the moment in which DVC writes its own files can wedge it.
    with contextlib.chdir(repository):
        doctor.fix()


@pytest.mark.parametrize(
    ("how", "values"),
    [
        ("--temp", {"preprocess": {"channels": 1}, "train": {"epochs": 1}}),
        ("--queue", {"evaluate": {"top_k": 3}}),
    ],
    ids=["temp", "queue"],
)
def test_experiments_from_a_clean_clone_bring_back_the_same_metrics(clone, never_run, how, values):
    pairs = [(f"{section}.{key}", value) for section, keys in values.items() for key, value in keys.items()]
    settings = [word for name, value in pairs for word in ("-S", f"{name}={json.dumps(value)}")]
    execute("dvc", "exp", "run", how, "-n", "other", *settings, cwd=clone)
    if how == "--queue":
        execute("dvc", "queue", "start", cwd=clone)
        _wait_for_queue(clone)
    execute("dvc", "exp", "apply", "other", cwd=clone)
    change(never_run, values)
    before = metrics(never_run)
    execute("dvc", "repro", "evaluate", "export", cwd=never_run)
    assert metrics(clone) == metrics(never_run) != before


def _wait_for_queue(repository: Path) -> None:
    for _ in range(200):
        status = execute("dvc", "queue", "status", cwd=repository).stdout
        if "Success" in status or "Failed" in status:
            break
        time.sleep(1)
    assert "Success" in status, status + execute("dvc", "queue", "logs", "other", cwd=repository, expect=None).stdout


def test_committed_lock_is_fresh():
    """What is committed was made by the code that is committed."""
    assert (ROOT / "dvc.lock").is_file()
    output = execute("dvc", "repro", "--dry", "--allow-missing", cwd=ROOT, expect=None)
    assert stages_run(output.stdout) == []
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert set(lock["stages"]) == set(INSTANCES) - {"pretrain"}  # which is off
