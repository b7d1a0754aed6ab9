"""params.yaml and env.yaml: a section is one function's keyword arguments, a version is what must be installed."""

import difflib
import inspect
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_type_hints

import pydantic
import yaml


def section(name: str, function: Callable, path: str | Path = "params.yaml") -> dict[str, Any]:
    """The section `name` of params.yaml, checked as keyword arguments of `function`.

    The keyword-only parameters of the signature are the schema: names, types and ranges (pydantic's `Annotated`
    fields), and no default, so that params.yaml says everything.

    Raises:
        ValueError: where a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    values = load(path).get(name)
    if not isinstance(values, dict):
        raise ValueError(
            f"{path}: section {name!r} with keys was expected, got {values!r}: `git diff` shows what it was"
        )
    return _checked(name, values, function, path)


def scalar(name: str, path: str | Path = "params.yaml") -> int:
    """A value at the top level of params.yaml, such as `seed`.

    Raises:
        ValueError: where it is missing or no whole number.
    """
    value = load(path).get(name)
    if type(value) is not int:
        raise ValueError(f"{path}: {name} is {value!r}: expected a whole number")
    return value


def installed(*names: str, path: str | Path = "env.yaml") -> None:
    """Check that these distributions are installed in the version that env.yaml, a tracked input, says.

    Raises:
        ValueError: where one is not: the run-cache would file its results under the wrong version.
    """
    wanted = load(path)
    for name in names:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "nothing"
        if found != wanted[name]:
            raise ValueError(
                f"{path} says {name} {wanted[name]}, installed is {found}: "
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


def _checked(name: str, values: dict[str, Any], function: Callable, path: str | Path) -> dict[str, Any]:
    hints = get_type_hints(function, include_extras=True)
    keys = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for key in values:
        if key not in keys:
            close = difflib.get_close_matches(str(key), keys, n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(keys)}"
            raise ValueError(f"{path}: {name}.{key} is not known: {hint}")
    config = pydantic.ConfigDict(strict=True, extra="forbid", protected_namespaces=())
    fields: dict[str, Any] = {key: (hints[key], ...) for key in keys}
    schema = pydantic.create_model(name, __config__=config, **fields)
    try:
        schema(**values)
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {_words(name, error.errors()[0])}") from error
    return values


def _words(name: str, problem: Any) -> str:
    """One of pydantic's problems as a clear line: the key, what came, what was expected."""
    where = ".".join([name, *map(str, problem["loc"])])
    if problem["type"] == "missing":
        return f"{where} is missing: `git diff` shows what it was"
    got = problem["input"]
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    line = f"{where} is {got!r}: expected {expected}"
    if isinstance(got, str) and _is_number(got):
        line += f"; YAML reads {got} as text, write {float(got):.15f}".rstrip("0").rstrip(".")
    return line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
