"""Batches of two views of each image, by (seed, pass, row) alone, for `loop.Loop`."""

from functools import lru_cache
from typing import Any

import numpy as np

from heldout.augmentation import augment, views
from heldout.core.process import suppress_native_stderr
from heldout.training import batches
from heldout.training.contrastive.pool import Pool

with suppress_native_stderr():
    import tensorflow as tf


def view_batches(pool: Pool, settings: dict[str, Any], seed: int, batch_size: int) -> batches.BatchSource:
    """Every image of the pool once a pass, in an order and with two views of its own.

    What does not fill a batch waits for another pass: in a smaller one the task would be easier.

    Args:
        pool: the images.
        settings: the keyword arguments of `views.view_batch`.
        seed: decides order and views.
        batch_size: images of a step, of all replicas together.
    """
    step_size = min(batch_size, len(pool))
    steps = len(pool) // step_size
    order = lru_cache(2)(lambda number: np.random.default_rng([seed, number, 1]).permutation(len(pool)))
    draws = lru_cache(4)(lambda number, view: augment.draws(len(pool), seed, 2 * number + view))

    def batch(step: int, replica: int, replicas: int) -> batches.ReplicaBatch:
        number, step = divmod(step, steps)
        rows = order(number)[step * step_size : (step + 1) * step_size]
        own, mask = batches.rows_of_replica(rows, replica, replicas, 1)
        pixels = tuple(views.view_batch(pool, own, draws(number, view), **settings) for view in (0, 1))
        return batches.replica_batch(pixels, np.zeros((len(own), 1), np.float32), mask, mask, 1, len(rows))

    spec = tf.TensorSpec(pool.image_shape, tf.uint8)
    return batches.BatchSource(batch, steps, step_size, 1, (spec, spec), 1)
