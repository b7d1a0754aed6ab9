"""Show where in some test images the evidence for the predicted class lies (Grad-CAM).

$ python -m stages.explain metrics/predictions.csv metrics/suspects.csv data/processed/test models data/explanations
"""

import sys

from heldout.core import atomic, code, params
from heldout.evaluation import saliency


def main(predictions_csv: str, suspects_csv: str, test: str, model_folder: str, folder: str) -> None:
    """Write images.csv, which images and why, and heatmaps.npy."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "numpy", "opencv-python-headless")
    settings = params.section("explain", saliency.choose)
    chosen = saliency.choose(predictions_csv, suspects_csv, **settings)
    with atomic.replacing_folder(folder) as partial:
        saliency.write(chosen, test, model_folder, partial)
    print(f"explain: {len(chosen)} test images")


if __name__ == "__main__":
    main(*sys.argv[1:])
