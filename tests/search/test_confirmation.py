"""Confirmation: which candidates, on which seeds, and how much of a chosen gain is not there."""

import numpy as np
import pytest
from searches import SPACE, execute, plan, search

from heldout.search import confirmation, parts, summary
from heldout.search.confirmation import BASELINE
from heldout.search.journal import Journal
from heldout.search.rounds import Arm, Job

IMAGES = 400


def confirm(jobs: list[Job]):
    """Each run is right on nine images in ten, whatever its values; which nine is the seed's matter."""
    for job in jobs:
        assert job.confirm and not job.thresholds
        correct = np.random.default_rng(job.seed).random(IMAGES) < 0.9
        yield {
            **{"val_accuracy": 0.9, "val_loss": 0.3, "epochs": 4},
            **{"accuracy": float(correct.mean()), "log_loss": 0.3, "correct": parts.pack(correct)},
        }


@pytest.fixture
def journal(tmp_path) -> Journal:
    return search(tmp_path / "a.jsonl", Arm("random", 0), plan(), execute)


def test_the_best_three_of_different_values_and_params_yaml_run_on_the_same_new_seeds(journal):
    confirmation.run(journal, 3, 2, 0, confirm, lambda run: None)
    runs = journal.confirmations
    assert [run.candidate for run in runs[::2]] == [t.name for t in confirmation.best(journal.trials, 3)] + [BASELINE]
    seeds = {run.seed for run in runs}
    assert len(runs) == 8 and len(seeds) == 2 and not seeds & {trial.seed for trial in journal.trials}
    confirmation.run(journal, 3, 3, 0, confirm, lambda run: None)  # one more seed each
    assert len(journal.confirmations) == 12
    confirmation.run(Journal(journal.path, journal.header), 3, 3, 0, None, lambda run: None)  # nothing is left to run


def test_trials_of_the_same_values_pruned_or_failed_are_no_candidates(journal):
    ranked = confirmation.best(journal.trials, 12)
    assert [trial.val_accuracy for trial in ranked] == sorted((t.val_accuracy for t in journal.trials), reverse=True)
    ranked[0].pruned_at, ranked[1].failed, ranked[3].params = 2, "no number", ranked[2].params
    assert confirmation.best(journal.trials, 2) == [ranked[2], ranked[4]]


def test_a_gain_that_is_not_there_is_not_confirmed(journal):
    confirmation.run(journal, 3, 3, 0, confirm, lambda run: None)
    found = confirmation.results(journal, 3, np.arange(IMAGES))
    assert {item.name for item in found} == {BASELINE, *(t.name for t in confirmation.best(journal.trials, 3))}
    for item in found:
        assert item.seeds == 3 and item.accuracy.low < 0.9 < item.accuracy.high
        if item.name != BASELINE:
            assert item.gain.low <= 0 <= item.gain.high
    assert "no detectable difference" in summary.verdict(found)
    figures = summary.figures(journal, found)
    assert figures["trials"] == 12 and figures["epochs"] == 48 and figures["confirmation_runs"] == 12


def test_groups_widen_the_interval(journal):
    confirmation.run(journal, 1, 2, 0, confirm, lambda run: None)
    alone = confirmation.results(journal, 1, np.arange(IMAGES))[0].accuracy
    grouped = confirmation.results(journal, 1, np.arange(IMAGES) // 40)[0].accuracy
    assert grouped.high - grouped.low > alone.high - alone.low and grouped.value == alone.value


def test_best_so_far_the_front_and_importances(tmp_path):
    path = tmp_path / "b.jsonl"
    for repeat in range(3):
        for method in ("tpe", "random"):
            found = search(path, Arm(method, repeat), plan(), execute)
    table = summary.best_so_far(found.trials, np.array([3.0, 4, 48]))
    tpe = table[table["method"] == "tpe"].set_index("cost")
    first = [found.of("tpe", repeat)[0].val_accuracy for repeat in range(3)]
    assert np.isnan(tpe.loc[3, "mean"]) and tpe.loc[4, "mean"] == pytest.approx(np.mean(first))
    reach = 4.303 * np.std(first, ddof=1) / np.sqrt(3)  # Student's t of two degrees of freedom
    assert tpe.loc[4, "high"] - tpe.loc[4, "mean"] == pytest.approx(reach, rel=1e-3)
    best = [max(trial.val_accuracy for trial in found.of("tpe", repeat)) for repeat in range(3)]
    assert tpe.loc[48, "mean"] == pytest.approx(np.mean(best)) and tpe.loc[48, "repeats"] == 3
    front = summary.pareto(found.trials, "parameters")
    for trial in found.trials:
        assert any(other.val_accuracy >= trial.val_accuracy and other.parameters <= trial.parameters for other in front)
    important = summary.importances(found.trials, SPACE)
    assert set(important) == set(SPACE) and next(iter(important)) == "schedule.learning_rate"
    assert important == summary.importances(found.trials, SPACE)
    assert summary.importances(found.trials[:5], SPACE) == {}
