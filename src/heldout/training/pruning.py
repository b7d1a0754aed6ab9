"""Successive halving within a run: it ends where, at a rung, it is below what others had reached there."""

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras


class Pruning(keras.callbacks.Callback):
    """Ends training after an epoch at which the best validation accuracy is below the threshold of that epoch.

    `pruned_at` is that epoch (from 1), 0 where there is none. For a training of one phase: each begins it anew.

    Args:
        thresholds: {epoch: accuracy}, rounded to `digits` places, as the best one is before it is compared.
    """

    def __init__(self, thresholds: dict[int, float], digits: int = 6):
        super().__init__()
        self.thresholds, self.digits, self.best, self.pruned_at = thresholds, digits, 0.0, 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.best, self.pruned_at = 0.0, 0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.best = max(self.best, float((logs or {})["val_accuracy"]))
        if round(self.best, self.digits) < self.thresholds.get(epoch + 1, 0.0):
            self.pruned_at, self.model.stop_training = epoch + 1, True
