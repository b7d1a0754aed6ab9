"""The rooms of src/heldout: which may import which, who may import TensorFlow, and packages that import nothing."""

import ast
from pathlib import Path

import pytest

from heldout.core import code

# A room imports itself and those of the rows above its own; `stages` and `commands` import all.
ROWS = [
    ["core"],
    ["data", "augmentation", "networks"],
    ["training", "evaluation"],
    ["export"],
    ["compare"],
    ["search"],
    ["commands"],
]
ABOVE = {
    room: {lower for earlier in ROWS[:row] for lower in earlier} for row, rooms in enumerate(ROWS) for room in rooms
}
TENSORFLOW = ("networks/", "training/", "export/", "evaluation/predictions.py", "evaluation/saliency.py")
MODULES = sorted(code.PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(code.PACKAGE).parts[0]


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.relative_to(code.PACKAGE).as_posix())
def test_arrows_and_tensorflow(file):
    name, tree = file.relative_to(code.PACKAGE).as_posix(), ast.parse(file.read_text(encoding="utf-8"))
    if name == "__init__.py":  # `heldout.predict` is imported on demand, and is in no stage's closure
        assert not code.imports(file)
        assert [node.module for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)] == ["typing"]
        return
    if file.name == "__init__.py":
        assert [type(node) for node in tree.body] == [ast.Expr] and ast.get_docstring(tree)
        return
    if name == "command_line.py":  # what the commands are called, without any of them
        assert not code.imports(file) - {file.with_name("__init__.py")}
    elif name != "__main__.py":
        rooms = {room_of(imported) for imported in code.imports(file)} - {"__init__.py"}
        assert rooms <= ABOVE[room_of(file)] | {room_of(file)}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    roots = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    roots |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not roots & {"tensorflow", "keras"} or name.startswith(TENSORFLOW)
    # What code.closure cannot follow; `commands` is in no stage.
    assert "importlib" not in {alias.name for node in nodes for alias in node.names} or room_of(file) == "commands"


def test_a_room_has_fifteen_files_at_most():
    for folder in {file.parent for file in MODULES}:
        assert len(list(folder.glob("*.py"))) <= 16, folder  # with __init__.py
