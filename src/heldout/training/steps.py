"""What a step computes on every replica of a strategy: the gradients' update, an evaluation, the statistics' sync.

A step's loss is the mean over the images of all replicas, and gradients are clipped once they are added up.
"""

from collections.abc import Callable
from typing import Any

from heldout.core.process import suppress_native_stderr
from heldout.training.batches import ReplicaBatch

with suppress_native_stderr():
    import keras
    import tensorflow as tf

Step = Callable[[Any], tf.Tensor]
# Of a model, a batch, the number of a microbatch and whether the model trains: each image's loss, and whether it was
# told right, 1 or 0, both float32 (n,).
Objective = Callable[[keras.Model, ReplicaBatch, int, bool], tuple[tf.Tensor, tf.Tensor]]


def classification(loss: keras.losses.Loss) -> Objective:
    """The loss of the probabilities, and whether the largest is that of the targets' class; a mixed image's class is
    that of its larger part.

    Args:
        loss: without reduction: it gives a loss an image.
    """

    def objective(model: keras.Model, batch: ReplicaBatch, number: int, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = [values[number] for values in batch.inputs]
        probabilities = model(inputs if len(inputs) > 1 else inputs[0], training=training)
        correct = tf.equal(tf.argmax(probabilities, axis=1), tf.argmax(batch.targets[number], axis=1))
        return loss(batch.targets[number], probabilities), tf.cast(correct, tf.float32)

    return objective


def make_train_step(
    model: keras.Model, strategy: tf.distribute.Strategy, objective: Objective, *, reduce_first: bool, xla: bool
) -> Step:
    """A step that takes the next `ReplicaBatch` of each replica from an iterator and moves the weights once.

    Args:
        model: compiled, built in the strategy's scope.
        strategy: of `devices.configure_tensorflow`.
        objective: what is trained for, such as `classification`.
        reduce_first: add up the replicas' gradients before the optimizer sees them: needed where it clips them by their
            norm, which must be that of the sum, and where it skips steps that overflow, which all replicas must skip.
        xla: compile the step.

    Returns:
        A function from the iterator to float32 (3,): the sums over the step's images of loss, correct predictions, and
        1.
    """
    replicas = strategy.num_replicas_in_sync
    optimizer, variables = model.optimizer, model.trainable_variables

    @tf.function(jit_compile=xla)
    def replica_step(batch: ReplicaBatch) -> tf.Tensor:
        gradients, total, correct = None, 0.0, 0.0
        microbatches = batch.mask.shape[0]
        for number in range(microbatches):
            with tf.GradientTape() as tape:
                losses, right = objective(model, batch, number, True)
                mean = tf.reduce_sum(losses * batch.weights[number]) / batch.step_size
                if penalties := model.losses:
                    mean += tf.add_n(penalties) / (replicas * microbatches)
                scaled = optimizer.scale_loss(mean)
            new = [_dense(gradient) for gradient in tape.gradient(scaled, variables)]
            gradients = new if gradients is None else [a + b for a, b in zip(gradients, new, strict=True)]
            total += mean
            correct += tf.reduce_sum(right * batch.mask[number])
        if reduce_first and replicas > 1:
            # The optimizer adds them up again.
            reduced = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [gradient / replicas for gradient in reduced]
        optimizer.apply(gradients, variables)
        return tf.stack([total * batch.step_size, correct, tf.reduce_sum(batch.mask)])

    return _on_all_replicas(strategy, replica_step)


def make_eval_step(model: keras.Model, strategy: tf.distribute.Strategy, objective: Objective, *, xla: bool) -> Step:
    """A step that only evaluates: the same sums."""

    @tf.function(jit_compile=xla)
    def replica_step(batch: ReplicaBatch) -> tf.Tensor:
        losses, right = objective(model, batch, 0, False)
        total = tf.reduce_sum(losses * batch.weights[0])
        return tf.stack([total, tf.reduce_sum(right * batch.mask[0]), tf.reduce_sum(batch.mask)])

    return _on_all_replicas(strategy, replica_step)


def make_statistics_sync(model: keras.Model, strategy: tf.distribute.Strategy) -> Callable[[], None]:
    """A function that gives all replicas the mean of their moving statistics: Keras leaves each its own (3.15)."""
    statistics = [variable for variable in model.non_trainable_variables if "float" in variable.dtype]

    def replica_sync() -> None:
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(variable) for variable in statistics])
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    @tf.function
    def sync() -> None:
        if statistics and strategy.num_replicas_in_sync > 1:
            strategy.run(replica_sync)

    return sync


def weights_are_finite(model: keras.Model) -> bool:
    """Whether all weights are numbers. The loss alone does not tell: oneDNN's ReLU makes 0 of a NaN (AVX-512)."""
    weights = [tf.convert_to_tensor(weight) for weight in model.trainable_variables]
    return all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in weights)


def workers_agree(strategy: tf.distribute.Strategy, step: int) -> bool:
    """Whether all workers stand at the same step."""
    if strategy.num_replicas_in_sync == 1:
        return True

    @tf.function
    def reduced() -> tf.Tensor:
        sums = strategy.run(lambda: tf.constant([step, step * step], tf.float64))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    total, squares = reduced().numpy().tolist()
    return total * total == squares * strategy.num_replicas_in_sync


def _on_all_replicas(strategy: tf.distribute.Strategy, replica_step: Callable[[ReplicaBatch], tf.Tensor]) -> Step:
    @tf.function
    def step(iterator: Any) -> tf.Tensor:
        sums = strategy.run(replica_step, args=(next(iterator),))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    return step


def _dense(gradient: Any) -> Any:
    """An embedding's gradient, which names the rows that were used, as a tensor: the others cannot be added up."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient
