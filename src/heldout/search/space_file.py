"""The file of a search space, every key, value and condition of which is checked before the first trial."""

import difflib
import json
from pathlib import Path
from typing import Any, get_args

from heldout.core import params
from heldout.search import conditions
from heldout.search.space import Choice, Range, Space

# What a trial reads. The rest decides what data there are, what is tested, or what a result's digits depend on.
SECTIONS = ("augment", "modality_dropout", "model", "train", "optimizer", "schedule", "fine_tune")
FIXED = ("text", "transfer", "hardware")  # which a trial reads as they are


def read(path: str | Path, schemas: dict[str, dict[str, Any]], base: dict[str, Any]) -> Space:
    """The space of a file of `SECTION.KEY: [values]` or `SECTION.KEY: {low: ..., high: ..., log: ..., step: ...}`.

    `when: {SECTION.KEY: value or values}` beside `low` or `values` gives the key to the trials that have those alone.

    Args:
        path: the file.
        schemas: the annotation of each key of each section.
        base: params.yaml, whose values the others keep.

    Raises:
        ValueError: where a key is not one that a search may vary, a value is not what its section holds, or a
            condition cannot be met.
    """
    entries = params.load(path)
    if not entries:
        raise ValueError(f"{path} is empty: expected a line such as schedule.learning_rate: [0.001, 0.01]")
    space = {str(name): _entry(str(name), entry, schemas, base, path) for name, entry in entries.items()}
    conditions.check(space, path)
    return space


def _entry(name: str, entry: Any, schemas: dict[str, Any], base: dict[str, Any], path: str | Path) -> Choice | Range:
    section, _, key = name.partition(".")
    if section not in SECTIONS:
        nearest = difflib.get_close_matches(section, SECTIONS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"expected one of {', '.join(SECTIONS)}"
        raise ValueError(f"{path}: {name} is not in a section that a search varies: {hint}")
    hints = schemas[section]
    if key not in hints:
        raise ValueError(f"{path}: {params.unknown_key(section, key, list(hints))}")
    entry, when = _condition(name, entry, path)
    result = _choice(name, entry, path) if isinstance(entry, list) else _range(name, entry, hints[key], path)
    result = result._replace(when=when)
    for value in result.values if isinstance(result, Choice) else (result.low, result.high):
        params.check(section, base[section] | {key: value}, hints, path)
    return result


def _condition(name: str, entry: Any, path: str | Path) -> tuple[Any, dict[str, list[Any]]]:
    """An entry without its condition, {values: [...]} as the list alone; and the condition."""
    if not isinstance(entry, dict):
        return entry, {}
    when = entry.get("when", {})
    if not isinstance(when, dict):
        raise ValueError(f"{path}: {name} has when: {when!r}: expected {{SECTION.KEY: value, or a list of values}}")
    rest = {key: value for key, value in entry.items() if key != "when"}
    wanted = {str(key): value if isinstance(value, list) else [value] for key, value in when.items()}
    return rest["values"] if list(rest) == ["values"] else rest, wanted


def _choice(name: str, values: list[Any], path: str | Path) -> Choice:
    if len({json.dumps(value) for value in values}) < max(len(values), 1):
        raise ValueError(f"{path}: {name} is {values!r}: expected a list of different values")
    return Choice(values)


def _range(name: str, entry: Any, hint: Any, path: str | Path) -> Range:
    kind = (get_args(hint) or (hint,))[0]
    expected = "expected a list of values"
    if kind in (int, float):
        expected += (
            f", or {{low: ..., high: ...}} with {'integers' if kind is int else 'numbers'}, low below high, and "
        )
        expected += "log: true (low above 0)" + (" or step: N" if kind is int else "")
    numbers = (int,) if kind is int else (int, float)
    known = {"low", "high", "log"} | ({"step"} if kind is int else set())
    if kind not in (int, float) or not isinstance(entry, dict) or not {"low", "high"} <= set(entry) <= known:
        raise ValueError(f"{path}: {name} is {entry!r}: {expected}")
    low, high, log, step = entry["low"], entry["high"], entry.get("log", False), entry.get("step", 1)
    valid = all(type(value) in numbers for value in (low, high)) and type(log) is bool and type(step) is int
    if not valid or low >= high or (log and (low <= 0 or step != 1)) or step < 1:
        raise ValueError(f"{path}: {name} is {entry!r}: {expected}")
    if kind is int and not log:
        high = low + (high - low) // step * step
    return Range(kind(low), kind(high), step, log, kind is int)
