"""Score the predictions of the held-out test images, and draw what a reviewer looks at; no TensorFlow.

$ python -m stages.evaluate data/splits/test.csv data/classes.txt data/predictions metrics/history.csv metrics plots
"""

import sys

import pandas as pd

from heldout.core import atomic, code, params
from heldout.data import manifest
from heldout.evaluation import metrics, probabilities
from heldout.evaluation.plots.confusion import confusion
from heldout.evaluation.plots.curves import curves


def main(
    test_csv: str, classes_txt: str, predictions: str, history_csv: str, metrics_folder: str, plots_folder: str
) -> None:
    """Write the scores, one row an image, the confusion matrix and the learning curves."""
    code.check(__file__)
    params.check_versions("scikit-learn")
    settings = params.section("evaluate", metrics.scores)
    class_names = manifest.read_class_names(classes_txt)
    test = probabilities.read(f"{predictions}/test")
    rows = manifest.read(test_csv).sort_values(["id", "label"])  # the order of the shards
    table = metrics.predictions(test.ids, probabilities.class_numbers(test, class_names), test.values, class_names)
    table.insert(1, "path", rows["path"].to_numpy())
    scores = metrics.scores(table, len(class_names), **settings)
    atomic.write_metrics(f"{metrics_folder}/eval.json", scores)
    manifest.write(table, f"{metrics_folder}/predictions.csv")
    confusion(table, class_names, f"{plots_folder}/confusion.png")
    curves(pd.read_csv(history_csv), f"{plots_folder}/curves.png")
    print("evaluate: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))
    if absent := metrics.absent_classes(table, class_names):
        print(f"evaluate: no test image, so no score, for {len(absent)} classes: {', '.join(absent[:20])}")


if __name__ == "__main__":
    main(*sys.argv[1:])
