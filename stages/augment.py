"""Draw a contact sheet of training images as they are and as training will see them.

$ python -m stages.augment data/processed/train plots/augment.png
"""

import sys

import numpy as np

from heldout import augment, params, shards, sheets

VERSIONS = 7  # augmented pictures beside each original
CLASSES = 12  # rows at most


def main(train_folder: str, sheet: str) -> None:
    """One row a class: the class's first image, then what seven epochs make of it."""
    params.installed("opencv-python-headless", "numpy")
    images = shards.Images(train_folder)
    settings = params.section("augment", augment.warp)
    seed = params.scalar("seed")
    names = sorted(set(images.labels))[:CLASSES]
    rows = []
    for name in names:
        index = int(np.flatnonzero(images.labels == name)[0])
        drawn = np.stack([augment.draws(len(images), seed, epoch)[index] for epoch in range(VERSIONS)])
        original = images[index]
        rows.append(np.concatenate([original, augment.warp(original.repeat(VERSIONS, axis=0), drawn, **settings)]))
    sheets.contact_sheet(rows, names, ["original", "epoch 1", *map(str, range(2, VERSIONS + 1))], sheet)
    print(f"augment: {sheet} shows {len(names)} images and what training sees of them")


if __name__ == "__main__":
    main(*sys.argv[1:])
