"""The training loop, one for a laptop and for many machines: Keras's callbacks around a step that a strategy runs.

Keras's own `fit` does not run under MultiWorkerMirroredStrategy (Keras 3.15), cannot begin within an epoch, and weights
a last batch that the replicas share unevenly wrongly. What is the same on one device and on many is the mathematics:
a step's loss is the mean over the images of all replicas, and gradients are clipped once they are added up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from heldout import devices, feeding
from heldout.process import quiet
from heldout.resuming import Progress, State

with quiet():
    import keras
    import tensorflow as tf

LOOK = 50  # steps between two looks at the loss, which wait for the device
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


@dataclass
class Loop:
    """Trains a model, built and compiled in the strategy's scope.

    Args:
        model: with an optimizer.
        strategy: of `devices.strategy`.
        loss, val_loss: without reduction: they give a loss an image.
        share_first: add up the replicas' gradients before the optimizer sees them: needed where it clips them by their
            norm, which must be that of the sum, and where it skips steps that overflow, which all replicas must skip.
        xla: compile the step.
        watchers: callbacks that only look on; no state of theirs is saved.
    """

    model: keras.Model
    strategy: tf.distribute.Strategy
    loss: keras.losses.Loss
    val_loss: keras.losses.Loss
    share_first: bool
    xla: bool
    watchers: list[keras.callbacks.Callback] = field(default_factory=list)

    def run(
        self,
        train: feeding.Feed,
        val: feeding.Feed,
        epochs: int,
        callbacks: list[keras.callbacks.Callback],
        state: State,
        checkpoint_steps: int,
        progress: Progress,
    ) -> list[dict[str, float]]:
        """Train to the end of a phase, from where `state` is, if that is of this phase.

        Args:
            train, val: what is trained on, and what is looked at after each epoch.
            epochs: at most so many; a callback may set `model.stop_training`.
            callbacks: Keras's.
            state: is saved every `checkpoint_steps` steps (counted from the first epoch), and not where training ends.
            checkpoint_steps: see there.
            progress: the begin of the phase.

        Returns:
            The logs of each epoch: loss, accuracy, val_loss, val_accuracy, learning_rate.

        Raises:
            ValueError: where the loss is no longer a number, or another worker is gone.
        """
        listed = keras.callbacks.CallbackList(
            [*callbacks, *self.watchers], model=self.model, epochs=epochs, steps=train.steps,
            add_history=False, add_progbar=False,
        )  # fmt: skip
        with self.strategy.scope():
            self.model.optimizer.build(self.model.trainable_variables)
        self.model.stop_training = False
        listed.on_train_begin()
        found = state.progress()
        if found and found.phase == progress.phase:
            progress = state.restore(self.model, callbacks)
            within = f" and {progress.step} steps" if progress.step else ""
            print(f"train: goes on after epoch {progress.epoch}{within}, where it was cut short", flush=True)
        self._agree(progress, train)
        try:
            self._epochs(train, val, epochs, listed, progress, lambda: self._save(state, callbacks, progress),
                         checkpoint_steps)  # fmt: skip
        except GONE as error:
            if self.strategy.num_replicas_in_sync == 1:
                raise
            raise ValueError(
                f"another worker is gone, in epoch {progress.epoch + 1}: start all workers again, "
                "and training goes on from its last saved state"
            ) from error
        listed.on_train_end()
        return progress.rows

    def _epochs(
        self,
        train: feeding.Feed,
        val: feeding.Feed,
        epochs: int,
        callbacks: keras.callbacks.CallbackList,
        progress: Progress,
        save: Callable[[], None],
        checkpoint_steps: int,
    ) -> None:
        first = progress.epoch * train.steps + progress.step
        batches = iter(feeding.distributed(train, self.strategy, first))
        watched = iter(feeding.distributed(val, self.strategy, 0))
        learn, look, share_statistics = self._learn(), self._look(), self._sharing()
        while progress.epoch < epochs and not self.model.stop_training:
            callbacks.on_epoch_begin(progress.epoch)
            pending: list[tf.Tensor] = []
            while progress.step < train.steps:
                callbacks.on_train_batch_begin(progress.step)
                pending.append(learn(batches))
                progress.step += 1
                due = (progress.epoch * train.steps + progress.step) % checkpoint_steps == 0
                within = progress.step < train.steps
                if len(pending) == LOOK or not within or due:
                    progress.sums = self._added(progress, pending)
                callbacks.on_train_batch_end(progress.step - 1)
                if due and within:
                    share_statistics()
                    save()
            share_statistics()
            logs = _means("", progress.sums)
            callbacks.on_test_begin()
            seen = self._added(Progress(epoch=progress.epoch), [look(watched) for _ in range(val.steps)])
            logs |= _means("val_", seen)
            callbacks.on_test_end()
            logs["learning_rate"] = self._rate()
            callbacks.on_epoch_end(progress.epoch, logs)
            progress.rows.append({name: float(value) for name, value in logs.items()})
            progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, [0.0, 0.0, 0.0]
            # Not where training ends: what is left then is to write the result, and a state would ask for one more.
            if due and progress.epoch < epochs and not self.model.stop_training:
                save()

    def _learn(self) -> Callable[[Any], tf.Tensor]:
        model, replicas = self.model, self.strategy.num_replicas_in_sync
        optimizer, variables = model.optimizer, model.trainable_variables

        @tf.function(jit_compile=self.xla)
        def replica_step(part: feeding.Part) -> tf.Tensor:
            gradients, total, right = None, 0.0, 0.0
            parts = part.pixels.shape[0]
            for number in range(parts):
                with tf.GradientTape() as tape:
                    answers = model(part.pixels[number], training=True)
                    losses = self.loss(part.targets[number], answers)
                    loss = tf.reduce_sum(losses * part.weights[number]) / part.total
                    if penalties := model.losses:
                        loss += tf.add_n(penalties) / (replicas * parts)
                    scaled = optimizer.scale_loss(loss)
                found = tape.gradient(scaled, variables)
                gradients = found if gradients is None else [a + b for a, b in zip(gradients, found, strict=True)]
                total += loss
                right += _right(part, answers, number)
            if self.share_first and replicas > 1:
                # The optimizer adds them up again.
                reduced = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
                gradients = [gradient / replicas for gradient in reduced]
            optimizer.apply(gradients, variables)
            return tf.stack([total * part.total, right, tf.reduce_sum(part.real)])

        return self._stepping(replica_step)

    def _look(self) -> Callable[[Any], tf.Tensor]:
        @tf.function(jit_compile=self.xla)
        def replica_step(part: feeding.Part) -> tf.Tensor:
            answers = self.model(part.pixels[0], training=False)
            loss = tf.reduce_sum(self.val_loss(part.targets[0], answers) * part.weights[0])
            return tf.stack([loss, _right(part, answers, 0), tf.reduce_sum(part.real)])

        return self._stepping(replica_step)

    def _sharing(self) -> Callable[[], None]:
        """What gives all replicas the mean of their moving statistics: Keras leaves each with its own (3.15)."""
        statistics = [variable for variable in self.model.non_trainable_variables if "float" in variable.dtype]

        def each() -> None:
            context = tf.distribute.get_replica_context()
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(variable) for variable in statistics])
            for variable, mean in zip(statistics, means, strict=True):
                variable.assign(mean)

        @tf.function
        def share() -> None:
            if statistics and self.strategy.num_replicas_in_sync > 1:
                self.strategy.run(each)

        return share

    def _stepping(self, replica_step: Callable) -> Callable[[Any], tf.Tensor]:
        """A step of all replicas: the sums of what each returns."""

        @tf.function
        def step(batches: Any) -> tf.Tensor:
            sums = self.strategy.run(replica_step, args=(next(batches),))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

        return step

    def _agree(self, progress: Progress, train: feeding.Feed) -> None:
        """Refuse to go on where the workers do not all begin at the same step."""
        if self.strategy.num_replicas_in_sync == 1:
            return

        here = float(progress.epoch * train.steps + progress.step)

        @tf.function
        def together() -> tf.Tensor:
            sums = self.strategy.run(lambda: tf.constant([here, here * here], tf.float64))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

        total, squares = together().numpy().tolist()
        if total * total != squares * self.strategy.num_replicas_in_sync:
            raise ValueError(
                f"this worker would go on after epoch {progress.epoch}, others elsewhere: "
                "the folder .dvc/state must be one that all workers share"
            )

    def _added(self, progress: Progress, pending: list[tf.Tensor]) -> list[float]:
        """The sums of an epoch so far, of loss, right answers and images; `pending`, added to them, is emptied."""
        found = np.sum([np.float64(one) for one in pending], axis=0) + progress.sums
        pending.clear()
        if not np.isfinite(found).all():
            raise ValueError(
                f"the loss is not a number in epoch {progress.epoch + 1}: "
                f"lower train.learning_rate ({self._rate():g} just now)"
            )
        return found.tolist()

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _save(self, state: State, callbacks: list[keras.callbacks.Callback], progress: Progress) -> None:
        state.save(self.model, callbacks, progress, devices.is_chief(self.strategy))


def _right(part: feeding.Part, answers: tf.Tensor, number: int) -> tf.Tensor:
    """How many answers are those of the targets; a mixed image's is its larger share."""
    hit = tf.equal(tf.argmax(answers, axis=1), tf.argmax(part.targets[number], axis=1))
    return tf.reduce_sum(tf.cast(hit, tf.float32) * part.real[number])


def _means(name: str, sums: list[float]) -> dict[str, float]:
    loss, right, count = sums
    return {f"{name}loss": loss / count, f"{name}accuracy": right / count}
