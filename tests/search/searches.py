"""What the tests of the search share: a space, a cheap function in the place of the training, and a plan."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heldout.search import rounds
from heldout.search.journal import Journal
from heldout.search.rounds import Arm, Job, Plan
from heldout.search.space import Choice, Range, Space

SPACE: Space = {
    "schedule.learning_rate": Range(0.0001, 0.1, 1, True, False),
    "model.dropout": Range(0, 0.6, 1, False, False),
    "model.depth": Range(8, 32, 6, False, True),
    "model.filters": Choice([[8], [8, 16], [16, 32]]),
}
BASE: dict[str, Any] = {
    **{"model": {}, "schedule": {}, "train": {"epochs": 4}, "fine_tune": {"epochs": 0}},
}


def score(values: dict[str, Any]) -> float:
    """The accuracy of a planted optimum: rate 0.003, dropout 0.2, depth 20, filters [8, 16]."""
    from math import log10

    distance = abs(log10(values["schedule.learning_rate"] / 0.003)) + abs(values["model.dropout"] - 0.2)
    distance += abs(values["model.depth"] - 20) / 24 + 0.5 * (values["model.filters"] != [8, 16])
    return round(1 / (1 + distance), 6)


def execute(jobs: list[Job]) -> Iterator[dict[str, Any]]:
    """What `pool.Pool.run` gives, of the planted optimum: four epochs, each a bit better."""
    for job in jobs:
        accuracies = [round(score(job.params) * part, 6) for part in (0.5, 0.8, 0.9, 1)]
        at = next((e for e, least in sorted(job.thresholds.items()) if max(accuracies[:e]) < least), None)
        accuracies = accuracies[: at or 4]
        yield {
            **{"val_accuracy": accuracies[-1], "val_loss": 1 - accuracies[-1], "val_accuracies": accuracies},
            **{"epochs": len(accuracies), "best_epoch": len(accuracies), "cost": len(accuracies), "pruned_at": at},
            **{"parameters": sum(job.params["model.filters"]) * job.params["model.depth"], "multiply_adds": 1},
        }


def plan(budget: float = 48, halving: bool = False, seed: int = 0) -> Plan:
    return Plan(SPACE, BASE, seed, budget, lambda sections: 1.0, halving, "parameters")


def search(path: Path, arm: Arm, plan: Plan, run: rounds.Execute = execute) -> Journal:
    """Run an arm into a file."""
    journal = Journal(path, {"seed": plan.seed})
    rounds.run(arm, plan, journal, run, lambda trial: None)
    return journal


def slowly(jobs: list[Job]) -> Iterator[dict[str, Any]]:
    """`execute`, which says on stdout where it is, and waits for a line: so that a test can kill it there."""
    for fields in execute(jobs):
        print("in a trial", flush=True)
        sys.stdin.readline()
        yield fields


if __name__ == "__main__":
    search(Path(sys.argv[1]), Arm(sys.argv[2], 0), plan(halving=True), slowly)
