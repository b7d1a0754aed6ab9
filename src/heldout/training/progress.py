"""A line an epoch, and a bar within it, for the person who waits."""

import sys
import time

from tqdm import tqdm

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras


class EpochLine(keras.callbacks.Callback):
    """Prints a line an epoch. Seconds are printed, never kept: they would differ in every run.

    Args:
        images_per_step: on average.
        best: the validation loss that has been reached before.
        visible: whether anything is shown.
    """

    def __init__(self, images_per_step: float, best: float, visible: bool):
        super().__init__()
        self.images_per_step, self.best, self.visible = images_per_step, best, visible

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.started, self.steps = time.monotonic(), 0
        interval = 1 if sys.stderr.isatty() else 60  # seconds between two updates of the bar
        self.bar = tqdm(
            total=self.params["steps"], desc=f"epoch {epoch + 1}", unit=" steps",
            delay=2, mininterval=interval, leave=False, disable=not self.visible,
        )  # fmt: skip

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.steps += 1  # fewer than all where the run resumes within an epoch
        self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        self.bar.close()
        rate = self.images_per_step * self.steps / (time.monotonic() - self.started)
        if self.visible:
            number = f"epoch {epoch + 1:>3}/{self.params['epochs']}"
            print(f"{number}  {self.figures(logs)}  {rate:,.0f} images/s{self._best(logs)}", flush=True)

    def figures(self, logs: dict[str, float]) -> str:
        """What the line says of an epoch."""
        return (
            f"loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}  "
            f"val_loss {logs['val_loss']:.4f}  val_accuracy {logs['val_accuracy']:.4f}"
        )

    def _best(self, logs: dict[str, float]) -> str:
        better = logs.get("val_loss", self.best) < self.best
        self.best = min(self.best, logs.get("val_loss", self.best))
        return "  best so far" if better else ""
