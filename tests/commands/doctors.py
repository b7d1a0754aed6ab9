"""A DVC repository of one stage, to be broken, and the doctor in a process of its own."""

import contextlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, commit, execute, write_image

from heldout.__main__ import COMMANDS, parser

GOOD = "heldout: params.yaml, the images, DVC's files and the disks are as expected\n"


@pytest.fixture
def folder(tmp_path):
    """The stages, the params and a small set of images in data/sample, and neither git nor DVC."""
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "env.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for number in range(2):
        write_image(tmp_path / f"data/sample/{number}/a.jpg", number)
    return tmp_path


@pytest.fixture
def repository(folder, monkeypatch):
    """The same as a committed DVC repository, with a graph of one stage that copies a file, and DVC's databases."""
    (folder / "dvc.yaml").write_text(
        "stages:\n  copy:\n    cmd: cat params.yaml > out.txt; cat params.yaml > note.txt\n    deps: [env.yaml]\n"
        f"    params: [{', '.join(line[:-1] for line in SECTIONS)}]\n    outs: [out.txt]\n"
        "    metrics: [note.txt: {cache: false}]\n"
    )
    execute("git", "init", "-q", "-b", "main", cwd=folder)
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".gitattributes", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / ".dvc/site"))
    commit(folder)
    return folder


@pytest.fixture
def reproduced(repository):
    """The same after `dvc repro`, with dvc.lock committed."""
    execute("dvc", "repro", "-q", cwd=repository)
    commit(repository)
    return repository


SECTIONS = [
    line.split()[0]
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    if line[:1].isalpha()
]  # fmt: skip


def doctor(folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    """The doctor's exit code and output: of a function, or after a prefix of a process, which imports DVC first."""
    if prefix:
        command = [*prefix, sys.executable, "-m", "heldout", "doctor", *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = COMMANDS["doctor"](parser().parse_args(["doctor", *options]))
    return code, output.getvalue()


def repro(folder: Path, expect: int = 0) -> str:
    return execute("dvc", "repro", cwd=folder, expect=expect).stdout
