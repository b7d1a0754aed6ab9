"""Successive halving: who goes on, by the trials of earlier rounds alone."""

from searches import execute, plan, search

from heldout.search import halving
from heldout.search.journal import Trial
from heldout.search.rounds import Arm


def trial(*accuracies: float, pruned_at: int | None = None, failed: str = "") -> Trial:
    return Trial("tpe", 0, 0, {}, 0, 1, val_accuracies=list(accuracies), pruned_at=pruned_at, failed=failed)


def test_the_best_third_goes_on():
    earlier = [trial(0.1, value, *[value] * 6) for value in (0.5, 0.9, 0.7, 0.6, 0.8)]
    # Six with the trial itself, two of which go on; rungs at epochs 2 and 6.
    assert halving.thresholds(earlier, 12) == {2: 0.8, 6: 0.8}
    assert halving.thresholds(earlier, 6) == {2: 0.8}
    assert halving.thresholds([], 12) == {}


def test_what_never_reached_a_rung_does_not_count_there():
    earlier = [trial(0.1, 0.2, pruned_at=2), trial(0.3, 0.4, 0.5, 0.5, 0.5, 0.5, 0.6), trial(failed="no number")]
    assert halving.best_until(earlier[0], 2) == 0.2 and halving.best_until(earlier[0], 6) is None
    assert halving.best_until(trial(0.4, 0.3), 6) == 0.4  # early stopping ended it: it has no more to give
    assert halving.thresholds(earlier, 12) == {2: 0.4, 6: 0.5}


def test_halving_runs_more_trials_for_the_same_epochs(tmp_path):
    full = search(tmp_path / "full.jsonl", Arm("random", 0), plan(), execute).trials
    halved = search(tmp_path / "halved.jsonl", Arm("random", 0), plan(halving=True), execute).trials
    assert len(full) == 12 < len(halved)
    assert sum(trial.cost for trial in halved) <= 48
    assert {trial.pruned_at for trial in halved} == {None, 2}
    assert [trial.params for trial in halved[:12]] == [trial.params for trial in full]  # random's suggestions
