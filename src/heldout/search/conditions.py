"""Keys of a space that are there in some trials alone: those in which others have the values that they wait for."""

import difflib
import json
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from heldout.search.space import Choice, Space


def order(space: Space) -> list[str]:
    """The keys by name, each after those that it waits for.

    Raises:
        ValueError: where keys wait for each other.
    """
    sorter = TopologicalSorter({name: sorted(space[name].when) for name in sorted(space)})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ValueError(f"{' waits for '.join(reversed(error.args[1]))}: keys wait for each other") from None
    names: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        names += ready
        sorter.done(*ready)
    return names


def is_active(space: Space, name: str, values: dict[str, Any]) -> bool:
    """Whether a trial has a key, by the values of those before it."""
    return all(key in values and values[key] in wanted for key, wanted in space[name].when.items())


def resolve(space: Space, choose: Callable[[str], Any]) -> dict[str, Any]:
    """A trial's values: {"SECTION.KEY": value}, of the keys that it has, in the order of their names.

    Args:
        space: what to choose from.
        choose: gives a key's value; asked for the keys that the trial has alone, each after those that it waits for.
    """
    values: dict[str, Any] = {}
    for name in order(space):
        if is_active(space, name, values):
            values[name] = choose(name)
    return dict(sorted(values.items()))


def check(space: Space, path: str | Path) -> None:
    """That every key waits for values that another one can have.

    Raises:
        ValueError: where that is not so.
    """
    for name, entry in sorted(space.items()):
        for key, wanted in entry.when.items():
            other = space.get(key)
            if not isinstance(other, Choice):
                nearest = difflib.get_close_matches(key, [name for name in space if isinstance(space[name], Choice)], 1)
                hint = f": did you mean {nearest[0]}?" if nearest else ""
                raise ValueError(f"{path}: {name} waits for {key}, which has no list of values here{hint}")
            unknown = [value for value in wanted if value not in other.values]
            if unknown or not wanted:
                raise ValueError(
                    f"{path}: {name} waits until {key} is {json.dumps(unknown[0] if unknown else wanted)}: "
                    f"expected one or more of its values here, {json.dumps(other.values)}"
                )
    try:
        order(space)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
