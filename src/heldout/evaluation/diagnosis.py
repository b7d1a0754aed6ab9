"""What the learning curves say, in words, by rules of thumb."""

import math

import numpy as np
import pandas as pd


def diagnose(history: pd.DataFrame, epochs: int, num_classes: int) -> list[str]:
    """What the curves say, each with the params that the practice turns to; rules of thumb, no more.

    Args:
        history: from `fit.fit`.
        epochs: how many were allowed.
        num_classes: chance is a loss of ln(num_classes).
    """
    best, last = history.loc[history["val_loss"].idxmin()], history.iloc[-1]
    tail = history["val_loss"].iloc[-min(len(history), 10) :].to_numpy()
    scale = max(tail.mean(), 0.1 * math.log(num_classes))  # what jumps close to 0 jumps by little
    jumps = np.maximum(np.diff(tail), 0).mean() / scale if len(tail) > 3 else 0.0
    lines = []
    if len(history) == epochs and best["epoch"] >= 0.9 * epochs:
        lines.append("still improving in its last epochs: raise train.epochs")
    if last["loss"] < 0.7 * best["val_loss"] and last["val_loss"] > 1.15 * best["val_loss"]:
        lines.append(
            "overfitting (training loss falls, validation loss rises): more augment, model.dropout, model.l2 or "
            "optimizer.weight_decay, a smaller network, or more images"
        )
    if best["loss"] > 0.6 * math.log(num_classes) and best["val_loss"] > 0.6 * math.log(num_classes):
        lines.append(
            "underfitting (both losses stay high): more model.filters or model.depth, another schedule.learning_rate, "
            "less augment or model.dropout, or a pretrained model.architecture"
        )
    if jumps > 0.15:
        lines.append(
            "unstable (validation loss jumps up again and again): a lower schedule.learning_rate, "
            "schedule.warmup_epochs, optimizer.global_clipnorm, optimizer.ema_momentum, or more validation images"
        )
    return lines or ["no sign of over- or underfitting or instability"]
