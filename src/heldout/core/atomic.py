"""A file or folder appears whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well, and is removed when not.

    The temporary name is always the same, so what a killed process left is cleared by the next run. Linked outputs of
    the DVC cache are read-only and shared: replacing the name, not writing through it, keeps the cache whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial.{path.name}")  # its ending says what it holds, as Keras wants
    _remove(partial)
    try:
        yield partial
        if path.is_dir():
            _remove(path)
        os.replace(partial, path)
    finally:
        _remove(partial)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """`replacing`, for a folder: the temporary one exists and is empty."""
    with replacing(path) as partial:
        partial.mkdir()
        yield partial


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, values: dict[str, Any], digits: int = 6) -> None:
    """Write `values` as JSON, one key a line in the order given, real numbers rounded, whole or not at all."""
    write_text(path, json.dumps(_rounded(values, digits), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_metrics(path: str | Path, values: dict[str, float | int], digits: int = 6) -> None:
    """`write_json` for a file of metrics: flat, a name and a number each, which is what `dvc metrics diff` compares.

    What belongs to one metric carries its name in front (`accuracy`, `accuracy_low`); what is by class is a table.

    Raises:
        TypeError: where a value is no number.
    """
    nested = [name for name, value in values.items() if type(value) not in (int, float)]
    if nested:
        raise TypeError(f"metrics are flat: {nested[0]} is {values[nested[0]]!r}")
    write_json(path, values, digits)


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item, digits) for key, item in value.items()}
    return round(value, digits) if isinstance(value, float) else value


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
