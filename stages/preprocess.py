"""Decode and resize one split's images into uint8 shards.

$ python -m stages.preprocess data/splits/train.csv data/processed/train
"""

import sys

from heldout.core import code, params
from heldout.data import images, manifest, preprocess
from heldout.data.decode_cache import DecodeCache
from heldout.networks import tokenizer


def main(split_csv: str, folder: str) -> None:
    """Read the images that the manifest names, checking each one's md5, and write them at the model's size.

    In the order of their identities: renaming a file changes no byte of the shards.
    """
    code.check(__file__)
    params.check_versions("opencv-python-headless", "pillow", "numpy")
    settings = params.section("preprocess", images.decode_and_resize)
    with_texts = tokenizer.section(params.section("text", tokenizer.tokenize)) is not None
    rows = manifest.in_order(manifest.read(split_csv))
    if with_texts and "text" not in rows:
        raise ValueError("text.method is not none, but no image has a text: add a column text, or data.captions: true")
    cache = DecodeCache(settings)
    preprocess.write_shards(rows, folder, cache, texts=with_texts, **settings)
    height, width, _ = cache.shape
    print(f"preprocess: {len(rows):,} images of {height} x {width} pixels in {folder}, ", end="")
    print(f"{len(rows) - cache.num_reused:,} decoded, {cache.num_reused:,} from the cache")
    if with_texts:
        print(f"preprocess: {(rows['text'] != '').sum():,} of them with a text")


if __name__ == "__main__":
    main(*sys.argv[1:])
