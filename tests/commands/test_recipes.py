"""Recipes: their values are known and allowed, and params.yaml keeps its comments and everything else."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, execute

from heldout.commands import recipes, schemas
from heldout.core import params

SCHEMAS = schemas.load(ROOT / "stages")
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for name in ("recipes", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def values() -> dict:
    return yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_changes_its_values_alone_and_keeps_comments(folder, name):
    before, text = values(), Path("params.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(Path(f"recipes/{name}.yaml").read_text(encoding="utf-8"))
    changes = recipes.apply(name, [])
    for section, changed in recipe.items():
        before[section] |= changed
        params.check(section, before[section], SCHEMAS[section])
    assert values() == before
    comments = re.findall(r"#.*", text)
    assert re.findall(r"#.*", Path("params.yaml").read_text(encoding="utf-8")) == comments and len(comments) > 50
    assert {line.partition(":")[0].partition(".")[0] for line in changes} <= set(recipe) and len(changes) > 1
    written = Path("params.yaml").read_bytes()
    assert recipes.apply(name, []) == []
    assert Path("params.yaml").read_bytes() == written


def test_values_beside_a_recipe(folder):
    changes = recipes.apply(
        "photos", ["data.dir=data/raw", "preprocess.image_size=[96, 64]", "optimizer.global_clipnorm=1.5", "seed=3"]
    )
    assert "data.dir: data/sample -> data/raw" in changes and "seed: 0 -> 3" in changes
    current = values()
    assert current["data"]["dir"] == "data/raw" and current["optimizer"]["global_clipnorm"] == 1.5
    assert current["preprocess"]["image_size"] == [96, 64] and current["seed"] == 3


def test_a_recipe_may_hold_the_seed(folder):
    Path("recipes/other.yaml").write_text("seed: 7\ntrain:\n  epochs: 2\n")
    assert recipes.apply("other", [])[0] == "seed: 0 -> 7"
    assert values()["seed"] == 7 and values()["train"]["epochs"] == 2


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("photo", [], r"there is no recipe 'photo' in recipes/: expected .*photos"),
        ("photos", ["train.epoch=3"], r"params.yaml has no value train\.epoch: expected a key that it has, such as"),
        ("photos", ["epochs=3"], r"params.yaml has no value epochs: expected"),
        ("photos", ["train=3"], r"params.yaml has no value train: expected"),
        ("photos", ["seed.low=3"], r"params.yaml has no value seed\.low: expected"),
        ("photos", ["train.epochs=["], r"train\.epochs=\[ has a value that is not YAML"),
        ("photos", ["train.ema=0.9"], r"no value train\.ema: train\.ema is optimizer\.ema_momentum since 0\.2"),
        ("photos", ["schedule.learning_rate=1e-3"], r"schedule\.learning_rate is '1e-3': expected number; YAML reads"),
        ("photos", ["preprocess.image_size=[0, 4]"], r"preprocess\.image_size\.0 is 0: expected greater than or equal"),
        ("photos", ["seed=two"], r"params.yaml: seed is 'two': expected an integer"),
        ("photos", ["train.epochs"], r"train\.epochs has no value: expected SECTION\.KEY=VALUE"),
    ],
)
def test_an_unknown_key_changes_nothing(folder, name, settings, line):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ValueError, match=line):
        recipes.apply(name, settings)
    assert Path("params.yaml").read_bytes() == before


def test_files_that_are_no_sections_are_named(folder):
    Path("recipes/broken.yaml").write_text("train: [")
    with pytest.raises(ValueError, match=r"recipes/broken\.yaml is not YAML"):
        recipes.apply("broken", [])
    Path("params.yaml").write_text("nothing")
    with pytest.raises(ValueError, match=r"params\.yaml: sections were expected, got 'nothing'"):
        recipes.apply("photos", [])


def test_the_command_prints_what_has_changed_or_one_line(folder):
    output = execute("python", "-m", "heldout", "recipe", "photos", cwd=folder).stdout
    assert "model.architecture: cnn -> resnet\n" in output
    again = execute("python", "-m", "heldout", "recipe", "photos", cwd=folder).stdout
    assert again == "params.yaml holds the values of photos already\n"
    line = execute("python", "-m", "heldout", "recipe", "nets", cwd=folder, expect=1).stdout
    assert line == f"heldout: there is no recipe 'nets' in recipes/: expected {', '.join(NAMES)}\n"
