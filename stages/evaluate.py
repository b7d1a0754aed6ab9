"""Score the model on the held-out test images, and draw what a reviewer looks at.

$ python -m stages.evaluate data/splits/test.csv data/processed/test models metrics/history.csv metrics plots
"""

import sys

import pandas as pd

from heldout.core import atomic, code, params
from heldout.data import manifest
from heldout.evaluation import metrics, plots, predictions


def main(test_csv: str, test: str, model_folder: str, history_csv: str, metrics_folder: str, plots_folder: str) -> None:
    """Write the scores, one row an image, the confusion matrix and the learning curves."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "scikit-learn")
    settings = params.section("evaluate", metrics.scores)
    _, class_names, images, labels, probabilities = predictions.predict_split(model_folder, test)
    rows = manifest.read(test_csv).sort_values(["id", "label"])  # the order of the shards
    table = metrics.predictions(images.ids, labels, probabilities, class_names)
    table.insert(1, "path", rows["path"].to_numpy())
    scores = metrics.scores(table, len(class_names), **settings)
    atomic.write_metrics(f"{metrics_folder}/eval.json", scores)
    manifest.write(table, f"{metrics_folder}/predictions.csv")
    plots.confusion(table, class_names, f"{plots_folder}/confusion.png")
    plots.curves(pd.read_csv(history_csv), f"{plots_folder}/curves.png")
    print("evaluate: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))
    if absent := metrics.absent_classes(table, class_names):
        print(f"evaluate: no test image, so no score, for {len(absent)} classes: {', '.join(absent[:20])}")


if __name__ == "__main__":
    main(*sys.argv[1:])
