"""A search space: keys of params.yaml with the values or the range to try, every one checked before the first trial."""

import difflib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from heldout.core import params

# What a trial reads. The rest decides what data there are, what is tested, or what a result's digits depend on.
SECTIONS = ("augment", "modality_dropout", "model", "train", "optimizer", "schedule", "fine_tune")
FIXED = ("text", "transfer", "hardware")  # which a trial reads as they are
DIGITS = 4  # significant ones of a real number, which people read in params.yaml
MUTATION = 0.2  # standard deviation of a range's mutation, as a part of the range


class Choice(NamedTuple):
    """Values to choose from, of any type that YAML has."""

    values: list[Any]

    def at(self, position: float) -> Any:
        """The value at a position in [0, 1)."""
        return self.values[int(position * len(self.values))]

    def mutate(self, value: Any, rng: np.random.Generator) -> Any:
        """Another of the values."""
        others = [other for other in self.values if other != value]
        return others[rng.integers(len(others))] if others else value


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included: integers, `step` apart, or real numbers; `log`: evenly by ratio."""

    low: float
    high: float
    step: int
    log: bool
    integer: bool

    def at(self, position: float) -> float | int:
        """The value at a position in [0, 1)."""
        if self.integer and not self.log:
            return int(self.low) + self.step * int(position * ((self.high - self.low) // self.step + 1))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + position * (high - low)
        return self.rounded(math.exp(value) if self.log else value)

    def mutate(self, value: float, rng: np.random.Generator) -> float | int:
        """A value near this one: a normal step, reflected at the ends; another one where there is one."""
        low, high, here = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        if low == high:
            return value
        position = (here - low) / (high - low)
        for _ in range(100):  # most steps lead to another value at once
            moved = abs((position + rng.normal(0, MUTATION)) % 2)
            new = self.at(min(2 - moved if moved > 1 else moved, 1 - 1e-12))
            if new != value:
                return new
        return value

    def rounded(self, value: float) -> float | int:
        """As it is written into params.yaml."""
        if self.integer:
            return int(min(max(round(value), self.low), self.high))
        return float(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))


Space = dict[str, Choice | Range]


def read(path: str | Path, schemas: dict[str, dict[str, Any]], base: dict[str, Any]) -> Space:
    """The space of a file of `SECTION.KEY: [values]` or `SECTION.KEY: {low: ..., high: ..., log: ..., step: ...}`.

    Args:
        path: the file.
        schemas: the annotation of each key of each section.
        base: params.yaml, whose values the others keep.

    Raises:
        ValueError: where a key is not one that a search may vary, or a value is not what its section holds.
    """
    entries = params.load(path)
    if not entries:
        raise ValueError(f"{path} is empty: expected a line such as schedule.learning_rate: [0.001, 0.01]")
    return {name: _entry(str(name), entry, schemas, base, path) for name, entry in entries.items()}


def merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """params.yaml with other values, {"SECTION.KEY": value}."""
    result = dict(base)
    for name, value in values.items():
        section, _, key = name.partition(".")
        result[section] = result[section] | {key: value}
    return result


def text(space: Space) -> dict[str, Any]:
    """The space as JSON holds it: what makes it another."""
    return {name: entry._asdict() for name, entry in sorted(space.items())}


def same_values(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two trials have the same values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def varies(entry: Choice | Range) -> bool:
    """Whether there is more than one value to try."""
    return isinstance(entry, Range) or len(entry.values) > 1


def _entry(name: str, entry: Any, schemas: dict[str, Any], base: dict[str, Any], path: str | Path) -> Choice | Range:
    section, _, key = name.partition(".")
    if section not in SECTIONS:
        nearest = difflib.get_close_matches(section, SECTIONS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"expected one of {', '.join(SECTIONS)}"
        raise ValueError(f"{path}: {name} is not in a section that a search varies: {hint}")
    hints = schemas[section]
    if key not in hints:
        raise ValueError(f"{path}: {params.unknown_key(section, key, list(hints))}")
    result = _choice(name, entry, path) if isinstance(entry, list) else _range(name, entry, hints[key], path)
    for value in result.values if isinstance(result, Choice) else (result.low, result.high):
        params.check(section, base[section] | {key: value}, hints, path)
    return result


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
