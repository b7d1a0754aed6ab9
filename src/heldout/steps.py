"""What a step computes on every replica of a strategy: the gradients' update, an evaluation, what the replicas share.

A step's loss is the mean over the images of all replicas, and gradients are clipped once they are added up.
"""

from collections.abc import Callable
from typing import Any

from heldout.feeding import Part
from heldout.process import quiet

with quiet():
    import keras
    import tensorflow as tf

Step = Callable[[Any], tf.Tensor]


def learning(
    model: keras.Model, strategy: tf.distribute.Strategy, loss: keras.losses.Loss, *, share_first: bool, xla: bool
) -> Step:
    """A step that takes the next `Part` of each replica from an iterator and moves the weights once.

    Args:
        model: compiled, built in the strategy's scope.
        strategy: of `devices.strategy`.
        loss: without reduction: it gives a loss an image.
        share_first: add up the replicas' gradients before the optimizer sees them: needed where it clips them by their
            norm, which must be that of the sum, and where it skips steps that overflow, which all replicas must skip.
        xla: compile the step.

    Returns:
        A function from the iterator to float32 (3,): the sums over the step's images of loss, right answers, and 1.
    """
    replicas = strategy.num_replicas_in_sync
    optimizer, variables = model.optimizer, model.trainable_variables

    @tf.function(jit_compile=xla)
    def replica_step(part: Part) -> tf.Tensor:
        gradients, total, right = None, 0.0, 0.0
        parts = part.pixels.shape[0]
        for number in range(parts):
            with tf.GradientTape() as tape:
                answers = model(part.pixels[number], training=True)
                losses = loss(part.targets[number], answers)
                mean = tf.reduce_sum(losses * part.weights[number]) / part.total
                if penalties := model.losses:
                    mean += tf.add_n(penalties) / (replicas * parts)
                scaled = optimizer.scale_loss(mean)
            found = tape.gradient(scaled, variables)
            gradients = found if gradients is None else [a + b for a, b in zip(gradients, found, strict=True)]
            total += mean
            right += _right(part, answers, number)
        if share_first and replicas > 1:
            # The optimizer adds them up again.
            reduced = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [gradient / replicas for gradient in reduced]
        optimizer.apply(gradients, variables)
        return tf.stack([total * part.total, right, tf.reduce_sum(part.real)])

    return _of_all(strategy, replica_step)


def looking(model: keras.Model, strategy: tf.distribute.Strategy, loss: keras.losses.Loss, *, xla: bool) -> Step:
    """A step that only evaluates: the same sums."""

    @tf.function(jit_compile=xla)
    def replica_step(part: Part) -> tf.Tensor:
        answers = model(part.pixels[0], training=False)
        total = tf.reduce_sum(loss(part.targets[0], answers) * part.weights[0])
        return tf.stack([total, _right(part, answers, 0), tf.reduce_sum(part.real)])

    return _of_all(strategy, replica_step)


def sharing(model: keras.Model, strategy: tf.distribute.Strategy) -> Callable[[], None]:
    """What gives all replicas the mean of their moving statistics: Keras leaves each with its own (3.15)."""
    statistics = [variable for variable in model.non_trainable_variables if "float" in variable.dtype]

    def each() -> None:
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(variable) for variable in statistics])
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    @tf.function
    def share() -> None:
        if statistics and strategy.num_replicas_in_sync > 1:
            strategy.run(each)

    return share


def finite(model: keras.Model) -> bool:
    """Whether all weights are numbers. The loss alone does not tell: oneDNN's ReLU makes 0 of a NaN (AVX-512)."""
    weights = [tf.convert_to_tensor(weight) for weight in model.trainable_variables]
    return all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in weights)


def agree(strategy: tf.distribute.Strategy, step: int) -> bool:
    """Whether all workers stand at the same step."""
    if strategy.num_replicas_in_sync == 1:
        return True

    @tf.function
    def together() -> tf.Tensor:
        sums = strategy.run(lambda: tf.constant([step, step * step], tf.float64))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    total, squares = together().numpy().tolist()
    return total * total == squares * strategy.num_replicas_in_sync


def _of_all(strategy: tf.distribute.Strategy, replica_step: Callable[[Part], tf.Tensor]) -> Step:
    @tf.function
    def step(batches: Any) -> tf.Tensor:
        sums = strategy.run(replica_step, args=(next(batches),))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    return step


def _right(part: Part, answers: tf.Tensor, number: int) -> tf.Tensor:
    """How many answers are those of the targets; a mixed image's is its larger share."""
    hit = tf.equal(tf.argmax(answers, axis=1), tf.argmax(part.targets[number], axis=1))
    return tf.reduce_sum(tf.cast(hit, tf.float32) * part.real[number])
