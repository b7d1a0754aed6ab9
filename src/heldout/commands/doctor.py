"""What is wrong with a repository, found before or after `dvc repro` stops at it: one line each, with the remedy."""

import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import yaml

from heldout.commands import conflicts, graph, leftovers, processes, schemas, storage
from heldout.core import params


def findings() -> Iterator[str]:
    """Check the current directory: DVC's files, a merge, the disks, params.yaml, env.yaml and the image folder.

    Yields:
        A line for each fault, with its remedy.
    """
    if importlib.util.find_spec("dvc") is None:
        yield f"dvc is not installed for {sys.executable}: run `make setup`, then `source .venv/bin/activate`"
        return
    yield from conflicts.findings()
    with processes.exclusive() as running:
        if running:
            yield f"dvc runs here ({running[0]}): wait for its end; what it is writing was not checked"
        else:
            yield from (f"{leftover.line}; `heldout doctor --fix` does it" for leftover in leftovers.leftovers())
    yield from storage.findings()
    yield from _settings()


def fix() -> tuple[list[str], bool]:
    """Remove or restore what a killed `dvc` left in the current directory, where that loses nothing and no `dvc` runs.

    Returns:
        A line for each thing done, and whether one of them was in the way of `dvc repro`.
    """
    if importlib.util.find_spec("dvc") is None:
        return [], False
    lines, needed = [], False
    with processes.exclusive() as running:
        for leftover in [] if running else list(leftovers.leftovers()):
            with suppress(OSError):  # not ours to write, which storage.findings names
                lines.append(leftover.fix())
                needed |= leftover.blocks
    return lines, needed


def _settings() -> Iterator[str]:
    try:
        sections = params.load("params.yaml")
        stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
        expected = {item for stage in stages for item in stage.get("params", []) if isinstance(item, str)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        yield f"{' '.join(str(error).split())}: run it where dvc.yaml is; `git diff params.yaml` shows what has changed"
        return
    yield from _section_names(set(sections), expected)
    yield from _renamed(sections)
    for name, schema in schemas.load(Path("stages")).items():
        if isinstance(sections.get(name), dict) and not any(
            f"{name}.{key}" in params.RENAMED for key in sections[name]
        ):
            yield from _error_of(params.check, name, sections[name], schema)
    yield from _half_set(sections)
    yield from _versions()
    folder = sections.get("data", {}).get("dir") if isinstance(sections.get("data"), dict) else None
    if folder and not Path(folder).is_dir():
        yield (
            f"data.dir is {folder}: no such folder; set data.dir in params.yaml to a folder of images, "
            f"or `dvc pull {folder}` to fetch one (`dvc repro sample` writes the default data/sample)"
        )


def _section_names(sections: set[str], expected: set[str]) -> Iterator[str]:
    for name in sorted(expected - sections):
        nearest = difflib.get_close_matches(name, sections - expected, n=1)
        yield f"params.yaml: {name} is missing" + (f": is {nearest[0]} meant?" if nearest else "; `git diff` shows it")
    for name in sorted(sections - expected):
        yield f"params.yaml: {name} is not read by any stage: expected {', '.join(sorted(expected))}"


def _renamed(sections: dict) -> Iterator[str]:
    """Every key that has a new name, where a stage would stop at the first."""
    for name, values in sections.items():
        for key in values if isinstance(values, dict) else []:
            if f"{name}.{key}" in params.RENAMED:
                yield f"params.yaml: {params.unknown_key(name, key, [])}"


def _half_set(sections: dict) -> Iterator[str]:
    """Pretraining takes two params, since DVC has no conditions: one that makes the stage, one that `train` reads."""
    try:
        methods, start = sections["pretrain"]["methods"], sections["transfer"]["start"]
    except (KeyError, TypeError):
        return  # named above
    encoder = graph.CHOSEN["${transfer.start}"]
    off = "`heldout recipe simclr pretrain.methods=[] transfer.start=pretrained` switches it off"
    if methods and start != encoder:
        yield (
            f"pretrain.methods is {methods}, but transfer.start is {start}, so nothing would start from what is "
            f"pretrained: set transfer.start to {encoder}; {off}"
        )
    if not methods and start == encoder and not Path(f"{encoder}.dvc").is_file():
        yield (
            f"transfer.start is {start}, but pretrain.methods is [], so no stage writes it: set pretrain.methods to "
            f"[simclr]; {off}"
        )


def _versions() -> Iterator[str]:
    try:
        names = params.load("env.yaml")
    except (OSError, ValueError) as error:
        yield f"{error}: `git diff env.yaml` shows what has changed"
        return
    yield from _error_of(params.check_versions, *names)


def _error_of(check: Callable, *arguments: object) -> Iterator[str]:
    try:
        check(*arguments)
    except ValueError as error:
        yield str(error)
