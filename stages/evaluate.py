"""Score the predictions of the held-out test images, and draw what a reviewer looks at; no TensorFlow.

$ python -m stages.evaluate data/splits data/classes.txt data/processed/test data/predictions \
    metrics/history.csv metrics plots
"""

import sys

import pandas as pd

from heldout.core import atomic, code, params
from heldout.data import manifest, shards
from heldout.evaluation import evaluate, probabilities
from heldout.evaluation.plots.draw import draw


def main(
    splits: str, classes_txt: str, pixels: str, predictions: str, history_csv: str, metrics_folder: str, plots: str
) -> None:
    """Write the scores, the temperature and threshold, the tables, and a picture of each."""
    code.check(__file__)
    params.check_versions("matplotlib", "numpy", "opencv-python-headless", "scikit-learn", "scipy")
    settings = params.section("evaluate", evaluate.evaluate)
    looks = evaluate.search_looks(**params.section("searched", evaluate.search_looks))
    class_names = manifest.read_class_names(classes_txt)
    predicted = {split: probabilities.read(f"{predictions}/{split}") for split in ("val", "test")}
    manifests = {split: manifest.read(f"{splits}/{split}.csv") for split in ("train", "val", "test")}
    result = evaluate.evaluate(predicted, manifests, class_names, shards.Images(pixels), predictions, **settings)
    atomic.write_metrics(f"{metrics_folder}/eval.json", result.scores | looks)
    atomic.write_metrics(f"{metrics_folder}/calibration.json", result.calibration)
    for name, table in result.tables.items():
        manifest.write(table, f"{metrics_folder}/{name}.csv")
    history = pd.read_csv(history_csv)
    draw(result.scores, result.calibration, result.tables, predicted["test"], class_names, history, plots)
    print("\n".join(f"evaluate: {line}" for line in [evaluate.verdict(result.scores), *result.notes]))


if __name__ == "__main__":
    main(*sys.argv[1:])
