"""The Makefile in folders of any name, and in a clone that was moved or copied with its .venv."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, execute

READY = ".venv/.ready-requirements.lock"
ODD = """a b ü 漢 'q' "d" $HOME $(x) #1 100% `c` \\ ~"""


def set_up(folder: Path) -> Path:
    """A folder that looks to make as `make setup` leaves it."""
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv/pyvenv.cfg").write_text(
        f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {folder}/.venv\n", encoding="utf-8"
    )
    (folder / ".venv/bin/python").write_text("#!/bin/sh\necho this one\n", encoding="utf-8")
    (folder / ".venv/bin/python").chmod(0o755)
    (folder / READY).touch()
    return folder


def is_ready(folder: Path) -> bool:
    return execute("make", "-q", READY, cwd=folder, expect=None).returncode == 0


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", ["plain", ODD])
def test_a_folder_of_any_name(tmp_path, monkeypatch, name, locale):
    monkeypatch.setenv("LC_ALL", locale)
    folder = set_up(tmp_path / name)
    assert is_ready(folder)
    assert execute("make", "cache", cwd=folder).stdout == "this one\n"  # its own python comes first in PATH


def test_a_moved_or_copied_clone_makes_its_environment_again(tmp_path):
    folder = set_up(tmp_path / "old")
    copied = shutil.copytree(folder, tmp_path / ODD)
    assert is_ready(folder) and not is_ready(copied)
    assert ".venv was made in another folder: making it again" in execute("make", "-n", "setup", cwd=copied).stdout
    moved = folder.rename(tmp_path / "new")
    assert not is_ready(moved)
    assert is_ready(moved.rename(folder))


def test_a_colon_in_the_path_is_refused_in_one_line(tmp_path):
    """PATH cannot name such a folder, and Python makes no virtual environment there."""
    folder = set_up(tmp_path / "a:b")
    (folder / READY).unlink()
    output = execute("make", "setup", cwd=folder, expect=2).stdout
    assert output.splitlines()[0] == f"make: a colon in {folder} separates folders of PATH: rename the folder"
