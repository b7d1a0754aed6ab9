"""Draw contact sheets of training images: some of each class, and what training will see of them.

$ python -m stages.augment data/processed/train plots/classes.png plots/augment.png
"""

import sys

import numpy as np

from heldout import augment, params, shards, sheets

COLUMNS = 8  # pictures a row
CLASSES = 40  # rows of the sheet of classes, at most
AUGMENTED = 6  # rows of all operations together, above a row of each that is on
MANNERS = ("fill", "magnitude")  # how the others do it; none is on by itself


def main(train_folder: str, classes_png: str, augment_png: str) -> None:
    """One row a class: its first images; and images beside what seven epochs make of them."""
    params.installed("opencv-python-headless", "numpy")
    images = shards.Images(train_folder)
    settings = params.section("augment", augment.batch)
    seed = params.scalar("seed")
    names = sorted(set(images.labels))
    found = {name: np.flatnonzero(images.labels == name)[:COLUMNS] for name in names}
    rows = [images[found[name]] for name in names[:CLASSES]]
    heading = f"{len(images):,} training images, the first of each of {len(names)} classes"
    sheets.contact_sheet(rows, names[:CLASSES], [heading], classes_png)
    shown = dict.fromkeys(names[:AUGMENTED], settings) | {f"{key} alone": one for key, one in _alone(settings)}
    chosen = [int(found[names[number % len(names)]][0]) for number in range(len(shown))]
    labels = np.zeros(len(images), int)  # mixing them is for training
    pictures = [images[chosen]]
    for epoch in range(COLUMNS - 1):
        drawn = augment.draws(len(images), seed, epoch)
        each = zip(chosen, shown.values(), strict=True)
        made = [augment.batch(images, labels, 1, np.array([row]), drawn, **one)[0] for row, one in each]
        pictures.append(np.concatenate(made))
    headings = ["original", "epoch 1", *map(str, range(2, COLUMNS))]
    sheets.contact_sheet(list(np.stack(pictures, axis=1)), list(shown), headings, augment_png)
    print(f"augment: {classes_png} shows images of {len(names)} classes, {augment_png} what training sees of them")


def _alone(settings: dict) -> list[tuple[str, dict]]:
    """Each operation that is on, with the others off."""
    off = {key: type(value)() if key not in MANNERS else value for key, value in settings.items()}
    return [(key, off | {key: value}) for key, value in settings.items() if value and key not in MANNERS]


if __name__ == "__main__":
    main(*sys.argv[1:])
