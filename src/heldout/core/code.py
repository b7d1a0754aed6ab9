"""Code as an input: a stage's digest, which comments, docstrings, formatting and the order of imports do not move.

DVC does not follow imports (treeverse/dvc#9195). So the stage `code` writes a digest a stage, of its script and all
that this imports, into code.yaml, and every other stage lists its own line there as a param.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).resolve().parents[2]
PACKAGE = SOURCE / "heldout"
CODE_YAML = "code.yaml"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def check(script: str, path: str | Path = CODE_YAML) -> str:
    """The digest of the stage whose script this is, once it is found to be the one that code.yaml holds.

    Args:
        script: the stage's own `__file__`.
        path: code.yaml.

    Raises:
        ValueError: where it is another: DVC would file the results under code that did not make them.
    """
    name, file = Path(script).stem, Path(path)
    digests = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    digest = stage_digest(Path(script))
    if not isinstance(digests, dict) or digests.get(name) != digest:
        raise ValueError(
            f"the code of the stage {name} is not the one that {path} holds: run `dvc repro`, which writes {path} first"
        )
    return digest


def stage_digest(script: Path) -> str:
    """The md5 of a script and of every file of the package that it imports, at any depth, path by path."""
    script = script.resolve()
    digest = hashlib.md5(usedforsecurity=False)
    for file in sorted(closure(script), key=lambda file: _name(file, script)):
        digest.update(f"{_name(file, script)} {file_digest(file)}\n".encode())
    return digest.hexdigest()


def closure(script: Path) -> frozenset[Path]:
    """A script, the `__init__.py` beside it, and everything inside the package that they import, at any depth.

    Raises:
        ValueError: where one of them uses a relative import, which would hide what is imported.
    """
    script = script.resolve()
    files: set[Path] = set()
    pending = [file for file in (script, script.with_name("__init__.py")) if file.is_file()]
    while pending:
        file = pending.pop()
        if file not in files:
            files.add(file)
            pending += imports(file)
    return frozenset(files)


@cache
def imports(file: Path) -> frozenset[Path]:
    """The files of the package that a file imports, wherever in it the import stands."""
    modules: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(
                    f"{file} line {node.lineno} has a relative import: expected `from {PACKAGE.name}. ...`"
                )
            modules |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    files: set[Path] = set()
    for module in modules:
        parts = module.split(".")
        if parts[0] == PACKAGE.name:
            # Python runs the `__init__.py` of each package on the way.
            packages = [SOURCE.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
            files |= {path for path in (*packages, SOURCE.joinpath(*parts).with_suffix(".py")) if path.is_file()}
    return frozenset(files)


@cache
def file_digest(file: Path) -> str:
    """The md5 of what a file's syntax tree says, without docstrings and positions, its imports in one order."""
    return hashlib.md5("".join(_dump(_tree(file))).encode(), usedforsecurity=False).hexdigest()


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def _name(file: Path, script: Path) -> str:
    """A path that is the same in every clone: below the package, or beside the script."""
    return file.relative_to(SOURCE if file.is_relative_to(PACKAGE) else script.parent).as_posix()


def _dump(value: Any) -> Iterator[str]:
    """A canonical text of a syntax tree.

    Fields that are empty are left out: Python 3.12 has some that 3.11 lacks (`type_params`), and they are empty
    wherever the code runs on 3.11 as well. `kind` tells u"" from "", no more.
    """
    if isinstance(value, ast.AST):
        yield f"{type(value).__name__}("
        for field in sorted(value._fields):
            item = getattr(value, field, None)
            if field == "body" and isinstance(item, list):
                item = _body(value, item)
            if field != "kind" and item not in (None, []):
                yield f"{field}="
                yield from _dump(item)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _dump(item)
            yield ","
        yield "]"
    else:
        yield ascii(value)  # repr would show a character or escape it as Python's Unicode tables know it or not


def _body(node: ast.AST, statements: list[Any]) -> list[Any]:
    """The statements without a docstring; each unbroken run of imports, a name an import, in order."""
    first = statements[0] if statements else None
    if isinstance(node, DOCUMENTED) and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        statements = statements[1:] if isinstance(first.value.value, str) else statements
    result: list[Any] = []
    run: list[tuple[str, ...]] = []
    for statement in statements:
        if isinstance(statement, ast.Import):
            run += [("import", alias.name, alias.asname or "") for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            run += [("from", str(statement.module), alias.name, alias.asname or "") for alias in statement.names]
        else:
            result += [*sorted(run), statement]
            run = []
    return result + sorted(run)
