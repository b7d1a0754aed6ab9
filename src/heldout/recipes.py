"""Recipes: values that go well together, put into params.yaml with its comments kept."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from heldout import atomic, params

FOLDER = "recipes"


def apply(name: str, settings: list[str], path: str | Path = "params.yaml", folder: str | Path = FOLDER) -> list[str]:
    """Put the values of a recipe, then those of `settings`, into params.yaml.

    Args:
        name: of a file in `folder`, without its .yaml.
        settings: more values, each SECTION.KEY=VALUE with the value in YAML.
        path: params.yaml.
        folder: of the recipes.

    Returns:
        A line for each value that has changed: old and new.

    Raises:
        ValueError: where the recipe, or a section or key, is not known.
    """
    known = sorted(file.stem for file in Path(folder).glob("*.yaml"))
    if name not in known:
        raise ValueError(f"there is no recipe {name!r} in {folder}/: expected {', '.join(known) or 'one'}")
    recipe = params.load(Path(folder, f"{name}.yaml"))
    params.load(path)  # says what is wrong with it, if anything
    round_trip = YAML()
    round_trip.preserve_quotes, round_trip.width = True, 4096
    sections = round_trip.load(Path(path).read_text(encoding="utf-8"))
    changed = []
    for section, key, value in [*_values(recipe), *map(_parsed, settings)]:
        if not isinstance(sections.get(section), dict) or key not in sections[section]:
            raise ValueError(f"{path} has no {section}.{key}: expected SECTION.KEY=VALUE with a key that it has")
        old = sections[section][key]
        if old != value:
            changed.append(f"{section}.{key}: {old} -> {value}")
        if isinstance(old, list) and isinstance(value, list):
            old[:] = value  # the same list, which is written as [1, 2]
        else:
            sections[section][key] = value
    text = io.StringIO()
    round_trip.dump(sections, text)
    atomic.write_text(path, text.getvalue())
    return changed


def _values(recipe: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    for section, values in recipe.items():
        for key, value in values.items():
            yield section, key, value


def _parsed(setting: str) -> tuple[str, str, Any]:
    name, equals, value = setting.partition("=")
    section, _, key = name.partition(".")
    if not equals:
        raise ValueError(f"{setting} has no value: expected SECTION.KEY=VALUE")
    try:
        return section, key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"{setting} has a value that is not YAML: expected a number, a word or [a, list]") from error
