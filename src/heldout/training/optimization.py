"""Optimizers, learning-rate schedules, losses and class weights."""

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras

LOWEST_FACTOR = 0.001  # of the learning rate: where plateau ends
Fraction = Annotated[float, Field(ge=0, lt=1)]
ScheduleName = Literal["constant", "cosine", "step", "plateau"]


def make_optimizer(
    replicas: int = 1,
    *,
    name: Literal["adam", "adamw", "sgd"],
    momentum: Fraction,
    nesterov: bool,
    weight_decay: Fraction,
    global_clipnorm: Annotated[float, Field(ge=0)],
    ema_momentum: Fraction,
) -> keras.Optimizer:
    """Keras's optimizer of that name; its learning rate is set by `LearningRate` before each step.

    Args:
        replicas: of the strategy. The optimizer sees a replica's part of the gradients, all of which have one norm.
        name: `sgd`, `adam` or `adamw`.
        momentum, nesterov: of sgd.
        weight_decay: decoupled from the gradient (Loshchilov and Hutter, 2019); 0 is off.
        global_clipnorm: the largest norm of all gradients together; 0 is off.
        ema_momentum: of a moving average of the weights, which is what is then kept; 0 is off.
    """
    common: dict[str, Any] = {
        "weight_decay": float(weight_decay) if weight_decay or name == "adamw" else None,
        "global_clipnorm": global_clipnorm / replicas or None,
        "use_ema": ema_momentum > 0,
        "ema_momentum": ema_momentum or 0.99,
    }
    if name == "sgd":
        return keras.optimizers.SGD(momentum=float(momentum), nesterov=nesterov, **common)
    return {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[name](**common)


def make_loss(name: str, label_smoothing: float) -> keras.losses.Loss:
    """Cross-entropy, or focal loss (Lin et al., 2017, gamma 2), of probabilities against one-hot or mixed targets; a
    loss an image."""
    if name == "focal":
        return keras.losses.CategoricalFocalCrossentropy(1.0, 2.0, label_smoothing=label_smoothing, reduction=None)
    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction=None)


def class_weights(labels: np.ndarray, num_classes: int, method: str) -> np.ndarray:
    """A weight for each class, float32 (num_classes,): 1, or `balanced`: n / (num_classes * count), as scikit-learn's.

    Args:
        labels: int (n,), the training images' class numbers.
        num_classes: how many there are.
        method: `none` or `balanced`.
    """
    if method == "none":
        return np.ones(num_classes, np.float32)
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)


def make_schedule(
    steps_per_epoch: int,
    epochs: int,
    first_epoch: int = 0,
    *,
    name: ScheduleName,
    learning_rate: Annotated[float, Field(gt=0, le=10)],
    warmup_epochs: Annotated[float, Field(ge=0)],
    decay_epochs: Annotated[int, Field(ge=1)],
    decay_factor: Annotated[float, Field(gt=0, lt=1)],
) -> "LearningRate":
    """The callback that sets the learning rate before each step.

    Args:
        steps_per_epoch, epochs: how long the schedule is.
        first_epoch: the epoch with which it begins.
        name: `constant`; `cosine` goes to 0 at the end (Loshchilov and Hutter, SGDR, 2017); `step` multiplies by
            `decay_factor` every `decay_epochs` epochs; `plateau` after so many without a better validation loss.
        learning_rate: the highest.
        warmup_epochs: in which it first rises in a straight line (Goyal et al., 2017).
        decay_epochs, decay_factor: of `step` and `plateau`.
    """
    return LearningRate(
        learning_rate, first_epoch, steps_per_epoch=steps_per_epoch, epochs=epochs, name=name,
        warmup_epochs=warmup_epochs, decay_epochs=decay_epochs, decay_factor=decay_factor,
    )  # fmt: skip


def schedule_factor(
    step: int,
    steps_per_epoch: int,
    epochs: int,
    name: str,
    warmup_epochs: float,
    decay_epochs: int,
    decay_factor: float,
) -> float:
    """What the learning rate is multiplied by at a step (from 0), before what a plateau takes off."""
    warmup_steps = warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps_per_epoch * epochs - warmup_steps)))
    if name == "step":
        return decay_factor ** (step // steps_per_epoch // decay_epochs)
    return 1.0


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate before each step, counted from `first_epoch`; its numbers are saved in checkpoints.

    Args:
        learning_rate: the highest.
        first_epoch: see `make_schedule`.
        schedule: the keyword arguments of `schedule_factor`.
    """

    def __init__(self, learning_rate: float, first_epoch: int, **schedule: Any):
        super().__init__()
        self.learning_rate, self.first_epoch, self.schedule = learning_rate, first_epoch, schedule
        self.epoch, self.plateau_factor, self.best, self.epochs_without_better = 0, 1.0, math.inf, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        step = (self.epoch - self.first_epoch) * self.schedule["steps_per_epoch"] + batch
        factor = self.plateau_factor * schedule_factor(step, **self.schedule)
        self.model.optimizer.learning_rate = self.learning_rate * factor

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is None or self.schedule["name"] != "plateau":
            return
        self.epochs_without_better = 0 if logs["val_loss"] < self.best else self.epochs_without_better + 1
        self.best = min(self.best, logs["val_loss"])
        if self.epochs_without_better >= self.schedule["decay_epochs"]:
            self.plateau_factor = max(self.plateau_factor * self.schedule["decay_factor"], LOWEST_FACTOR)
            self.epochs_without_better = 0
