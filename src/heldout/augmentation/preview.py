"""What a person looks at before training: some images of each class, and what training will see of them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heldout.augmentation import augment
from heldout.augmentation.contact_sheet import contact_sheet
from heldout.core import fonts

COLUMNS = 8  # pictures a row
MAX_CLASSES = 20  # rows of the sheet of classes
COMBINED_ROWS = 6  # of all operations together, above a row of each that is on


def class_sheet(images: augment.ImageRows, labels: np.ndarray, path: str | Path) -> str:
    """Write a PNG with a row for each class: its first images. Of many classes it shows some, evenly spaced by name.

    Returns what it shows: `20 of 1,000 classes`.

    Args:
        images: `images[rows]` is a uint8 array (n, height, width, channels).
        labels: (count,), the class name of each image.
        path: the PNG.
    """
    class_names, first_rows = _first_rows(labels)
    shown = _evenly_spaced(len(class_names), MAX_CLASSES)
    display_names = fonts.display_names(class_names)
    names = [display_names[number] for number in shown]
    some_of = _some_of(len(shown), len(class_names))
    title = _title(f"{some_of}, up to {COLUMNS} images of each; {len(labels):,} training images", names)
    contact_sheet([images[first_rows[number]] for number in shown], names, title, [], path)
    return some_of


def augmentation_sheet(
    images: augment.ImageRows, labels: np.ndarray, settings: dict[str, Any], seed: int, path: str | Path
) -> None:
    """Write a PNG with a row for each of some images: the image, and what the first epochs of training see of it.

    Args:
        images, labels, path: as in `class_sheet`.
        settings: the keyword arguments of `augment.augment_batch`.
        seed: training's.
    """
    class_names, first_rows = _first_rows(labels)
    shown = _evenly_spaced(len(class_names), COMBINED_ROWS)
    display_names = fonts.display_names(class_names)
    names = [display_names[number] for number in shown]
    rows = {f"all on: {name}": settings for name in names} | each_alone(settings)
    originals = np.array([first_rows[shown[number % len(shown)]][0] for number in range(len(rows))])
    unlabeled = np.zeros(len(labels), int)  # the pixels alone are shown
    columns = [images[originals]]
    for epoch in range(COLUMNS - 1):
        drawn = augment.draws(len(labels), seed, epoch)
        batches = [
            augment.augment_batch(images, unlabeled, 1, originals[[number]], drawn, **keywords)[0]
            for number, keywords in enumerate(rows.values())
        ]
        columns.append(np.concatenate(batches))
    headings = ["original", *(f"epoch {number}" for number in range(1, COLUMNS))]
    title = f"what training sees of images of {_some_of(len(shown), len(class_names))}"
    contact_sheet(list(np.stack(columns, axis=1)), list(rows), _title(title, names), headings, path)


def each_alone(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each operation that is on, the settings with all others off: {"rotation alone": {...}}."""
    off = augment.OFF | {key: settings[key] for key in augment.MODIFIERS}
    return {f"{key} alone": off | {key: value} for key, value in settings.items() if value != off[key]}


def _first_rows(labels: np.ndarray) -> tuple[list[str], list[np.ndarray]]:
    """The class names, in order, and the rows of each class's first images."""
    numbers, class_names = pd.factorize(labels, sort=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(class_names) + 1))
    return list(class_names), [order[start:end][:COLUMNS] for start, end in pairwise(starts)]


def _evenly_spaced(count: int, limit: int) -> list[int]:
    """`limit` numbers from 0 to `count` - 1, the first and the last among them, or all of them."""
    return [round(number) for number in np.linspace(0, count - 1, min(count, limit))]


def _some_of(shown: int, count: int) -> str:
    return f"{shown} of {count:,} classes" if shown < count else f"all {count} classes"


def _title(text: str, names: list[str]) -> str:
    return f"{text} ({fonts.NUMBERED})" if fonts.is_numbered(names) else text
