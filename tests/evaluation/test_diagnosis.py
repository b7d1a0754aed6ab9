"""The words that learning curves are given."""

import numpy as np
import pandas as pd
import pytest

from heldout.evaluation import diagnosis


def history(loss, val_loss) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(loss) + 1), "loss": loss, "val_loss": val_loss})


FALLING = np.linspace(2, 0.1, 10)


@pytest.mark.parametrize(
    ("curves", "epochs", "words"),
    [
        (history(FALLING, FALLING), 10, "still improving in its last epochs: raise train.epochs"),
        (history(FALLING, [2, 1.5, 1, 0.9, 0.8, 0.9, 1, 1.1, 1.2, 1.3]), 30, "overfitting"),
        (history([2.2] * 10, [2.25] * 10), 30, "underfitting"),
        (history(FALLING, [2, 1, 0.4, 1.2, 0.4, 1.3, 0.5, 1.2, 0.4, 0.9]), 30, "unstable"),
        (
            history(FALLING[:8], [2, 1.5, 1, 0.5, 0.3, 0.31, 0.3, 0.32]),
            30,
            "no sign of over- or underfitting or instability",
        ),
    ],
)
def test_what_the_curves_say(curves, epochs, words):
    lines = diagnosis.diagnose(curves, epochs, 10)
    assert any(line.startswith(words) for line in lines), lines
    if words.startswith("no sign"):
        assert len(lines) == 1
