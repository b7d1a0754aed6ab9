"""A search space: keys of params.yaml with the values or the range to try."""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

DIGITS = 4  # significant ones of a real number, which people read in params.yaml
MUTATION = 0.2  # standard deviation of a range's mutation, as a part of the range


class Choice(NamedTuple):
    """Values to choose from, of any type that YAML has; `when`: {key: those of its values that a trial with this key
    has}."""

    values: list[Any]
    when: Mapping[str, list[Any]] = MappingProxyType({})

    def at(self, position: float) -> Any:
        """The value at a position in [0, 1)."""
        return self.values[int(position * len(self.values))]

    def mutate(self, value: Any, rng: np.random.Generator) -> Any:
        """Another of the values."""
        others = [other for other in self.values if other != value]
        return others[rng.integers(len(others))] if others else value


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included: integers, `step` apart, or real numbers; `log`: evenly by ratio;
    `when` as in `Choice`."""

    low: float
    high: float
    step: int
    log: bool
    integer: bool
    when: Mapping[str, list[Any]] = MappingProxyType({})

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


def merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """params.yaml with other values, {"SECTION.KEY": value}."""
    result = dict(base)
    for name, value in values.items():
        section, _, key = name.partition(".")
        result[section] = result[section] | {key: value}
    return result


def text(space: Space) -> dict[str, Any]:
    """The space as JSON holds it: what makes it another."""
    return {
        name: {field: value for field, value in entry._asdict().items() if field != "when" or value}
        for name, entry in sorted(space.items())
    }


def same_values(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two trials have the same values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def varies(entry: Choice | Range) -> bool:
    """Whether there is more than one value to try."""
    return isinstance(entry, Range) or len(entry.values) > 1
