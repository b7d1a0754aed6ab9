"""The pictures of an evaluation, all of them."""

import pandas as pd

from heldout.evaluation import probabilities
from heldout.evaluation.evaluate import Evaluation
from heldout.evaluation.plots.by_class import f1_by_class
from heldout.evaluation.plots.confusion import confusion
from heldout.evaluation.plots.curves import curves
from heldout.evaluation.plots.one_against_rest import one_against_rest
from heldout.evaluation.plots.reliability import reliability
from heldout.evaluation.plots.risk_coverage import risk_coverage
from heldout.evaluation.plots.slices import slices
from heldout.evaluation.probabilities import Probabilities


def draw(
    evaluation: Evaluation, test: Probabilities, history: pd.DataFrame, class_names: list[str], folder: str
) -> None:
    """Write each picture as folder/NAME.png.

    Args:
        evaluation: of `evaluate.evaluate`.
        test: of the test images.
        history: of the training's epochs.
        class_names: by number.
        folder: plots/.
    """
    scores, tables, fitted = evaluation.scores, evaluation.tables, evaluation.calibration
    errors = {"before": "expected_calibration_error", "after": "calibrated_expected_calibration_error"}
    confusion(tables["predictions"], class_names, f"{folder}/confusion.png")
    curves(history, f"{folder}/curves.png")
    f1_by_class(tables["by_class"], class_names, f"{folder}/by_class.png")
    reliability(
        tables["reliability"], {when: scores[name] for when, name in errors.items()}, f"{folder}/reliability.png"
    )
    risk_coverage(tables["risk_coverage"], scores, fitted, f"{folder}/risk_coverage.png")
    numbers = probabilities.class_numbers(test, class_names)
    one_against_rest(numbers, test.values, class_names, f"{folder}/one_against_rest.png")
    slices(tables["slices"], scores["accuracy"], f"{folder}/slices.png")
