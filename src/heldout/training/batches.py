"""Batches: which images a replica sees in which step, by (seed, epoch, row) alone, made by numpy ahead of their use."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from heldout.augmentation import augment
from heldout.core.process import suppress_native_stderr
from heldout.data.shards import BATCH, Images
from heldout.training import modality_dropout
from heldout.training.features import Features

with suppress_native_stderr():
    import tensorflow as tf

MAX_THREADS = 8  # that make batches


class ReplicaBatch(NamedTuple):
    """What one replica sees in one step: microbatches one after another, whose gradients are added.

    Shapes: inputs, one array an input of the model, (microbatches, n, ...), the first of which is pixels, uint8
    (microbatches, n, height, width, channels), or features of them, float32 (microbatches, n, units); targets float32
    (microbatches, n, num_classes), weights float32 (microbatches, n), mask float32 (microbatches, n): 0 for an image
    that only fills up, which then has no weight either; step_size float32 (): the images of the step, of all replicas,
    without those that fill up.
    """

    inputs: tuple[np.ndarray, ...]
    targets: np.ndarray
    weights: np.ndarray
    mask: np.ndarray
    step_size: np.ndarray


class BatchSource(NamedTuple):
    """What epochs are made of.

    `batch(step, replica, replicas)` makes a `ReplicaBatch`; steps count on from epoch to epoch. Beside it: the steps of
    an epoch; the images of a step, on average over a pass; microbatches a step; dtype and shape of an image's part of
    each input; and how many classes the targets have.
    """

    batch: Callable[[int, int, int], ReplicaBatch]
    steps: int
    images_per_step: float
    microbatches: int
    inputs: tuple[tf.TensorSpec, ...]
    num_classes: int


def train_batches(
    images: Images,
    labels: np.ndarray,
    class_weights: np.ndarray,
    augmentation: dict[str, Any],
    seed: int,
    *,
    batch_size: int,
    microbatches: int = 1,
    steps_per_epoch: int = 0,
    tokens: np.ndarray | None = None,
    dropout: dict[str, Any] | None = None,
    features: Features | None = None,
) -> BatchSource:
    """Every image once a pass, each pass in an order and with an augmentation of its own; the passes follow each other.

    Args:
        images: of the training split.
        labels: int (n,), class numbers.
        class_weights: float32 (num_classes,).
        augmentation: the keyword arguments of `augment.augment_batch`.
        seed: decides order and augmentation.
        batch_size: images of a microbatch, of all replicas together.
        microbatches: so many a step.
        steps_per_epoch: where an epoch ends, within a pass or after some; 0 for one pass.
        tokens: of the images' texts, int32 (n, length), or None.
        dropout: the keyword arguments of `modality_dropout.drop`, where there are tokens.
        features: of the images, in the place of their pixels; the first pass sees the first of their views, and so on,
            and after the last the first again.
    """
    step_size = batch_size * microbatches
    steps_per_pass = -(-len(images) // step_size)
    num_classes = len(class_weights)
    blank = features.blank if features else np.zeros(images.image_shape, np.uint8)
    # The batches of two passes may overlap.
    draws = lru_cache(2)(lambda number: augment.draws(len(images), seed, number))
    dropped = lru_cache(2)(lambda number: modality_dropout.draws(len(images), seed, number))
    order = lru_cache(2)(lambda number: np.random.default_rng([seed, number, 1]).permutation(len(images)))

    def batch(step: int, replica: int, replicas: int) -> ReplicaBatch:
        number, step = divmod(step, steps_per_pass)
        rows = order(number)[step * step_size : (step + 1) * step_size]
        replica_rows, mask = rows_of_replica(rows, replica, replicas, microbatches)
        if features:
            pixels = features.rows(replica_rows, number % features.views)
            targets = augment.one_hot(labels[replica_rows], num_classes)
        else:
            pixels, targets = augment.augment_batch(
                images, labels, num_classes, replica_rows, draws(number), **augmentation
            )
        inputs: tuple[np.ndarray, ...] = (pixels,)
        if tokens is not None:
            drawn = dropped(number)[replica_rows]
            inputs = modality_dropout.drop(pixels, tokens[replica_rows], drawn, blank, **(dropout or {}))
        return replica_batch(inputs, targets, (targets @ class_weights) * mask, mask, microbatches, len(rows))

    return BatchSource(
        batch,
        steps_per_epoch or steps_per_pass,
        len(images) / steps_per_pass,
        microbatches,
        input_specs(images, tokens, features),
        num_classes,
    )


def eval_batches(
    images: Images,
    labels: np.ndarray,
    num_classes: int,
    tokens: np.ndarray | None = None,
    features: Features | None = None,
) -> BatchSource:
    """Every image once a pass, as it is, in its order; with its text where there are tokens, int32 (n, length).

    Args:
        images, labels, tokens, features: of `train_batches`.
        num_classes: of the targets.
    """
    steps = -(-len(images) // BATCH)

    def batch(step: int, replica: int, replicas: int) -> ReplicaBatch:
        start = step % steps * BATCH
        rows = np.arange(start, min(start + BATCH, len(images)))
        replica_rows, mask = rows_of_replica(rows, replica, replicas, 1)
        targets = augment.one_hot(labels[replica_rows], num_classes)
        pixels = features.rows(replica_rows) if features else images[replica_rows]
        inputs = (pixels, *([] if tokens is None else [tokens[replica_rows]]))
        return replica_batch(inputs, targets, mask, mask, 1, len(rows))

    return BatchSource(batch, steps, len(images) / steps, 1, input_specs(images, tokens, features), num_classes)


def input_specs(
    images: Images, tokens: np.ndarray | None, features: Features | None = None
) -> tuple[tf.TensorSpec, ...]:
    """Dtype and shape of an image, or of its features, and, where there are tokens, of its text."""
    spec = tf.TensorSpec(features.blank.shape, tf.float32) if features else pixels_spec(images)
    return (spec, *([] if tokens is None else [tf.TensorSpec(tokens.shape[1:], tf.int32)]))


def pixels_spec(images: Images) -> tf.TensorSpec:
    """Dtype and shape of an image, for `BatchSource.inputs`."""
    return tf.TensorSpec(images.image_shape, tf.uint8)


def rows_of_replica(rows: np.ndarray, replica: int, replicas: int, microbatches: int) -> tuple[np.ndarray, np.ndarray]:
    """A replica's rows of a step, and 1 for each that is its own, float32; filled up so that all replicas have equally
    many, a multiple of `microbatches`: they wait for each other, and batch normalization can do nothing with none."""
    size = -(-len(rows) // (replicas * microbatches)) * microbatches
    positions = np.arange(replica * size, (replica + 1) * size)
    mask = positions < len(rows)
    return rows[np.where(mask, positions, positions % len(rows))], mask.astype(np.float32)


def replica_batch(
    inputs: tuple[np.ndarray, ...],
    targets: np.ndarray,
    weights: np.ndarray,
    mask: np.ndarray,
    microbatches: int,
    step_size: int,
) -> ReplicaBatch:
    """Arrays of a replica's images, (n, ...), parted into microbatches."""

    def split(array: np.ndarray) -> np.ndarray:
        return array.reshape(microbatches, -1, *array.shape[1:])

    arrays = (split(targets), split(weights), split(mask))
    return ReplicaBatch(tuple(map(split, inputs)), *arrays, np.asarray(step_size, np.float32))


def distribute(
    source: BatchSource, strategy: tf.distribute.Strategy, first_step: int
) -> tf.distribute.DistributedDataset:
    """The batches of this process's replicas from a step (from 0) on, without end: epochs follow each other."""
    leading = (source.microbatches, None)
    count = len(source.inputs)
    shapes = [(*leading, *spec.shape) for spec in source.inputs]
    shapes += [(*leading, source.num_classes), leading, leading, ()]
    dtypes = [*(spec.dtype for spec in source.inputs), *[tf.float32] * 4]

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        local_replicas = replicas // context.num_input_pipelines
        first_replica = context.input_pipeline_id * local_replicas

        def batch(number: int) -> tuple[np.ndarray, ...]:
            step, replica = divmod(number, local_replicas)
            inputs, *others = source.batch(step, first_replica + replica, replicas)
            return (*inputs, *others)

        prefetcher = Prefetcher(batch, first_step * local_replicas, 2 * local_replicas)

        def load(number: tf.Tensor) -> ReplicaBatch:
            tensors = tf.numpy_function(prefetcher, [number], dtypes)
            shaped = [tf.ensure_shape(tensor, shape) for tensor, shape in zip(tensors, shapes, strict=True)]
            return ReplicaBatch(tuple(shaped[:count]), *shaped[count:])

        return tf.data.Dataset.counter(first_step * local_replicas).map(load)

    return strategy.distribute_datasets_from_function(dataset)


class Prefetcher:
    """Batches that threads make before they are asked for, one after another: where operations are to be deterministic,
    tf.data does nothing ahead of time and nothing in parallel (TensorFlow 2.21).

    Args:
        make: gives the batch of a number, the same whenever it is called.
        first: the number that is asked for first.
        count: so many are made ahead, or more, to keep every thread busy.
    """

    def __init__(self, make: Callable[[int], tuple[np.ndarray, ...]], first: int, count: int):
        cv2.setNumThreads(1)  # these are the threads
        threads = min(os.cpu_count() or 1, MAX_THREADS)
        self._make, self._pool, self._next = make, ThreadPoolExecutor(threads), first
        self._pending: deque[Future[tuple[np.ndarray, ...]]] = deque()
        self._count = max(count, threads)

    def __call__(self, number: np.ndarray) -> tuple[np.ndarray, ...]:
        while len(self._pending) < self._count + 1:
            self._pending.append(self._pool.submit(self._make, self._next))
            self._next += 1
        return self._pending.popleft().result()
