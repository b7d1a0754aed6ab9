"""Write the default data set, scikit-learn's handwritten digits (1,797 scans of 8 x 8), as class folders of PNG.

$ python -m stages.sample data/sample
"""

import sys

import cv2
from sklearn.datasets import load_digits
from tqdm import tqdm

from heldout import params
from heldout.atomic import replacing_folder


def main(folder: str) -> None:
    """Write one PNG a scan, DIGIT/NUMBER.png, its 17 grey levels spread over 0 to 255."""
    params.installed("scikit-learn", "opencv-python-headless")
    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype("uint8")
    with replacing_folder(folder) as partial:
        for label in map(str, digits.target_names):
            (partial / label).mkdir()
        for number, label in enumerate(tqdm(digits.target, "sample", delay=2)):
            _, png = cv2.imencode(".png", pixels[number])
            (partial / str(label) / f"{number:04}.png").write_bytes(png.tobytes())
    print(f"sample: {len(pixels)} handwritten digits in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
