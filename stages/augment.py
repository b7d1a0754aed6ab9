"""Draw contact sheets of training images: some of each class, and what training will see of them.

$ python -m stages.augment data/processed/train plots/classes.png plots/augment.png
"""

import sys

from heldout.augmentation import augment, preview
from heldout.core import code, params
from heldout.data import shards


def main(train_folder: str, classes_png: str, augment_png: str) -> None:
    """One row a class: its first images; and images beside what seven epochs make of them."""
    code.check(__file__)
    params.check_versions("opencv-python-headless", "numpy", "matplotlib", "pillow")
    images = shards.Images(train_folder)
    settings = params.section("augment", augment.augment_batch)
    classes = preview.class_sheet(images, images.labels, classes_png)
    preview.augmentation_sheet(images, images.labels, settings, params.scalar("seed"), augment_png)
    print(f"augment: {classes_png} shows images of {classes}, {augment_png} what training sees of them")


if __name__ == "__main__":
    main(*sys.argv[1:])
