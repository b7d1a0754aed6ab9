"""Training: batches drawn anew in every epoch, early stopping, a line an epoch; same inputs, same bytes."""

import sys
import time
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field
from tqdm import tqdm

from heldout import control, devices, feeding, loop, models, watching
from heldout.process import quiet
from heldout.resuming import Progress, State
from heldout.shards import Images

with quiet():
    import keras
    import tensorflow as tf

PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


def fit(
    model: keras.Model,
    train: Images,
    val: Images,
    class_names: list[str],
    augmentation: dict,
    seed: int,
    state: State,
    hardware: tf.distribute.Strategy,
    *,
    epochs: PositiveInt,
    steps_per_epoch: Annotated[int, Field(ge=0)],
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
    fine_tune_epochs: Annotated[int, Field(ge=0)],
    fine_tune_layers: PositiveInt,
    fine_tune_rate: Annotated[float, Field(gt=0, le=1)],
    patience: PositiveInt,
    checkpoint_every: PositiveInt,
    checkpoint_unit: Literal["epochs", "steps"],
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"],
    xla: bool,
    threads: PositiveInt,
    portable: bool,
    deterministic: bool,
    strategy: devices.Strategy,
) -> pd.DataFrame:
    """Train the model in place, and leave it with the weights of its best epoch, by validation loss.

    Args:
        model: from `models`, uncompiled, built in the scope of `hardware`.
        train, val: the images of either split.
        class_names: in the order of the model's outputs.
        augmentation: the keyword arguments of `augment.batch`, for training images alone.
        seed: decides order, augmentation and dropout; `devices.prepare` takes it as well.
        state: where a run that was cut short goes on; the caller removes it.
        hardware: what `devices.strategy` has made of `strategy`.
        epochs: at most so many.
        steps_per_epoch: steps between two looks at the validation images; 0 for a pass over the training images.
        batch_size: images of a batch, of all replicas together.
        accumulate: batches whose gradients make one step.
        optimizer, momentum, nesterov, weight_decay, clip_norm, ema: of `control.optimizer`.
        learning_rate, schedule, warmup_epochs, decay_epochs, decay_factor: of `control.share`; `plateau` multiplies by
            `decay_factor` after `decay_epochs` epochs without a better validation loss.
        loss, label_smoothing: of `control.loss`; the validation loss is the cross-entropy or focal loss without
            smoothing.
        class_weights: of `control.class_weights`; the validation loss is not weighted.
        fine_tune_epochs: at most so many follow, in a second phase, in which the upper `fine_tune_layers` layers of a
            pretrained network train as well, at `fine_tune_rate` instead of `learning_rate`; 0 for none.
        fine_tune_layers, fine_tune_rate: see there.
        patience: epochs without a better validation loss before it ends.
        checkpoint_every, checkpoint_unit: epochs or steps between two savings of the state.
        precision: what `devices.prepare` has set for the layers.
        xla: compile each step; slower on a CPU.
        threads: intra-op threads of `devices.prepare`.
        portable, deterministic: of `devices.prepare`.
        strategy: of `devices.strategy`.

    Returns:
        The history, one row an epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate.

    Raises:
        ValueError: where the loss is no longer a number, another worker is gone, or there is nothing to fine-tune.
    """
    labels = train.numbers(class_names)
    weights = control.class_weights(labels, len(class_names), class_weights)
    replicas = hardware.num_replicas_in_sync
    feed = feeding.training(
        train, labels, weights, augmentation, seed,
        batch_size=batch_size, accumulate=accumulate, steps_per_epoch=steps_per_epoch,
    )  # fmt: skip
    watched = feeding.evaluation(val, val.numbers(class_names), len(class_names))
    phases = [(epochs, learning_rate)]
    if fine_tune_epochs:
        network = models.pretrained_part(model)
        phases.append((fine_tune_epochs, fine_tune_rate))
    rows: list[dict[str, float]] = []
    for phase, (more_epochs, highest_rate) in enumerate(phases):
        if phase:
            models.unfreeze(network, fine_tune_layers)
        found = state.progress()
        if found and phase < found.phase:
            rows = found.rows[: found.first]
            continue  # a run that was cut short had ended it
        if phase:
            print(f"train: the upper {fine_tune_layers} layers train as well from here on", flush=True)
        with hardware.scope():
            # The optimizer sees a replica's part of the gradients, all of which have one norm together.
            model.compile(control.optimizer(optimizer, momentum, nesterov, weight_decay, clip_norm / replicas, ema))
        rate = control.LearningRate(
            highest_rate, schedule, decay_epochs, decay_factor, len(rows),
            steps_per_epoch=feed.steps, epochs=more_epochs, warmup=warmup_epochs,
        )  # fmt: skip
        averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if ema else []
        best = min((row["val_loss"] for row in rows), default=float("inf"))
        chief = devices.is_chief(hardware)
        line = EpochLine(feed.images_per_step, best, chief)
        whole = loop.Loop(
            model, hardware, control.loss(loss, label_smoothing), control.loss(loss, 0),
            share_first=clip_norm > 0 or precision == "mixed_float16", xla=xla,
            watchers=watching.callbacks(state.path.stem, resumed=bool(found or phase)) if chief else [],
        )  # fmt: skip
        rows = whole.run(
            feed, watched, len(rows) + more_epochs, [rate, *averaging, Stopping(patience, best), line], state,
            checkpoint_every * (feed.steps if checkpoint_unit == "epochs" else 1),
            Progress(phase, len(rows), len(rows), rows=list(rows)),
        )  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(0, "epoch", range(1, len(table) + 1))
    return table


def summary(history: pd.DataFrame, parameters: int) -> dict[str, float | int]:
    """The figures of metrics/train.json: the best epoch by validation loss, and what it reached."""
    best = history.loc[history["val_loss"].idxmin()]
    return {
        "best_epoch": int(best["epoch"]),
        "epochs": len(history),
        **{name: float(best[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "parameters": parameters,
    }


class Stopping(keras.callbacks.EarlyStopping):
    """Ends training after `patience` epochs without a better validation loss, and puts the best weights back; those
    that it begins with where none is better than the loss that they have reached."""

    def __init__(self, patience: int, reached: float):
        super().__init__("val_loss", patience=patience, mode="min", restore_best_weights=True)
        self.reached = reached

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self.reached < float("inf"):
            self.best, self.best_weights = self.reached, self.model.get_weights()


class EpochLine(keras.callbacks.Callback):
    """One line an epoch for the person who waits. Seconds are printed, never kept: they would differ in every run."""

    def __init__(self, images_per_step: float, best: float, shown: bool):
        super().__init__()
        self.images_per_step, self.best, self.shown = images_per_step, best, shown

    def on_epoch_begin(self, epoch, logs=None):
        self.started, self.steps = time.monotonic(), 0
        calm = 1 if sys.stderr.isatty() else 60  # seconds between two looks at the bar
        self.bar = tqdm(
            total=self.params["steps"], desc=f"epoch {epoch + 1}", unit=" steps",
            delay=2, mininterval=calm, leave=False, disable=not self.shown,
        )  # fmt: skip

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1  # fewer than all where the run goes on within an epoch
        self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        self.bar.close()
        rate = self.images_per_step * self.steps / (time.monotonic() - self.started)
        better = logs["val_loss"] < self.best
        self.best = min(self.best, logs["val_loss"])
        if self.shown:
            print(
                f"epoch {epoch + 1:>3}/{self.params['epochs']}  loss {logs['loss']:.4f}  "
                f"accuracy {logs['accuracy']:.4f}  val_loss {logs['val_loss']:.4f}  "
                f"val_accuracy {logs['val_accuracy']:.4f}  {rate:,.0f} images/s{'  best so far' if better else ''}",
                flush=True,
            )
