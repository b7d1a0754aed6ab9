"""Successive halving: a trial ends early where, at a rung, it is not in the best third of those before it."""

import math

from heldout.search.journal import Trial

FIRST_RUNG = 2  # epochs: after one, a network with batch normalization tells little
REDUCTION = 3  # one in so many goes on, and each rung lies at so many times the epochs (Li et al. 2020)


def thresholds(earlier: list[Trial], epochs: int) -> dict[int, float]:
    """The accuracy that a trial must have reached at each rung: {epoch: val_accuracy}.

    This is the asynchronous successive halving of Li et al., A System for Massively Parallel Hyperparameter Tuning
    (2020), against the trials of earlier rounds alone, so that it does not matter which of a round ends first.

    Args:
        earlier: the trials of earlier rounds.
        epochs: that the trial runs at most; a rung at its end would be of no use.
    """
    result, rung = {}, FIRST_RUNG
    while rung < epochs:
        reached = sorted((best for trial in earlier if (best := best_until(trial, rung)) is not None), reverse=True)
        promoted = math.ceil((len(reached) + 1) / REDUCTION)  # with the trial itself
        if len(reached) >= promoted:
            result[rung] = reached[promoted - 1]
        rung *= REDUCTION
    return result


def best_until(trial: Trial, epoch: int) -> float | None:
    """The best accuracy that a trial had reached after so many epochs; None where halving had ended it before."""
    if trial.failed or (trial.pruned_at is not None and trial.pruned_at < epoch):
        return None
    return max(trial.val_accuracies[:epoch])
