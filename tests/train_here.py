"""Train in a process of its own, for tests of what a process can be only once: so many devices, one of the workers.

$ python train_here.py SETTINGS.json RESULT.npz

SETTINGS: logical_cpus, architecture, augmentation and settings (of training.fit). Prints `step N` at each step.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from heldout import control, devices, models, normalization, resuming, training
from heldout.shards import Images


def main(settings_json: str, result_npz: str) -> None:
    said = json.loads(Path(settings_json).read_text(encoding="utf-8"))
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * said["logical_cpus"])
    settings = said["settings"]
    devices.prepare(0, precision=settings["precision"], **devices.same_again(settings))
    hardware = devices.strategy(settings["strategy"])
    images = Images("data/train")
    with hardware.scope():
        model = models.build(images.image_shape, 3, normalization.BatchNormalization, **said["architecture"])
    state = resuming.State(Path(said["state"]))
    spoken = control.LearningRate.on_train_batch_end

    def speak(self, batch, logs=None):
        spoken(self, batch, logs)
        print(f"step {batch}", flush=True)
        time.sleep(said["pause"])

    control.LearningRate.on_train_batch_end = speak
    names = ["cat", "dog", "wolf"]
    history = training.fit(model, images, images, names, said["augmentation"], 0, state, hardware, **settings)
    weights = {f"weight{number}": value for number, value in enumerate(model.get_weights())}
    np.savez(result_npz, replicas=hardware.num_replicas_in_sync, history=history.to_numpy(float), **weights)
    keras.backend.clear_session()


if __name__ == "__main__":
    main(*sys.argv[1:])
