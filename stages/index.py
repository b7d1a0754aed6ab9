"""List every image with its identity (md5), class, given split and size.

$ python -m stages.index data/index.csv data/problems.csv
"""

import sys

from heldout import index, manifest, params


def main(index_csv: str, problems_csv: str) -> None:
    """Read the image folder that params.yaml names; write the index and the list of files left out."""
    images, problems = index.scan(**params.section("data", index.scan))
    manifest.write(images, index_csv)
    manifest.write(problems, problems_csv)
    layout = "given splits" if images["split"].any() else "class folders"
    print(f"index: {len(images)} images in {images['label'].nunique()} classes ({layout})")
    if len(problems):
        print(f"index: {len(problems)} files left out, each with its reason in {problems_csv}")


if __name__ == "__main__":
    main(*sys.argv[1:])
