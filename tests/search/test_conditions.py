"""Keys of a space that wait for another's value: which trials have them, and that every method keeps to it."""

import numpy as np
import pytest
import yaml
from conftest import ROOT
from searches import BASE, search

from heldout.commands import schemas
from heldout.search import charts, conditions, space_file, summary
from heldout.search import space as spaces
from heldout.search.journal import Trial
from heldout.search.rounds import Arm, Plan
from heldout.search.space import Choice, Range, Space
from heldout.search.suggestions import METHODS, POPULATION, ROUND, suggest

SCHEMAS = schemas.load(ROOT / "stages")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
SPACE: Space = {
    "model.architecture": Choice(["cnn", "resnet", "EfficientNetB0"]),
    "model.attention": Choice(["none", "se"], {"model.architecture": ["cnn", "resnet"]}),
    "model.depth": Range(8, 32, 6, False, True, {"model.architecture": ["resnet"]}),
    "model.dropout": Range(0, 0.6, 1, False, False, {"model.attention": ["se"], "model.architecture": ["cnn"]}),
    "schedule.learning_rate": Range(0.0001, 0.1, 1, True, False),
}


def keys_of(values: dict) -> set[str]:
    """Written out by hand, for SPACE."""
    keys = {"model.architecture", "schedule.learning_rate"}
    architecture = values["model.architecture"]
    keys |= {"model.attention"} if architecture in ("cnn", "resnet") else set()
    keys |= {"model.depth"} if architecture == "resnet" else set()
    keys |= {"model.dropout"} if architecture == "cnn" and values["model.attention"] == "se" else set()
    return keys


def score(values: dict) -> float:
    """The best is a resnet of depth 20 with a rate of 0.003; other architectures are worse at their best."""
    distance = abs(np.log10(values["schedule.learning_rate"] / 0.003))
    if values["model.architecture"] != "resnet":
        return round(float(1 / (2 + distance)), 6)
    return round(float(1 / (1 + distance + abs(values["model.depth"] - 20) / 12)), 6)


def execute(jobs):
    for job in jobs:
        accuracy = score(job.params)
        yield {
            **{"val_accuracy": accuracy, "val_loss": 1 - accuracy, "val_accuracies": [accuracy] * 4, "epochs": 4},
            **{"best_epoch": 4, "cost": 4, "parameters": job.params.get("model.depth", 40), "multiply_adds": 1},
        }


PLAN = Plan(SPACE, BASE, 0, 4 * 40, lambda sections: 1.0, False, "parameters")


@pytest.fixture(scope="module")
def trials(tmp_path_factory) -> dict[str, list[Trial]]:
    folder = tmp_path_factory.mktemp("conditional")
    return {method: search(folder / method, Arm(method, 0), PLAN, execute).trials for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_has_the_keys_whose_conditions_its_values_meet(trials, method):
    assert len(trials[method]) == 40
    for trial in trials[method]:
        assert set(trial.params) == keys_of(trial.params)
        merged = spaces.merged(PARAMS, trial.params)
        if "model.depth" not in trial.params:
            assert merged["model"]["depth"] == PARAMS["model"]["depth"]
    assert {trial.params["model.architecture"] for trial in trials[method][:12]} == set(SPACE["model.architecture"][0])


@pytest.mark.parametrize("method", METHODS)
def test_conditional_trials_come_again_from_the_lines_before_their_round(trials, method):
    for number in (3, 10, 21, 39):
        earlier = trials[method][: number - number % ROUND]
        assert suggest(method, SPACE, earlier, number, (0, 0), "parameters") == trials[method][number].params


def test_a_killed_conditional_search_ends_in_the_same_bytes(tmp_path):
    whole = search(tmp_path / "whole", Arm("tpe", 0), PLAN, execute)
    lines = whole.path.read_bytes().splitlines(keepends=True)
    torn = tmp_path / "torn"
    torn.write_bytes(b"".join(lines[:18]) + lines[18][:30])
    assert search(torn, Arm("tpe", 0), PLAN, execute).path.read_bytes() == whole.path.read_bytes()


def test_evolution_mutates_a_key_that_the_parent_has_and_fills_what_it_lacked(trials):
    history = trials["evolution"]
    switched = 0
    for trial in history[POPULATION:]:
        start = trial.number - trial.number % ROUND
        for parent in history[start - POPULATION : start]:
            shared = set(parent.params) & set(trial.params)
            if sum(parent.params[name] != trial.params[name] for name in shared) == 1:
                switched += parent.params["model.architecture"] != trial.params["model.architecture"]
                break
        else:
            raise AssertionError(f"{trial.name} is no mutation of a living parent")
    assert switched  # the case that matters came up


def test_every_method_turns_to_the_branch_of_the_optimum_and_finds_it_better_than_random(tmp_path):
    """Over ten repeats, of forty trials each: half of the later ones are where random choice has a third."""
    shares, bests = {}, {}
    for method in METHODS:
        runs = [search(tmp_path / f"{method}{r}", Arm(method, r), PLAN, execute).trials for r in range(10)]
        late = [trial.params["model.architecture"] for trials in runs for trial in trials[20:]]
        shares[method] = late.count("resnet") / len(late)
        bests[method] = np.mean([max(trial.val_accuracy for trial in trials) for trials in runs])
    assert shares["random"] < 0.4 < 0.5 < min(shares[method] for method in METHODS if method != "random")
    assert bests["random"] + 0.05 < min(bests[method] for method in METHODS if method != "random")


def test_pictures_show_a_key_of_the_trials_that_have_it(trials):
    assert charts.slices(trials["tpe"], SPACE)[:4] == b"\x89PNG"
    # fANOVA is over one space, in which every trial has a place: keys that all trials have.
    assert set(summary.importances(trials["tpe"], SPACE)) == {"model.architecture", "schedule.learning_rate"}


def read(tmp_path, text: str) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return space_file.read(path, SCHEMAS, PARAMS)


def test_conditions_are_read_as_one_value_or_several(tmp_path):
    space = read(
        tmp_path,
        "model.architecture: [cnn, resnet]\n"
        "model.depth: {low: 8, high: 20, step: 6, when: {model.architecture: resnet}}\n"
        "model.attention: {values: [none, se], when: {model.architecture: [cnn, resnet]}}\n",
    )
    assert space["model.depth"] == Range(8, 20, 6, False, True, {"model.architecture": ["resnet"]})
    assert space["model.attention"] == Choice(["none", "se"], {"model.architecture": ["cnn", "resnet"]})
    text = spaces.text(space)
    assert text["model.depth"]["when"] == {"model.architecture": ["resnet"]}
    assert "when" not in text["model.architecture"]  # a file from before there were conditions goes on


ARCHITECTURE = "model.architecture: [cnn, resnet]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ARCHITECTURE + "model.depth: {low: 8, high: 20, when: {model.architecture: resnett}}", '"resnett": expected'),
        (ARCHITECTURE + "model.depth: {low: 8, high: 20, when: {model.architecture: []}}", "expected one or more"),
        (
            ARCHITECTURE + "model.depth: {low: 8, high: 20, when: {model.architectur: resnet}}",
            "mean model.architecture",
        ),
        ("model.depth: {low: 8, high: 20, when: {model.architecture: resnet}}", "has no list of values here"),
        ("model.width: {low: 1, high: 2}\nmodel.depth: {values: [8], when: {model.width: 1}}", "has no list of values"),
        (ARCHITECTURE + "model.depth: {values: [8], when: resnet}", "expected {SECTION.KEY: value"),
        (ARCHITECTURE + "model.depth: {when: {model.architecture: resnet}}", "expected a list of values, or"),
        (ARCHITECTURE + "model.depth: {values: [8, 9, 9], when: {model.architecture: cnn}}", "of different values"),
        (
            "model.stem: {values: [small], when: {model.attention: se}}\n"
            "model.attention: {values: [se], when: {model.stem: small}}",
            "keys wait for each other",
        ),
    ],
)
def test_what_is_wrong_with_a_condition_is_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value) and "space.yaml" in str(caught.value)


def test_the_keys_come_after_those_that_they_wait_for():
    order = conditions.order(SPACE)
    assert order.index("model.architecture") < order.index("model.attention") < order.index("model.dropout")
    plain = {name: entry._replace(when={}) for name, entry in SPACE.items()}
    assert conditions.order(plain) == sorted(SPACE)
