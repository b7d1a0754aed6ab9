"""The training loop, one for a laptop and for many machines: Keras's callbacks around steps that a strategy runs.

Keras's own `fit` does not run under MultiWorkerMirroredStrategy (Keras 3.15), cannot begin within an epoch, and weights
a last batch that the replicas divide unevenly wrongly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.networks import devices
from heldout.training import batches, steps
from heldout.training.checkpoint import Checkpoint, Progress

with suppress_native_stderr():
    import keras
    import tensorflow as tf

LOSS_INTERVAL = 50  # steps between two reads of the loss, which wait for the device
WORKER_LOST = (
    *(tf.errors.UnavailableError, tf.errors.AbortedError),
    *(tf.errors.DeadlineExceededError, tf.errors.CancelledError),
)


@dataclass
class Loop:
    """Trains a model, built and compiled in the strategy's scope.

    Args:
        model: with an optimizer.
        strategy: of `devices.configure_tensorflow`.
        objective, val_objective: what is trained for, and what is evaluated (None where there is no `val`).
        reduce_first, xla: of `steps.make_train_step`.
        monitors: callbacks that only read; no state of theirs is saved.
        watch: gives further figures after each epoch.
        learning_rate_key: what an error calls the param.
    """

    model: keras.Model
    strategy: tf.distribute.Strategy
    objective: steps.Objective
    val_objective: steps.Objective | None
    reduce_first: bool
    xla: bool
    monitors: list[keras.callbacks.Callback] = field(default_factory=list)
    watch: Callable[[], dict[str, float]] = dict
    learning_rate_key: str = "schedule.learning_rate"

    def run(
        self,
        train: batches.BatchSource,
        val: batches.BatchSource | None,
        epochs: int,
        callbacks: list[keras.callbacks.Callback],
        checkpoint: Checkpoint,
        checkpoint_steps: int,
        progress: Progress,
    ) -> list[dict[str, float]]:
        """Train to the end of a phase, from the checkpoint where that is of this phase.

        Args:
            train, val: what is trained on, and what is evaluated after each epoch, if anything.
            epochs: at most so many; a callback may set `model.stop_training`.
            callbacks: Keras's.
            checkpoint: is saved every `checkpoint_steps` steps (counted from the first epoch), and not where training
                ends.
            checkpoint_steps: see there.
            progress: the begin of the phase.

        Returns:
            The logs of each epoch: loss, accuracy, val_loss, val_accuracy, those of `watch`, learning_rate.

        Raises:
            ValueError: where the loss or a weight is not a number, or another worker is lost or at another step.
        """
        callback_list = keras.callbacks.CallbackList(
            [*callbacks, *self.monitors], model=self.model, epochs=epochs, steps=train.steps,
            add_history=False, add_progbar=False,
        )  # fmt: skip
        with self.strategy.scope():
            self.model.optimizer.build(self.model.trainable_variables)
        self.model.stop_training = False
        callback_list.on_train_begin()
        saved = checkpoint.progress()
        if saved and saved.phase == progress.phase:
            progress = checkpoint.restore(self.model, callbacks)
            where = f"epoch {progress.epoch + 1}, step {progress.step}"
            print(f"{checkpoint.stage}: resuming from checkpoint ({where})", flush=True)
        if not steps.workers_agree(self.strategy, progress.epoch * train.steps + progress.step):
            raise ValueError(
                f"this worker would resume in epoch {progress.epoch + 1}, others elsewhere: "
                "all workers must see the same folder .dvc/state"
            )

        def save() -> None:
            checkpoint.save(self.model, callbacks, progress, devices.is_chief(self.strategy))

        try:
            self._run_epochs(train, val, epochs, callback_list, progress, save, checkpoint_steps)
        except WORKER_LOST as error:
            if self.strategy.num_replicas_in_sync == 1:
                raise
            raise ValueError(f"lost a worker in epoch {progress.epoch + 1}: restart all workers to resume") from error
        callback_list.on_train_end()
        return progress.rows

    def _run_epochs(
        self,
        train: batches.BatchSource,
        val: batches.BatchSource | None,
        epochs: int,
        callbacks: keras.callbacks.CallbackList,
        progress: Progress,
        save: Callable[[], None],
        checkpoint_steps: int,
    ) -> None:
        first_step = progress.epoch * train.steps + progress.step
        train_iterator = iter(batches.distribute(train, self.strategy, first_step))
        train_step = steps.make_train_step(
            self.model, self.strategy, self.objective, reduce_first=self.reduce_first, xla=self.xla
        )
        evaluate = self._evaluation(val)
        sync_statistics = steps.make_statistics_sync(self.model, self.strategy)
        while progress.epoch < epochs and not self.model.stop_training:
            callbacks.on_epoch_begin(progress.epoch)
            pending: list[tf.Tensor] = []
            while progress.step < train.steps:
                callbacks.on_train_batch_begin(progress.step)
                pending.append(train_step(train_iterator))
                progress.step += 1
                save_due = (progress.epoch * train.steps + progress.step) % checkpoint_steps == 0
                epoch_ends = progress.step == train.steps
                if len(pending) == LOSS_INTERVAL or epoch_ends or save_due:
                    progress.sums = self._add_sums(progress, pending)
                callbacks.on_train_batch_end(progress.step - 1)
                if save_due and not epoch_ends:
                    sync_statistics()
                    save()
            sync_statistics()
            if not steps.weights_are_finite(self.model):
                raise self._not_a_number("a weight", progress)
            logs = _means("", progress.sums)
            callbacks.on_test_begin()
            logs |= evaluate(progress.epoch) | self.watch()
            callbacks.on_test_end()
            logs["learning_rate"] = self._learning_rate()
            callbacks.on_epoch_end(progress.epoch, logs)
            progress.rows.append({name: float(value) for name, value in logs.items()})
            progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, [0.0, 0.0, 0.0]
            # Not where training ends: what is left then is to write the result, and a checkpoint would ask for another.
            if save_due and progress.epoch < epochs and not self.model.stop_training:
                save()

    def _evaluation(self, val: batches.BatchSource | None) -> Callable[[int], dict[str, float]]:
        """A function of the epoch that evaluates `val`, where there is one."""
        if val is None or self.val_objective is None:
            return lambda epoch: {}
        iterator, num_steps = iter(batches.distribute(val, self.strategy, 0)), val.steps
        eval_step = steps.make_eval_step(self.model, self.strategy, self.val_objective, xla=self.xla)

        def evaluate(epoch: int) -> dict[str, float]:
            sums = self._add_sums(Progress(epoch=epoch), [eval_step(iterator) for _ in range(num_steps)])
            return _means("val_", sums)

        return evaluate

    def _add_sums(self, progress: Progress, pending: list[tf.Tensor]) -> list[float]:
        """The sums of an epoch so far: loss, correct predictions, images; `pending`, added to them, is emptied."""
        sums = np.sum([np.float64(step_sums) for step_sums in pending], axis=0) + progress.sums
        pending.clear()
        if not np.isfinite(sums).all():
            raise self._not_a_number("the loss", progress)
        return sums.tolist()

    def _not_a_number(self, what: str, progress: Progress) -> ValueError:
        rate = self._learning_rate()
        return ValueError(
            f"{what} is not a number in epoch {progress.epoch + 1}: lower {self.learning_rate_key} (now {rate:g})"
        )

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def _means(prefix: str, sums: list[float]) -> dict[str, float]:
    loss, correct, count = sums
    return {f"{prefix}loss": loss / count, f"{prefix}accuracy": correct / count}
