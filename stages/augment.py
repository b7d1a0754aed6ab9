"""Draw contact sheets of training images: some of each class, and what training will see of them.

$ python -m stages.augment data/processed/train plots/classes.png plots/augment.png
"""

import sys

import numpy as np

from heldout import augment, params, shards, sheets

COLUMNS = 8  # pictures a row
CLASSES = 40  # rows of the sheet of classes, at most
AUGMENTED = 12  # rows of the sheet of augmented images


def main(train_folder: str, classes_png: str, augment_png: str) -> None:
    """One row a class: its first images; and the first image beside what seven epochs make of it."""
    params.installed("opencv-python-headless", "numpy")
    images = shards.Images(train_folder)
    settings = params.section("augment", augment.warp)
    seed = params.scalar("seed")
    names = sorted(set(images.labels))
    found = {name: np.flatnonzero(images.labels == name)[:COLUMNS] for name in names}
    rows = [images[found[name]] for name in names[:CLASSES]]
    heading = f"{len(images):,} training images, the first of each of {len(names)} classes"
    sheets.contact_sheet(rows, names[:CLASSES], [heading], classes_png)
    rows = []
    for name in names[:AUGMENTED]:
        first = int(found[name][0])
        drawn = np.stack([augment.draws(len(images), seed, epoch)[first] for epoch in range(COLUMNS - 1)])
        original = images[first]
        rows.append(np.concatenate([original, augment.warp(original.repeat(len(drawn), axis=0), drawn, **settings)]))
    headings = ["original", "epoch 1", *map(str, range(2, COLUMNS))]
    sheets.contact_sheet(rows, names[:AUGMENTED], headings, augment_png)
    print(f"augment: {classes_png} shows images of {len(names)} classes, {augment_png} what training sees of them")


if __name__ == "__main__":
    main(*sys.argv[1:])
