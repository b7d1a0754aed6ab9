"""Halving within a run: it ends at a rung that it has not reached, and a resumed one ends where it would have."""

import pytest
from training_runs import BASE, CHECKPOINT, CLASS_NAMES, same_weights, untrained

from heldout.training import fit
from heldout.training.checkpoint import Checkpoint
from heldout.training.pruning import Pruning


def train(images, thresholds, killed=False):
    """The history, the callback and the weights of at most four epochs."""
    model, pruning = untrained(images), Pruning(thresholds)
    sections = {name: values for name, values in BASE.items() if name != "train"}
    history = fit.fit(
        model, images, images, CLASS_NAMES, sections, 0, fit.tf.distribute.get_strategy(), Checkpoint(CHECKPOINT),
        [pruning, Killed(killed)], **BASE["train"] | {"epochs": 4},
    )  # fmt: skip
    CHECKPOINT.unlink(missing_ok=True)
    return history, pruning, model.get_weights()


class Killed(fit.keras.callbacks.Callback):
    """Ends training by an error in its second epoch, as a kill would, where it is told to."""

    def __init__(self, active):
        super().__init__()
        self.when = "second epoch" if active else ""  # a text, which no checkpoint takes

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and self.when:
            raise RuntimeError("killed")


def test_a_run_ends_at_the_rung_that_it_has_not_reached(images):
    history, pruning, weights = train(images, {2: 1.1})
    assert len(history) == 2 and pruning.pruned_at == 2
    reached, free, _ = train(images, {2: 0.0, 3: round(float(history["val_accuracy"].max()), 6)})
    assert len(reached) == 4 and free.pruned_at == 0
    with pytest.raises(RuntimeError, match="killed"):
        train(images, {2: 1.1}, killed=True)
    assert CHECKPOINT.is_file()
    resumed, again, same = train(images, {2: 1.1})
    assert resumed.equals(history) and again.pruned_at == 2 and same_weights(weights, same)
