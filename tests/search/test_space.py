"""The space: what a file may say, and that every value of it is one that params.yaml may hold."""

import numpy as np
import pytest
import yaml
from conftest import ROOT

from heldout.commands import schemas
from heldout.core import params
from heldout.search import space as spaces
from heldout.search import space_file
from heldout.search.space import Choice, Range, varies

SCHEMAS = schemas.load(ROOT / "stages")
BASE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def read(tmp_path, text: str) -> spaces.Space:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return space_file.read(path, SCHEMAS, BASE)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "spaces").glob("*.yaml")))
def test_the_spaces_beside_the_code_are_valid(name):
    space = space_file.read(ROOT / "spaces" / name, SCHEMAS, BASE)
    for entry in space.values():
        assert all(varies(space[key]) for key in entry.when)


def test_the_default_space_holds_choices_and_ranges():
    space = space_file.read(ROOT / "spaces/default.yaml", SCHEMAS, BASE)
    assert space["train.batch_size"] == Choice([16, 32, 64])
    assert space["schedule.learning_rate"] == Range(0.0003, 0.01, 1, True, False)


def test_a_step_ends_at_the_last_value_that_it_meets(tmp_path):
    space = read(tmp_path, "model.depth: {low: 8, high: 33, step: 6}")
    entry = space["model.depth"]
    assert entry == Range(8, 32, 6, False, True)
    assert {entry.at(position) for position in np.linspace(0, 0.999, 50)} == {8, 14, 20, 26, 32}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule.learning_rat: [0.1]", "schedule.learning_rat is not known: did you mean learning_rate"),
        ("train.learning_rate: [0.1]", "train.learning_rate is schedule.learning_rate since 0.2"),
        ("split.val: [0.1, 0.2]", "split.val is not in a section that a search varies"),
        ("modell.depth: [20]", "did you mean model"),
        ("model.attention: [none, best]", "model.attention is 'best': expected 'none', 'se' or 'cbam'"),
        ("model.dropout: {low: 0, high: 1.5}", "model.dropout is 1.5: expected less than 1"),
        ("model.dropout: {low: 0.5, high: 0.1}", "low below high"),
        ("schedule.learning_rate: {low: 0, high: 0.1, log: true}", "low above 0"),
        ("schedule.learning_rate: {low: 1e-3, high: 0.1}", "with numbers"),
        ("model.width: {low: 1, high: 2.5}", "with integers"),
        ("model.stem: {low: 1, high: 2}", "expected a list of values$"),
        ("model.depth: [20, 20]", "expected a list of different values"),
        ("model.depth: []", "expected a list of different values"),
        ("model.depth: 20", "expected a list of values, or"),
        ("{}", "is empty"),
    ],
)
def test_what_is_wrong_with_a_space_is_one_line_before_the_first_trial(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value) and "space.yaml" in str(caught.value)


def test_every_suggestion_and_mutation_is_a_valid_value(tmp_path):
    text = "schedule.learning_rate: {low: 0.0001, high: 0.01, log: true}\nmodel.depth: {low: 8, high: 32, step: 6}\n"
    text += "train.batch_size: {low: 8, high: 128, log: true}\nmodel.filters: [[8], [8, 16]]\n"
    space = read(tmp_path, text)
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = {name: entry.at(rng.random()) for name, entry in space.items()}
        mutated = {name: entry.mutate(values[name], rng) for name, entry in space.items()}
        for candidate in (values, mutated):
            merged = spaces.merged(BASE, candidate)
            for section in ("schedule", "model", "train"):
                params.check(section, merged[section], SCHEMAS[section])
            assert (candidate["model.depth"] - 2) % 6 == 0
            assert candidate["schedule.learning_rate"] == float(f"{candidate['schedule.learning_rate']:.4g}")
        assert all(mutated[name] != values[name] for name in space)


def test_merging_leaves_params_yaml_as_it_was():
    before = yaml.safe_dump(BASE)
    assert spaces.merged(BASE, {"model.depth": 8})["model"]["depth"] == 8
    assert yaml.safe_dump(BASE) == before
