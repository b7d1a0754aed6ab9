"""The schemas of params.yaml's sections, read from the source of their functions: importing those takes TensorFlow."""

import ast
import importlib
import typing
from functools import cache
from pathlib import Path
from typing import Any

import annotated_types
import pydantic

from heldout.commands import graph
from heldout.core import params

PACKAGE = Path(__file__).resolve().parents[1]
KNOWN = {**vars(typing), "Field": pydantic.Field, "Len": annotated_types.Len}


def load(stages_folder: Path) -> dict[str, dict[str, Any]]:
    """For each section of params.yaml its keys, each with the annotation that checks its value."""
    return {name: _schema(*function) for name, function in graph.section_functions(stages_folder).items()}


def _schema(module: str, function: str) -> dict[str, Any]:
    """What `params.schema` gives for the imported function."""
    names = _constants(module)
    definitions = [node for node in _parse(module).body if isinstance(node, ast.FunctionDef)]
    definition = next(node for node in definitions if node.name == function)
    try:
        return {argument.arg: _value(argument.annotation, names) for argument in definition.args.kwonlyargs}
    except NameError:  # an annotation that is no constant of our modules, none of which needs TensorFlow
        return params.schema(getattr(importlib.import_module(module), function))


def _constants(module: str) -> dict[str, Any]:
    """The constants of a module of ours that follow from KNOWN, also those that it imports from another one."""
    names = dict(KNOWN)
    for node in _parse(module).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{PACKAGE.name}.") and _path(node.module):
            others = _constants(str(node.module))
            names |= {alias.name: others[alias.name] for alias in node.names if alias.name in others}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                names[node.targets[0].id] = _value(node.value, names)
            except NameError:
                continue  # a constant of other things, which no annotation uses
    return names


@cache
def _parse(module: str) -> ast.Module:
    return ast.parse(_path(module).read_text(encoding="utf-8"))  # type: ignore[union-attr]


def _path(module: str | None) -> Path | None:
    """The file of a module of ours; None for a package."""
    path = PACKAGE.joinpath(*str(module).split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _value(node: ast.expr | None, names: dict[str, Any]) -> Any:
    return eval(ast.unparse(node), dict(names)) if node else Any
