"""Heat maps: they lie where the evidence is, follow the weights, and can be had of every architecture."""

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from scipy.stats import spearmanr

from heldout.core.process import suppress_native_stderr
from heldout.evaluation import saliency
from heldout.networks import build

with suppress_native_stderr():
    import keras
    import tensorflow as tf

pytestmark = pytest.mark.slow
MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
NO_SUSPECTS = pd.DataFrame(columns=["split", "rank", "id", "label"])


def network(num_classes: int, size: int = 32, channels: int = 3, **changed) -> keras.Model:
    return build.build((size, size, channels), num_classes, **(MODEL | {"weights": "none"} | changed))


def patches(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with a red patch in one quadrant and a blue one in another: uint8 images (count, 32, 32, 3), and the
    quadrants of the red and of the blue patch, by row first."""
    rng = np.random.default_rng(seed)
    images, red = rng.integers(0, 60, (count, 32, 32, 3), np.uint8), rng.integers(0, 4, count)
    blue = (red + rng.integers(1, 4, count)) % 4
    for image, *quadrants in zip(images, red, blue, strict=True):
        for channel, quadrant in zip((2, 0), quadrants, strict=True):
            top, left = 16 * (quadrant // 2) + 4, 16 * (quadrant % 2) + 4
            image[top : top + 8, left : left + 8, channel] += 170
    return images, red, blue


def mass(heatmaps: np.ndarray, quadrants: np.ndarray) -> np.ndarray:
    """The fraction of each heat map that lies in a quadrant, (n,)."""
    halves = heatmaps.reshape(len(heatmaps), 2, 16, 2, 16).sum(axis=(2, 4)).reshape(-1, 4)
    return halves[np.arange(len(halves)), quadrants] / halves.sum(axis=1)


@pytest.fixture(scope="module", params=["flatten", "average"])
def trained(request):
    """A cnn whose classes are the quadrant of the red patch; images that it has not seen, and both quadrants."""
    keras.utils.set_random_seed(1)
    model = network(4, filters=[8, 16], dense_units=16, dropout=0, pooling=request.param)
    model.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy())
    images, red, _ = patches(512, 0)
    model.fit(images.astype(np.float32), red, epochs=16, verbose=0)
    images, red, blue = patches(64, 1)
    assert (model.predict_on_batch(images.astype(np.float32)).argmax(axis=1) == red).all()
    return model, images, red, blue


def test_the_map_lies_where_the_evidence_is(trained):
    model, images, red, blue = trained
    heatmaps = saliency.grad_cam(model, images, red)
    assert heatmaps.dtype == np.float32 and heatmaps.shape == (64, 32, 32)
    assert heatmaps.min() == 0 and (heatmaps.max(axis=(1, 2)) == 1).all()
    assert mass(heatmaps, red).mean() > 0.6  # of 0.25 by chance
    assert mass(heatmaps, blue).mean() < 0.2
    assert not np.allclose(saliency.grad_cam(model, images, blue), heatmaps, atol=0.1)  # each class has its own


def test_gradients_averaged_over_the_positions_would_lose_them_where_the_network_flattens(trained):
    """Why the maps are not those of the first paper: with average pooling these are as good, before `flatten` not."""
    model, images, red, _ = trained
    classifier, last_pool = model.get_layer("probabilities"), model.get_layer("block2_pool")
    network = keras.Model(model.input, [last_pool.input, classifier.input])
    with tf.GradientTape() as tape:
        pixels = tf.constant(images, tf.float32)
        tape.watch(pixels)
        features, hidden = network(pixels, training=False)
        kernel = classifier.kernel.value - tf.reduce_mean(classifier.kernel.value, axis=1, keepdims=True)
        logits = tf.reduce_sum(hidden * tf.gather(tf.transpose(kernel), red), axis=1)
    means = tf.reduce_mean(tape.gradient(logits, features), axis=(1, 2), keepdims=True)
    coarse = tf.nn.relu(tf.reduce_sum(means * features, axis=-1))[..., None]
    averaged = tf.image.resize(coarse, (32, 32))[..., 0].numpy()
    own = mass(saliency.grad_cam(model, images, red), red).mean()
    lost = own - mass(averaged + 1e-9, red).mean()
    assert lost > 0.2 if model.layers[-3].name == "flatten" else abs(lost) < 0.1


def test_the_same_images_give_the_same_bytes_and_images_do_not_matter_to_each_other(trained):
    model, images, red, _ = trained
    heatmaps = saliency.grad_cam(model, images, red)
    assert saliency.grad_cam(model, images, red).tobytes() == heatmaps.tobytes()
    twice = saliency.grad_cam(model, np.concatenate([images, images]), np.concatenate([red, red]))
    assert np.allclose(twice, np.concatenate([heatmaps, heatmaps]), atol=1e-5)


def test_random_weights_give_another_map(trained):
    """The sanity check of Adebayo et al. (Sanity Checks for Saliency Maps, 2018), by rank correlation.

    It is not 0, since features of any weights are larger where an image is brighter: on both patches alike.
    """
    model, images, red, _ = trained
    heatmaps = saliency.grad_cam(model, images, red)
    for seed in range(5):
        keras.utils.set_random_seed(100 + seed)
        others = saliency.grad_cam(keras.models.clone_model(model), images, red)
        pairs = zip(heatmaps, others, strict=True)
        correlations = [spearmanr(one.ravel(), two.ravel()).statistic for one, two in pairs if two.any()]
        assert len(correlations) > 32 and np.mean(correlations) < 0.5
        assert mass(others + 1e-9, red).mean() < 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"attention": "cbam", "batch_norm": True},
        {"attention": "se", "pooling": "average", "dense_units": 0},
        {"architecture": "resnet", "depth": 8},
        {"architecture": "resnet", "depth": 8, "attention": "se", "stem": "large"},
        {"architecture": "MobileNetV2", "size": 64, "pooling": "average"},
        {"architecture": "MobileNetV2", "size": 64, "pooling": "flatten", "channels": 1},
        {"architecture": "EfficientNetB0", "size": 64, "pooling": "average"},
        {"architecture": "VGG16", "size": 64, "pooling": "average"},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_every_architecture(changed):
    keras.utils.set_random_seed(0)
    model = network(3, **changed)
    images = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
    before = [weights.copy() for weights in model.get_weights()]
    heatmaps = saliency.grad_cam(model, images, np.arange(3))
    assert heatmaps.shape == images.shape[:3] and heatmaps.dtype == np.float32
    assert set(heatmaps.max(axis=(1, 2))) <= {0, 1} and heatmaps.any() and heatmaps.min() >= 0
    assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))


def test_by_hand():
    """A feature map that is the image itself, average pooling, and weights of +1, 0 and -1: the image, and nothing."""
    inputs = keras.Input((2, 2, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(3, activation="softmax", name="probabilities")(pooled)
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[1.0, 0, -1]], np.float32), np.array([0.0, 9, 0], np.float32)])
    image = np.array([[[[0], [64]], [[128], [255]]]], np.uint8)
    heatmaps = saliency.grad_cam(model, np.concatenate([image] * 3), np.arange(3))
    assert heatmaps[0] == pytest.approx(image[0, ..., 0] / 255, abs=1e-6)
    assert not heatmaps[1:].any()  # dead maps are 0, not NaN


def test_weights_that_are_nought_for_a_class_do_not_hide_what_spoke_for_it():
    """Softmax sees differences alone: a class without weights is what the others speak against."""
    inputs = keras.Input((2, 2, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="probabilities")(pooled))
    model.set_weights([np.array([[0.0, -1]], np.float32), np.zeros(2, np.float32)])
    image = np.array([[[[0], [64]], [[128], [255]]]], np.uint8)
    assert saliency.grad_cam(model, image, np.array([0]))[0, 1, 1] == 1


@pytest.fixture
def predicted(images):
    """The photos' predictions: every wolf is taken for a dog, the later the surer."""
    table = pd.DataFrame({"id": images.ids, "label": images.labels, "predicted": images.labels})
    table["predicted"] = table["predicted"].replace("wolf", "dog")
    return table.assign(confidence=np.linspace(0.5, 0.9, len(table)))


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (5, 5), (1000, 24)])
def test_explanations_of_the_images_of_a_gallery(images, predicted, count, expected):
    model = network(3, size=16, filters=[4, 4])
    names = ["cat", "dog", "wolf"]
    table, heatmaps = saliency.explain(model, images, names, predicted, NO_SUSPECTS, images=count)
    assert list(table.columns) == ["id", "label", "predicted", "explained", "reason"]
    assert heatmaps.dtype == np.uint8 and heatmaps.shape == (expected, 16, 16) and len(table) == expected
    if expected == 5:
        assert set(table["reason"]) == {"confident mistake", "confusion wolf -> dog", "least confident hit"}
        assert (table["explained"] == table["predicted"]).all()
        assert table["predicted"][0] == "dog" and table["label"][0] == "wolf"
        rows = [images.ids.tolist().index(identity) for identity in table["id"]]
        own = saliency.grad_cam(model, images[rows], np.array([names.index(name) for name in table["explained"]]))
        assert np.abs(own * 255 - heatmaps).max() <= 0.5 + 1e-3


def test_label_suspects_of_test_are_explained(images, predicted):
    suspects = pd.DataFrame({"split": ["val", "test"], "rank": [1, 1], "id": images.ids[[0, 1]]})
    suspects["label"] = images.labels[[0, 1]]
    model = network(3, size=16, filters=[4, 4])
    table, _ = saliency.explain(model, images, ["cat", "dog", "wolf"], predicted, suspects, images=6)
    assert table["id"][table["reason"] == "label suspect"].tolist() == [images.ids[1]]


def test_explanations_without_a_mistake(images, predicted):
    model = network(3, size=16, filters=[4, 4])
    right = predicted.assign(predicted=predicted["label"])
    table, _ = saliency.explain(model, images, ["cat", "dog", "wolf"], right, NO_SUSPECTS, images=3)
    assert set(table["reason"]) == {"least confident hit"} and len(table) == 3


def test_predictions_of_other_images_or_classes_are_refused(images, predicted):
    model = network(2, size=16, filters=[4, 4])
    for table, names in ((predicted, ["cat", "wolf"]), (predicted.assign(id="0"), ["cat", "dog", "wolf"])):
        with pytest.raises(ValueError, match=r"predictions\.csv is not of these test images and this model: run"):
            saliency.explain(model, images, names, table, NO_SUSPECTS, images=3)
