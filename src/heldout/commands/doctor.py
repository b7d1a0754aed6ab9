"""What is wrong with the settings, found before or after `dvc repro` stops at it: one line each, with the remedy."""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from heldout.commands import schemas
from heldout.core import params


def findings() -> Iterator[str]:
    """Check params.yaml, env.yaml and the image folder of the current directory; yield a line for each fault."""
    try:
        sections = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    except (OSError, yaml.YAMLError) as error:
        yield f"{' '.join(str(error).split())}: run it where dvc.yaml is; `git diff params.yaml` shows what has changed"
        return
    expected = {item for stage in stages for item in stage.get("params", []) if isinstance(item, str)}
    yield from _section_names(set(sections), expected)
    yield from _renamed(sections)
    for name, schema in schemas.load(Path("stages")).items():
        if isinstance(sections.get(name), dict) and not any(
            f"{name}.{key}" in params.RENAMED for key in sections[name]
        ):
            yield from _error_of(params.check, name, sections[name], schema)
    yield from _error_of(params.check_versions, *params.load("env.yaml"))
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


def _error_of(check: Callable, *arguments: object) -> Iterator[str]:
    try:
        check(*arguments)
    except ValueError as error:
        yield str(error)
