"""Batches: which images a replica sees in which step, by (seed, epoch, row) alone, made by numpy ahead of their use."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from heldout import augment
from heldout.process import quiet
from heldout.shards import BATCH, Images

with quiet():
    import tensorflow as tf

MOST_THREADS = 8  # that make parts


class Part(NamedTuple):
    """What one replica sees in one step: `parts` batches one after another, whose gradients are added.

    Shapes: pixels uint8 (parts, n, height, width, channels), targets float32 (parts, n, num_classes), weights float32
    (parts, n), real float32 (parts, n): 0 for an image that only fills up, which then has no weight either; total
    float32 (): the real images of the whole step, of all replicas.
    """

    pixels: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    real: np.ndarray
    total: np.ndarray


class Feed(NamedTuple):
    """What epochs are made of: `part(step, replica, replicas)`, where steps count on from epoch to epoch; the steps of
    an epoch; the images of a step, on average over a pass; the parts of a `Part`; and shapes."""

    part: Callable[[int, int, int], Part]
    steps: int
    images_per_step: float
    parts: int
    image_shape: tuple[int, int, int]
    num_classes: int


def training(
    images: Images,
    labels: np.ndarray,
    class_weights: np.ndarray,
    augmentation: dict,
    seed: int,
    *,
    batch_size: int,
    accumulate: int = 1,
    steps_per_epoch: int = 0,
) -> Feed:
    """Every image once a pass, each pass in an order and with an augmentation of its own; the passes follow each other.

    Args:
        images: of the training split.
        labels: int (n,), class numbers.
        class_weights: float32 (num_classes,).
        augmentation: the keyword arguments of `augment.batch`.
        seed: decides order and augmentation.
        batch_size: images of a batch, of all replicas together.
        accumulate: batches a step.
        steps_per_epoch: where an epoch ends, within a pass or after some; 0 for one pass.
    """
    whole = -(-len(images) // (batch_size * accumulate))
    num_classes = len(class_weights)
    # The batches of two passes may overlap.
    drawn = lru_cache(2)(lambda number: augment.draws(len(images), seed, number))
    order = lru_cache(2)(lambda number: np.random.default_rng([seed, number, 1]).permutation(len(images)))

    def part(step: int, replica: int, replicas: int) -> Part:
        number, step = divmod(step, whole)
        rows = order(number)[step * batch_size * accumulate : (step + 1) * batch_size * accumulate]
        chosen, real = share(rows, replica, replicas, accumulate)
        pixels, targets = augment.batch(images, labels, num_classes, chosen, drawn(number), **augmentation)
        return _part(pixels, targets, (targets @ class_weights) * real, real, accumulate, len(rows))

    return Feed(part, steps_per_epoch or whole, len(images) / whole, accumulate, images.image_shape, num_classes)


def evaluation(images: Images, labels: np.ndarray, num_classes: int) -> Feed:
    """Every image once a pass, as it is, in its order."""
    steps = -(-len(images) // BATCH)

    def part(step: int, replica: int, replicas: int) -> Part:
        start = step % steps * BATCH
        rows = np.arange(start, min(start + BATCH, len(images)))
        chosen, real = share(rows, replica, replicas, 1)
        return _part(images[chosen], augment.one_hot(labels[chosen], num_classes), real, real, 1, len(rows))

    return Feed(part, steps, len(images) / steps, 1, images.image_shape, num_classes)


def share(rows: np.ndarray, replica: int, replicas: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """A replica's rows of a step, and 1 for each that is its own, float32; filled up so that all replicas have equally
    many, a multiple of `parts`: they wait for each other, and batch normalization can do nothing with none."""
    size = -(-len(rows) // (replicas * parts)) * parts
    places = np.arange(replica * size, (replica + 1) * size)
    real = places < len(rows)
    return rows[np.where(real, places, places % len(rows))], real.astype(np.float32)


def distributed(feed: Feed, strategy: tf.distribute.Strategy, first: int) -> tf.distribute.DistributedDataset:
    """The parts of this process's replicas from step `first` (from 0) on, without end: epochs follow each other."""
    some = (feed.parts, None)
    shapes = ((*some, *feed.image_shape), (*some, feed.num_classes), some, some, ())
    kinds = [tf.uint8, *[tf.float32] * 4]

    def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        before = context.input_pipeline_id * here

        def part(number: int) -> Part:
            step, replica = divmod(number, here)
            return feed.part(step, before + replica, replicas)

        ahead = Ahead(part, first * here, 2 * here)

        def load(number: tf.Tensor) -> Part:
            made = tf.numpy_function(ahead, [number], kinds)
            return Part(*[tf.ensure_shape(one, shape) for one, shape in zip(made, shapes, strict=True)])

        return tf.data.Dataset.counter(first * here).map(load)

    return strategy.distribute_datasets_from_function(pipeline)


class Ahead:
    """Parts that threads make before they are asked for, one after another: where operations are to be deterministic,
    tf.data does nothing ahead of time and nothing in parallel (TensorFlow 2.21).

    Args:
        make: gives the part of a number, the same whenever it is called.
        first: the number that is asked for first.
        count: so many are made ahead, or more, to keep every thread busy.
    """

    def __init__(self, make: Callable[[int], Part], first: int, count: int):
        cv2.setNumThreads(1)  # these are the threads
        threads = min(os.cpu_count() or 1, MOST_THREADS)
        self._make, self._pool, self._next = make, ThreadPoolExecutor(threads), first
        self._made: deque[Future[Part]] = deque()
        self._count = max(count, threads)

    def __call__(self, number: np.ndarray) -> Part:
        while len(self._made) < self._count + 1:
            self._made.append(self._pool.submit(self._make, self._next))
            self._next += 1
        return self._made.popleft().result()


def _part(
    pixels: np.ndarray, targets: np.ndarray, weights: np.ndarray, real: np.ndarray, parts: int, total: int
) -> Part:
    def split(array: np.ndarray) -> np.ndarray:
        return array.reshape(parts, -1, *array.shape[1:])

    return Part(split(pixels), split(targets), split(weights), split(real), np.asarray(total, np.float32))
