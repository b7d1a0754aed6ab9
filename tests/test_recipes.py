"""Recipes: their values are known and allowed, and params.yaml keeps its comments and everything else."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, execute

from heldout import augment, images, models, params, recipes, training

CHECKED = {"preprocess": images.prepare, "augment": augment.batch, "model": models.build, "train": training.fit}
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    return tmp_path


def values() -> dict:
    return yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_changes_its_values_alone_and_keeps_comments(folder, name):
    before, text = values(), Path("params.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(Path(f"recipes/{name}.yaml").read_text(encoding="utf-8"))
    said = recipes.apply(name, [])
    for section, changed in recipe.items():
        before[section] |= changed
        assert params.section(section, CHECKED[section]) == before[section]
    assert values() == before
    comments = re.findall(r"#.*", text)
    assert re.findall(r"#.*", Path("params.yaml").read_text(encoding="utf-8")) == comments and len(comments) > 50
    assert any(line.startswith("model.family: cnn -> ") for line in said)
    written = Path("params.yaml").read_bytes()
    assert recipes.apply(name, []) == []
    assert Path("params.yaml").read_bytes() == written


def test_values_beside_a_recipe(folder):
    said = recipes.apply(
        "photos", ["data.dir=data/raw", "preprocess.image_size=[96, 64]", "train.clip_norm=1.5", "seed=3"]
    )
    assert "data.dir: data/sample -> data/raw" in said and "seed: 0 -> 3" in said
    found = values()
    assert found["data"]["dir"] == "data/raw" and found["train"]["clip_norm"] == 1.5
    assert found["preprocess"]["image_size"] == [96, 64] and found["seed"] == 3


def test_a_recipe_may_hold_the_seed(folder):
    Path("recipes/other.yaml").write_text("seed: 7\ntrain:\n  epochs: 2\n")
    assert recipes.apply("other", [])[0] == "seed: 0 -> 7"
    assert values()["seed"] == 7 and values()["train"]["epochs"] == 2


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("photo", [], r"there is no recipe 'photo' in recipes/: expected photos"),
        ("photos", ["train.epoch=3"], r"params.yaml has no value train\.epoch: expected a key that it has, such as"),
        ("photos", ["epochs=3"], r"params.yaml has no value epochs: expected"),
        ("photos", ["train=3"], r"params.yaml has no value train: expected"),
        ("photos", ["seed.low=3"], r"params.yaml has no value seed\.low: expected"),
        ("photos", ["train.epochs=["], r"train\.epochs=\[ has a value that is not YAML"),
        ("photos", ["train.epochs"], r"train\.epochs has no value: expected SECTION\.KEY=VALUE"),
    ],
)
def test_what_is_not_known_changes_nothing(folder, name, settings, line):
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


def test_the_command_says_what_has_changed_or_one_line(folder):
    said = execute("python", "-m", "heldout", "recipe", "photos", cwd=folder).stdout
    assert "model.family: cnn -> resnet\n" in said
    again = execute("python", "-m", "heldout", "recipe", "photos", cwd=folder).stdout
    assert again == "params.yaml holds the values of photos already\n"
    line = execute("python", "-m", "heldout", "recipe", "nets", cwd=folder, expect=1).stdout
    assert line == "heldout: there is no recipe 'nets' in recipes/: expected photos\n"
