"""Pretraining without labels: SimCLR (Chen et al., A Simple Framework for Contrastive Learning, 2020)."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from annotated_types import Len
from pydantic import Field

from heldout.augmentation import augment, views
from heldout.core.process import suppress_native_stderr
from heldout.data.shards import BATCH
from heldout.networks import devices, encoder
from heldout.training import loop, optimization, progress
from heldout.training.checkpoint import Checkpoint, Progress
from heldout.training.contrastive import nt_xent, watch
from heldout.training.contrastive.pool import Pool
from heldout.training.contrastive.view_batches import view_batches

with suppress_native_stderr():
    import keras
    import tensorflow as tf

WATCHED = 1000  # training images, at most, that are watched
Count = Annotated[int, Field(ge=1)]


def pretrain(
    network: keras.Model,
    pool: Pool,
    labels: np.ndarray,
    components: np.ndarray,
    view_settings: dict[str, Any],
    seed: int,
    strategy: tf.distribute.Strategy,
    checkpoint: Checkpoint,
    *,
    methods: Annotated[list[Literal["simclr"]], Len(0, 1)],
    epochs: Count,
    batch_size: Annotated[int, Field(ge=2)],
    temperature: Annotated[float, Field(gt=0, le=10)],
    projection_units: Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Len(1, 4)],
    learning_rate: Annotated[float, Field(gt=0, le=10)],
    warmup_epochs: Annotated[float, Field(ge=0)],
    weight_decay: Annotated[float, Field(ge=0, lt=1)],
    checkpoint_every: Count,
) -> pd.DataFrame:
    """Train an encoder in place to tell the two views of an image from all other images; its projection head goes.

    Args:
        network: of `encoder.encoder`, built in the scope of `strategy`.
        pool: the images, of which those of the training split come first.
        labels: (n,) of the training split, to watch by alone.
        components: int (n,), of `components.label`, of the same images.
        view_settings: the keyword arguments of `views.view_batch`.
        seed: decides order, views and the head's first weights.
        strategy: of `devices.configure_tensorflow`.
        checkpoint: where a killed run resumes; the caller removes it.
        methods: read by dvc.yaml, which has the stage for each of them.
        epochs: passes over the pool.
        batch_size: images of a step, of all replicas together, each of which is told from all others.
        temperature: 0.5 in the paper's batches of thousands; 0.2 suits hundreds.
        projection_units: of the head's dense layers.
        learning_rate, warmup_epochs: of AdamW, along a cosine.
        weight_decay: decoupled.
        checkpoint_every: epochs between two checkpoints.

    Returns:
        One row an epoch: epoch (from 1), loss, accuracy (how often the other view of an image is the nearest of the
        step), and of `WATCHED` training images alignment, uniformity and neighbor_accuracy; learning_rate.

    Raises:
        ValueError: where the loss is no longer a number, or another worker is lost.
    """
    source = view_batches(pool, view_settings, seed, batch_size)
    with strategy.scope():
        model = encoder.with_projection(network, projection_units)
        optimizer = optimization.make_optimizer(
            strategy.num_replicas_in_sync, name="adamw", momentum=0.0, nesterov=False, weight_decay=weight_decay,
            global_clipnorm=0.0, ema_momentum=0.0,
        )  # fmt: skip
        model.compile(optimizer)
    schedule = optimization.make_schedule(
        source.steps, epochs, name="cosine", learning_rate=learning_rate, warmup_epochs=warmup_epochs,
        decay_epochs=1, decay_factor=0.5,
    )  # fmt: skip
    line = PretrainLine(source.images_per_step, float("inf"), devices.is_chief(strategy))
    run = loop.Loop(
        model, strategy, nt_xent.objective(temperature), None,
        reduce_first=isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer), xla=False,
        watch=_watch(model, pool, labels, components, view_settings, seed), learning_rate_key="pretrain.learning_rate",
    )  # fmt: skip
    steps = checkpoint_every * source.steps
    rows = run.run(source, None, epochs, [schedule, line], checkpoint, steps, Progress())
    table = pd.DataFrame(rows)
    table.insert(0, "epoch", range(1, len(table) + 1))
    return table


def summarize(history: pd.DataFrame, images: int, labeled: int) -> dict[str, float | int]:
    """The figures of metrics/pretrain.json: what the last epoch reached, and of how many images."""
    last = history.iloc[-1]
    names = [name for name in history if name not in ("epoch", "learning_rate")]
    return {
        "epochs": len(history),
        "images": images,
        "unlabelled": images - labeled,
        **{name: float(last[name]) for name in names},
    }


def _watch(
    model: keras.Model,
    pool: Pool,
    labels: np.ndarray,
    components: np.ndarray,
    view_settings: dict[str, Any],
    seed: int,
) -> Callable[[], dict[str, float]]:
    """A function that embeds some training images, as they are and in two views that stay the same."""
    rows = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), WATCHED)).astype(int))
    drawn = [augment.draws(len(pool), seed, view)[rows] for view in (0, 1)]
    pixels = pool[rows]
    pairs = [views.view_batch(pixels, np.arange(len(rows)), draws, **view_settings) for draws in drawn]
    both = keras.Model(model.input, [model.get_layer("features").output, model.output])
    compute = tf.function(lambda images: both(images, training=False))

    def embed(images: np.ndarray) -> list[np.ndarray]:
        parts = [compute(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        return [np.concatenate([np.float32(part[number]) for part in parts]) for number in (0, 1)]

    def figures() -> dict[str, float]:
        first, second = (_normal(embed(view)[1]) for view in pairs)
        features = embed(pixels)[0]
        return {
            "alignment": watch.alignment(first, second),
            "uniformity": watch.uniformity(first),
            "neighbor_accuracy": watch.neighbor_accuracy(features, labels[rows], components[rows]),
        }

    return figures


def _normal(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


class PretrainLine(progress.EpochLine):
    """The line of an epoch without labels."""

    def figures(self, logs: dict[str, float]) -> str:
        names = ("loss", "accuracy", "alignment", "uniformity", "neighbor_accuracy")
        return "  ".join(f"{name} {logs[name]:.4f}" for name in names)
