"""The best trials again, with new seeds, on the part of val that the search never saw: what of a gain is there.

The best of many trials looks better than it is, because it was chosen by the noise as well as by the values.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from heldout.compare import recipes
from heldout.evaluation import intervals
from heldout.evaluation.intervals import Interval
from heldout.evaluation.significance.paired_tests import Difference
from heldout.search import parts
from heldout.search.journal import Confirmation, Journal, Trial
from heldout.search.rounds import Execute, Job
from heldout.search.space import same_values
from heldout.search.suggestions import seed_of

BASELINE = "params.yaml"
TOP = 3  # candidates
KEY = 2**31  # of the seeds, which no trial has


class Confirmed(NamedTuple):
    """A candidate: its name, values and number of seeds.

    On the search part: the accuracy that its trial showed (NaN for params.yaml as it is), and the mean that its new
    seeds show again. On the confirmation part: the mean accuracy with the interval of 95 % over images, the mean log
    loss, and the accuracy's difference from params.yaml's, for other seeds and other images (None for itself, or of one
    seed).
    """

    name: str
    params: dict[str, Any]
    seeds: int
    shown: float
    again: float
    accuracy: Interval
    log_loss: float
    gain: Difference | None


def best(trials: list[Trial], count: int) -> list[Trial]:
    """The best trials with different values, by accuracy, then log loss, of those that ran to their end."""
    ranked: list[Trial] = []
    complete = [trial for trial in trials if not trial.failed and trial.pruned_at is None]
    for trial in sorted(complete, key=lambda trial: (-trial.val_accuracy, trial.val_loss, trial.name)):
        if not any(same_values(trial.params, other.params) for other in ranked):
            ranked.append(trial)
    return ranked[:count]


def run(
    journal: Journal,
    count: int,
    seeds: int,
    key: int,
    execute: Execute,
    report: Callable[[Confirmation], None],
) -> None:
    """Run what is missing of the best trials, and of params.yaml as it is, with seeds of their own.

    Args:
        journal: gets a line a run.
        count: how many of the best.
        seeds: how many each; the same for all, so that they are compared on the same draws.
        key: the search's seed.
        execute: runs jobs.
        report: is given each run.
    """
    candidates = {trial.name: trial.params for trial in best(journal.trials, count)} | {BASELINE: {}}
    done = {(run.candidate, run.seed) for run in journal.confirmations}
    todo = [
        Confirmation(name, params, seed)
        for name, params in candidates.items()
        for seed in (seed_of(key, KEY, number) for number in range(seeds))
        if (name, seed) not in done
    ]
    if not todo:
        return
    jobs = [Job(run.params, run.seed, {}, confirm=True) for run in todo]
    for run, fields in zip(todo, execute(jobs), strict=True):
        added = journal.append(Confirmation(**(vars(run) | fields)))
        assert isinstance(added, Confirmation)
        report(added)


def results(journal: Journal, count: int, groups: np.ndarray) -> list[Confirmed]:
    """The candidates and params.yaml as it is, the best confirmed accuracy first; those of which every run failed are
    left out.

    Args:
        journal: with their runs.
        count: how many candidates.
        groups: the group of each image of the confirmation part, (n,).
    """
    shown = {trial.name: trial for trial in best(journal.trials, count)}
    runs = {name: _runs(journal, name) for name in (*shown, BASELINE)}
    right = {name: np.array([parts.unpack(run.correct, len(groups)) for run in of]) for name, of in runs.items() if of}
    confirmed = [
        Confirmed(
            name,
            shown[name].params if name in shown else {},
            len(correct),
            shown[name].val_accuracy if name in shown else float("nan"),
            float(np.mean([run.val_accuracy for run in runs[name]])),
            _accuracy(correct, groups),
            float(np.mean([run.log_loss for run in runs[name]])),
            _gain(right.get(BASELINE), correct, groups) if name in shown else None,
        )
        for name, correct in right.items()
    ]
    return sorted(confirmed, key=lambda found: (-found.accuracy.value, found.log_loss, found.name))


def _runs(journal: Journal, name: str) -> list[Confirmation]:
    return [run for run in journal.confirmations if run.candidate == name and not run.failed]


def _accuracy(correct: np.ndarray, groups: np.ndarray) -> Interval:
    """The mean accuracy over seeds, bool (seeds, n), with the interval over images."""
    by_image = correct.mean(axis=0)
    value = float(by_image.mean())
    return intervals.score(value, by_image - value, groups, images=len(by_image))


def _gain(base: np.ndarray | None, head: np.ndarray, groups: np.ndarray) -> Difference | None:
    if base is None or min(len(base), len(head)) < 2:
        return None
    return recipes.several_seeds(base, head, groups)
