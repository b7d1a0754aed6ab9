"""All pictures of an evaluation, from its tables."""

from pathlib import Path

import pandas as pd

from heldout.evaluation import probabilities
from heldout.evaluation.plots.by_class import f1_by_class
from heldout.evaluation.plots.confusion import confusion
from heldout.evaluation.plots.curves import curves
from heldout.evaluation.plots.one_against_rest import one_against_rest
from heldout.evaluation.plots.reliability import reliability
from heldout.evaluation.plots.risk_coverage import risk_coverage
from heldout.evaluation.plots.robustness import robustness
from heldout.evaluation.plots.slices import slices

ERROR = "expected_calibration_error"


def draw(
    scores: dict[str, float],
    calibration: dict[str, float],
    tables: dict[str, pd.DataFrame],
    test: probabilities.Probabilities,
    class_names: list[str],
    history: pd.DataFrame,
    folder: str | Path,
) -> None:
    """Write by_class, confusion, curves, one_against_rest, reliability, risk_coverage, robustness and slices as PNG.

    Args:
        scores, calibration: of metrics/eval.json and metrics/calibration.json.
        tables: of metrics/NAME.csv, by NAME: by_class, predictions, reliability, risk_coverage, robustness, slices.
        test: the probabilities of the test images.
        class_names: by number.
        history: of metrics/history.csv.
        folder: gets the files.
    """
    folder = Path(folder)
    errors = {"before": scores[ERROR], "after": scores[f"calibrated_{ERROR}"]}
    numbers = probabilities.class_numbers(test, class_names)
    confusion(tables["predictions"], class_names, folder / "confusion.png")
    curves(history, folder / "curves.png")
    f1_by_class(tables["by_class"], class_names, folder / "by_class.png")
    one_against_rest(numbers, test.values, class_names, folder / "one_against_rest.png")
    reliability(tables["reliability"], errors, folder / "reliability.png")
    risk_coverage(tables["risk_coverage"], scores, calibration, folder / "risk_coverage.png")
    slices(tables["slices"], scores["accuracy"], folder / "slices.png")
    robustness(tables["robustness"], scores["accuracy"], folder / "robustness.png")
