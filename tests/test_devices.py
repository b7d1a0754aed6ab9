"""One loop on one device, on two, and in two processes: the same mathematics, the same bytes again, nothing lost."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from test_augment import OFF
from test_training import ARCHITECTURE, SETTINGS

from heldout import devices, feeding

HERE = Path(__file__).parent
MIXED = OFF | {"rotation": 20, "horizontal_flip": True, "mixup": 0.3, "cutmix": 1.0, "fill": "nearest"}
# 24 images in batches of 7: 7, 7, 7 and 3, none of which two replicas share evenly.
TRAIN = SETTINGS | {"batch_size": 7, "epochs": 3, "threads": 1, "learning_rate": 0.01, "optimizer": "sgd"}
SAME_MATHEMATICS = {
    "clip accumulate ema weights l2": {
        "settings": {"clip_norm": 0.5, "accumulate": 2, "ema": 0.9, "class_weights": "balanced"},
        "architecture": {"l2": 0.01},
    },
    "adamw focal smooth": {
        "settings": {
            "optimizer": "adamw", "weight_decay": 0.01, "loss": "focal", "label_smoothing": 0.1, "learning_rate": 0.003
        }
    },
}  # fmt: skip


@pytest.fixture
def folder(images):
    return Path.cwd()


def start(name: str, strategy: str, cpus: int = 1, worker: tuple[int, list[int]] | None = None, **changed):
    said = {
        "logical_cpus": cpus,
        "pause": changed.get("pause", 0),
        "state": changed.get("state", f"{name}-state.npz"),
        "augmentation": MIXED,
        "architecture": ARCHITECTURE | changed.get("architecture", {}),
        "settings": TRAIN | changed.get("settings", {}) | {"strategy": strategy},
    }
    Path(f"{name}.json").write_text(json.dumps(said), encoding="utf-8")
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    if worker:
        cluster = {"worker": [f"localhost:{port}" for port in worker[1]]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": worker[0]}})
    command = [sys.executable, HERE / "train_here.py", f"{name}.json", f"{name}.npz"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def finish(*processes: subprocess.Popen) -> list[str]:
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return [output for output, _ in said]


def result(name: str) -> dict[str, np.ndarray]:
    with np.load(f"{name}.npz") as stored:
        return dict(stored)


def apart(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> float:
    assert one.keys() == two.keys()
    return max(float(np.abs(one[key] - two[key]).max()) for key in one if key != "replicas")


def two_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("localhost", 0))
        two.bind(("localhost", 0))
        return [one.getsockname()[1], two.getsockname()[1]]


def workers(name: str, **changed) -> list[subprocess.Popen]:
    ports = two_ports()
    return [start(f"{name}{number}", "multi_worker", worker=(number, ports), **changed) for number in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("changed", SAME_MATHEMATICS.values(), ids=SAME_MATHEMATICS)
def test_two_devices_and_two_workers_do_what_one_does(folder, changed):
    finish(start("one", "one", **changed), start("two", "mirrored", cpus=2, **changed))
    finish(*workers("worker", **changed))
    one, two, first, second = (result(name) for name in ("one", "two", "worker0", "worker1"))
    assert [int(found["replicas"]) for found in (one, two, first, second)] == [1, 2, 2, 2]
    assert apart(first, second) == 0
    assert apart(one, two) < 1e-5
    assert apart(one, first) < 1e-5
    losses = one["history"][:, 1]
    assert abs(losses[-1] - losses[0]) > 1e-3  # training moved what is compared


@pytest.mark.slow
def test_two_devices_scale_the_loss_of_float16_together(folder):
    changed = {"settings": {"precision": "mixed_float16", "clip_norm": 1.0}}
    finish(*(start(name, strategy, cpus=count, **changed) for name, strategy, count in (
        ("one", "one", 1), ("two", "mirrored", 2), ("again", "mirrored", 2),
    )))  # fmt: skip
    assert apart(result("two"), result("again")) == 0
    assert apart(result("one"), result("two")) < 1e-2  # of float16's 3 digits


@pytest.mark.slow
def test_with_normalization_and_dropout_of_each_replica_the_bytes_are_the_same_again(folder):
    changed = {"architecture": {"batch_norm": True, "dropout": 0.5}}
    finish(*(start(name, "mirrored", cpus=2, **changed) for name in ("one", "two")))
    assert apart(result("one"), result("two")) == 0
    finish(*workers("first", **changed))
    finish(*workers("again", **changed))
    assert apart(result("first0"), result("first1")) == 0
    assert apart(result("first0"), result("again0")) == 0


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_in_a_clear_line_and_all_go_on_exactly(folder):
    changed = {"settings": {"checkpoint_every": 2, "checkpoint_unit": "steps"}, "architecture": {"batch_norm": True}}
    finish(*workers("whole", **changed))
    left, dying = workers("cut", state="shared.npz", pause=0.3, **changed)
    for count, line in enumerate(dying.stdout):
        if count == 6:
            assert line.startswith("step"), line
            break
    dying.kill()
    said = left.communicate(timeout=300)[1]
    assert left.returncode != 0
    assert "another worker is gone" in said, said
    dying.communicate()
    assert Path("shared.npz").is_file()
    assert "where it was cut short" in finish(*workers("cut", state="shared.npz", **changed))[0]
    assert apart(result("whole0"), result("cut0")) == 0


@pytest.mark.slow
def test_workers_that_do_not_share_their_state_are_told(folder):
    changed = {"settings": {"checkpoint_every": 2, "checkpoint_unit": "steps"}}
    left, dying = workers("cut", pause=0.3, **changed)  # each has a state file of its own; the first alone writes
    for count, _ in enumerate(dying.stdout):
        if count == 6:
            break
    dying.kill()
    left.communicate(timeout=300)
    dying.communicate()
    said = [process.communicate(timeout=300)[1] for process in workers("cut", **changed)]
    assert all("must be one that all workers share" in one for one in said), said


def test_shares_are_equally_long_and_cover_the_rows():
    for count in range(1, 20):
        rows = np.arange(100, 100 + count)
        for replicas in (1, 2, 3, 8):
            for parts in (1, 2, 3):
                shares = [feeding.share(rows, replica, replicas, parts) for replica in range(replicas)]
                assert len({len(chosen) for chosen, _ in shares}) == 1
                assert all(len(chosen) % parts == 0 and len(chosen) > 0 for chosen, _ in shares)
                kept = np.concatenate([chosen[real == 1] for chosen, real in shares])
                assert kept.tolist() == rows.tolist()


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": {"worker": 1}, "task": {"type": "worker"}}'],
)
def test_a_missing_or_wrong_cluster_is_one_clear_line(said, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", said)
    with pytest.raises(ValueError, match="TF_CONFIG must say the machines and this one's place"):
        devices.strategy("multi_worker")


def test_a_task_outside_its_cluster_is_refused(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="names a task that its cluster does not have"):
        devices.strategy("multi_worker")


def test_bfloat16_on_portable_instructions_is_refused_where_tensorflow_would_crash():
    with pytest.raises(ValueError, match=r"AVX2, which has no bfloat16: expected train\.precision float32, or"):
        devices.prepare(0, threads=2, portable=True, deterministic=True, precision="mixed_bfloat16")


def test_what_a_result_depends_on_is_said():
    one = devices.strategy("one")
    said = devices.description(one, threads=2, portable=False, deterministic=False)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    assert said["device"].startswith(kind) or kind == "GPU"
    assert said | {"device": "", "instructions": ""} == {
        "device": "", "replicas": 1, "threads": 2, "portable": False, "instructions": "", "deterministic": False,
    }  # fmt: skip
    assert devices.description(one, threads=2, portable=True, deterministic=True)["instructions"] == devices.PORTABLE
    assert devices.is_chief(one)
