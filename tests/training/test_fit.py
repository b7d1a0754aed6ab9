"""The real training function: it starts at chance, learns, gives the same bytes again, and stops where it should."""

import keras
import numpy as np
import pytest
from training_runs import (
    ARCHITECTURE,
    CHECKPOINT,
    CLASS_NAMES,
    Sections,
    mean_loss,
    merged,
    same_weights,
    train,
    untrained,
)

from heldout.networks import build
from heldout.training import fit


def test_an_untrained_model_is_at_chance(images):
    probabilities = untrained(images).predict(images[np.arange(24)], verbose=0)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    loss = -np.log(probabilities[np.arange(24), images.class_numbers(CLASS_NAMES)]).mean()
    assert loss == pytest.approx(np.log(3), rel=0.1)


def test_one_batch_can_be_overfitted(images):
    history = train(untrained(images), images, {"train": {"epochs": 60, "patience": 60}})
    assert history["val_accuracy"].iloc[-1] == 1.0
    assert history["val_loss"].iloc[-1] < 0.05


def test_the_weights_of_the_best_epoch_are_kept(images):
    model = untrained(images)
    history = train(model, images, {"train": {"epochs": 6}, "schedule": {"learning_rate": 0.05}})
    assert mean_loss(model, images) == pytest.approx(history["val_loss"].min(), rel=1e-5)
    assert fit.summarize(history, 7)["best_epoch"] == history["val_loss"].idxmin() + 1


TECHNIQUES: dict[str, Sections] = {
    "sgd cosine": {
        "optimizer": {"name": "sgd"},
        "schedule": {"name": "cosine", "warmup_epochs": 1, "learning_rate": 0.1},
        "train": {"steps_per_epoch": 5},
    },
    "adamw step clip": {
        "optimizer": {"name": "adamw", "weight_decay": 0.01, "global_clipnorm": 1.0},
        "schedule": {"name": "step", "decay_epochs": 10},
    },
    "ema accumulate smooth": {
        "optimizer": {"ema_momentum": 0.9},
        "train": {"gradient_accumulation_steps": 2, "label_smoothing": 0.1},
    },
    "plateau focal balanced": {
        "schedule": {"name": "plateau"},
        "train": {"loss": "focal", "class_weights": "balanced"},
    },
    "bfloat16": {"hardware": {"precision": "mixed_bfloat16"}},
    "float16": {"hardware": {"precision": "mixed_float16"}, "optimizer": {"ema_momentum": 0.9}},
}


@pytest.mark.parametrize("changed", TECHNIQUES.values(), ids=TECHNIQUES)
def test_every_technique_learns_gives_the_same_bytes_again_and_keeps_its_best(images, changed):
    sections = merged({"train": {"epochs": 30, "patience": 30}, "schedule": {"learning_rate": 0.01}}, changed)
    precision = sections["hardware"]["precision"]
    runs = []
    for _ in range(2):
        CHECKPOINT.unlink(missing_ok=True)
        keras.config.set_dtype_policy(precision)
        model = untrained(images)
        history = train(model, images, sections)
        assert ("LossScale" in type(model.optimizer).__name__) == (precision == "mixed_float16")
        runs.append((history, model.get_weights()))
    keras.config.set_dtype_policy("float32")
    assert runs[0][0].equals(runs[1][0])
    assert same_weights(runs[0][1], runs[1][1])
    assert history["val_loss"].min() < 0.7 * history["val_loss"].iloc[0]
    kept = mean_loss(model, images, sections["train"]["loss"])
    tolerance = 1e-4 if precision == "float32" else 2e-2
    assert kept == pytest.approx(history["val_loss"].min(), rel=tolerance, abs=1e-6)


def test_a_compiled_step_computes_the_same(images):
    """XLA adds up in another order, and nothing else, batch normalization and its moving statistics included."""
    runs = []
    for xla in (False, True):
        CHECKPOINT.unlink(missing_ok=True)
        model = untrained(images, batch_norm=True)
        initial = model.get_weights()
        history = train(model, images, {"optimizer": {"name": "sgd"}, "train": {"xla": xla}})
        runs.append((model.get_weights(), history["loss"].to_numpy()))
    assert not np.array_equal(runs[0][0][0], initial[0])
    assert runs[1][1] == pytest.approx(runs[0][1], rel=1e-4)
    pairs = list(zip(runs[0][0], runs[1][0], strict=True))
    assert all(compiled == pytest.approx(plain, abs=1e-4) for plain, compiled in pairs)
    assert not all(np.array_equal(plain, compiled) for plain, compiled in pairs)  # else nothing was compiled


def test_accumulated_batches_do_what_one_large_batch_does(images):
    weights = []
    for batch_size, count in ((8, 1), (4, 2), (2, 4)):
        model = untrained(images)
        CHECKPOINT.unlink(missing_ok=True)
        changed = {"batch_size": batch_size, "gradient_accumulation_steps": count}
        train(model, images, {"train": changed, "optimizer": {"global_clipnorm": 0.5}})
        weights.append(model.get_weights())
    assert all(np.allclose(a, b, atol=1e-5) for later in weights[1:] for a, b in zip(weights[0], later, strict=True))


def test_a_network_without_pretrained_layers_is_told_before_it_trains(images):
    with pytest.raises(ValueError, match="has no pretrained layers to fine-tune: expected a network of keras"):
        train(untrained(images), images, {"fine_tune": {"epochs": 1}})


def test_patience_ends_the_run(images):
    changed = {"train": {"epochs": 40, "patience": 1}, "schedule": {"learning_rate": 0.1}}
    assert len(train(untrained(images), images, changed)) < 40


def test_a_loss_that_is_not_a_number_ends_in_a_clear_line(images):
    """Also where the first convolution's ReLU makes 0 of a NaN, as oneDNN's does on some processors."""
    for layer, what in (("probabilities", "the loss"), ("block1_conv", "(the loss|a weight)")):
        model = untrained(images)
        kernel = model.get_layer(layer).kernel
        kernel.assign(np.full(kernel.shape, np.nan))
        line = rf"{what} is not a number in epoch 1: lower schedule.learning_rate \(now 0.003\)"
        with pytest.raises(ValueError, match=line):
            train(model, images)


def test_an_epoch_may_end_within_a_pass_over_the_images(images):
    """Eight epochs of one step and four of two see the images that two of four see, in the same order."""
    last_losses = []
    for epochs, steps in ((8, 1), (4, 2), (2, 4), (2, 0)):
        CHECKPOINT.unlink(missing_ok=True)
        changed = {"epochs": epochs, "steps_per_epoch": steps, "batch_size": 6, "patience": 8}
        history = train(
            untrained(images), images, {"train": changed, "augment": {"rotation": 20, "fill_mode": "constant"}}
        )
        assert len(history) == epochs
        last_losses.append(history["val_loss"].iloc[-1])
    assert last_losses == pytest.approx([last_losses[0]] * 4, rel=1e-6)


def test_weights_of_another_network_are_refused(images, tmp_path):
    untrained(images).save_weights(tmp_path / "model.weights.h5")
    model = ARCHITECTURE | {"dense_units": 16}
    description = {"image_shape": [16, 16, 3], "class_names": CLASS_NAMES, "model": model}
    with pytest.raises(ValueError, match="does not fit the model described beside it: run `dvc checkout models`"):
        build.load(description, str(tmp_path / "model.weights.h5"))
