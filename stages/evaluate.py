"""Score the model on the held-out test images, and draw what a reviewer looks at.

$ python -m stages.evaluate data/splits/test.csv data/processed/test models metrics/history.csv metrics plots
"""

import sys

import pandas as pd

from heldout import atomic, charts, manifest, measuring, metrics, params


def main(test_csv: str, test: str, model_folder: str, history_csv: str, metrics_folder: str, plots_folder: str) -> None:
    """Write the scores, one row an image, the confusion matrix and the learning curves."""
    params.installed("tensorflow", "keras", "scikit-learn")
    settings = params.section("evaluate", metrics.scores)
    _, names, images, labels, probabilities = measuring.measure(model_folder, test)
    scores = metrics.scores(labels, probabilities, **settings)
    rows = manifest.read(test_csv).sort_values(["id", "label"])  # the order of the shards
    table = metrics.predictions(images.ids, labels, probabilities, names)
    table.insert(1, "path", rows["path"].to_numpy())
    atomic.write_json(f"{metrics_folder}/eval.json", scores)
    manifest.write(table, f"{metrics_folder}/predictions.csv")
    charts.confusion(table, names, f"{plots_folder}/confusion.png")
    charts.curves(pd.read_csv(history_csv), f"{plots_folder}/curves.png")
    print("evaluate: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
