"""Decode and resize one split's images into uint8 shards.

$ python -m stages.preprocess data/splits/train.csv data/processed/train
"""

import sys

from heldout import images, manifest, params, preprocessing
from heldout.decoded import Decoded


def main(split_csv: str, folder: str) -> None:
    """Read the images that the manifest names, checking each one's md5, and write them at the model's size.

    In the order of their identities: renaming a file changes no byte of the shards.
    """
    params.installed("opencv-python-headless", "numpy")
    settings = params.section("preprocess", images.prepare)
    rows = manifest.read(split_csv).sort_values(["id", "label"], ignore_index=True)
    cache = Decoded(settings)
    preprocessing.write(rows, folder, cache, **settings)
    height, width, _ = cache.shape
    print(f"preprocess: {len(rows):,} images of {height} x {width} pixels in {folder}, ", end="")
    print(f"{len(rows) - cache.reused:,} decoded, {cache.reused:,} from the cache")


if __name__ == "__main__":
    main(*sys.argv[1:])
