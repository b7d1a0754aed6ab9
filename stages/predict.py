"""Predict the held-out images once: what `evaluate` scores follows from these probabilities alone.

$ python -m stages.predict data/processed models data/predictions
"""

import sys
from pathlib import Path

from heldout.core import atomic, code, params
from heldout.evaluation import predictions, probabilities


def main(processed: str, model_folder: str, folder: str) -> None:
    """Write the model's probabilities for the validation and the test images."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras")
    with atomic.replacing_folder(folder) as partial:
        for split in ("val", "test"):
            predicted = predictions.predict_split(model_folder, f"{processed}/{split}")
            values = probabilities.Probabilities(predicted.images.ids, predicted.images.labels, predicted.probabilities)
            probabilities.write(values, Path(partial, split))
            print(f"predict: {len(values.ids):,} {split} images")


if __name__ == "__main__":
    main(*sys.argv[1:])
