"""Recipes: values that go well together, put into params.yaml with its comments kept."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from heldout.commands import schemas
from heldout.core import atomic, params

FOLDER = "recipes"


def apply(name: str, settings: list[str], path: str | Path = "params.yaml", folder: str | Path = FOLDER) -> list[str]:
    """Put the values of a recipe, then those of `settings`, into params.yaml, once they are checked as a stage would.

    Args:
        name: of a file in `folder`, without its .yaml.
        settings: more values, each SECTION.KEY=VALUE, or KEY=VALUE at the top level, with the value in YAML.
        path: params.yaml.
        folder: of the recipes.

    Returns:
        A line for each value that has changed: old and new.

    Raises:
        ValueError: where the recipe, or a key, is not known, or a value is not what its section holds.
    """
    known = sorted(file.stem for file in Path(folder).glob("*.yaml"))
    if name not in known:
        raise ValueError(
            f"there is no recipe {name!r} in {folder}/: expected {', '.join(known) or 'a file NAME.yaml there'}"
        )
    recipe = params.load(Path(folder, f"{name}.yaml"))
    return put([*_flat_items(recipe), *map(_parse_setting, settings)], path)


def put(values_by_name: list[tuple[str, Any]], path: str | Path = "params.yaml") -> list[str]:
    """Put values into params.yaml, with its comments kept, once they are checked as a stage would.

    Args:
        values_by_name: each with its key, SECTION.KEY or KEY at the top level.
        path: params.yaml.

    Returns:
        A line for each value that has changed: old and new.

    Raises:
        ValueError: where a key is not known, or a value is not what its section holds.
    """
    params.load(path)  # says what is wrong with it, if anything
    round_trip = YAML()
    round_trip.preserve_quotes, round_trip.width = True, 4096
    sections = round_trip.load(Path(path).read_text(encoding="utf-8"))
    changed = []
    for dotted, value in values_by_name:
        section, dot, key = dotted.rpartition(".")
        values = sections.get(section) if dot else sections
        if not isinstance(values, dict) or key not in values or isinstance(values[key], dict):
            renamed = f": {dotted} is {params.RENAMED[dotted]} since {params.SINCE}" if dotted in params.RENAMED else ""
            raise ValueError(
                f"{path} has no value {dotted}{renamed}: expected a key that it has, such as train.epochs=10 or seed=1"
            )
        old = values[key]
        if old != value:
            changed.append(f"{dotted}: {old} -> {value}")
        if isinstance(old, list) and isinstance(value, list):
            old[:] = value  # the same list, which is written as [1, 2]
        else:
            values[key] = value
    text = io.StringIO()
    round_trip.dump(sections, text)
    _check(yaml.safe_load(text.getvalue()), {name.partition(".")[0] for name, _ in values_by_name}, path)
    atomic.write_text(path, text.getvalue())
    return changed


def _check(sections: dict[str, Any], names: set[str], path: str | Path) -> None:
    """Check the sections of these names, and what is no section, as the stages will."""
    known = schemas.load(Path("stages"))
    for name in sorted(names):
        if name in known:
            params.check(name, sections[name], known[name], path)
        elif not isinstance(sections[name], dict):  # a section that no stage reads is the doctor's to name
            params.check_scalar(name, sections[name], path)


def _flat_items(recipe: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, values in recipe.items():
        if isinstance(values, dict):
            yield from ((f"{section}.{key}", value) for key, value in values.items())
        else:
            yield section, values


def _parse_setting(setting: str) -> tuple[str, Any]:
    name, equals, value = setting.partition("=")
    if not equals:
        raise ValueError(f"{setting} has no value: expected SECTION.KEY=VALUE")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"{setting} has a value that is not YAML: expected a number, a word or [a, list]") from error
