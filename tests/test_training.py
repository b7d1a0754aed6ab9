"""The real training function: it starts at chance, learns, gives the same bytes again, and stops where it should."""

import threading
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from test_augment import OFF

from heldout import augment, control, devices, feeding, models, normalization, resuming, shards, training

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ARCHITECTURE = PARAMS["model"] | {"filters": [8, 16], "dense_units": 32, "dropout": 0.0}
SETTINGS = PARAMS["train"] | {"epochs": 2, "batch_size": 8, "learning_rate": 0.003, "patience": 5}
NAMES = ["cat", "dog", "wolf"]
STATE = Path(".dvc/state/run.npz")  # in a temporary folder
ONE = devices.strategy("one")


def fresh(images: shards.Images, seed: int = 0, **changed) -> keras.Model:
    """An untrained model as the stage `train` builds it."""
    keras.utils.set_random_seed(seed)
    return models.build(images.image_shape, 3, normalization.BatchNormalization, **(ARCHITECTURE | changed))


def train(model: keras.Model, images: shards.Images, augmentation: dict, **settings) -> pd.DataFrame:
    state = resuming.State(STATE)
    return training.fit(model, images, images, NAMES, augmentation, 0, state, ONE, **settings)


def loss_of(model: keras.Model, images: shards.Images, name: str = "cross_entropy") -> float:
    """The mean loss of all images, by Keras's own prediction."""
    answers = model.predict(images[np.arange(len(images))], verbose=0)
    targets = np.eye(len(NAMES), dtype=np.float32)[images.numbers(NAMES)]
    return float(np.mean(control.loss(name, 0)(targets, answers)))


def test_a_fresh_model_is_at_chance(images):
    answers = fresh(images).predict(images[np.arange(24)], verbose=0)
    assert answers.sum(axis=1) == pytest.approx(1, abs=1e-5)
    loss = -np.log(answers[np.arange(24), images.numbers(NAMES)]).mean()
    assert loss == pytest.approx(np.log(3), rel=0.1)


def test_one_batch_can_be_learned_by_heart(images):
    model = fresh(images)
    history = train(model, images, OFF, **(SETTINGS | {"epochs": 60, "patience": 60}))
    assert history["val_accuracy"].iloc[-1] == 1.0
    assert history["val_loss"].iloc[-1] < 0.05


def test_the_weights_of_the_best_epoch_are_kept(images):
    model = fresh(images)
    history = train(model, images, OFF, **(SETTINGS | {"epochs": 6, "learning_rate": 0.05}))
    assert loss_of(model, images) == pytest.approx(history["val_loss"].min(), rel=1e-5)
    assert training.summary(history, 7)["best_epoch"] == history["val_loss"].idxmin() + 1


TECHNIQUES = pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 1, "learning_rate": 0.1, "steps_per_epoch": 5},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "step", "decay_epochs": 10, "clip_norm": 1.0},
        {"ema": 0.9, "accumulate": 2, "label_smoothing": 0.1},
        {"schedule": "plateau", "loss": "focal", "class_weights": "balanced"},
        {"precision": "mixed_bfloat16"},
        {"precision": "mixed_float16", "ema": 0.9},
    ],
    ids=["sgd cosine", "adamw step clip", "ema accumulate smooth", "plateau focal balanced", "bfloat16", "float16"],
)


@TECHNIQUES
def test_every_technique_learns_gives_the_same_bytes_again_and_keeps_its_best(images, changed):
    settings = SETTINGS | {"epochs": 30, "learning_rate": 0.01, "patience": 30} | changed
    seen = []
    for _ in range(2):
        STATE.unlink(missing_ok=True)
        keras.config.set_dtype_policy(settings["precision"])
        model = fresh(images)
        history = train(model, images, OFF, **settings)
        assert ("LossScale" in type(model.optimizer).__name__) == (settings["precision"] == "mixed_float16")
        seen.append((history, model.get_weights()))
    keras.config.set_dtype_policy("float32")
    assert seen[0][0].equals(seen[1][0])
    assert all(np.array_equal(one, two) for one, two in zip(seen[0][1], seen[1][1], strict=True))
    assert history["val_loss"].min() < 0.7 * history["val_loss"].iloc[0]
    kept = loss_of(model, images, settings["loss"])
    assert kept == pytest.approx(history["val_loss"].min(), rel=2e-2 if "precision" in changed else 1e-4, abs=1e-6)


def test_a_compiled_step_computes_the_same(images):
    """XLA adds up in another order, and nothing else, batch normalization and its moving statistics included."""
    found = []
    for xla in (False, True):
        STATE.unlink(missing_ok=True)
        model = fresh(images, batch_norm=True)
        start = model.get_weights()
        history = train(model, images, OFF, **(SETTINGS | {"optimizer": "sgd", "xla": xla}))
        found.append((model.get_weights(), history["loss"].to_numpy()))
    assert not np.array_equal(found[0][0][0], start[0])
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-4)
    pairs = list(zip(found[0][0], found[1][0], strict=True))
    assert all(compiled == pytest.approx(plain, abs=1e-4) for plain, compiled in pairs)
    assert not all(np.array_equal(plain, compiled) for plain, compiled in pairs)  # else nothing was compiled


def test_accumulated_batches_do_what_one_large_batch_does(images):
    weights = []
    for batch_size, accumulate in ((8, 1), (4, 2), (2, 4)):
        model = fresh(images)
        STATE.unlink(missing_ok=True)
        train(model, images, OFF, **(SETTINGS | {"batch_size": batch_size, "accumulate": accumulate, "clip_norm": 0.5}))
        weights.append(model.get_weights())
    assert all(np.allclose(a, b, atol=1e-5) for other in weights[1:] for a, b in zip(weights[0], other, strict=True))


def test_a_network_without_pretrained_layers_is_told_before_it_trains(images):
    with pytest.raises(ValueError, match="has no pretrained layers to train further: expected a network of keras"):
        train(fresh(images), images, OFF, **(SETTINGS | {"fine_tune_epochs": 1}))


def test_patience_ends_the_run(images):
    history = train(
        fresh(images),
        images,
        OFF,
        **(SETTINGS | {"epochs": 40, "learning_rate": 0.1, "patience": 1}),
    )
    assert len(history) < 40


def test_a_loss_that_is_no_number_ends_in_a_clear_line(images):
    """Also where the first convolution's ReLU makes 0 of what is no number, as oneDNN's does on some processors."""
    for layer, what in (("probabilities", "the loss"), ("block1_conv", "(the loss|a weight)")):
        model = fresh(images)
        kernel = model.get_layer(layer).kernel
        kernel.assign(np.full(kernel.shape, np.nan))
        line = rf"{what} is not a number in epoch 1: lower train.learning_rate \(0.003 just now\)"
        with pytest.raises(ValueError, match=line):
            train(model, images, OFF, **SETTINGS)


def test_an_epoch_may_end_within_a_pass_over_the_images(images):
    """Eight epochs of one step and four of two see the images that two of four see, in the same order."""
    ends = []
    for epochs, steps in ((8, 1), (4, 2), (2, 4), (2, 0)):
        STATE.unlink(missing_ok=True)
        changed = {"epochs": epochs, "steps_per_epoch": steps, "batch_size": 6, "patience": 8}
        history = train(fresh(images), images, OFF | {"rotation": 20}, **(SETTINGS | changed))
        assert len(history) == epochs
        ends.append(history["val_loss"].iloc[-1])
    assert ends == pytest.approx([ends[0]] * 4, rel=1e-6)


@pytest.mark.parametrize(("replicas", "accumulate"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3)])
def test_the_parts_of_a_pass_hold_every_image_once_in_an_order_of_its_own(images, replicas, accumulate):
    labels, weights = np.arange(24), np.arange(24, dtype=np.float32)
    feed = feeding.training(images, labels, weights, OFF, 0, batch_size=7, accumulate=accumulate)
    assert feed.steps == -(-24 // (7 * accumulate))
    orders = []
    for first in (0, feed.steps):
        order = []
        for step in range(first, first + feed.steps):
            parts = [feed.part(step, replica, replicas) for replica in range(replicas)]
            assert len({part.pixels.shape for part in parts}) == 1
            assert {len(part.pixels) for part in parts} == {accumulate}
            seen = sum(part.real.sum() for part in parts)
            assert {float(part.total) for part in parts} == {seen}
            for part in parts:
                numbers = part.targets.argmax(axis=-1)
                assert np.array_equal(part.pixels, images[numbers.ravel()].reshape(part.pixels.shape))
                assert np.array_equal(part.weights, numbers * part.real)
                order += numbers[part.real == 1].tolist()
        assert sorted(order) == list(range(24))
        orders.append(order)
    assert orders[0] != orders[1]
    whole = feeding.training(images, labels, weights, OFF, 0, batch_size=7 * accumulate)
    alone = [whole.part(step, 0, 1).targets[0].argmax(axis=-1) for step in range(whole.steps)]
    assert np.concatenate(alone).tolist() == orders[0]  # the same images a step, whatever shares them


@pytest.mark.parametrize("accumulate", [1, 2])
def test_tf_data_hands_over_what_numpy_has_made(images, accumulate):
    """The operations are tested on arrays (test_augment.py); here, that a step gets these very pixels and targets."""
    every = {name: 0.3 for name in OFF if name not in ("fill", "horizontal_flip", "vertical_flip", "rand_augment")}
    settings = OFF | every | {"horizontal_flip": True, "rand_augment": 2, "magnitude": 9, "fill": "reflect"}
    labels, weights = images.numbers(NAMES), np.array([1, 2, 3], np.float32)
    feed = feeding.training(images, labels, weights, settings, 0, batch_size=7, accumulate=accumulate)
    batches = iter(feeding.distributed(feed, ONE, first=2))
    for step in range(2, 2 + 2 * feed.steps):
        for one, other in zip(next(batches), feed.part(step, 0, 1), strict=True):
            assert one.numpy().dtype == other.dtype and np.array_equal(one.numpy(), other)
        rows = np.random.default_rng([0, step // feed.steps, 1]).permutation(24)
        size = 7 * accumulate
        rows = rows[step % feed.steps * size :][:size]
        drawn = augment.draws(24, 0, step // feed.steps)
        pixels, targets = augment.batch(images, labels, 3, rows, drawn, **settings)
        made = feed.part(step, 0, 1)
        real = made.real == 1
        assert np.array_equal(made.pixels[real], pixels) and np.array_equal(made.targets[real], targets)


def test_parts_are_made_before_they_are_asked_for_and_come_in_order():
    made = [threading.Event() for _ in range(40)]

    def make(number: int) -> int:
        made[number].set()
        return number

    ahead = feeding.Ahead(make, first=3, count=4)
    assert ahead(3) == 3
    assert made[7].wait(60) and not made[0].is_set()
    assert [ahead(number) for number in range(4, 20)] == list(range(4, 20))


def test_evaluation_sees_the_images_as_they_are(images, monkeypatch):
    monkeypatch.setattr(feeding, "BATCH", 10)
    feed = feeding.evaluation(images, images.numbers(NAMES), 3)
    assert feed.steps == 3
    parts = [feed.part(step, 0, 1) for step in range(6)]
    pixels = np.concatenate([part.pixels[0] for part in parts[:3]])
    assert np.array_equal(pixels, images[np.arange(24)])
    assert np.array_equal(np.concatenate([part.targets[0] for part in parts[3:]]).argmax(axis=1), images.numbers(NAMES))
    assert all((part.weights == 1).all() for part in parts)


def test_wrong_weights_are_refused(images, tmp_path):
    fresh(images).save_weights(tmp_path / "model.weights.h5")
    description = {"image_shape": [16, 16, 3], "class_names": NAMES, "model": ARCHITECTURE | {"dense_units": 16}}
    with pytest.raises(ValueError, match="does not fit the model described beside it: run `dvc checkout models`"):
        models.load(description, str(tmp_path / "model.weights.h5"))
