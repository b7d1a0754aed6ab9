"""TensorBoard and DVCLive look on: they see the history, and the result is the one without them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from test_augment import OFF
from test_resuming import Cut
from test_training import SETTINGS, STATE, fresh, train

from heldout import training


@pytest.fixture
def watched(monkeypatch):
    """Curves for TensorBoard and by DVCLive, below the folder runs."""
    for package in ("TENSORBOARD", "DVCLIVE"):
        monkeypatch.setenv(f"HELDOUT_{package}", f"runs/{package.lower()}")
    return Path("runs")


def curves(folder: Path, part: str, name: str) -> list[float]:
    """What TensorBoard would draw."""
    events = EventAccumulator(str(folder / part))
    events.Reload()
    return [float(make_ndarray(tensor.tensor_proto)) for tensor in events.Tensors(name)]


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's and DVCLive's own
def test_who_looks_on_sees_the_history_and_changes_nothing(images, watched, monkeypatch):
    settings = SETTINGS | {"epochs": 4}
    model = fresh(images)
    with monkeypatch.context() as patch:
        patch.delenv("HELDOUT_TENSORBOARD")
        patch.delenv("HELDOUT_DVCLIVE")
        history = train(model, images, OFF, **settings)
    assert not watched.exists()
    STATE.unlink(missing_ok=True)

    def cut(self, epoch, logs=None):
        if epoch == 2:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(training.Stopping, "on_epoch_begin", cut)
        with pytest.raises(Cut):
            train(fresh(images), images, OFF, **settings)
    again = fresh(images)
    assert train(again, images, OFF, **settings).equals(history)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    for part, column in (("train", "loss"), ("validation", "val_loss"), ("train", "learning_rate")):
        drawn = curves(watched / "tensorboard" / STATE.stem, part, f"epoch_{column.removeprefix('val_')}")
        assert drawn == pytest.approx(history[column], rel=1e-6), column
    live = pd.read_csv(watched / "dvclive" / STATE.stem / "plots/metrics/eval/loss.tsv", sep="\t")
    assert live["step"].tolist() == [0, 1, 2, 3]
    assert live["loss"].to_numpy() == pytest.approx(history["val_loss"].to_numpy())
    assert {path.name for path in Path().iterdir()} == {"data", "runs", STATE.parts[0]}


def test_a_package_that_is_not_there_is_named_before_training(images, watched, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = "HELDOUT_TENSORBOARD is set, but tensorboard is not installed: run `make setup`, or unset it"
    with pytest.raises(ValueError, match=line):
        train(fresh(images), images, OFF, **SETTINGS)
