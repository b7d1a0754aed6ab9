"""List every image with its identity (md5), class, given split and group, size and duplicates.

$ python -m stages.index data/index.csv data/problems.csv
"""

import sys

from heldout.core import code, params
from heldout.data import index, manifest


def main(index_csv: str, problems_csv: str) -> None:
    """Read the image folder that params.yaml names; write the index and the list of files left out."""
    code.check(__file__)
    params.check_versions("opencv-python-headless", "pillow", "numpy")
    images, problems, layout, notes = index.scan(**params.section("data", index.scan))
    manifest.write(images, index_csv)
    manifest.write(problems, problems_csv)
    print(f"index: {len(images):,} images in {images['label'].nunique()} classes ({layout})")
    for kind, count in problems["kind"].value_counts(sort=False).items():
        first = problems[problems["kind"] == kind].iloc[0]
        print(f"index: {count:,} {kind} (the first: {first['path']} {first['reason']}), listed in {problems_csv}")
    for line in notes:
        print(f"index: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
