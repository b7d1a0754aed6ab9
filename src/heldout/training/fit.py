"""Training: batches drawn anew in every epoch, early stopping, a line an epoch; same inputs, same bytes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import pandas as pd
from pydantic import Field

from heldout.core.process import suppress_native_stderr
from heldout.data.shards import Images
from heldout.networks import devices, frozen, tokenizer
from heldout.training import batches, features, linear_probe, loop, modality_dropout, monitoring, optimization, steps
from heldout.training.checkpoint import Checkpoint, Progress
from heldout.training.features import Features
from heldout.training.progress import EpochLine

with suppress_native_stderr():
    import keras
    import tensorflow as tf

PositiveInt = Annotated[int, Field(ge=1)]


class Phase(NamedTuple):
    """A part of training: at most so many epochs, from a learning rate of its own or that of the section `schedule`;
    `layers` of a pretrained network that train as well, counted from its output."""

    epochs: int
    learning_rate: float | None = None
    layers: int = 0


class Sources(NamedTuple):
    """What a phase trains on, and what is evaluated after each of its epochs."""

    train: batches.BatchSource
    val: batches.BatchSource


def fit(
    model: keras.Model,
    train: Images,
    val: Images,
    class_names: list[str],
    sections: dict[str, dict[str, Any]],
    seed: int,
    strategy: tf.distribute.Strategy,
    checkpoint: Checkpoint,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    epochs: PositiveInt,
    steps_per_epoch: Annotated[int, Field(ge=0)],
    batch_size: PositiveInt,
    gradient_accumulation_steps: PositiveInt,
    loss: Literal["cross_entropy", "focal"],
    label_smoothing: Annotated[float, Field(ge=0, lt=1)],
    class_weights: Literal["none", "balanced"],
    patience: PositiveInt,
    checkpoint_every: PositiveInt,
    checkpoint_unit: Literal["epochs", "steps"],
    xla: bool,
    head: Literal["dense", "logistic"],
    views: Annotated[int, Field(ge=0, le=1024)],
) -> pd.DataFrame:
    """Train the model in place, and leave it with the weights of its best epoch, by validation loss.

    Args:
        model: from `build`, uncompiled, built in the scope of `strategy`.
        train, val: the images of either split.
        class_names: in the order of the model's outputs.
        sections: of params.yaml, for the functions that read them: `augment`, for training images alone, `optimizer`,
            `schedule` and `fine_tune`; `text` and `modality_dropout` where the model takes texts; `model` and
            `hardware`, of which the features of a frozen network are.
        seed: decides order, augmentation and dropout; `devices.configure_tensorflow` takes it as well.
        strategy: of `devices.configure_tensorflow`.
        checkpoint: where a killed run resumes; the caller removes it.
        callbacks: further ones, which may end training; their numbers are part of the checkpoint.
        epochs: at most so many.
        steps_per_epoch: steps between two evaluations of the validation images; 0 for a pass over the training images.
        batch_size: images of a batch, of all replicas together.
        gradient_accumulation_steps: batches whose gradients make one step.
        loss, label_smoothing: of `optimization.make_loss`; the validation loss has no smoothing.
        class_weights: of `optimization.class_weights`; the validation loss is not weighted.
        patience: epochs without a better validation loss before training ends.
        checkpoint_every, checkpoint_unit: epochs or steps between two checkpoints.
        xla: compile each step; slower on a CPU.
        head: of a frozen network: `dense` layers, trained by steps; or `logistic`: its last layer is scikit-learn's
            logistic regression on its features, without any epoch.
        views: of a frozen network: so many fixed augmentations of each image, whose features are computed once, in the
            place of new ones in every epoch; 0 for new ones. Without augmentation features are always computed once.

    Returns:
        The history, one row an epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate.

    Raises:
        ValueError: where the loss is no longer a number, another worker is lost, there is nothing to fine-tune, or
            `head` and `views` do not go with the network.
    """
    labels, val_labels = train.class_numbers(class_names), val.class_numbers(class_names)
    weights = optimization.class_weights(labels, len(class_names), class_weights)
    train_tokens, val_tokens = (tokenizer.tokens_of(images, sections.get("text")) for images in (train, val))
    dropout = sections.get("modality_dropout")
    if train_tokens is not None and dropout:
        modality_dropout.check(sections["augment"], **dropout)

    def sources(train_features: Features | None, val_features: Features | None) -> Sources:
        return Sources(
            batches.train_batches(
                train, labels, weights, sections["augment"], seed,
                batch_size=batch_size, microbatches=gradient_accumulation_steps, steps_per_epoch=steps_per_epoch,
                tokens=train_tokens, dropout=dropout, features=train_features,
            ),
            batches.eval_batches(val, val_labels, len(class_names), val_tokens, val_features),
        )  # fmt: skip

    parts = frozen.parts(model)
    fixed_views = features.num_views(sections["augment"], views, head, is_frozen=parts is not None)
    rows: list[dict[str, float]] = []
    for number, phase in enumerate([Phase(epochs), *fine_tune_phase(model, **sections["fine_tune"])]):
        if phase.layers:
            frozen.unfreeze(frozen.pretrained_part(model), phase.layers)
        saved = checkpoint.progress()
        if saved and number < saved.phase:
            rows = saved.rows[: saved.first]
            continue  # the run that was killed had ended it
        if phase.layers:
            print(f"train: fine-tuning the top {phase.layers} layers", flush=True)
        trained, phase_sources = model, None
        if parts and fixed_views and number == 0:
            if head == "logistic":
                linear_probe.check(parts.head)
            both = features.extract(parts.backbone, train, val, sections, seed, fixed_views, strategy)
            if head == "logistic":
                rows = [linear_probe.fit_head(parts.head, *both, labels, val_labels, weights)]
                continue
            trained, phase_sources = parts.head, sources(*both)
        rows = _run_phase(
            trained, phase_sources or sources(None, None), number, phase, rows, sections, strategy, checkpoint,
            callbacks, loss=loss, label_smoothing=label_smoothing, patience=patience,
            checkpoint_every=checkpoint_every, checkpoint_unit=checkpoint_unit, xla=xla,
        )  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(0, "epoch", range(1, len(table) + 1))
    return table


def _run_phase(
    model: keras.Model,
    sources: Sources,
    number: int,
    phase: Phase,
    rows: list[dict[str, float]],
    sections: dict[str, dict[str, Any]],
    strategy: tf.distribute.Strategy,
    checkpoint: Checkpoint,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    loss: str,
    label_smoothing: float,
    patience: int,
    checkpoint_every: int,
    checkpoint_unit: str,
    xla: bool,
) -> list[dict[str, float]]:
    """Train in one phase, the `number`th, from 0; the rows of the epochs so far, and its own."""
    with strategy.scope():
        model.compile(optimization.make_optimizer(strategy.num_replicas_in_sync, **sections["optimizer"]))
    schedule = sections["schedule"] | ({"learning_rate": phase.learning_rate} if phase.learning_rate else {})
    best = min((row["val_loss"] for row in rows), default=float("inf"))
    is_chief = devices.is_chief(strategy)
    phase_callbacks = [
        optimization.make_schedule(sources.train.steps, phase.epochs, len(rows), **schedule),
        *([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if sections["optimizer"]["ema_momentum"] else []),
        EarlyStopping(patience, best),
        EpochLine(sources.train.images_per_step, best, is_chief),
        *callbacks,
    ]
    # What clips by a norm, or skips steps that overflow, must see the gradients of all replicas.
    scales_loss = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    resumed = checkpoint.progress() is not None
    training_loop = loop.Loop(
        model, strategy, steps.classification(optimization.make_loss(loss, label_smoothing)),
        steps.classification(optimization.make_loss(loss, 0)),
        reduce_first=sections["optimizer"]["global_clipnorm"] > 0 or scales_loss, xla=xla,
        monitors=monitoring.callbacks(checkpoint.path.stem, resumed or number > 0) if is_chief else [],
    )  # fmt: skip
    return training_loop.run(
        sources.train, sources.val, len(rows) + phase.epochs, phase_callbacks, checkpoint,
        checkpoint_every * (sources.train.steps if checkpoint_unit == "epochs" else 1),
        Progress(number, len(rows), len(rows), rows=list(rows)),
    )  # fmt: skip


def fine_tune_phase(
    model: keras.Model,
    *,
    epochs: Annotated[int, Field(ge=0)],
    layers: PositiveInt,
    learning_rate: Annotated[float, Field(gt=0, le=1)],
) -> list[Phase]:
    """The second phase, in which the top layers of a pretrained network train as well; none where it has 0 epochs.

    Args:
        model: from `build`.
        epochs: at most so many.
        layers: how many, counted from the pretrained network's output.
        learning_rate: the highest of the phase.

    Raises:
        ValueError: where the model has no pretrained layers that are frozen.
    """
    if not epochs:
        return []
    frozen.pretrained_part(model)
    return [Phase(epochs, learning_rate, layers)]


def summarize(history: pd.DataFrame, parameters: int) -> dict[str, float | int]:
    """The figures of metrics/train.json: the best epoch by validation loss, and what it reached."""
    best = history.loc[history["val_loss"].idxmin()]
    return {
        "best_epoch": int(best["epoch"]),
        "epochs": len(history),
        **{name: float(best[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        **({"C": float(best["C"])} if "C" in best and best["C"] > 0 else {}),
        "parameters": parameters,
    }


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Ends training after `patience` epochs without a better validation loss, and puts the best weights back; those
    that it begins with where none is better than the loss that they have reached.

    Args:
        patience: epochs.
        initial_loss: of the validation images before it begins; infinite where there is none.
    """

    def __init__(self, patience: int, initial_loss: float):
        super().__init__("val_loss", patience=patience, mode="min", restore_best_weights=True)
        self.initial_loss = initial_loss

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        if self.initial_loss < float("inf"):
            self.best, self.best_weights = self.initial_loss, self.model.get_weights()
