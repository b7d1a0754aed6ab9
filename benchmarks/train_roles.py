"""One run of benchmarks/train.py, in a process of its own: what is measured, and what it is measured against.

$ python benchmarks/train_roles.py ROLE FOLDER ARCHITECTURE EPOCHS

Prints, as JSON, images per CPU second and per second of the fastest epoch after the first, and the most memory, MB.
"""

import json
import os
import re
import resource
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from heldout.augmentation import augment
from heldout.data import shards

PARAMS = yaml.safe_load((Path(__file__).resolve().parents[1] / "params.yaml").read_text(encoding="utf-8"))
BATCH = 32
TUTORIAL = {
    **{"rotation": 20, "width_shift": 0.2, "height_shift": 0.2, "shear": 0.2, "zoom": 0.2, "horizontal_flip": True},
    "fill": "nearest",
}
NAMES = [str(number) for number in range(10)]


def off() -> dict:
    """Every augmentation off, by the keys of params.yaml."""
    return {key: type(value)() if key != "fill" else value for key, value in PARAMS["augment"].items()}


def used() -> tuple[float, float]:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime, time.perf_counter()


def peak() -> float:
    """The most memory that this process has held, MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else 0.0


def measured(clock: list[tuple[float, float]], images: int) -> None:
    """Print images per CPU second and per second of the fastest epoch; `clock` holds begin and end of each."""
    spans = np.diff(np.array(clock).reshape(-1, 2, 2), axis=1)[:, 0]
    # Seconds of the fastest epoch after the first, which builds the graph.
    print(json.dumps({"cpu": images / spans[1:, 0].min(), "wall": images / spans[1:, 1].min(), "peak": peak()}))


def run_fit(folder: str, architecture: dict, epochs: int) -> None:
    """Keras's own fit, as one would type it, on one uint8 array in memory."""
    import keras

    from heldout.networks import build

    images = shards.Images(folder)
    pixels, labels = images[np.arange(len(images))], images.numbers(NAMES)
    clock: list[tuple[float, float]] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock.append(used())

        def on_epoch_end(self, epoch, logs=None):
            clock.append(used())

    model = build.build(images.image_shape, 10, **architecture)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pixels, labels, batch_size=BATCH, epochs=epochs, callbacks=[Clock()], verbose=0)
    measured(clock, len(images))


def run_ours(folder: str, architecture: dict, epochs: int, **changed) -> None:
    """What the stage `train` does, without validation's time."""
    from heldout.networks import batch_norm, build, devices
    from heldout.training import checkpoint, fit

    settings = PARAMS["train"] | {"epochs": epochs, "batch_size": BATCH, "patience": epochs}
    settings |= {"threads": os.cpu_count() or 1}
    settings |= {"checkpoint_every": 10**6} | changed.get("settings", {})
    devices.prepare(0, precision=settings["precision"], **devices.same_again(settings))
    images = shards.Images(folder)
    model = build.build(images.image_shape, 10, batch_norm.BatchNormalization, **architecture)
    clock: list[tuple[float, float]] = []
    begin, end = fit.EpochLine.on_epoch_begin, fit.EpochLine.on_train_batch_end

    def at_begin(self, epoch, logs=None):
        begin(self, epoch, logs)
        clock.append(used())

    def at_end(self, batch, logs=None):
        end(self, batch, logs)
        if batch + 1 == self.params["steps"]:
            clock.append(used())

    fit.EpochLine.on_epoch_begin, fit.EpochLine.on_train_batch_end = at_begin, at_end
    few = shards.Images(changed.get("val", folder))
    state = checkpoint.State(Path(folder).parent / "state.npz")
    augmentation = off() | changed.get("augment", {})
    fit.fit(model, images, few, NAMES, augmentation, 0, state, devices.strategy("one"), **settings)
    measured(clock, len(images))


def run_torch(folder: str, architecture: dict, epochs: int) -> None:
    """PyTorch's eager mode: the same network, batches and optimizer, channels last."""
    import torch
    import torch_networks

    images = shards.Images(folder)
    pixels = torch.from_numpy(images[np.arange(len(images))]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(images.numbers(NAMES)).long()
    network = getattr(torch_networks, architecture["family"])(images.image_shape[0], architecture)
    network = network.to(memory_format=torch.channels_last)
    optimizer, loss = torch.optim.Adam(network.parameters()), torch.nn.CrossEntropyLoss()
    clock: list[tuple[float, float]] = []
    for _ in range(epochs):
        clock.append(used())
        for rows in torch.randperm(len(labels)).split(BATCH):
            batch = (pixels[rows].float() / 255).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss(network(batch), labels[rows]).backward()
            optimizer.step()
        clock.append(used())
    measured(clock, len(labels))


def run_first_step(folder: str, architecture: dict, epochs: int) -> None:
    """Seconds from TensorFlow imported to the first step done."""
    import tensorflow  # noqa: F401

    start = time.perf_counter()
    from heldout.training import optimization

    spoken = optimization.LearningRate.on_train_batch_end

    def stop(self, batch, logs=None):
        spoken(self, batch, logs)
        print(json.dumps(time.perf_counter() - start), flush=True)
        os._exit(0)

    optimization.LearningRate.on_train_batch_end = stop
    run_ours(folder, architecture, epochs)


def run_augmented(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, augment=TUTORIAL, val=f"{folder}-val")


def run_plain(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, val=f"{folder}-val")


def run_bfloat16(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, val=f"{folder}-val", settings={"precision": "mixed_bfloat16"})


def run_portable(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, val=f"{folder}-val", settings={"portable": True})


def run_free(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, val=f"{folder}-val", settings={"deterministic": False})


def run_warp(folder: str, architecture: dict, epochs: int) -> None:
    """The tutorial's augmentation, ours, in one thread."""
    import cv2

    cv2.setNumThreads(1)
    images, settings = shards.Images(folder), off() | TUTORIAL
    labels, clock = images.numbers(NAMES), []
    for epoch in range(epochs):
        drawn = augment.draws(len(images), 0, epoch)
        clock.append(used())
        for start in range(0, len(images), BATCH):
            rows_now = np.arange(start, min(start + BATCH, len(images)))
            augment.batch(images, labels, 10, rows_now, drawn, **settings)
        clock.append(used())
    measured(clock, len(images))


def run_layers(folder: str, architecture: dict, epochs: int) -> None:
    """The four layers of Keras that come nearest, in tf.data's map, on batches."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images = shards.Images(folder)
    pixels = images[np.arange(len(images))]
    fill = {"fill_mode": "nearest"}
    chain = [
        keras.layers.RandomRotation(20 / 360, **fill),
        keras.layers.RandomTranslation(0.2, 0.2, **fill),
        keras.layers.RandomZoom(0.2, 0.2, **fill),
        keras.layers.RandomFlip("horizontal"),
    ]

    def altered(batch: tf.Tensor) -> tf.Tensor:
        batch = tf.cast(batch, tf.float32)
        for layer in chain:
            batch = layer(batch, training=True)
        return batch

    batches = tf.data.Dataset.from_tensor_slices(pixels).batch(BATCH).map(altered)
    clock: list[tuple[float, float]] = []
    for _ in range(epochs):
        clock.append(used())
        for _ in batches:
            pass
        clock.append(used())
    measured(clock, len(images))


ROLES = {
    "fit": run_fit,
    "plain": run_plain,
    "augmented": run_augmented,
    "bfloat16": run_bfloat16,
    "portable": run_portable,
    "free": run_free,
    "torch": run_torch,
    "first_step": run_first_step,
    "warp": run_warp,
    "layers": run_layers,
}


def main(role: str, folder: str, architecture: str, epochs: str) -> None:
    """Run a role; `architecture` is JSON, the values that differ from those of params.yaml."""
    ROLES[role](folder, PARAMS["model"] | json.loads(architecture), int(epochs))


if __name__ == "__main__":
    main(*sys.argv[1:])
