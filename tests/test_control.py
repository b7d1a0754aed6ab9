"""Schedules, losses and weights on values worked by hand, and the words that curves are given."""

import math

import keras
import numpy as np
import pandas as pd
import pytest

from heldout import control


def shares(schedule: str, **changed) -> list[float]:
    shape = {"steps_per_epoch": 2, "epochs": 4, "warmup": 0, "every": 2, "factor": 0.1} | changed
    return [control.share(step, schedule=schedule, **shape) for step in range(8)]


def test_schedules_by_hand():
    assert shares("constant") == shares("plateau") == [1.0] * 8
    assert shares("step") == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    assert shares("cosine") == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])
    assert shares("cosine")[4] == pytest.approx(0.5)


def test_warm_up_rises_in_a_straight_line_and_the_cosine_begins_after_it():
    assert shares("constant", warmup=2) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])
    assert shares("cosine", warmup=2)[4:] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_plateau_waits_and_takes_off():
    rate = control.LearningRate(0.1, "plateau", 2, 0.5, steps_per_epoch=1, epochs=9, warmup=0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    rate.set_model(model)
    seen = []
    for epoch, loss in enumerate([5, 4, 4, 4, 3, 4, 4]):
        rate.on_epoch_begin(epoch)
        rate.on_train_batch_begin(0)
        seen.append(round(float(model.optimizer.learning_rate), 6))
        rate.on_epoch_end(epoch, {"val_loss": loss})
    assert seen == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05]
    rate.on_train_batch_begin(0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)


def test_balanced_weights_by_hand():
    labels = np.array([0, 0, 0, 1])
    assert control.class_weights(labels, 2, "balanced").tolist() == pytest.approx([4 / 6, 2])
    assert control.class_weights(labels, 2, "none").tolist() == [1, 1]


def test_losses_by_hand():
    answers, targets = np.array([[0.8, 0.2]]), np.array([[1.0, 0.0]])
    smoothed = -(0.95 * math.log(0.8) + 0.05 * math.log(0.2))
    for name, smoothing, expected in (
        ("cross_entropy", 0, -math.log(0.8)),
        ("focal", 0, -(0.2**2) * math.log(0.8)),
        ("cross_entropy", 0.1, smoothed),
    ):
        found = control.loss(name, smoothing)(np.repeat(targets, 3, axis=0), np.repeat(answers, 3, axis=0))
        assert np.asarray(found) == pytest.approx([expected] * 3, rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_are_keras_own(name, kind):
    made = control.optimizer(name, 0.9, True, 0.01, 1.0, 0.99)
    assert type(made).__name__ == kind
    assert (made.weight_decay, made.global_clipnorm) == (0.01, 1.0)
    assert made.use_ema and made.ema_momentum == 0.99
    plain = control.optimizer(name, 0.9, True, 0, 0, 0)
    assert not plain.use_ema and plain.global_clipnorm is None and not plain.weight_decay


def history(loss, val_loss) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(loss) + 1), "loss": loss, "val_loss": val_loss})


FALLING = np.linspace(2, 0.1, 10)


@pytest.mark.parametrize(
    ("curves", "epochs", "words"),
    [
        (history(FALLING, FALLING), 10, "still improving at its last epochs: raise train.epochs"),
        (history(FALLING, [2, 1.5, 1, 0.9, 0.8, 0.9, 1, 1.1, 1.2, 1.3]), 30, "overfitting"),
        (history([2.2] * 10, [2.25] * 10), 30, "underfitting"),
        (history(FALLING, [2, 1, 0.4, 1.2, 0.4, 1.3, 0.5, 1.2, 0.4, 0.9]), 30, "unstable"),
        (history(FALLING[:8], [2, 1.5, 1, 0.5, 0.3, 0.31, 0.3, 0.32]), 30, "nothing that these rules see"),
    ],
)
def test_what_the_curves_say(curves, epochs, words):
    said = control.diagnosis(curves, epochs, 10)
    assert any(line.startswith(words) for line in said), said
    if words.startswith("nothing"):
        assert len(said) == 1
