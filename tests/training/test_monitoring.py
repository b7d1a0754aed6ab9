"""TensorBoard and DVCLive: they show the history, and the result is the one without them."""

from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from test_checkpoint import Interrupted
from training_runs import CHECKPOINT, same_weights, train, untrained

from heldout.training import fit


@pytest.fixture
def monitored(monkeypatch):
    """Curves for TensorBoard and by DVCLive, below the folder runs."""
    for package in ("TENSORBOARD", "DVCLIVE"):
        monkeypatch.setenv(f"HELDOUT_{package}", f"runs/{package.lower()}")
    return Path("runs")


def curves(folder: Path, part: str, name: str) -> list[float]:
    """What TensorBoard would plot."""
    events = EventAccumulator(str(folder / part))
    events.Reload()
    return [float(make_ndarray(tensor.tensor_proto)) for tensor in events.Tensors(name)]


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's and DVCLive's own
def test_monitors_see_the_history_and_change_nothing(images, monitored, monkeypatch):
    changed = {"train": {"epochs": 4}}
    model = untrained(images)
    with monkeypatch.context() as patch:
        patch.delenv("HELDOUT_TENSORBOARD")
        patch.delenv("HELDOUT_DVCLIVE")
        history = train(model, images, changed)
    assert not monitored.exists()
    CHECKPOINT.unlink(missing_ok=True)

    def interrupt(self, epoch, logs=None):
        if epoch == 2:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(fit.EarlyStopping, "on_epoch_begin", interrupt)
        with pytest.raises(Interrupted):
            train(untrained(images), images, changed)
    resumed = untrained(images)
    assert train(resumed, images, changed).equals(history)
    assert same_weights(model.get_weights(), resumed.get_weights())
    for part, column in (("train", "loss"), ("validation", "val_loss"), ("train", "learning_rate")):
        plotted = curves(monitored / "tensorboard" / CHECKPOINT.stem, part, f"epoch_{column.removeprefix('val_')}")
        assert plotted == pytest.approx(history[column], rel=1e-6), column
    live = pd.read_csv(monitored / "dvclive" / CHECKPOINT.stem / "plots/metrics/eval/loss.tsv", sep="\t")
    assert live["step"].tolist() == [0, 1, 2, 3]
    assert live["loss"].to_numpy() == pytest.approx(history["val_loss"].to_numpy())
    assert {path.name for path in Path().iterdir()} == {"data", "runs", CHECKPOINT.parts[0]}


def test_a_missing_package_is_named_before_training(images, monitored, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = "HELDOUT_TENSORBOARD is set, but tensorboard is not installed: run `make setup`, or unset it"
    with pytest.raises(ValueError, match=line):
        train(untrained(images), images)
