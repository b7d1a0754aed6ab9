"""Train in a process of its own, for tests of what a process can be only once: so many devices, one of the workers.

$ python train_process.py SETTINGS.json RESULT.npz

SETTINGS: logical_cpus, pause, checkpoint, architecture and sections (of training_runs). Prints `step N` at each step.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from heldout.data.shards import Images
from heldout.networks import build, devices
from heldout.networks.batch_norm import BatchNormalization
from heldout.training import fit, optimization
from heldout.training.checkpoint import Checkpoint


def main(settings_json: str, result_npz: str) -> None:
    settings = json.loads(Path(settings_json).read_text(encoding="utf-8"))
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * settings["logical_cpus"]
    tf.config.set_logical_device_configuration(cpu, logical)
    sections = settings["sections"]
    strategy = devices.configure_tensorflow(0, **sections.pop("hardware"))
    images = Images("data/train")
    with strategy.scope():
        model = build.build(images.image_shape, 3, BatchNormalization, **settings["architecture"])
    silent = optimization.LearningRate.on_train_batch_end

    def print_step(self, batch: int, logs: dict | None = None) -> None:
        silent(self, batch, logs)
        print(f"step {batch}", flush=True)
        time.sleep(settings["pause"])

    optimization.LearningRate.on_train_batch_end = print_step
    checkpoint = Checkpoint(Path(settings["checkpoint"]))
    class_names = ["cat", "dog", "wolf"]
    train = sections.pop("train")
    history = fit.fit(model, images, images, class_names, sections, 0, strategy, checkpoint, **train)
    weights = {f"weight{number}": value for number, value in enumerate(model.get_weights())}
    np.savez(result_npz, replicas=strategy.num_replicas_in_sync, history=history.to_numpy(float), **weights)
    keras.backend.clear_session()


if __name__ == "__main__":
    main(*sys.argv[1:])
