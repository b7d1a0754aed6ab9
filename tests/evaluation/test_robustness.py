"""Robustness: from classes on disk to rows and the mean corruption error, by hand."""

import numpy as np
import pytest

from heldout.evaluation import intervals, probabilities, robustness

LABELS = np.array([0, 1, 1, 0])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / probabilities.CORRUPTED).mkdir()
    for name, right in (("fog", [4, 3, 2, 1, 0]), ("blur", [4, 4, 4, 4, 2])):
        classes = np.stack([np.where(np.arange(4) < count, LABELS, 1 - LABELS) for count in right])
        np.save(tmp_path / probabilities.CORRUPTED / f"{name}.npy", classes.astype(np.int32))
    return tmp_path


def test_by_hand(folder):
    table = robustness.summarize(folder, LABELS, np.arange(4))
    assert table.columns.tolist() == robustness.COLUMNS
    assert (
        table["corruption"].tolist() == ["blur"] * 5 + ["fog"] * 5 and table["strength"].tolist() == [1, 2, 3, 4, 5] * 2
    )
    assert table["accuracy"].tolist() == [1, 1, 1, 1, 0.5, 1, 0.75, 0.5, 0.25, 0]
    expected = intervals.proportion(np.array([True, True, True, False]), np.arange(4))
    assert table.loc[6, ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(expected[1:], abs=1e-6)
    assert robustness.scores(table, 0.75) == pytest.approx(
        {"mean_corruption_error": 0.3, "relative_corruption_error": 0.05}
    )
    assert robustness.describe(table, 0.75) == (
        "mean corruption error 0.3000, 0.0500 above that of the images as they are; mean accuracy under fog 0.500, "
        "blur 0.900"
    )


def test_off(tmp_path):
    table = robustness.summarize(tmp_path, LABELS, np.arange(4))
    assert table.to_csv(index=False) == "corruption,strength,accuracy,accuracy_low,accuracy_high\n"
    assert robustness.scores(table, 0.9) == {}
    assert robustness.describe(table, 0.9) == "no corruption was tried (predict.corruptions)"


def test_damage_ends_in_one_line(folder):
    with pytest.raises(ValueError, match="is not of the 3 test images: run `dvc repro`"):
        robustness.summarize(folder, LABELS[:3], np.arange(3))
    (folder / probabilities.CORRUPTED / "fog.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"fog\.npy is damaged: run `dvc checkout --force "):
        robustness.summarize(folder, LABELS, np.arange(4))
