"""Suggestions: functions of the trials before them, and better than random on a planted optimum."""

import subprocess
import sys

import numpy as np
import pytest
from searches import SPACE, execute, plan, search

from heldout.search import rounds
from heldout.search.journal import Trial
from heldout.search.rounds import Arm, Job
from heldout.search.suggestions import METHODS, POPULATION, ROUND, suggest


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searches")
    return {method: search(folder / f"{method}.jsonl", Arm(method, 0), plan(4 * 24)) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_each_trial_can_be_suggested_again_from_the_lines_before_its_round(files, method):
    trials = files[method].trials
    assert len(trials) == 24
    for number in (3, 9, 17, 23):
        earlier = trials[: number - number % ROUND]
        assert suggest(method, SPACE, earlier, number, (0, 0), "parameters") == trials[number].params
    # The history matters to all but random.
    fewer = suggest(method, SPACE, trials[:8], 23, (0, 0), "parameters")
    assert (fewer == trials[23].params) == (method == "random")


@pytest.mark.parametrize("method", METHODS)
def test_seeds_repeats_and_numbers_suggest_something_else(method):
    keys = [((0, 0), 0), ((1, 0), 0), ((0, 1), 0), ((0, 0), 1)]
    values = [suggest(method, SPACE, [], number, key, "parameters") for key, number in keys]
    assert len({str(value) for value in values}) == len(keys)


def test_evolution_changes_one_value_of_a_living_parent(files):
    trials = files["evolution"].trials
    for trial in trials[POPULATION:]:
        start = trial.number - trial.number % ROUND
        alive = trials[start - POPULATION : start]
        assert any(sum(parent.params[name] != trial.params[name] for name in SPACE) == 1 for parent in alive)


def test_failed_and_pruned_trials_are_told_as_such():
    history = [
        Trial("tpe", 0, n, suggest("random", SPACE, [], n, (0, 0), "parameters"), 0, 1, val_accuracy=0.5 + n / 100)
        for n in range(12)
    ]
    history[3].failed, history[4].pruned_at, history[3].val_accuracy = "no number", 2, 0.0
    for method in METHODS:
        assert set(suggest(method, SPACE, history, 12, (0, 0), "parameters")) == set(SPACE)


def needed(method: str, repeat: int, target: float = 0.75, most: int = 60) -> int:
    """How many trials a method needs to come so near to the planted optimum."""
    history: list[Trial] = []
    for number in range(most):
        earlier = history[: number - number % ROUND]
        values = suggest(method, SPACE, earlier, number, (7, repeat), "parameters")
        fields = next(execute([Job(values, 0, {})]))
        history.append(Trial(**(vars(Trial(method, repeat, number, values, 0, 4)) | fields)))
        if history[-1].val_accuracy >= target:
            return number + 1
    return most


@pytest.mark.slow
def test_tpe_and_evolution_need_fewer_trials_than_random_over_thirty_repeats():
    counts = {method: np.array([needed(method, r) for r in range(30)]) for method in ("random", "tpe", "evolution")}
    for method in ("tpe", "evolution"):
        assert np.median(counts[method]) < 0.8 * np.median(counts["random"])
        assert counts[method].mean() < counts["random"].mean()


def test_nothing_here_imports_tensorflow():
    modules = "space suggestions journal halving rounds parts pool confirmation summary charts page"
    code = (
        f"import sys; from heldout.search import {', '.join(modules.split())}; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_last_round_of_a_smaller_budget_is_gone_on_with(tmp_path):
    whole = search(tmp_path / "whole.jsonl", Arm("tpe", 0), plan(60))
    search(tmp_path / "parts.jsonl", Arm("tpe", 0), plan(25))  # six trials of four epochs
    continued = search(tmp_path / "parts.jsonl", Arm("tpe", 0), plan(60))
    assert continued.path.read_bytes() == whole.path.read_bytes()
    assert len(whole.trials) == 15 and rounds.next_trials(Arm("tpe", 0), plan(60), whole.trials) == []
