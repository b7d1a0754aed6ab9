"""The trials of a search, round by round: suggested by what earlier rounds gave, run at once, told in their order."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from heldout.search import halving
from heldout.search.journal import Journal, Trial
from heldout.search.space import Space, merged
from heldout.search.suggestions import METHODS, ROUND, seed_of, suggest


class Arm(NamedTuple):
    """A search of its own: a method, and which of its repeats."""

    method: str
    repeat: int


class Job(NamedTuple):
    """What a run of the training needs beside params.yaml: values, seed, rungs {epoch: accuracy} of halving, and
    whether it is scored on the confirmation part of val."""

    params: dict[str, Any]
    seed: int
    thresholds: dict[int, float]
    confirm: bool = False


class Plan(NamedTuple):
    """What all arms of a search share: the space, params.yaml, the seed, the budget of an arm and the cost of an epoch,
    both in passes over the training images, whether halving is on, and what NSGA-II makes small."""

    space: Space
    base: dict[str, Any]
    seed: int
    budget: float
    epoch_cost: Callable[[dict[str, Any]], float]
    halving: bool
    against: str


# Runs jobs and gives the fields of their records, in the order of the jobs.
Execute = Callable[[list[Job]], Iterator[dict[str, Any]]]


def run(arm: Arm, plan: Plan, journal: Journal, execute: Execute, report: Callable[[Trial], None]) -> None:
    """Run an arm until its budget has no room for another trial of full length.

    Raises:
        ValueError: where every trial of its first round failed.
    """
    while batch := next_trials(arm, plan, journal.of(*arm)):
        jobs = [Job(trial.params, trial.seed, rungs) for trial, rungs in batch]
        for (trial, _), fields in zip(batch, execute(jobs), strict=True):
            added = journal.append(Trial(**(vars(trial) | fields)))
            assert isinstance(added, Trial)
            report(added)
        done = journal.of(*arm)
        if len(done) >= ROUND and all(trial.failed for trial in done[:ROUND]):
            raise ValueError(f"every trial of the first round failed, such as {done[0].name}: {done[0].failed}")


def next_trials(arm: Arm, plan: Plan, done: list[Trial]) -> list[tuple[Trial, dict[int, float]]]:
    """The trials of the current round that the budget has room for, whatever they turn out to cost, each with its
    rungs. Those that were not run for want of room are the first of a larger budget, as they would have been at once.

    Args:
        arm: of the search.
        plan: of all arms.
        done: the arm's trials, in order.
    """
    number, spent = len(done), sum(trial.cost for trial in done)
    start = number - number % ROUND
    earlier, batch = done[:start], []
    while number < start + ROUND:
        values = suggest(arm.method, plan.space, earlier, number, (plan.seed, arm.repeat), plan.against)
        sections = merged(plan.base, values)
        epochs = sections["train"]["epochs"] + sections["fine_tune"]["epochs"]
        cost = epochs * plan.epoch_cost(sections)
        spent += cost
        if spent > plan.budget + 1e-9:
            break
        seed = seed_of(plan.seed, arm.repeat, list(METHODS).index(arm.method), number, 1)
        rungs = halving.thresholds(earlier, epochs) if plan.halving else {}
        batch.append((Trial(arm.method, arm.repeat, number, values, seed, cost), rungs))
        number += 1
    return batch
