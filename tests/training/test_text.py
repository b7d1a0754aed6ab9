"""A network of pixels and tokens: what reaches it, that it learns, resumes, ships in each format, and answers alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import scan, write_shards
from training_runs import (
    ARCHITECTURE,
    CHECKPOINT,
    CLASS_NAMES,
    PARAMS,
    interrupt_after_step,
    merged,
    same_weights,
)

from heldout.augmentation import augment
from heldout.data import shards
from heldout.data.images import decode_and_resize
from heldout.evaluation import saliency
from heldout.export import calibrate, exam, export, files, predict
from heldout.export.sources import Sources
from heldout.networks import build, tokenizer
from heldout.networks.batch_norm import BatchNormalization
from heldout.training import batches, fit, modality_dropout
from heldout.training.checkpoint import Checkpoint

with fit.suppress_native_stderr():
    import keras

TEXT = {"method": "hashed", "buckets": 512, "length": 16}
DROPOUT = {"text": 0.3, "image": 0.2}
WORDS = {"cat": "a small tabby", "dog": "the loyal hound", "wolf": "one grey hunter"}


@pytest.fixture
def images(photos):
    """Shards of the photos, 16 pixels high and wide, each with a text that tells its class without naming it."""
    rows = scan()
    texts = [f"{WORDS[label]} {number % 3}" for number, label in enumerate(rows["label"])]
    write_shards(rows.assign(text=texts), "data/train", texts=True, image_size=[16, 16])
    return shards.Images("data/train")


def untrained(images) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build.build(images.image_shape, 3, BatchNormalization, TEXT, **ARCHITECTURE)


def train(images, *changes) -> keras.Model:
    sections = merged({"train": {"epochs": 3}}, *changes) | {"text": TEXT, "modality_dropout": DROPOUT}
    settings, model = sections.pop("train"), untrained(images)
    strategy = fit.tf.distribute.get_strategy()
    fit.fit(model, images, images, CLASS_NAMES, sections, 0, strategy, Checkpoint(CHECKPOINT), **settings)
    return model


def test_a_batch_has_pixels_and_tokens_and_loses_one_of_them_as_drawn(images):
    tokens = tokenizer.tokens_of(images, TEXT)
    labels, weights = images.class_numbers(CLASS_NAMES), np.ones(3, np.float32)
    source = batches.train_batches(
        images, labels, weights, augment.OFF, 0, batch_size=24, tokens=tokens, dropout=DROPOUT
    )
    assert [(spec.shape.as_list(), spec.dtype.name) for spec in source.inputs] == [
        ([16, 16, 3], "uint8"),
        ([16], "int32"),
    ]
    for number in (1, 2):
        rows = np.random.default_rng([0, number, 1]).permutation(24)
        drawn = modality_dropout.draws(24, 0, number)[rows]
        expected = modality_dropout.drop(images[rows], tokens[rows], drawn, np.uint8(0), **DROPOUT)
        for made, wanted in zip(source.batch(number, 0, 1).inputs, expected, strict=True):
            assert np.array_equal(made[0], wanted)
        assert (expected[1][:, 0] == tokenizer.NO_TEXT).any() and not expected[0].any(axis=(1, 2, 3)).all()
    evaluated = batches.eval_batches(images, labels, 3, tokens).batch(0, 0, 1)
    assert np.array_equal(evaluated.inputs[1][0], tokens)


def test_accumulated_batches_train_an_embedding_as_one_does(images):
    """An embedding's gradient comes as rows, which cannot be added up as they are."""
    sgd = {"optimizer": {"name": "sgd", "momentum": 0.0, "nesterov": False}}
    whole = train(images, sgd, {"train": {"batch_size": 8}})
    accumulated = train(images, sgd, {"train": {"batch_size": 4, "gradient_accumulation_steps": 2}})
    for first, second in zip(whole.get_weights(), accumulated.get_weights(), strict=True):
        assert first == pytest.approx(second, abs=1e-5)
    assert not same_weights(whole.get_weights(), untrained(images).get_weights())
    assert same_weights(whole.get_weights(), train(images, sgd, {"train": {"batch_size": 8}}).get_weights())


def test_a_run_with_texts_that_is_killed_within_an_epoch_ends_in_the_same_bytes(images, monkeypatch):
    """What is dropped of an image or its text is a function of the pass, so that a resumed run drops the same."""
    often = {"train": {"checkpoint_every": 1, "checkpoint_unit": "steps"}, "optimizer": {"name": "adamw"}}
    whole = train(images, often)
    CHECKPOINT.unlink(missing_ok=True)
    for last in (1, 4, 6):  # of steps of three an epoch
        interrupt_after_step(last, 3, lambda: train(images, often), monkeypatch)
        assert CHECKPOINT.is_file()
    assert same_weights(train(images, often).get_weights(), whole.get_weights())


@pytest.mark.slow
def test_the_text_reaches_the_prediction_and_every_format_ships_it(images, tmp_path):
    model = train(images, {"train": {"epochs": 6}})
    tokens = tokenizer.tokens_of(images, TEXT)
    pixels, labels = images[np.arange(24)], images.class_numbers(CLASS_NAMES)
    empty = tokenizer.without_text(24, 16)
    by_text = model.predict_on_batch([np.zeros_like(pixels), tokens])
    assert (by_text.argmax(axis=1) == labels).all()
    by_nothing = model.predict_on_batch([np.zeros_like(pixels), empty])
    assert np.ptp(by_nothing, axis=0).max() < 1e-6 and np.isfinite(by_nothing).all()
    folder = tmp_path / "export"
    folder.mkdir()
    model = calibrate.calibrate(model, 1.25)
    rows = pd.DataFrame({"id": images.ids, "label": images.labels})
    sources = Sources(PARAMS["preprocess"] | {"image_size": [16, 16]}, images)
    bars = {"tolerance": 1e-5, "max_accuracy_drop": 0.01, "on_miss": "error", "gate": 0}
    formats = ["keras", "saved_model", "tflite", "onnx"]
    shipped = export.export(model, folder, exam.read(images, rows, CLASS_NAMES, TEXT), sources, formats=formats, **bars)
    assert list(shipped.parity) == formats
    assert all(parity.changed_predictions == 0 for parity in shipped.parity.values())
    again = tmp_path / "again.keras"
    files.FORMATS["keras"].write(model, again, sources)
    assert again.read_bytes() == (folder / "model.keras").read_bytes()
    _check_predictions(model, folder, images)
    heatmaps = saliency.grad_cam(model, pixels, labels, tokens)
    assert heatmaps.shape == (24, 16, 16) and heatmaps.max() == 1


def _check_predictions(model: keras.Model, folder: Path, images: shards.Images) -> None:
    """That `predict` gives what the model does, with a text and without one."""
    preprocess = {
        "image_size": [16, 16],
        **{key: PARAMS["preprocess"][key] for key in PARAMS["preprocess"] if key != "image_size"},
    }
    text = TEXT | {"examples": tokenizer.examples(**TEXT)}
    description = {"class_names": CLASS_NAMES, "preprocess": preprocess, "threshold": 0.0, "text": text}
    (folder / "heldout.json").write_text(json.dumps(description), encoding="utf-8")
    paths = ["data/raw/cat/0.jpg", "data/raw/wolf/3.jpg"]
    pixels = np.stack([decode_and_resize(Path(path).read_bytes(), path, **preprocess) for path in paths])
    for words in (None, WORDS["dog"]):
        tokens = tokenizer.tokenize([words or ""] * 2, **TEXT)
        expected = model.predict_on_batch([pixels, tokens]).max(axis=1)
        rows = predict.predict(paths, folder, text=words)
        assert [row.confidence for row in rows] == pytest.approx(expected.tolist(), abs=1e-5)
    text["examples"][1]["ids"][0] += 1
    (folder / "heldout.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ValueError, match="was made by another tokenizer: use the version that made it"):
        predict.predict(paths, folder)
