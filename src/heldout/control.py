"""What steers training: optimizers, learning-rate schedules, losses, class weights; and what the curves say."""

import math
from typing import Any, Literal

import numpy as np
import pandas as pd

from heldout.process import quiet

with quiet():
    import keras

Schedule = Literal["constant", "cosine", "step", "plateau"]
LOWEST = 0.001  # of the learning rate: where plateau ends


def optimizer(
    name: str, momentum: float, nesterov: bool, weight_decay: float, clip_norm: float, ema: float
) -> keras.Optimizer:
    """Keras's optimizer of that name; its learning rate is set by `LearningRate` before each step.

    Args:
        name: `sgd`, `adam` or `adamw`.
        momentum, nesterov: of sgd.
        weight_decay: decoupled from the gradient (Loshchilov and Hutter, 2019); 0 is off.
        clip_norm: the largest norm of all gradients together; 0 is off.
        ema: the momentum of a moving average of the weights, which is what is then kept; 0 is off.
    """
    common: dict[str, Any] = {
        "weight_decay": float(weight_decay) if weight_decay or name == "adamw" else None,
        "global_clipnorm": clip_norm or None,
        "use_ema": ema > 0,
        "ema_momentum": ema or 0.99,
    }
    if name == "sgd":
        return keras.optimizers.SGD(momentum=momentum, nesterov=nesterov, **common)
    return {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[name](**common)


def loss(name: str, label_smoothing: float) -> keras.losses.Loss:
    """Cross-entropy, or focal loss (Lin et al., 2017, gamma 2), of probabilities against one-hot or mixed targets; one
    an image."""
    if name == "focal":
        return keras.losses.CategoricalFocalCrossentropy(1.0, 2.0, label_smoothing=label_smoothing, reduction=None)
    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction=None)


def class_weights(labels: np.ndarray, num_classes: int, balance: str) -> np.ndarray:
    """A weight for each class, float32 (num_classes,): 1, or `balanced`: n / (num_classes * count), as scikit-learn's.

    Args:
        labels: int (n,), the training images' class numbers.
        num_classes: how many there are.
        balance: `none` or `balanced`.
    """
    if balance == "none":
        return np.ones(num_classes, np.float32)
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)


def share(
    step: int, steps_per_epoch: int, epochs: int, schedule: str, warmup: float, every: int, factor: float
) -> float:
    """The share of the learning rate at a step (from 0), before what a plateau has taken off.

    Args:
        step: since training began.
        steps_per_epoch, epochs: how long training is.
        schedule: `cosine` goes to 0 at the end (Loshchilov and Hutter, SGDR, 2017); `step` multiplies by `factor`
            every `every` epochs; the others stay.
        warmup: epochs in which it first rises in a straight line (Goyal et al., 2017).
        every, factor: of `step`.
    """
    rising = warmup * steps_per_epoch
    if step < rising:
        return (step + 1) / (rising + 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps_per_epoch * epochs - rising)))
    if schedule == "step":
        return factor ** (step // steps_per_epoch // every)
    return 1.0


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate before each step, counted from `first_epoch`."""

    def __init__(
        self, learning_rate: float, schedule: str, every: int, factor: float, first_epoch: int = 0, **shape: Any
    ):
        super().__init__()
        self.first_epoch = first_epoch
        self.learning_rate, self.schedule, self.every, self.factor = learning_rate, schedule, every, factor
        self.shape = shape | {"schedule": schedule, "every": every, "factor": factor}
        self.epoch, self.left, self.best, self.waited = 0, 1.0, math.inf, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        step = (self.epoch - self.first_epoch) * self.shape["steps_per_epoch"] + batch
        self.model.optimizer.learning_rate = self.learning_rate * self.left * share(step, **self.shape)

    def on_epoch_end(self, epoch, logs=None):
        if logs is None or self.schedule != "plateau":
            return
        self.waited = 0 if logs["val_loss"] < self.best else self.waited + 1
        self.best = min(self.best, logs["val_loss"])
        if self.waited >= self.every:
            self.left, self.waited = max(self.left * self.factor, LOWEST), 0


def diagnosis(history: pd.DataFrame, epochs: int, num_classes: int) -> list[str]:
    """What the curves say, in words, each with the params that the practice turns to; rules of thumb, no more.

    Args:
        history: from `training.fit`.
        epochs: how many were allowed.
        num_classes: chance is a loss of ln(num_classes).
    """
    best, last = history.loc[history["val_loss"].idxmin()], history.iloc[-1]
    tail = history["val_loss"].iloc[-min(len(history), 10) :].to_numpy()
    scale = max(tail.mean(), 0.1 * math.log(num_classes))  # what jumps close to 0 jumps by little
    jumps = np.maximum(np.diff(tail), 0).mean() / scale if len(tail) > 3 else 0.0
    said = []
    if len(history) == epochs and best["epoch"] >= 0.9 * epochs:
        said.append("still improving at its last epochs: raise train.epochs")
    if last["loss"] < 0.7 * best["val_loss"] and last["val_loss"] > 1.15 * best["val_loss"]:
        said.append(
            "overfitting (training loss falls, validation loss rises): more augment, model.dropout, model.l2 or "
            "train.weight_decay, a smaller network, or more images"
        )
    if best["loss"] > 0.6 * math.log(num_classes) and best["val_loss"] > 0.6 * math.log(num_classes):
        said.append(
            "underfitting (both losses stay high): more model.filters or model.depth, another train.learning_rate, "
            "less augment or model.dropout, or a pretrained model.family"
        )
    if jumps > 0.15:
        said.append(
            "unstable (validation loss jumps up again and again): a lower train.learning_rate, "
            "train.warmup_epochs, train.clip_norm, train.ema, or more validation images"
        )
    return said or ["nothing that these rules see: neither over- nor underfitting, steady, and finished"]
