"""Pretraining: two replicas do what one device does, a killed run ends in the same bytes, and what it watches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_runs import ARCHITECTURE, PARAMS, finish, largest_difference, result, two_workers

from heldout.data.shards import Images
from heldout.training.contrastive import watch
from heldout.training.contrastive.pool import Pool
from heldout.training.contrastive.view_batches import view_batches

SCRIPT = Path(__file__).with_name("pretrain_process.py")
VIEWS = PARAMS["views"] | {"rotation": 20, "horizontal_flip": True}
# 24 images in batches of 7, which two replicas do not divide evenly; the other 3 wait for another pass.
SETTINGS = PARAMS["pretrain"] | {
    "methods": ["simclr"], "epochs": 3, "batch_size": 7, "projection_units": [16, 8], "checkpoint_every": 1,
    "learning_rate": 0.0005,
}  # fmt: skip


def start(
    name: str,
    strategy: str = "single",
    cpus: int = 1,
    pause: float = 0,
    precision: str = "float32",
    cluster: dict | None = None,
    **architecture,
) -> subprocess.Popen:
    settings = {
        "logical_cpus": cpus,
        "pause": pause,
        "checkpoint": f"{name}-checkpoint.npz",
        "architecture": ARCHITECTURE | architecture,
        "views": VIEWS,
        "hardware": PARAMS["hardware"] | {"strategy": strategy, "intra_op_threads": 1, "precision": precision},
        "pretrain": SETTINGS,
    }
    Path(f"{name}.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, str(SCRIPT), f"{name}.json", f"{name}.npz"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | ({"TF_CONFIG": json.dumps(cluster)} if cluster else {})
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_replicas_and_two_workers_do_what_one_device_does(images):
    """A loss of each replica's own images alone would be other mathematics."""
    finish(start("single"))
    finish(start("mirrored", "mirrored", 2))
    finish(*[start(f"worker{n}", "multi_worker", cluster=cluster) for n, cluster in enumerate(two_workers())])
    single, mirrored, first, second = (result(name) for name in ("single", "mirrored", "worker0", "worker1"))
    assert [int(run["replicas"]) for run in (single, mirrored, first, second)] == [1, 2, 2, 2]
    assert largest_difference(first, second) == 0
    assert largest_difference(single, mirrored) < 1e-5
    assert largest_difference(single, first) < 1e-5
    history = single["history"]
    assert history[-1, 1] != history[0, 1]  # training moved what is compared


@pytest.mark.slow
def test_two_replicas_scale_the_loss_of_float16_together(images):
    float16 = {"precision": "mixed_float16"}
    finish(start("single", **float16), start("two", "mirrored", 2, **float16))
    assert 0 < largest_difference(result("single"), result("two")) < 1e-2  # of float16's 3 digits


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_bytes(images):
    undisturbed = start("undisturbed", batch_norm=True)
    killed = start("killed", pause=0.3, batch_norm=True)
    for count, _ in enumerate(killed.stdout):
        if count == 6:  # an epoch's line, and then steps of the third
            break
    killed.kill()
    killed.communicate()
    finish(undisturbed)
    assert Path("killed-checkpoint.npz").is_file() and not Path("killed.npz").exists()
    assert "resuming from checkpoint (epoch" in finish(start("killed", batch_norm=True))[0]
    first, second = result("undisturbed"), result("killed")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_batch_is_two_different_views_of_the_same_images(images):
    source = view_batches(Pool([images]), VIEWS, 0, 7)
    assert (source.steps, source.images_per_step) == (3, 7)
    (first, second), _, weights, mask, size = source.batch(4, 0, 1)
    assert first.shape == second.shape == (1, 7, 16, 16, 3) and not np.array_equal(first, second)
    assert weights.tolist() == mask.tolist() == [[1] * 7] and size == 7
    again = source.batch(4, 0, 1).inputs
    assert np.array_equal(first, again[0]) and np.array_equal(second, again[1])
    still = view_batches(
        Pool([images]),
        dict.fromkeys(VIEWS, 0) | {"fill_mode": "nearest", "horizontal_flip": False, "vertical_flip": False},
        0,
        7,
    )
    (first, second), *_ = still.batch(0, 0, 1)
    assert np.array_equal(first, second)  # off changes nothing, so these are images of the pool
    assert all((pixels == images[np.arange(24)]).all(axis=(1, 2, 3)).any() for pixels in first[0])


def test_two_replicas_share_the_images_of_a_step(images):
    source = view_batches(Pool([images]), VIEWS, 0, 7)
    whole = source.batch(1, 0, 1)
    parts = [source.batch(1, replica, 2) for replica in (0, 1)]
    for view in (0, 1):
        own = np.concatenate([part.inputs[view][0][part.mask[0] > 0] for part in parts])
        assert np.array_equal(own, whole.inputs[view][0])


def test_a_pool_is_its_parts_one_after_another(images):
    pool = Pool([images, Images("data/train")])
    assert len(pool) == 48 and pool.image_shape == (16, 16, 3)
    rows = np.array([25, 3, 24, 47, 1])
    assert np.array_equal(pool[rows], images[rows % 24])
    assert pool.digest() != Pool([images]).digest()


def test_alignment_uniformity_and_neighbors_by_hand():
    x = np.array([[1.0, 0], [0, 1]])
    assert watch.alignment(x, x) == 0 and watch.alignment(x, -x) == 4
    assert watch.uniformity(np.array([[1.0, 0], [1, 0]])) == 0
    assert watch.uniformity(x) == pytest.approx(-4)  # one pair, its squared distance 2, times -2
    features, labels = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2]]), np.array(list("aabba"))
    assert watch.neighbor_accuracy(features, labels, np.arange(5)) == 1
    # Images of one component do not answer for each other: the first two have the last, it has both, b has only a.
    assert watch.neighbor_accuracy(features, labels, np.array([0, 0, 1, 1, 2])) == pytest.approx(3 / 5)
