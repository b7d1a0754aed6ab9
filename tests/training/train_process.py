"""Train in a process of its own, for tests of what a process can be only once: so many devices, one of the workers.

$ python train_process.py SETTINGS.json

SETTINGS: logical_cpus, pause, and runs, one after the other: each has result (a file .npz to write), checkpoint,
architecture and sections (of training_runs). Prints `step N` at each step.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from processes import print_steps, use_logical_cpus

from heldout.data.shards import Images
from heldout.networks import build, devices, encoder
from heldout.networks.batch_norm import BatchNormalization
from heldout.training import fit
from heldout.training.checkpoint import Checkpoint

CLASS_NAMES = ["cat", "dog", "wolf"]


def main(settings_json: str) -> None:
    settings = json.loads(Path(settings_json).read_text(encoding="utf-8"))
    use_logical_cpus(settings["logical_cpus"])
    print_steps(settings["pause"])
    strategies: dict[str, tf.distribute.Strategy] = {}  # a second of a kind would number its collectives from 0 again
    for run in settings["runs"]:
        hardware = run["sections"]["hardware"]
        name = hardware["strategy"]
        if name not in strategies:
            strategies[name] = devices.configure_tensorflow(0, **hardware)
        keras.config.set_dtype_policy(hardware["precision"])
        keras.utils.set_random_seed(0)
        train(run, strategies[name])
        keras.backend.clear_session()


def train(run: dict[str, Any], strategy: tf.distribute.Strategy) -> None:
    """One run, and its weights and history in a file."""
    images = Images("data/train")
    with strategy.scope():
        text = run["sections"].get("text")
        model = build.build(images.image_shape, 3, BatchNormalization, text, **run["architecture"])
        encoder.encoder(model).trainable = not run["frozen"]
    settings = run["sections"].pop("train")
    checkpoint = Checkpoint(Path(run["checkpoint"]))
    history = fit.fit(model, images, images, CLASS_NAMES, run["sections"], 0, strategy, checkpoint, **settings)
    weights = {f"weight{number}": value for number, value in enumerate(model.get_weights())}
    np.savez(run["result"], replicas=strategy.num_replicas_in_sync, history=history.to_numpy(float), **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
