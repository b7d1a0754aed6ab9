"""One loop on one device, on two, and in two processes: the same mathematics, the same bytes again, nothing lost."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_runs import ARCHITECTURE, merged

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
}


@pytest.fixture
def folder(images):
    return Path.cwd()


def start(name: str, strategy: str, cpus: int = 1, worker: tuple[int, list[int]] | None = None, **changed):
    settings = {
        "logical_cpus": cpus,
        "pause": changed.get("pause", 0),
        "checkpoint": changed.get("checkpoint", f"{name}-checkpoint.npz"),
        "architecture": ARCHITECTURE | changed.get("architecture", {}),
        "sections": merged(SECTIONS, changed.get("sections", {}), {"hardware": {"strategy": strategy}}),
    }
    Path(f"{name}.json").write_text(json.dumps(settings), encoding="utf-8")
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    if worker:
        cluster = {"worker": [f"localhost:{port}" for port in worker[1]]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": worker[0]}})
    return subprocess.Popen(
        [sys.executable, SCRIPT, f"{name}.json", f"{name}.npz"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip


def finish(*processes: subprocess.Popen) -> list[str]:
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [stdout for stdout, _ in outputs]


def result(name: str) -> dict[str, np.ndarray]:
    with np.load(f"{name}.npz") as stored:
        return dict(stored)


def largest_difference(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> float:
    assert first.keys() == second.keys()
    return max(float(np.abs(first[key] - second[key]).max()) for key in first if key != "replicas")


def two_ports() -> list[int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("localhost", 0))
        second.bind(("localhost", 0))
        return [first.getsockname()[1], second.getsockname()[1]]


def workers(name: str, **changed) -> list[subprocess.Popen]:
    ports = two_ports()
    return [start(f"{name}{number}", "multi_worker", worker=(number, ports), **changed) for number in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("changed", SAME_MATHEMATICS.values(), ids=SAME_MATHEMATICS)
def test_two_devices_and_two_workers_do_what_one_device_does(folder, changed):
    finish(start("single", "single", **changed), start("mirrored", "mirrored", cpus=2, **changed))
    finish(*workers("worker", **changed))
    single, mirrored, first, second = (result(name) for name in ("single", "mirrored", "worker0", "worker1"))
    assert [int(run["replicas"]) for run in (single, mirrored, first, second)] == [1, 2, 2, 2]
    assert largest_difference(first, second) == 0
    assert largest_difference(single, mirrored) < 1e-5
    assert largest_difference(single, first) < 1e-5
    losses = single["history"][:, 1]
    assert abs(losses[-1] - losses[0]) > 1e-3  # training moved what is compared


@pytest.mark.slow
def test_two_devices_scale_the_loss_of_float16_together(folder):
    changed = {"sections": {"hardware": {"precision": "mixed_float16"}, "optimizer": {"global_clipnorm": 1.0}}}
    finish(*(start(name, strategy, cpus=count, **changed) for name, strategy, count in (
        ("single", "single", 1), ("mirrored", "mirrored", 2), ("again", "mirrored", 2),
    )))  # fmt: skip
    assert largest_difference(result("mirrored"), result("again")) == 0
    assert largest_difference(result("single"), result("mirrored")) < 1e-2  # of float16's 3 digits


@pytest.mark.slow
def test_with_normalization_and_dropout_of_each_replica_the_bytes_are_the_same_again(folder):
    changed = {"architecture": {"batch_norm": True, "dropout": 0.5}}
    finish(*(start(name, "mirrored", cpus=2, **changed) for name in ("mirrored", "again")))
    assert largest_difference(result("mirrored"), result("again")) == 0
    finish(*workers("first", **changed))
    finish(*workers("again", **changed))
    assert largest_difference(result("first0"), result("first1")) == 0
    assert largest_difference(result("first0"), result("again0")) == 0


EVERY_TWO_STEPS = {"train": {"checkpoint_every": 2, "checkpoint_unit": "steps"}}


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_in_a_clear_line_and_all_resume_exactly(folder):
    changed = {"sections": EVERY_TWO_STEPS, "architecture": {"batch_norm": True}}
    finish(*workers("undisturbed", **changed))
    survivor, dying = workers("killed", checkpoint="shared.npz", pause=0.3, **changed)
    for count, line in enumerate(dying.stdout):
        if count == 6:
            assert line.startswith("step"), line
            break
    dying.kill()
    stderr = survivor.communicate(timeout=300)[1]
    assert survivor.returncode != 0
    assert "lost a worker in epoch" in stderr and "restart all workers to resume" in stderr, stderr
    dying.communicate()
    assert Path("shared.npz").is_file()
    assert "resuming from checkpoint (epoch" in finish(*workers("killed", checkpoint="shared.npz", **changed))[0]
    assert largest_difference(result("undisturbed0"), result("killed0")) == 0


@pytest.mark.slow
def test_workers_that_do_not_share_their_checkpoints_are_told(folder):
    changed = {"sections": EVERY_TWO_STEPS}
    survivor, dying = workers("killed", pause=0.3, **changed)  # each has a checkpoint of its own; the chief writes
    for count, _ in enumerate(dying.stdout):
        if count == 6:
            break
    dying.kill()
    survivor.communicate(timeout=300)
    dying.communicate()
    errors = [process.communicate(timeout=300)[1] for process in workers("killed", **changed)]
    assert all("all workers must see the same folder .dvc/state" in error for error in errors), errors
