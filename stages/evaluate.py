"""Score the model on the held-out test images, and draw what a reviewer looks at.

$ python -m stages.evaluate data/splits/test.csv data/processed/test models metrics/history.csv metrics plots
"""

import json
import sys
from pathlib import Path

import pandas as pd

from heldout import atomic, charts, manifest, metrics, models, params, shards, training


def main(test_csv: str, test: str, model_folder: str, history_csv: str, metrics_folder: str, plots_folder: str) -> None:
    """Write the scores, one row an image, the confusion matrix and the learning curves."""
    params.installed("tensorflow", "keras", "scikit-learn")
    description = json.loads(Path(model_folder, "model.json").read_text(encoding="utf-8"))
    settings = params.section("evaluate", metrics.scores)
    training.deterministic(0, description["threads"])
    model = models.load(description, f"{model_folder}/model.weights.h5")
    images = shards.Images(test)
    names = description["class_names"]
    labels = images.numbers(names)
    probabilities = model.predict(training.evaluation_batches(images, labels), verbose=0)
    scores = metrics.scores(labels, probabilities, **settings)
    paths = manifest.read(test_csv).set_index("id")["path"]
    table = metrics.predictions(images.ids, labels, probabilities, names)
    table.insert(1, "path", paths.loc[images.ids].to_numpy())
    atomic.write_json(f"{metrics_folder}/eval.json", scores)
    manifest.write(table, f"{metrics_folder}/predictions.csv")
    charts.confusion(table, names, f"{plots_folder}/confusion.png")
    charts.curves(pd.read_csv(history_csv), f"{plots_folder}/curves.png")
    print("evaluate: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
