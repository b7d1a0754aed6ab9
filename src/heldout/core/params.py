"""params.yaml and env.yaml: a section is one function's keyword arguments, a version is what must be installed."""

import difflib
import inspect
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_type_hints

import pydantic
import yaml

# What had another name before 0.2, and values that did. `heldout doctor` and every stage name the new one.
RENAMED = {
    "preprocess.pad_colour": "preprocess.pad_color",
    "augment.fill": "augment.fill_mode",
    "augment.erasing": "augment.random_erasing",
    "augment.rand_augment": "augment.rand_augment_ops",
    "augment.magnitude": "augment.rand_augment_magnitude",
    "model.family": "model.architecture",
    "train.accumulate": "train.gradient_accumulation_steps",
    "train.optimizer": "optimizer.name",
    "train.momentum": "optimizer.momentum",
    "train.nesterov": "optimizer.nesterov",
    "train.weight_decay": "optimizer.weight_decay",
    "train.clip_norm": "optimizer.global_clipnorm",
    "train.ema": "optimizer.ema_momentum",
    "train.schedule": "schedule.name",
    "train.learning_rate": "schedule.learning_rate",
    "train.warmup_epochs": "schedule.warmup_epochs",
    "train.decay_epochs": "schedule.decay_epochs",
    "train.decay_factor": "schedule.decay_factor",
    "train.fine_tune_epochs": "fine_tune.epochs",
    "train.fine_tune_layers": "fine_tune.layers",
    "train.fine_tune_rate": "fine_tune.learning_rate",
    "train.strategy": "hardware.strategy",
    "train.precision": "hardware.precision",
    "train.threads": "hardware.intra_op_threads",
    "train.portable": "hardware.max_cpu_isa",
    "train.deterministic": "hardware.deterministic",
}
RENAMED_VALUES = {
    ("split.method", "stable"): "hash",
    ("split.method", "quota"): "stratified",
    ("hardware.strategy", "one"): "single",
    ("hardware.max_cpu_isa", True): "avx2",
    ("hardware.max_cpu_isa", False): "default",
}
SINCE = "0.2"


def section(name: str, function: Callable, path: str | Path = "params.yaml") -> dict[str, Any]:
    """The section `name` of params.yaml, checked as keyword arguments of `function`.

    The keyword-only parameters of the signature are the schema: names, types and ranges (pydantic's `Annotated`
    fields), and no default, so that params.yaml says everything.

    Raises:
        ValueError: where a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    values: Any = load(path).get(name)
    check(name, values, schema(function), path)
    return values


def schema(function: Callable) -> dict[str, Any]:
    """The section that a function reads: each keyword-only parameter, with its annotation."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: hints[parameter.name] for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    }


def scalar(name: str, path: str | Path = "params.yaml") -> int:
    """A value at the top level of params.yaml, such as `seed`.

    Raises:
        ValueError: where it is missing or no integer.
    """
    return check_scalar(name, load(path).get(name), path)


def check_scalar(name: str, value: Any, path: str | Path = "params.yaml") -> int:
    """The value that is called `name` at the top level, once it is checked, as `scalar` does."""
    if type(value) is not int:
        raise ValueError(f"{path}: {name} is {value!r}: expected an integer")
    return value


def check_versions(*names: str, path: str | Path = "env.yaml") -> None:
    """Check that these distributions are installed in the version that env.yaml, a tracked input, says.

    Raises:
        ValueError: where one is not: the run-cache would file its results under the wrong version.
    """
    expected = load(path)
    for name in names:
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "nothing"
        if installed != expected[name]:
            raise ValueError(
                f"{path} says {name} {expected[name]}, installed is {installed}: "
                "run `make setup` to install what it says, or `make lock` to accept newer versions"
            )


def load(path: str | Path) -> dict[str, Any]:
    """A YAML file of sections.

    Raises:
        ValueError: where it is no YAML, or none of sections.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: sections were expected, got {values!r}")
    return values


def unknown_key(name: str, key: str, keys: list[str]) -> str:
    """What to say of a key that its section does not have: its new name, else the nearest."""
    if new := RENAMED.get(f"{name}.{key}"):
        return f"{name}.{key} is {new} since {SINCE}: move its value there (docs/updating.md)"
    nearest = difflib.get_close_matches(key, keys, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"expected {', '.join(keys)}"
    return f"{name}.{key} is not known: {hint}"


def check(name: str, values: Any, hints: dict[str, Any], path: str | Path = "params.yaml") -> None:
    """Check the values of a section.

    Args:
        name: the section's.
        values: what it holds.
        hints: of `schema`.
        path: the file that an error names.

    Raises:
        ValueError: where a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: section {name!r} with keys was expected, got {values!r}: `git diff` shows what it was"
        )
    for key in values:
        if key not in hints:
            raise ValueError(f"{path}: {unknown_key(name, str(key), list(hints))}")
    config = pydantic.ConfigDict(strict=True, extra="forbid", protected_namespaces=())
    fields: dict[str, Any] = {key: (hint, ...) for key, hint in hints.items()}
    try:
        pydantic.create_model(name, __config__=config, **fields)(**values)
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {_problem_line(name, error.errors()[0])}") from error


def _problem_line(name: str, problem: Any) -> str:
    """One of pydantic's problems as a clear line: the key, what came, what was expected."""
    key = ".".join([name, *map(str, problem["loc"])])
    if problem["type"] == "missing":
        return f"{key} is missing: `git diff` shows what it was"
    value = problem["input"]
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    line = f"{key} is {value!r}: expected {expected}"
    if isinstance(value, str | bool) and (new := RENAMED_VALUES.get((key, value))):
        line += f"; {value!r} is {new} since {SINCE}"
    if isinstance(value, str) and _is_number(value):
        line += f"; YAML reads {value} as text, write {float(value):.15f}".rstrip("0").rstrip(".")
    return line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
