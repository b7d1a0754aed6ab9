"""One run of benchmarks/train.py, in a process of its own: what is measured, and what it is measured against.

$ python benchmarks/train_roles.py ROLE FOLDER CHANGES EPOCHS

FOLDER holds the shards train/ and val/; CHANGES is JSON, what differs from the CNN of benchmarks/results.py. Prints, as
JSON, images per CPU second and per second of the fastest epoch after the first, and the most memory, MB.
"""

import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from results import SECTIONS

from heldout.augmentation import augment
from heldout.data import shards

BATCH_SIZE = SECTIONS["train"]["batch_size"]
TUTORIAL_AUGMENTATION = augment.OFF | {
    "rotation": 20, "width_shift": 0.2, "height_shift": 0.2, "shear": 0.2, "zoom": 0.2, "horizontal_flip": True,
}  # fmt: skip
CLASS_NAMES = [str(number) for number in range(10)]


def cpu_and_wall() -> tuple[float, float]:
    """Seconds: of all threads of this process, and of the clock."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, time.perf_counter()


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    match = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(match[1]) / 1024 if match else 0.0


def print_rates(clock: list[tuple[float, float]], num_images: int) -> None:
    """Print images per second of the fastest epoch after the first, which builds the graph.

    Args:
        clock: of `cpu_and_wall`, at the begin and the end of each epoch.
        num_images: of an epoch.
    """
    cpu, wall = np.diff(np.array(clock).reshape(-1, 2, 2), axis=1)[1:, 0].min(axis=0)
    rates = {"images_per_cpu_second": num_images / cpu, "images_per_second": num_images / wall}
    print(json.dumps(rates | {"peak_megabytes": peak_megabytes()}))


def run_fit(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    """Keras's own fit, as one would type it, on one uint8 array in memory."""
    import keras

    from heldout.networks import build

    images = shards.Images(f"{folder}/train")
    pixels, labels = images[np.arange(len(images))], images.class_numbers(CLASS_NAMES)
    clock: list[tuple[float, float]] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            clock.append(cpu_and_wall())

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            clock.append(cpu_and_wall())

    model = build.build(images.image_shape, len(CLASS_NAMES), **architecture)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pixels, labels, batch_size=BATCH_SIZE, epochs=epochs, callbacks=[Clock()], verbose=0)
    print_rates(clock, len(images))


def run_ours(
    folder: str, architecture: dict[str, Any], epochs: int, augmentation: dict[str, Any] = augment.OFF, **hardware: Any
) -> None:
    """What the stage `train` does, without validation's time."""
    from heldout.networks import batch_norm, build, devices
    from heldout.training import checkpoint, fit

    hardware = SECTIONS["hardware"] | {"intra_op_threads": os.cpu_count() or 1} | hardware
    strategy = devices.configure_tensorflow(0, **hardware)
    train, val = shards.Images(f"{folder}/train"), shards.Images(f"{folder}/val")
    with strategy.scope():
        model = build.build(train.image_shape, len(CLASS_NAMES), batch_norm.BatchNormalization, **architecture)
    clock: list[tuple[float, float]] = []

    class Clock(fit.EpochLine):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            super().on_epoch_begin(epoch, logs)
            clock.append(cpu_and_wall())

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            super().on_train_batch_end(batch, logs)
            if batch + 1 == self.params["steps"]:
                clock.append(cpu_and_wall())

    setattr(fit, "EpochLine", Clock)  # noqa: B010 (a class is no variable to mypy)
    settings = SECTIONS["train"] | {"epochs": epochs, "patience": epochs, "checkpoint_every": 10**6}
    sections = SECTIONS | {"augment": augmentation}
    saved = checkpoint.Checkpoint(Path(folder, "checkpoint.npz"))
    fit.fit(model, train, val, CLASS_NAMES, sections, 0, strategy, saved, **settings)
    print_rates(clock, len(train))


def run_torch(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    """PyTorch's eager mode: the same network, batches and optimizer, channels last."""
    import torch
    import torch_networks

    images = shards.Images(f"{folder}/train")
    pixels = torch.from_numpy(images[np.arange(len(images))]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(images.class_numbers(CLASS_NAMES)).long()
    network = getattr(torch_networks, architecture["architecture"])(images.image_shape[0], architecture)
    network = network.to(memory_format=torch.channels_last)
    optimizer, loss = torch.optim.Adam(network.parameters()), torch.nn.CrossEntropyLoss()
    clock: list[tuple[float, float]] = []
    for _ in range(epochs):
        clock.append(cpu_and_wall())
        for rows in torch.randperm(len(labels)).split(BATCH_SIZE):
            batch = (pixels[rows].float() / 255).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss(network(batch), labels[rows]).backward()
            optimizer.step()
        clock.append(cpu_and_wall())
    print_rates(clock, len(labels))


def run_first_step(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    """Seconds from TensorFlow imported to the first step done."""
    import tensorflow  # noqa: F401

    start = time.perf_counter()
    from heldout.training import fit, loop

    class Stop(fit.EpochLine):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            print(json.dumps(time.perf_counter() - start), flush=True)
            os._exit(0)

    setattr(fit, "EpochLine", Stop)  # noqa: B010
    loop.LOSS_INTERVAL = 1  # the loop waits for the step
    run_ours(folder, architecture, epochs)


def run_augmented(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    run_ours(folder, architecture, epochs, TUTORIAL_AUGMENTATION)


def run_bfloat16(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    run_ours(folder, architecture, epochs, precision="mixed_bfloat16")


def run_avx2(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    run_ours(folder, architecture, epochs, max_cpu_isa="avx2")


def run_nondeterministic(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    run_ours(folder, architecture, epochs, deterministic=False)


def run_warp(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    """The tutorial's augmentation, ours, in one thread."""
    import cv2

    cv2.setNumThreads(1)
    images = shards.Images(f"{folder}/train")
    labels, clock = images.class_numbers(CLASS_NAMES), []
    for epoch in range(epochs):
        drawn = augment.draws(len(images), 0, epoch)
        clock.append(cpu_and_wall())
        for start in range(0, len(images), BATCH_SIZE):
            rows = np.arange(start, min(start + BATCH_SIZE, len(images)))
            augment.augment_batch(images, labels, len(CLASS_NAMES), rows, drawn, **TUTORIAL_AUGMENTATION)
        clock.append(cpu_and_wall())
    print_rates(clock, len(images))


def run_layers(folder: str, architecture: dict[str, Any], epochs: int) -> None:
    """The four layers of Keras that come nearest, in tf.data's map, on batches."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images = shards.Images(f"{folder}/train")
    pixels = images[np.arange(len(images))]
    layers = [
        keras.layers.RandomRotation(20 / 360, fill_mode="nearest"),
        keras.layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
        keras.layers.RandomZoom(0.2, 0.2, fill_mode="nearest"),
        keras.layers.RandomFlip("horizontal"),
    ]

    def augment_by_layers(batch: tf.Tensor) -> tf.Tensor:
        batch = tf.cast(batch, tf.float32)
        for layer in layers:
            batch = layer(batch, training=True)
        return batch

    batches = tf.data.Dataset.from_tensor_slices(pixels).batch(BATCH_SIZE).map(augment_by_layers)
    clock: list[tuple[float, float]] = []
    for _ in range(epochs):
        clock.append(cpu_and_wall())
        for _ in batches:
            pass
        clock.append(cpu_and_wall())
    print_rates(clock, len(images))


ROLES = {
    "fit": run_fit,
    "plain": run_ours,
    "augmented": run_augmented,
    "bfloat16": run_bfloat16,
    "avx2": run_avx2,
    "nondeterministic": run_nondeterministic,
    "torch": run_torch,
    "first_step": run_first_step,
    "warp": run_warp,
    "layers": run_layers,
}


def main(role: str, folder: str, changes: str, epochs: str) -> None:
    ROLES[role](folder, SECTIONS["model"] | json.loads(changes), int(epochs))


if __name__ == "__main__":
    main(*sys.argv[1:])
