"""A frozen network's features: computed once, the same whatever they are computed with, and trained on to the byte."""

import keras
import numpy as np
import pytest
from conftest import scan, write_shards
from training_runs import CHECKPOINT, CLASS_NAMES, PARAMS, merged, train

from heldout.augmentation import augment
from heldout.core import array_cache
from heldout.data import shards
from heldout.networks import build, frozen
from heldout.training import features, fit
from heldout.training.batches import train_batches
from heldout.training.checkpoint import Checkpoint

MOBILE = PARAMS["model"] | {"architecture": "MobileNetV2", "weights": "none", "pooling": "average", "dense_units": 0}
FLIPS = augment.OFF | {"horizontal_flip": True, "rotation": 10}


@pytest.fixture(scope="module")
def network():
    """A frozen network with random weights, the same for all tests."""
    keras.utils.set_random_seed(1)
    return build.build((32, 32, 3), 3, **MOBILE)


@pytest.fixture
def images(photos):
    write_shards(scan(), "data/train", image_size=[32, 32])
    return shards.Images("data/train")


def fresh(**changed):
    keras.utils.set_random_seed(1)
    return build.build((32, 32, 3), 3, **(MOBILE | changed))


def extractor(network) -> features.Extractor:
    return features.Extractor(frozen.parts(network).backbone, {"network": "the test's"})


def sections(**train_settings):
    return {"augment": FLIPS, "model": MOBILE, "train": {"views": 2} | train_settings}


def test_the_parts_are_the_model(network, images):
    backbone, head = frozen.parts(network)
    pixels = images[np.arange(8)]
    expected = network.predict(pixels, verbose=0)
    np.testing.assert_allclose(head.predict(backbone.predict(pixels, verbose=0), verbose=0), expected, atol=1e-6)
    assert [variable.path for variable in head.trainable_variables] == [
        variable.path for variable in network.trainable_variables
    ]


def test_a_network_that_trains_has_no_parts():
    assert frozen.parts(build.build((32, 32, 3), 3, **PARAMS["model"])) is None


def test_features_are_the_same_alone_in_company_and_from_the_cache(network, images):
    first = extractor(network)
    computed = first.of_images(images)
    assert first.num_computed == 24 and computed.views == 1
    array_cache.clear()
    some = extractor(network)
    rows = np.array([20, 3, 7])
    alone = some._features(iter([images[rows]]), 3, 1)
    assert np.array_equal(alone.rows(np.arange(3)), computed.rows(rows))
    second = extractor(network)
    again = second.of_images(images)
    assert second.num_computed == 21
    assert np.array_equal(again.rows(np.arange(24)), computed.rows(np.arange(24)))
    third = extractor(network)
    assert np.array_equal(third.of_images(images).all(), computed.all()) and third.num_computed == 0


def test_features_are_those_of_the_network(network, images):
    expected = frozen.parts(network).backbone.predict(images[np.arange(24)], verbose=0)
    np.testing.assert_allclose(extractor(network).of_images(images).all(), expected, atol=1e-5)


def test_views_are_the_augmentations_of_the_first_epochs(network, images):
    views = extractor(network).of_views(images, FLIPS, 5, 2)
    labels = np.zeros(24, int)
    for view in range(2):
        drawn = augment.draws(24, 5, view)
        pixels, _ = augment.augment_batch(images, labels, 1, np.arange(24), drawn, **FLIPS)
        expected = frozen.parts(network).backbone.predict(pixels, verbose=0)
        np.testing.assert_allclose(views.rows(np.arange(24), view), expected, atol=1e-5)
    source = train_batches(images, labels, np.ones(1, np.float32), FLIPS, 5, batch_size=24, features=views)
    passes = [source.batch(step, 0, 1).inputs[0][0] for step in range(4)]
    order = [np.random.default_rng([5, number, 1]).permutation(24) for number in range(4)]
    for number in range(4):
        assert np.array_equal(passes[number], views.rows(order[number], number % 2))


def test_other_weights_have_other_features(network, images):
    computed = extractor(network).of_images(images)
    other = fresh()
    kernel = frozen.pretrained_part(other).variables[0]
    kernel.assign(kernel * 1.5)
    found = frozen.fingerprint(frozen.parts(other).backbone, MOBILE, {})
    assert found != frozen.fingerprint(frozen.parts(network).backbone, MOBILE, {})
    second = features.Extractor(frozen.parts(other).backbone, found)
    assert not np.array_equal(second.of_images(images).all(), computed.all()) and second.num_computed == 24


@pytest.mark.parametrize("damage", ["flip a bit", "truncate"])
def test_a_damaged_cache_is_computed_again(network, images, damage):
    expected = extractor(network).of_images(images).all().copy()
    [pack] = [path for path in array_cache.cache_folder().rglob("*.npy") if np.load(path).dtype == np.float32]
    content = bytearray(pack.read_bytes())
    if damage == "truncate":
        content = content[:-5]
    else:
        content[-5] ^= 1
    pack.write_bytes(content)
    again = extractor(network)
    assert np.array_equal(again.of_images(images).all(), expected)
    assert again.num_computed == (24 if damage == "truncate" else 1)


def test_without_a_cache_features_are_in_memory(network, images, monkeypatch, capsys):
    expected = extractor(network).of_images(images).all()
    monkeypatch.setenv("HELDOUT_CACHE", "off")
    assert np.array_equal(extractor(network).of_images(images).all(), expected)
    monkeypatch.setenv("HELDOUT_CACHE", "data/raw/cat/0.jpg")
    assert np.array_equal(extractor(network).of_images(images).all(), expected)
    assert "features are not cached from here on: Not a directory" in capsys.readouterr().out


def weights_after(images, *changes):
    model = fresh()
    CHECKPOINT.unlink(missing_ok=True)
    history = train(model, images, *changes)
    return model.get_weights(), history


def test_two_runs_are_the_same_with_the_cache_and_without(images):
    first, history = weights_after(images, sections())
    cached, _ = weights_after(images, sections())
    array_cache.clear()
    anew, again = weights_after(images, sections())
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(first, cached, anew, strict=True))
    assert history.equals(again)


def test_training_on_features_is_training_on_pixels(images):
    changes = {"augment": augment.OFF, "train": {"batch_size": 24}}
    on_features, history = weights_after(images, changes)
    model = fresh()
    pixels = fit.batches.train_batches(
        images, images.class_numbers(CLASS_NAMES), np.ones(3, np.float32), augment.OFF, 0, batch_size=24
    )
    values = merged(changes)
    settings = {
        name: values["train"][name]
        for name in ("loss", "label_smoothing", "patience", "checkpoint_every", "checkpoint_unit", "xla")
    }
    val = fit.batches.eval_batches(images, images.class_numbers(CLASS_NAMES), 3)
    strategy = fit.tf.distribute.get_strategy()
    rows = fit._run_phase(
        model,
        fit.Sources(pixels, val),
        0,
        fit.Phase(2),
        [],
        values,
        strategy,
        Checkpoint(CHECKPOINT.with_stem("pixels")),
        [],
        **settings,
    )
    for ours, theirs in zip(on_features, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
    np.testing.assert_allclose([row["val_loss"] for row in rows], history["val_loss"], rtol=1e-3)


def test_fine_tuning_goes_on_from_the_head(images):
    fine = {"fine_tune": {"epochs": 1, "layers": 5, "learning_rate": 0.001}}
    _, history = weights_after(images, sections(epochs=1), fine)
    assert len(history) == 2 and history["learning_rate"].round(6).tolist() == [0.003, 0.001]
    assert history["val_loss"].notna().all() and "C" not in history
    _, probed = weights_after(images, {"augment": FLIPS, "train": {"views": 2, "head": "logistic"}}, fine)
    assert len(probed) == 2 and probed["C"].notna().tolist() == [True, False]
    assert "C" in fit.summarize(probed.iloc[:1], 1) and "C" not in fit.summarize(probed.iloc[1:], 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"augment": FLIPS | {"mixup": 0.2}, "train": {"views": 2}},
            r"augment\.mixup is 0\.2, which mixes images in pairs",
        ),
        ({"augment": FLIPS, "train": {"head": "logistic"}}, r"train\.head is logistic, but augment draws anew"),
    ],
)
def test_what_does_not_go_together_is_one_line(images, changes, message):
    with pytest.raises(ValueError, match=message):
        weights_after(images, changes)


@pytest.mark.parametrize(("key", "value"), [("views", 2), ("head", "logistic")])
def test_a_network_that_trains_wants_no_views(images, key, value):
    model = build.build((32, 32, 3), 3, **PARAMS["model"])
    with pytest.raises(ValueError, match=f"train.{key} is {value}, but all of the network trains: set it to"):
        train(model, images, {"train": {key: value}})


def test_a_logistic_head_is_one_layer(images):
    with pytest.raises(ValueError, match=r"set model\.dense_units to 0"):
        train(fresh(dense_units=8), images, {"train": {"head": "logistic"}})
