"""The training loop, one for a laptop and for many machines: Keras's callbacks around steps that a strategy runs.

Keras's own `fit` does not run under MultiWorkerMirroredStrategy (Keras 3.15), cannot begin within an epoch, and weights
a last batch that the replicas share unevenly wrongly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from heldout import devices, feeding, steps
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
        share_first, xla: of `steps.learning`.
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
            ValueError: where the loss is no longer a number, or another worker is gone or elsewhere.
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
        if not steps.agree(self.strategy, progress.epoch * train.steps + progress.step):
            raise ValueError(
                f"this worker would go on after epoch {progress.epoch}, others elsewhere: "
                "the folder .dvc/state must be one that all workers share"
            )

        def save() -> None:
            state.save(self.model, callbacks, progress, devices.is_chief(self.strategy))

        try:
            self._epochs(train, val, epochs, listed, progress, save, checkpoint_steps)
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
        learn = steps.learning(self.model, self.strategy, self.loss, share_first=self.share_first, xla=self.xla)
        look = steps.looking(self.model, self.strategy, self.val_loss, xla=self.xla)
        share_statistics = steps.sharing(self.model, self.strategy)
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
            if not steps.finite(self.model):
                raise self._no_number("a weight is", progress)
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

    def _added(self, progress: Progress, pending: list[tf.Tensor]) -> list[float]:
        """The sums of an epoch so far, of loss, right answers and images; `pending`, added to them, is emptied."""
        found = np.sum([np.float64(one) for one in pending], axis=0) + progress.sums
        pending.clear()
        if not np.isfinite(found).all():
            raise self._no_number("the loss is", progress)
        return found.tolist()

    def _no_number(self, what: str, progress: Progress) -> ValueError:
        return ValueError(
            f"{what} not a number in epoch {progress.epoch + 1}: lower train.learning_rate ({self._rate():g} just now)"
        )

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def _means(name: str, sums: list[float]) -> dict[str, float]:
    loss, right, count = sums
    return {f"{name}loss": loss / count, f"{name}accuracy": right / count}
