"""Code as an input: what moves a stage's digest and what does not, and that every Python finds the same one."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from heldout.core import code

ORIGINAL = '''"""A module."""

import os
from pathlib import Path, PurePath

LIMIT = 3  # a comment


def area(width: int, height: int = 2) -> int:
    """Multiply."""
    return width * height


class Box:
    """A box."""

    side = "a" "b"
'''
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem not in ("__init__", "code"))


def digest(tmp_path: Path, text: str) -> str:
    path = tmp_path / f"{hashlib.md5(text.encode()).hexdigest()}.py"
    path.write_text(text, encoding="utf-8")
    return code.file_digest(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""Multiply."""\n    return', "return"),
        ('"""A module."""\n', '"""A module.\n\nMore.\n"""\n'),
        ('    """A box."""\n\n', ""),
        ("width * height", "(\n        width\n        * height\n    )"),
        ('"a" "b"', "'ab'"),
        ("import os\nfrom pathlib import Path, PurePath", "from pathlib import PurePath, Path\nimport os"),
        ("from pathlib import Path, PurePath", "from pathlib import Path\nfrom pathlib import PurePath"),
        ("\n\n\ndef", "\n\ndef"),
    ],
)
def test_what_computes_nothing_moves_no_digest(tmp_path, old, new):
    assert old in ORIGINAL
    assert digest(tmp_path, ORIGINAL.replace(old, new)) == digest(tmp_path, ORIGINAL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", "LIMIT = True"),
        ("height: int = 2", "height: int = 3"),
        ("width: int", "width: float"),  # annotations are the schema of params.yaml
        ("width * height", "height * width"),
        ('"a" "b"', 'b"ab"'),
        ("import os\n", "import os as system\n"),
        ("from pathlib import Path, PurePath", "from pathlib import Path"),
        ("    return width * height", '    "no docstring"\n    return width * height'),
    ],
)
def test_what_computes_something_else_moves_the_digest(tmp_path, old, new):
    assert old in ORIGINAL
    assert digest(tmp_path, ORIGINAL.replace(old, new)) != digest(tmp_path, ORIGINAL)


def copied_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code in which stage_digest looks."""
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    monkeypatch.setattr(code, "SOURCE", tmp_path / "src")
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "src/heldout")
    return tmp_path


def digests(tree: Path) -> dict[str, str]:
    for function in (code.imports, code.file_digest, code._tree):
        function.cache_clear()
    return {name: code.stage_digest(tree / "stages" / f"{name}.py") for name in STAGES}


def remember_unchanged_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `digests` parse a file again only where its bytes are others: of a hundred files one is edited at a time."""
    for name in ("imports", "file_digest"):
        monkeypatch.setattr(code, name, by_content(getattr(code, name).__wrapped__))


def by_content(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """A function of a file that is called once for the same path and bytes; `cache_clear` has it look at them again."""
    results: dict[tuple[Path, bytes], Any] = {}

    @cache
    def read(file: Path) -> Any:
        key = file, file.read_bytes()
        if key not in results:
            code._tree.cache_clear()
            results[key] = function(file)
        return results[key]

    return read


def test_a_copy_elsewhere_has_the_same_digests(tmp_path, monkeypatch):
    expected = digests(ROOT)
    assert digests(copied_tree(tmp_path / "else where", monkeypatch)) == expected


def test_comments_everywhere_move_no_digest(tmp_path, monkeypatch):
    tree = copied_tree(tmp_path, monkeypatch)
    before = digests(tree)
    assert len(set(before.values())) == len(STAGES)
    for module in tree.rglob("*.py"):
        module.write_text(f"# a comment\n{module.read_text(encoding='utf-8')}\n# another\n", encoding="utf-8")
    assert digests(tree) == before


def test_the_smallest_edit_of_every_module_moves_exactly_the_stages_that_import_it(tmp_path, monkeypatch):
    tree = copied_tree(tmp_path, monkeypatch)
    remember_unchanged_files(monkeypatch)
    before = digests(tree)
    closures = {name: code.closure(tree / "stages" / f"{name}.py") for name in STAGES}
    modules = sorted(tree.rglob("*.py"))
    assert len(modules) > 50
    for module in modules:
        text = module.read_text(encoding="utf-8")
        module.write_text(f"{text}\nEDIT = 1\n", encoding="utf-8")
        moved = {name for name, value in digests(tree).items() if value != before[name]}
        assert moved == {name for name in STAGES if module in closures[name]}, module
        module.write_text(text, encoding="utf-8")
    assert digests(tree) == before


def test_a_relative_import_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("from . import b\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.py line 1 has a relative import: expected `from heldout\. \.\.\.`"):
        code.closure(tmp_path / "a.py")


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_every_python_finds_the_same_digests(tmp_path, minor):
    """The digest reads syntax trees, whose nodes have more fields in later Pythons."""
    python = next((path for path in pythons(minor) if works(path)), None)
    if not python:
        pytest.skip(f"no Python 3.{minor} on this machine")
    (tmp_path / "yaml.py").write_text("")  # all that core/code.py needs beside the standard library
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT / 'src')!r}]\n"
    script += "from pathlib import Path; from heldout.core import code\n"
    script += f"print(*[code.stage_digest(Path({str(ROOT / 'stages')!r}, name + '.py')) for name in {STAGES}])"
    result = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert result == list(digests(ROOT).values())


def pythons(minor: int) -> list[str]:
    own = shutil.which(f"python3.{minor}")
    managed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
    return [*([own] if own else []), *map(str, managed)]


def works(python: str) -> bool:
    return subprocess.run([python, "--version"], capture_output=True).returncode == 0


def test_the_stage_refuses_code_that_code_yaml_does_not_hold(tmp_path):
    script = ROOT / "stages/train.py"
    own = tmp_path / "code.yaml"
    own.write_text(f"train: {code.stage_digest(script)}\n", encoding="utf-8")
    assert code.check(str(script), own) == code.stage_digest(script)
    line = "the code of the stage train is not the one that .*code.yaml holds: run `dvc repro`, which writes"
    for text in ("train: 0\n", "", "evaluate: 1\n"):
        own.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=line):
            code.check(str(script), own)
    own.unlink()
    with pytest.raises(ValueError, match=line):
        code.check(str(script), own)
