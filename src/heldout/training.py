"""Training: batches drawn anew in every epoch, early stopping, a line an epoch; same inputs, same bytes."""

import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from heldout import augment, control, models, resuming
from heldout.process import quiet
from heldout.shards import Images

with quiet():
    import keras
    import tensorflow as tf

PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
EVALUATION_BATCH = 256


def deterministic(seed: int, threads: int, precision: str = "float32") -> None:
    """Make TensorFlow give the same bytes again, and layers that are built from here on compute in `precision`.

    On a CPU the sums of a step depend on the number of intra-op threads, which is the number of cores unless it is
    set; with it set, the result is the same on any number of cores. Call it before anything else uses TensorFlow.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    train: Images,
    val: Images,
    class_names: list[str],
    augmentation: dict,
    seed: int,
    state: Path,
    *,
    epochs: PositiveInt,
    batch_size: PositiveInt,
    optimizer: Literal["adam", "adamw", "sgd"],
    learning_rate: Annotated[float, Field(gt=0, le=10)],
    momentum: Share,
    nesterov: bool,
    weight_decay: Share,
    schedule: control.Schedule,
    warmup_epochs: Annotated[float, Field(ge=0)],
    decay_epochs: PositiveInt,
    decay_factor: Annotated[float, Field(gt=0, lt=1)],
    loss: Literal["cross_entropy", "focal"],
    label_smoothing: Share,
    class_weights: Literal["none", "balanced"],
    clip_norm: Annotated[float, Field(ge=0)],
    accumulate: PositiveInt,
    ema: Share,
    patience: PositiveInt,
    checkpoint_every: PositiveInt,
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"],
    xla: bool,
    threads: PositiveInt,
) -> pd.DataFrame:
    """Train the model in place, and leave it with the weights of its best epoch, by validation loss.

    Args:
        model: from `models`, uncompiled.
        train, val: the images of either split.
        class_names: in the order of the model's outputs.
        augmentation: the keyword arguments of `augment.batch`, for training images alone.
        seed: decides order, augmentation and dropout; `deterministic` takes it as well.
        state: the file of `resuming.place`, from which a run that was cut short goes on; the caller removes it.
        epochs: at most so many.
        batch_size: images a step.
        optimizer, momentum, nesterov, weight_decay, clip_norm, accumulate, ema: of `control.optimizer`.
        learning_rate, schedule, warmup_epochs, decay_epochs, decay_factor: of `control.share`; `plateau` multiplies by
            `decay_factor` after `decay_epochs` epochs without a better validation loss.
        loss, label_smoothing: of `control.loss`; the validation loss is the cross-entropy or focal loss without
            smoothing.
        class_weights: of `control.class_weights`; the validation loss is not weighted.
        patience: epochs without a better validation loss before it ends.
        checkpoint_every: epochs between two savings of the state.
        precision: what `deterministic` has set for the layers.
        xla: compile each step; slower on a CPU.
        threads: intra-op threads of `deterministic`.

    Returns:
        The history, one row an epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate.

    Raises:
        ValueError: where the loss is no longer a number.
    """
    steps = -(-len(train) // batch_size)
    model.compile(
        control.optimizer(optimizer, momentum, nesterov, weight_decay, clip_norm, accumulate, ema),
        control.loss(loss, label_smoothing),
        metrics=["accuracy"],
        jit_compile=xla,
    )
    rate = control.LearningRate(
        learning_rate, schedule, decay_epochs, decay_factor,
        steps_per_epoch=steps, epochs=epochs, warmup=warmup_epochs,
    )  # fmt: skip
    labels = train.numbers(class_names)
    weights = control.class_weights(labels, len(class_names), class_weights)
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min", restore_best_weights=True)
    averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if ema else []
    callbacks = [rate, *averaging, stopping, keras.callbacks.TerminateOnNaN(), Progress(len(train))]
    keeper = resuming.State(state, checkpoint_every, callbacks)
    if keeper.epoch:
        print(f"train: goes on after epoch {keeper.epoch}, where it was cut short", flush=True)
    passes = range(keeper.epoch, epochs)
    model.fit(
        train_batches(train, labels, weights, augmentation, seed, epochs=passes, batch_size=batch_size),
        initial_epoch=keeper.epoch,
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=evaluation_batches(val, val.numbers(class_names), len(class_names)),
        callbacks=[*callbacks, keeper],
        shuffle=False,
        verbose=0,
    )
    table = pd.DataFrame(keeper.rows)
    table.insert(0, "epoch", range(1, len(table) + 1))
    if table[["loss", "val_loss"]].isna().any(axis=None):
        raise ValueError(
            f"the loss is not a number in epoch {len(table)}: lower train.learning_rate (now {learning_rate})"
        )
    return table


def train_batches(
    images: Images,
    labels: np.ndarray,
    class_weights: np.ndarray,
    augmentation: dict,
    seed: int,
    *,
    epochs: range,
    batch_size: int,
) -> tf.data.Dataset:
    """Batches for training: a pass for each of `epochs` (from 0), each in an order and with an augmentation of its own.

    Both depend on seed, epoch and the image's row alone. Elements: uint8 images (n, h, w, c), float32 targets (n,
    num_classes), float32 weights (n,).
    """
    targets = np.eye(len(class_weights), dtype=np.float32)[labels]
    drawn = lru_cache(2)(lambda epoch: augment.draws(len(images), seed, epoch))  # batches of two epochs may overlap

    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch, 1]).permutation(len(images))

    def batch(epoch: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pixels, answers = augment.batch(images, targets, rows, drawn(int(epoch)), **augmentation)
        return pixels, answers, answers @ class_weights

    def one_epoch(epoch):
        rows = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int64), (len(images),))
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size).map(lambda part: (epoch, part))

    epoch_by_epoch = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
    return _loaded(epoch_by_epoch, batch, images.image_shape, len(class_weights))


def evaluation_batches(images: Images, labels: np.ndarray, num_classes: int) -> tf.data.Dataset:
    """Batches for evaluation: every image once, in its order, as it is. Elements: as of `train_batches`."""
    targets = np.eye(num_classes, dtype=np.float32)

    def batch(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.arange(start, min(start + EVALUATION_BATCH, len(images)))
        return images[rows], targets[labels[rows]], np.ones(len(rows), np.float32)

    return _loaded(tf.data.Dataset.range(0, len(images), EVALUATION_BATCH), batch, images.image_shape, num_classes)


class Measured(NamedTuple):
    """The trained model, its classes, the images that it is measured on, their class numbers, and its answers."""

    model: keras.Model
    class_names: list[str]
    images: Images
    labels: np.ndarray
    probabilities: np.ndarray


def measure(model_folder: str, folder: str) -> Measured:
    """Load what `train` wrote, and let it answer for the images of a folder of shards."""
    description = json.loads(Path(model_folder, "model.json").read_text(encoding="utf-8"))
    deterministic(0, description["threads"])
    model = models.load(description, f"{model_folder}/model.weights.h5")
    images = Images(folder)
    labels = images.numbers(description["class_names"])
    probabilities = model.predict(evaluation_batches(images, labels, len(description["class_names"])), verbose=0)
    return Measured(model, description["class_names"], images, labels, probabilities)


def _loaded(wanted: tf.data.Dataset, batch: Callable, image_shape: tuple, num_classes: int) -> tf.data.Dataset:
    """Each element of `wanted` made a batch by numpy, ahead of its use and in order."""
    shapes = (None, *image_shape), (None, num_classes), (None,)

    def load(*element):
        made = tf.numpy_function(batch, element, [tf.uint8, tf.float32, tf.float32])
        return tuple(tf.ensure_shape(part, shape) for part, shape in zip(made, shapes, strict=True))

    return wanted.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)


def summary(history: pd.DataFrame, parameters: int) -> dict[str, float | int]:
    """The figures of metrics/train.json: the best epoch by validation loss, and what it reached."""
    best = history.loc[history["val_loss"].idxmin()]
    return {
        "best_epoch": int(best["epoch"]),
        "epochs": len(history),
        **{name: float(best[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "parameters": parameters,
    }


class Progress(keras.callbacks.Callback):
    """One line an epoch for the person who waits. Seconds are printed, never kept: they would differ in every run."""

    def __init__(self, images: int):
        super().__init__()
        self.images, self.best, self.started = images, float("inf"), 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        seconds = time.monotonic() - self.started
        better = logs["val_loss"] < self.best
        self.best = min(self.best, logs["val_loss"])
        print(
            f"epoch {epoch + 1:>3}/{self.params['epochs']}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}  "
            f"val_loss {logs['val_loss']:.4f}  val_accuracy {logs['val_accuracy']:.4f}  "
            f"{self.images / seconds:,.0f} images/s{'  best so far' if better else ''}",
            flush=True,
        )
