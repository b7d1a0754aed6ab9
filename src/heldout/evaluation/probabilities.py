"""A model's probabilities on disk, by image: a float32 .npy that opens by mmap, and the manifest of its rows."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from heldout.data import manifest

ROWS, VALUES = "images.csv", "probabilities.npy"
ABLATED = "ablated"  # classes of test images without text or pixels, NAME.npy, int32 (n,); where there are texts
CORRUPTED = "corrupted"  # beside the splits: classes of corrupted test images, NAME.npy, int32 (strengths, n)


class Probabilities(NamedTuple):
    """The ids and labels (texts) of a split's images, sorted by both; values: float32 (n, num_classes)."""

    ids: np.ndarray
    labels: np.ndarray
    values: np.ndarray


def write(probabilities: Probabilities, folder: Path) -> None:
    """Write a folder with images.csv and probabilities.npy, byte-stable."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(pd.DataFrame({"id": probabilities.ids, "label": probabilities.labels}), folder / ROWS)
    np.save(folder / VALUES, np.ascontiguousarray(probabilities.values, np.float32), allow_pickle=False)


def read(folder: str | Path) -> Probabilities:
    """What `write` wrote; the values by mmap, so that nothing is read before it is used.

    Raises:
        ValueError: where it is damaged.
    """
    path = Path(folder, VALUES)
    restore = f"run `dvc checkout --force {Path(folder).parent}` or `dvc repro`"
    rows = manifest.read(Path(folder, ROWS))
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())[:100]}): {restore}") from error
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.ndim != 2:
        raise ValueError(f"{path} is damaged (expected float32 of two dimensions): {restore}")
    if len(values) != len(rows):
        raise ValueError(f"{path} has {len(values)} rows, {ROWS} beside it {len(rows)}: {restore}")
    return Probabilities(rows["id"].to_numpy(object), rows["label"].to_numpy(object), values)


def class_numbers(probabilities: Probabilities, class_names: list[str]) -> np.ndarray:
    """The labels as class numbers, int32 of shape (n,).

    Raises:
        ValueError: where a label is none of the classes, or the classes are not as many as the probabilities.
    """
    if probabilities.values.shape[1] != len(class_names):
        raise ValueError(
            f"the model tells {probabilities.values.shape[1]} classes apart, data/classes.txt names "
            f"{len(class_names)}: run `dvc repro`"
        )
    numbers = pd.Index(class_names).get_indexer(probabilities.labels).astype(np.int32)
    if (numbers < 0).any():
        label = probabilities.labels[numbers.argmin()]
        raise ValueError(f"the label {label!r} is none of the {len(class_names)} classes: run `dvc repro`")
    return numbers
