"""What heldout.json holds: what a program needs beside the files, and the digests of what they were made of."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from heldout.data import manifest
from heldout.networks import tokenizer


def describe(
    class_names: list[str],
    preprocess: dict[str, Any],
    calibration: dict[str, float],
    text: dict[str, Any] | None,
    test: pd.DataFrame,
    sources: list[str],
) -> dict[str, Any]:
    """The values of heldout.json.

    Args:
        class_names: by number.
        preprocess: the section of that name.
        calibration: of `calibrate.read`.
        text: the section `text` of a model that sees texts.
        test: the manifest of the test images.
        sources: the files whose digests are the lineage.
    """
    description = {"class_names": class_names, "preprocess": preprocess, **calibration}
    description |= {"test_fingerprint": manifest.fingerprint(test)}
    description |= {"text": text | {"examples": tokenizer.examples(**text)}} if text else {}
    return description | {"lineage": digests(*sources)}


def digests(*paths: str) -> dict[str, str]:
    """The md5 of each file, as dvc.lock has it: `heldout lineage` finds the commit that made it, and with it the data,
    the params and the code."""
    return {path: hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest() for path in paths}
