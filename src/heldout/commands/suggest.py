"""Which images without a label are most worth labelling, as a CSV."""

from pathlib import Path

import pandas as pd

from heldout.core import params
from heldout.data import images, manifest, preprocess, shards
from heldout.evaluation import predictions
from heldout.training import active_learning

UNLABELLED, MODELS, TRAIN = "data/splits/unlabelled.csv", "models", "data/processed/train"


def suggest(count: int, method: str) -> pd.DataFrame:
    """The images without a label that the trained model learns most from, by `active_learning.choose`.

    None of them is a relative of a test or validation image: the stage `split` has left those out.

    Args:
        count: how many.
        method: `margin` or `k_center`.

    Returns:
        A row an image, the most worth first: path, predicted, confidence (of it) and margin (over the second class).

    Raises:
        ValueError: where there is no trained model, or no image without a label.
    """
    if not Path(MODELS, "model.json").is_file() or not Path(UNLABELLED).is_file():
        raise ValueError(f"{MODELS}/ or {UNLABELLED} is missing: run `dvc repro train`, or `dvc pull`, first")
    rows = manifest.in_order(manifest.read(UNLABELLED))
    if rows.empty:
        raise ValueError(
            f"{UNLABELLED} is empty: put images without a label into a folder of data.dir, name it in data.unlabelled, "
            "and run `dvc repro train`"
        )
    model, class_names = predictions.load_model(MODELS)
    settings = params.section("preprocess", images.decode_and_resize)
    with preprocess.temporary_shards(rows, settings) as folder:
        unlabeled = active_learning.embed(model, shards.Images(folder))
    labeled = active_learning.embed(model, shards.Images(TRAIN))
    chosen = active_learning.choose(unlabeled, labeled, count, method)
    probabilities = unlabeled.probabilities[chosen]
    return pd.DataFrame(
        {
            "path": rows["path"].to_numpy()[chosen],
            "predicted": [class_names[number] for number in probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
            "margin": active_learning.margins(probabilities),
        }
    ).round(6)
