"""Schedules, losses and weights on values worked by hand."""

import math

import keras
import numpy as np
import pytest

from heldout.training import optimization


def factors(name: str, **changed) -> list[float]:
    schedule = {"steps_per_epoch": 2, "epochs": 4, "warmup_epochs": 0, "decay_epochs": 2, "decay_factor": 0.1} | changed
    return [optimization.schedule_factor(step, name=name, **schedule) for step in range(8)]


def test_schedules_by_hand():
    assert factors("constant") == factors("plateau") == [1.0] * 8
    assert factors("step") == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    assert factors("cosine") == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])
    assert factors("cosine")[4] == pytest.approx(0.5)


def test_warm_up_rises_in_a_straight_line_and_the_cosine_begins_after_it():
    assert factors("constant", warmup_epochs=2) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])
    assert factors("cosine", warmup_epochs=2)[4:] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_plateau_waits_and_takes_off():
    schedule = optimization.make_schedule(
        1, 9, name="plateau", learning_rate=0.1, warmup_epochs=0, decay_epochs=2, decay_factor=0.5
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    schedule.set_model(model)
    rates = []
    for epoch, loss in enumerate([5, 4, 4, 4, 3, 4, 4]):
        schedule.on_epoch_begin(epoch)
        schedule.on_train_batch_begin(0)
        rates.append(round(float(model.optimizer.learning_rate), 6))
        schedule.on_epoch_end(epoch, {"val_loss": loss})
    assert rates == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05]
    schedule.on_train_batch_begin(0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)


def test_balanced_weights_by_hand():
    labels = np.array([0, 0, 0, 1])
    assert optimization.class_weights(labels, 2, "balanced").tolist() == pytest.approx([4 / 6, 2])
    assert optimization.class_weights(labels, 2, "none").tolist() == [1, 1]


def test_losses_by_hand():
    probabilities, targets = np.array([[0.8, 0.2]]), np.array([[1.0, 0.0]])
    smoothed = -(0.95 * math.log(0.8) + 0.05 * math.log(0.2))
    for name, smoothing, expected in (
        ("cross_entropy", 0, -math.log(0.8)),
        ("focal", 0, -(0.2**2) * math.log(0.8)),
        ("cross_entropy", 0.1, smoothed),
    ):
        loss = optimization.make_loss(name, smoothing)
        values = loss(np.repeat(targets, 3, axis=0), np.repeat(probabilities, 3, axis=0))
        assert np.asarray(values) == pytest.approx([expected] * 3, rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_are_keras_own(name, kind):
    settings = {"name": name, "momentum": 0.9, "nesterov": True}
    optimizer = optimization.make_optimizer(2, **settings, weight_decay=0.01, global_clipnorm=1.0, ema_momentum=0.99)
    assert type(optimizer).__name__ == kind
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (0.01, 0.5)  # of two replicas' gradients, half each
    assert optimizer.use_ema and optimizer.ema_momentum == 0.99
    plain = optimization.make_optimizer(**settings, weight_decay=0, global_clipnorm=0, ema_momentum=0)
    assert not plain.use_ema and plain.global_clipnorm is None and not plain.weight_decay


def test_sgd_takes_a_momentum_that_yaml_reads_as_an_integer():
    settings = {"nesterov": True, "weight_decay": 0, "global_clipnorm": 0, "ema_momentum": 0}
    assert optimization.make_optimizer(1, name="sgd", momentum=0, **settings).momentum == 0
