"""NT-Xent, SimCLR's loss (Chen et al., 2020, equation 1), over the images of all replicas."""

from typing import Any

from heldout.core.process import suppress_native_stderr
from heldout.training import steps
from heldout.training.batches import ReplicaBatch

with suppress_native_stderr():
    import tensorflow as tf


def objective(temperature: float) -> steps.Objective:
    """For `loop.Loop`: the loss of each image's two views, which are the batch's two inputs.

    Args:
        temperature: see `nt_xent`.
    """

    def compute(model: Any, batch: ReplicaBatch, number: int, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        # Both views in one call: batch normalization must not tell them apart.
        views = tf.concat([values[number] for values in batch.inputs], axis=0)
        first, second = tf.split(model(views, training=training), 2)
        return nt_xent(first, second, batch.mask[number], temperature)

    return compute


def nt_xent(first: tf.Tensor, second: tf.Tensor, mask: tf.Tensor, temperature: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss of each image of this replica, and how often its other view is nearest.

    Each view is to be told from both views of all other images of the step: of all replicas, whose embeddings are
    gathered, as one device would see them (with those of its own replica alone it would be an easier task).

    Args:
        first, second: the embeddings of the two views, float (n, dimensions), of any length.
        mask: float (n,), 0 for an image that only fills up, and is no negative either.
        temperature: divides the cosines.

    Returns:
        float32 (n,), the mean of the two views' losses; and 0, 0.5 or 1.
    """
    first, second = (tf.math.l2_normalize(tf.cast(view, tf.float32), axis=1) for view in (first, second))
    all_first, all_second, all_mask, offset = _of_all_replicas(first, second, mask)
    count, total = tf.shape(first)[0], tf.shape(all_first)[0]
    itself = tf.one_hot(tf.range(count) + offset, total)  # (n, total), also where the other view stands
    absent = (1 - all_mask)[None, :]
    losses, correct = [], []
    for view, other, same in ((first, all_second, all_first), (second, all_first, all_second)):
        with_other = _excluded(tf.matmul(view, other, transpose_b=True) / temperature, absent * (1 - itself))
        with_same = _excluded(tf.matmul(view, same, transpose_b=True) / temperature, tf.maximum(absent, itself))
        logits = tf.concat([with_other, with_same], axis=1)
        targets = tf.concat([itself, tf.zeros_like(itself)], axis=1)
        losses.append(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        nearest = tf.argmax(logits, axis=1, output_type=tf.int32)
        correct.append(tf.cast(tf.equal(nearest, tf.range(count) + offset), tf.float32))
    return (losses[0] + losses[1]) / 2, (correct[0] + correct[1]) / 2


def _excluded(logits: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Logits that weigh nothing where they are excluded (1)."""
    return tf.where(where > 0, -1e9, logits)


def _of_all_replicas(
    first: tf.Tensor, second: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Any]:
    """Embeddings and masks of all replicas in their order, and where this one's begin.

    By a sum: each puts its own between zeros. Its gradient is the sum of what all replicas' losses say of an embedding.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if context else 1
    if replicas == 1:
        return first, second, mask, 0
    replica = context.replica_id_in_sync_group
    count, dimensions = tf.shape(first)[0], first.shape[1]
    own = tf.concat([first, second, mask[:, None]], axis=1)
    placed = tf.one_hot(replica, replicas)[:, None, None] * own[None]
    gathered = context.all_reduce(tf.distribute.ReduceOp.SUM, placed)
    gathered = tf.reshape(gathered, (replicas * count, 2 * dimensions + 1))
    all_first, all_second, all_mask = tf.split(gathered, [dimensions, dimensions, 1], axis=1)
    return all_first, all_second, tf.stop_gradient(all_mask[:, 0]), replica * count
