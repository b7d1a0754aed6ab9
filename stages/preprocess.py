"""Decode and resize one split's images into uint8 shards.

$ python -m stages.preprocess data/splits/train.csv data/processed/train
"""

import sys

from heldout import images, manifest, params, shards


def main(split_csv: str, folder: str) -> None:
    """Read the images that the manifest names, checking each one's md5, and write them at the model's size."""
    params.installed("opencv-python-headless", "numpy")
    rows = manifest.read(split_csv)
    shards.write(rows, folder, **params.section("preprocess", images.resize))
    done = shards.Images(folder)
    height, width, _ = done.image_shape
    print(f"preprocess: {len(done)} images of {height} x {width} pixels in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
