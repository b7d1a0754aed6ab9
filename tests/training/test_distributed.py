"""One loop on one device, on two, and in two processes: the same mathematics, the same bytes again, nothing lost."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_runs
from conftest import scan, write_photos, write_shards
from training_runs import ARCHITECTURE, finish, largest_difference, merged, two_workers

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("train_process.py")
# 24 images in batches of 7: 7, 7, 7 and 3, none of which two replicas divide evenly.
SECTIONS = merged(
    {
        "augment": {"rotation": 20, "horizontal_flip": True, "mixup": 0.3, "cutmix": 1.0},
        "train": {"batch_size": 7, "epochs": 3},
        "optimizer": {"name": "sgd"},
        "schedule": {"learning_rate": 0.01},
        "hardware": {"intra_op_threads": 1},
    }
)
SAME_MATHEMATICS = {
    "clip accumulate ema weights l2": {
        "sections": {
            "optimizer": {"global_clipnorm": 0.5, "ema_momentum": 0.9},
            "train": {"gradient_accumulation_steps": 2, "class_weights": "balanced"},
        },
        "architecture": {"l2": 0.01},
    },
    "adamw focal smooth": {
        "sections": {
            "optimizer": {"name": "adamw", "weight_decay": 0.01},
            "schedule": {"learning_rate": 0.003},
            "train": {"loss": "focal", "label_smoothing": 0.1},
        }
    },
    "frozen": {
        "sections": {"augment": {"mixup": 0, "cutmix": 0}, "train": {"views": 2}, "schedule": {"learning_rate": 0.1}},
        "frozen": True,
    },
    "text": {  # an embedding's gradient comes as rows; a replica may hold images that all lost their text
        "sections": {
            "augment": {"mixup": 0, "cutmix": 0},
            "train": {"gradient_accumulation_steps": 2},
            "optimizer": {"name": "adamw", "global_clipnorm": 0.5},
        },
        "text": {"method": "hashed", "buckets": 64, "length": 8},
        "modality_dropout": {"text": 0.3, "image": 0.3},
    },
}
CASES: dict[str, dict] = SAME_MATHEMATICS | {
    "float16": {"sections": {"hardware": {"precision": "mixed_float16"}, "optimizer": {"global_clipnorm": 1.0}}},
    "normalization dropout": {"architecture": {"batch_norm": True, "dropout": 0.5}},
    "checkpoints": {
        "sections": {"train": {"checkpoint_every": 2, "checkpoint_unit": "steps"}},
        "architecture": {"batch_norm": True},
    },
}
Run = dict[str, Any]


def run(case: str, strategy: str, process: str, checkpoint: str = "") -> Run:
    """What a process trains; the file of its result is named after the three."""
    name = f"{case} {strategy} {process}"
    return {
        "result": f"{name}.npz",
        "checkpoint": checkpoint or f"{name} checkpoint.npz",
        "architecture": ARCHITECTURE | CASES[case].get("architecture", {}),
        "frozen": CASES[case].get("frozen", False),
        "sections": merged(SECTIONS, CASES[case].get("sections", {}), {"hardware": {"strategy": strategy}})
        | {name: CASES[case][name] for name in ("text", "modality_dropout") if name in CASES[case]},
    }


def start(name: str, runs: list[Run], cpus: int = 1, cluster: dict | None = None, pause: float = 0) -> subprocess.Popen:
    settings = {"logical_cpus": cpus, "pause": pause, "runs": runs}
    Path(f"{name}.json").write_text(json.dumps(settings), encoding="utf-8")
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    if cluster:
        environment["TF_CONFIG"] = json.dumps(cluster)
    return subprocess.Popen(
        [sys.executable, SCRIPT, f"{name}.json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip


def start_workers(name: str, *cases: str, checkpoints: tuple[str, str] = ("", ""), pause: float = 0) -> list:
    """Two processes that train together, one case after the other."""
    processes = []
    for number, (checkpoint, cluster) in enumerate(zip(checkpoints, two_workers(), strict=True)):
        runs = [run(case, "multi_worker", f"{name}{number}", checkpoint) for case in cases]
        processes.append(start(f"{name}{number}", runs, cluster=cluster, pause=pause))
    return processes


def result(case: str, strategy: str, process: str) -> dict[str, np.ndarray]:
    return training_runs.result(f"{case} {strategy} {process}")


def write_images() -> None:
    """24 photos and their texts as shards, in the current folder."""
    write_photos()
    rows = scan()
    texts = [f"one of {number % 5}, a {label}" for number, label in enumerate(rows["label"])]
    write_shards(rows.assign(text=texts), "data/train", texts=True, image_size=[16, 16])


def train_all(folder: Path) -> None:
    """Train every case on one device and two, and by two workers; what must give the same bytes again, in new ones."""
    again = ("float16", "normalization dropout")
    with contextlib.chdir(folder):
        write_images()
        single = [run(case, "single", "first") for case in (*SAME_MATHEMATICS, "float16")]
        mirrored = [run(case, "mirrored", "first") for case in (*SAME_MATHEMATICS, *again)]
        repeated = [run(case, "mirrored", "again") for case in again]
        finish(start("first", single + mirrored, cpus=2), start("again", repeated, cpus=2))
        finish(*start_workers("first", *SAME_MATHEMATICS, "normalization dropout", "checkpoints"))
        finish(*start_workers("again", "normalization dropout"))


@pytest.fixture
def trained(shared, monkeypatch):
    """The current folder holds the results of all that `train_all` trains."""
    monkeypatch.chdir(shared("distributed", train_all))


@pytest.mark.parametrize("case", SAME_MATHEMATICS)
def test_two_devices_and_two_workers_do_what_one_device_does(trained, case):
    single, mirrored = (result(case, strategy, "first") for strategy in ("single", "mirrored"))
    first, second = (result(case, "multi_worker", f"first{number}") for number in range(2))
    assert [int(one["replicas"]) for one in (single, mirrored, first, second)] == [1, 2, 2, 2]
    assert largest_difference(first, second) == 0
    assert largest_difference(single, mirrored) < 1e-5
    assert largest_difference(single, first) < 1e-5
    losses = single["history"][:, 1]
    assert abs(losses[-1] - losses[0]) > 1e-3  # training moved what is compared


def test_two_devices_scale_the_loss_of_float16_together(trained):
    mirrored = result("float16", "mirrored", "first")
    assert largest_difference(mirrored, result("float16", "mirrored", "again")) == 0
    assert largest_difference(mirrored, result("float16", "single", "first")) < 1e-2  # of float16's 3 digits


def test_with_normalization_and_dropout_of_each_replica_the_bytes_are_the_same_again(trained):
    case = "normalization dropout"
    assert largest_difference(result(case, "mirrored", "first"), result(case, "mirrored", "again")) == 0
    first, second = (result(case, "multi_worker", f"first{number}") for number in range(2))
    assert largest_difference(first, second) == 0
    assert largest_difference(first, result(case, "multi_worker", "again0")) == 0


def test_a_worker_that_dies_ends_the_others_in_a_clear_line_and_all_resume_exactly(trained, tmp_path, monkeypatch):
    """Where they see the same checkpoint; where one of them does not, they are told."""
    undisturbed = result("checkpoints", "multi_worker", "first0")
    monkeypatch.chdir(tmp_path)
    write_images()
    shared_file = ("shared.npz", "shared.npz")
    survivor, dying = start_workers("killed", "checkpoints", checkpoints=shared_file, pause=0.3)
    for count, line in enumerate(dying.stdout):
        if count == 6:
            assert line.startswith("step"), line
            break
    dying.kill()
    stderr = survivor.communicate(timeout=600)[1]
    assert survivor.returncode != 0
    assert "lost a worker in epoch" in stderr and "restart all workers to resume" in stderr, stderr
    dying.communicate()
    assert Path("shared.npz").is_file()
    apart = start_workers("apart", "checkpoints", checkpoints=("shared.npz", "of-its-own.npz"))
    errors = [process.communicate(timeout=600)[1] for process in apart]
    assert all("all workers must see the same folder .dvc/state" in error for error in errors), errors
    outputs = finish(*start_workers("killed", "checkpoints", checkpoints=shared_file))
    assert "resuming from checkpoint (epoch" in outputs[0]
    assert largest_difference(undisturbed, result("checkpoints", "multi_worker", "killed0")) == 0
