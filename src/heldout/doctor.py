"""What is wrong with the settings, found before or after `dvc repro` stops at it: one line each, with the remedy."""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from heldout import augment, images, index, metrics, params, split

# The sections of model, train and export are checked by their stages: their functions need TensorFlow.
LIGHT: dict[str, Callable] = {
    "data": index.scan,
    "split": split.assign,
    "preprocess": images.prepare,
    "augment": augment.batch,
    "evaluate": metrics.scores,
}


def findings() -> Iterator[str]:
    """Check params.yaml, env.yaml and the image folder of the current directory; yield a line for each fault."""
    try:
        sections = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        graph = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    except (OSError, yaml.YAMLError) as error:
        yield f"{' '.join(str(error).split())}: run it where dvc.yaml is; `git diff params.yaml` shows what has changed"
        return
    wanted = {item for stage in graph for item in stage.get("params", []) if isinstance(item, str)}
    yield from _sections(set(sections), wanted)
    for name, function in LIGHT.items():
        if name in sections:
            yield from _fault(params.section, name, function)
    yield from _fault(params.installed, *yaml.safe_load(Path("env.yaml").read_text(encoding="utf-8")))
    folder = sections.get("data", {}).get("dir") if isinstance(sections.get("data"), dict) else None
    if folder and not Path(folder).is_dir():
        yield (
            f"data.dir is {folder}: no such folder; set data.dir in params.yaml to a folder of images, "
            f"or `dvc pull {folder}` to fetch one (`dvc repro sample` writes the default data/sample)"
        )


def _sections(found: set[str], wanted: set[str]) -> Iterator[str]:
    for name in sorted(wanted - found):
        close = difflib.get_close_matches(name, found - wanted, n=1)
        yield f"params.yaml: {name} is missing" + (f": is {close[0]} meant?" if close else "; `git diff` shows it")
    for name in sorted(found - wanted):
        yield f"params.yaml: {name} is not read by any stage: expected {', '.join(sorted(wanted))}"


def _fault(check: Callable, *arguments) -> Iterator[str]:
    try:
        check(*arguments)
    except ValueError as error:
        yield str(error)
