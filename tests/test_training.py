"""The real training function: it starts at chance, learns, gives the same bytes again, and stops where it should."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from test_augment import OFF

from heldout import control, devices, feeding, models, resuming, shards, training

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ARCHITECTURE = PARAMS["model"] | {"filters": [8, 16], "dense_units": 32, "dropout": 0.0}
SETTINGS = PARAMS["train"] | {"epochs": 2, "batch_size": 8, "learning_rate": 0.003, "patience": 5}
NAMES = ["cat", "dog", "wolf"]
STATE = Path(".dvc/state/run.npz")  # in a temporary folder
ONE = devices.strategy("one")


def fresh(images: shards.Images, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return models.build(images.image_shape, 3, **ARCHITECTURE)


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
        {"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 1, "learning_rate": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "step", "decay_epochs": 10, "clip_norm": 1.0},
        {"ema": 0.9, "accumulate": 2, "label_smoothing": 0.1},
        {"schedule": "plateau", "loss": "focal", "class_weights": "balanced"},
        {"precision": "mixed_bfloat16"},
    ],
    ids=["sgd cosine", "adamw step clip", "ema accumulate smooth", "plateau focal balanced", "bfloat16"],
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
        seen.append((history, model.get_weights()))
    keras.config.set_dtype_policy("float32")
    assert seen[0][0].equals(seen[1][0])
    assert all(np.array_equal(one, two) for one, two in zip(seen[0][1], seen[1][1], strict=True))
    assert history["val_loss"].min() < 0.7 * history["val_loss"].iloc[0]
    kept = loss_of(model, images, settings["loss"])
    assert kept == pytest.approx(history["val_loss"].min(), rel=2e-2 if "precision" in changed else 1e-4)


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
    model = fresh(images)
    model.layers[2].kernel.assign(np.full(model.layers[2].kernel.shape, np.nan))
    with pytest.raises(
        ValueError, match=r"the loss is not a number in epoch 1: lower train.learning_rate \(0.003 just now\)"
    ):
        train(model, images, OFF, **SETTINGS)


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
