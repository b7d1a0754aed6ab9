"""Decode and resize one split's images into uint8 shards.

$ python -m stages.preprocess data/splits/train.csv data/processed/train
"""

import sys

from heldout import images, manifest, params, preprocessing, shards


def main(split_csv: str, folder: str) -> None:
    """Read the images that the manifest names, checking each one's md5, and write them at the model's size.

    In the order of their identities: renaming a file changes no byte of the shards.
    """
    params.installed("opencv-python-headless", "numpy")
    settings = params.section("preprocess", images.resize)
    rows = manifest.read(split_csv).sort_values("id", ignore_index=True)
    height, width = settings["image_size"]
    shards.write(rows, preprocessing.pixels(rows, **settings), (height, width, 3), folder)
    print(f"preprocess: {len(rows)} images of {height} x {width} pixels in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
