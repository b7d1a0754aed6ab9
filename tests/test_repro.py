"""The contract of the graph, on real DVC repositories: what reruns, what is restored, what survives a kill."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import ROOT, change, commit, execute, stages_run
from test_graph import PARAMS, expanded

pytestmark = pytest.mark.slow

# For every key of params.yaml a value that differs from the default and is allowed.
OTHER = {
    "seed": 1,
    "data": {
        "dir": "data/other",
        "layout": "classes",
        "class_depth": 2,
        "group_pattern": "(..)[.]png",
        "on_problem": "skip",
        "on_conflict": "drop",
        "max_megapixels": 50,
    },
    "split": {"method": "quota", "val": 0.2, "test": 0.2, "seed": 1, "on_leak": "keep"},
    "preprocess": {
        "image_size": [23, 23],
        "channels": 1,
        "resize": "pad",
        "interpolation": "linear",
        "pad_colour": [9, 9, 9],
        "fast_decode": True,
    },
    "augment": {
        **{"rotation": 5, "width_shift": 0.2, "height_shift": 0.2, "shear": 3, "zoom": 0.2, "crop": 0.1},
        **{"horizontal_flip": True, "vertical_flip": True, "fill": "reflect"},
        **{"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "erasing": 0.1, "mixup": 0.2, "cutmix": 1},
        **{"rand_augment": 2, "magnitude": 5},
    },
    "model": {
        **{"family": "resnet", "attention": "se", "filters": [8, 8, 8], "batch_norm": True, "depth": 8},
        **{"width": 2, "stem": "large"},
        **{"weights": "none", "pooling": "average", "dense_units": 16, "dropout": 0.4, "l2": 0.001},
    },
    "train": {
        **{"epochs": 1, "steps_per_epoch": 9, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.002},
        **{"momentum": 0.8, "nesterov": False, "weight_decay": 0.01, "schedule": "cosine", "warmup_epochs": 1},
        **{
            "decay_epochs": 2,
            "decay_factor": 0.5,
            "loss": "focal",
            "label_smoothing": 0.1,
            "class_weights": "balanced",
        },
        **{
            "clip_norm": 1,
            "accumulate": 2,
            "ema": 0.9,
            "patience": 1,
            "checkpoint_every": 2,
            "checkpoint_unit": "steps",
            "precision": "mixed_bfloat16",
            "xla": True,
        },
        **{"fine_tune_epochs": 1, "fine_tune_layers": 5, "fine_tune_rate": 0.0001},
        **{"threads": 1, "portable": True, "deterministic": False, "strategy": "mirrored"},
    },
    "evaluate": {"top_k": 3},
    "export": {"formats": ["tflite"], "tolerance": 0.001},
}


def metrics(repository: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((repository / "metrics").iterdir())}


def test_second_repro_runs_nothing(restored):
    output = execute("dvc", "repro", cwd=restored).stdout
    assert stages_run(output) == []
    assert "Data and pipelines are up to date." in output


def test_other_values_cover_every_key():
    keys = {name: set(value) if isinstance(value, dict) else None for name, value in PARAMS.items()}
    assert {name: set(value) if isinstance(value, dict) else None for name, value in OTHER.items()} == keys


def test_each_key_reruns_exactly_the_stages_that_read_its_section(restored):
    # The README's table is checked against the same graph in test_graph.py.
    execute("cp", "-r", "data/sample", "data/other", cwd=restored)
    keys = [(name, key) for name, value in OTHER.items() for key in (value if isinstance(value, dict) else [None])]
    for name, key in keys:
        change(restored, {name: {key: OTHER[name][key]} if key else OTHER[name]})
        changed = set(json.loads(execute("dvc", "status", "--json", cwd=restored).stdout))
        readers = {stage for stage, entry in expanded().items() if name in entry.get("params", [])}
        assert changed == readers, (name, key)
        execute("git", "checkout", "-q", "params.yaml", cwd=restored)
    assert execute("dvc", "status", "-q", cwd=restored)


def test_a_reverted_value_is_restored_from_the_run_cache(restored):
    seen = {}
    for top_k in (3, 4):
        change(restored, {"evaluate": {"top_k": top_k}})
        assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["evaluate"]
        seen[top_k] = metrics(restored)
        assert f"top_{top_k}_accuracy" in seen[top_k]["eval.json"]
    change(restored, {"evaluate": {"top_k": 3}})
    output = execute("dvc", "repro", cwd=restored).stdout
    assert "Stage 'evaluate' is cached - skipping run" in output
    assert stages_run(output) == []
    assert metrics(restored) == seen[3]


def test_a_comment_in_a_plotting_module_does_not_retrain(restored):
    with (restored / "src/heldout/charts.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    assert stages_run(execute("dvc", "repro", cwd=restored).stdout) == ["split", "evaluate"]


def test_a_renamed_image_does_not_retrain(restored):
    image = restored / "data/sample/0/0000.png"
    image.rename(image.with_name("renamed.png"))
    change(restored, {"data": {"dir": "data/mine"}})
    (restored / "data/sample").rename(restored / "data/mine")
    ran = stages_run(execute("dvc", "repro", cwd=restored).stdout)
    assert not {"augment", "train", "export"} & set(ran), ran


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
    for number, stage in enumerate(expanded()):
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


@pytest.mark.parametrize("queue", [False, True], ids=["temp", "queue"])
def test_experiments_from_a_clean_clone_bring_back_the_same_metrics(clone, finished, tmp_path, queue):
    values = {"evaluate.top_k": 3} if queue else {"preprocess.channels": 1, "train.epochs": 1}
    settings = [word for key, value in values.items() for word in ("-S", f"{key}={json.dumps(value)}")]
    if queue:
        execute("dvc", "exp", "run", "--queue", "-n", "other", *settings, cwd=clone)
        execute("dvc", "queue", "start", cwd=clone)
        _wait_for_queue(clone)
    else:
        execute("dvc", "exp", "run", "--temp", "-n", "other", *settings, cwd=clone)
    execute("dvc", "exp", "apply", "other", cwd=clone)
    found = metrics(clone)
    tree = tmp_path / "work-tree"
    execute("git", "clone", "-q", str(finished), str(tree), cwd=tmp_path)
    execute("dvc", "pull", "-q", cwd=tree)
    nested: dict = {}
    for key, value in values.items():
        nested.setdefault(key.split(".")[0], {})[key.split(".")[1]] = value
    change(tree, nested)
    execute("dvc", "repro", cwd=tree)
    assert metrics(tree) == found


def _wait_for_queue(repository: Path) -> None:
    for _ in range(200):
        status = execute("dvc", "queue", "status", cwd=repository).stdout
        if "Success" in status or "Failed" in status:
            break
        time.sleep(1)
    assert "Success" in status, status + execute("dvc", "queue", "logs", "other", cwd=repository, expect=None).stdout


def test_metrics_and_plots_as_a_reviewer_uses_them(restored):
    change(restored, {"evaluate": {"top_k": 3}})
    execute("dvc", "repro", cwd=restored)
    commit(restored)
    difference = json.loads(execute("dvc", "metrics", "diff", "--json", "HEAD~1", cwd=restored).stdout)
    assert set(difference["metrics/eval.json"]) == {"top_3_accuracy", "top_5_accuracy"}
    shown = json.loads(execute("dvc", "plots", "show", "--json", cwd=restored).stdout)
    assert {"Loss by epoch", "Accuracy by epoch", "metrics/predictions.csv", "plots/confusion.png"} <= set(
        shown["data"]
    )


def test_committed_lock_is_fresh():
    """What is committed was made by the code that is committed."""
    assert (ROOT / "dvc.lock").is_file()
    output = execute("dvc", "repro", "--dry", "--allow-missing", cwd=ROOT, expect=None)
    assert stages_run(output.stdout) == []
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert set(lock["stages"]) == set(expanded())
