"""Virtual environments of some distributions and what these require alone, from the files installed here."""

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def required(distributions: list[str]) -> frozenset[str]:
    """The names of distributions and of all that they require, at any depth.

    Raises:
        PackageNotFoundError: where one is not installed.
    """
    names: set[str] = set()
    pending = list(distributions)
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name not in names:
            names.add(name)
            needs = [Requirement(text) for text in distribution(name).requires or []]
            pending += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return frozenset(names)


def make(folder: Path, distributions: frozenset[str]) -> Path:
    """Python in a new environment, whose files are links to this one's: no network, and a second for TensorFlow."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    for name in sorted(distributions):
        for file in distribution(name).files or []:
            if ".." in file.parts:  # a command
                continue
            source, target = Path(str(file.locate())), site / file
            link(source, target)
            if file.suffix == ".py":
                link(
                    Path(importlib.util.cache_from_source(str(source))),
                    Path(importlib.util.cache_from_source(str(target))),
                )
    return python


def link(source: Path, target: Path) -> None:
    if source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
