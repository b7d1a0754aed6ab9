"""Predict the held-out images once: what `evaluate` scores follows from these probabilities alone.

$ python -m stages.predict data/processed models data/predictions
"""

import sys

from heldout.core import atomic, code, params
from heldout.evaluation import predictions


def main(processed: str, model_folder: str, folder: str) -> None:
    """Write the model's probabilities for val and test, and its classes for corrupted test images."""
    code.check(__file__)
    params.check_versions("tensorflow", "keras", "numpy", "opencv-python-headless")
    settings = params.section("predict", predictions.predict)
    model, class_names = predictions.load_model(model_folder)
    text = predictions.load_text(model_folder)
    with atomic.replacing_folder(folder) as partial:
        counts = predictions.predict(model, class_names, processed, partial, text, **settings)
    for split, count in counts.items():
        print(f"predict: {count:,} {split} images")
    if settings["corruptions"]:
        print(f"predict: the test images under {', '.join(settings['corruptions'])}, five strengths each")
    if text:
        print("predict: the test images by their pixels alone, by their text alone, and with another image's text")
    if settings["test_time_augmentation"] != "none":
        kind = settings["test_time_augmentation"]
        print(
            f"predict: averaged over views (predict.test_time_augmentation: {kind}); what is exported averages nothing"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
