"""What a person looks at before training: some images of each class, and what training will see of them."""

from pathlib import Path
from typing import Any

import numpy as np

from heldout.augmentation import augment
from heldout.augmentation.contact_sheet import contact_sheet

COLUMNS = 8  # pictures a row
MAX_CLASSES = 40  # rows of the sheet of classes
COMBINED_ROWS = 6  # of all operations together, above a row of each that is on


def class_sheet(images: augment.ImageRows, labels: np.ndarray, path: str | Path) -> None:
    """Write a PNG with a row for each class: its first images.

    Args:
        images: `images[rows]` is a uint8 array (n, height, width, channels).
        labels: (count,), the class name of each image.
        path: the PNG.
    """
    first_rows = _first_rows(labels)
    names = list(first_rows)[:MAX_CLASSES]
    shown = "each class" if len(names) == len(first_rows) else f"the first {MAX_CLASSES} classes"
    heading = f"{len(labels):,} training images in {len(first_rows)} classes: the first {COLUMNS} of {shown}"
    contact_sheet([images[first_rows[name]] for name in names], names, [heading], path)


def augmentation_sheet(
    images: augment.ImageRows, labels: np.ndarray, settings: dict[str, Any], seed: int, path: str | Path
) -> None:
    """Write a PNG with a row for each of some images: the image, and what the first epochs of training see of it.

    Args:
        images, labels, path: as in `class_sheet`.
        settings: the keyword arguments of `augment.augment_batch`.
        seed: training's.
    """
    first_rows = _first_rows(labels)
    names = list(first_rows)
    rows = {f"all on: {name}": settings for name in names[:COMBINED_ROWS]} | each_alone(settings)
    originals = np.array([first_rows[names[number % len(names)]][0] for number in range(len(rows))])
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
    contact_sheet(list(np.stack(columns, axis=1)), list(rows), headings, path)


def each_alone(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For each operation that is on, the settings with all others off: {"rotation alone": {...}}."""
    off = augment.OFF | {key: settings[key] for key in augment.MODIFIERS}
    return {f"{key} alone": off | {key: value} for key, value in settings.items() if value != off[key]}


def _first_rows(labels: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each class's first images, by the class name, in order."""
    return {name: np.flatnonzero(labels == name)[:COLUMNS] for name in sorted(set(labels))}
