"""The schemas of params.yaml's sections, read from the source of their functions: importing those takes TensorFlow."""

import ast
import importlib
import typing
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
    source = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    names = dict(KNOWN)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                names[node.targets[0].id] = _value(node.value, names)
            except NameError:
                continue  # a constant of other things, which no annotation uses
    definition = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    try:
        return {argument.arg: _value(argument.annotation, names) for argument in definition.args.kwonlyargs}
    except NameError:  # an annotation from another module of ours, none of which needs TensorFlow
        return params.schema(getattr(importlib.import_module(module), function))


def _value(node: ast.expr | None, names: dict[str, Any]) -> Any:
    return eval(ast.unparse(node), dict(names)) if node else Any
