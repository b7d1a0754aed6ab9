"""Draw what the network looked at, of the test images that a reader should see.

$ python -m stages.explain models data/processed/test metrics/predictions.csv metrics/suspects.csv data/explanations
"""

import sys

import numpy as np

from heldout.core import atomic, code, params
from heldout.data import manifest, shards
from heldout.evaluation import gallery, predictions, saliency


def main(model_folder: str, test: str, predictions_csv: str, suspects_csv: str, folder: str) -> None:
    """Write images.csv, a row an image, and heatmaps.npy, uint8 (n, height, width)."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "opencv-python-headless")
    settings = params.section("explain", saliency.explain)
    model, class_names = predictions.load_model(model_folder)
    text = predictions.load_text(model_folder)
    predicted, suspects = gallery.read(predictions_csv), gallery.read(suspects_csv)
    explanations = saliency.explain(model, shards.Images(test), class_names, predicted, suspects, text, **settings)
    with atomic.replacing_folder(folder) as partial:
        manifest.write(explanations.table, partial / "images.csv")
        np.save(partial / "heatmaps.npy", explanations.heatmaps, allow_pickle=False)
    empty = int((explanations.heatmaps.max(axis=(1, 2), initial=0) == 0).sum())
    print(f"explain: {len(explanations.table)} test images, nothing to show in {empty}")


if __name__ == "__main__":
    main(*sys.argv[1:])
