"""The real training function: it starts at chance, learns, gives the same bytes again, and stops where it should."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, write_image
from test_augment import OFF
from test_shards import scan, write

from heldout import control, devices, feeding, models, resuming, shards, training

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ARCHITECTURE = PARAMS["model"] | {"filters": [8, 16], "dense_units": 32, "dropout": 0.0}
SETTINGS = PARAMS["train"] | {"epochs": 2, "batch_size": 8, "learning_rate": 0.003, "patience": 5}
NAMES = ["cat", "dog", "wolf"]
STATE = Path(".dvc/state/run.npz")  # in a temporary folder
ONE = devices.strategy("one")


@pytest.fixture
def images(photos):
    write(scan(), "data/train", image_size=[16, 16])
    return shards.Images("data/train")


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


class Cut(Exception):
    """What stands for a kill in the middle of an epoch."""


@TECHNIQUES
@pytest.mark.parametrize(("every", "unit"), [(1, "epochs"), (3, "epochs"), (2, "steps")])
def test_a_run_that_was_cut_short_ends_in_the_same_bytes(images, changed, every, unit, monkeypatch):
    """Cut in three steps, most of them within an epoch of 3 steps (2 where gradients are accumulated)."""
    settings = SETTINGS | {"epochs": 9, "learning_rate": 0.05, "patience": 3} | changed
    settings |= {"checkpoint_every": every, "checkpoint_unit": unit}
    steps = -(-24 // (8 * settings["accumulate"]))
    interval = every * (steps if unit == "epochs" else 1)
    mixing = OFF | {"mixup": 0.3, "cutmix": 1.0, "rotation": 20, "fill": "nearest"}
    keras.config.set_dtype_policy(settings["precision"])

    def run() -> tuple[pd.DataFrame, list]:
        keras.utils.set_random_seed(0)
        model = models.build(images.image_shape, 3, **(ARCHITECTURE | {"dropout": 0.5, "batch_norm": True}))
        return train(model, images, mixing, **settings), model.get_weights()

    whole, weights = run()
    STATE.unlink(missing_ok=True)
    first = 0
    for last in (2, 7, 13):
        passed = 0

        def cut(self, batch, logs=None, last=last):
            nonlocal passed
            if self.epoch * steps + batch == last:
                raise Cut
            passed += 1

        with monkeypatch.context() as patch:
            patch.setattr(control.LearningRate, "on_train_batch_end", cut)
            if last < steps * len(whole):
                with pytest.raises(Cut):
                    run()
                assert passed == last - first
                first = last // interval * interval  # less than an interval is repeated
                assert STATE.is_file() == (first > 0)
    resumed, again = run()
    keras.config.set_dtype_policy("float32")
    assert resumed.equals(whole)
    assert all(np.array_equal(one, two) for one, two in zip(weights, again, strict=True))


@pytest.mark.slow
def test_a_second_phase_trains_the_upper_layers_and_is_taken_up_again(images, monkeypatch):
    """Weights of a pretrained network move in its upper layers alone, its statistics nowhere; cut in either phase and
    between them, the run ends in the same bytes."""
    architecture = ARCHITECTURE | {"family": "MobileNet", "weights": "none", "pooling": "average", "dense_units": 0}
    settings = SETTINGS | {"epochs": 2, "fine_tune_epochs": 2, "fine_tune_layers": 6, "fine_tune_rate": 0.01}

    def untrained() -> keras.Model:
        keras.utils.set_random_seed(0)
        model = models.build((32, 32, 3), 3, **architecture)
        for layer in models.pretrained_part(model).layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(np.full(layer.gamma.shape, 5.0))  # else nothing of the image reaches the end
        return model

    def run(**changed) -> tuple[pd.DataFrame, keras.Model]:
        model = untrained()
        return train(model, images, OFF, **(settings | changed)), model

    write(scan(), "data/large", image_size=[32, 32])
    images = shards.Images("data/large")
    whole, model = run()
    assert whole["epoch"].tolist() == [1, 2, 3, 4]
    assert whole["learning_rate"].tolist() == pytest.approx([0.003, 0.003, 0.01, 0.01])
    STATE.unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(training.Stopping, "on_train_end", lambda self, logs=None: None)  # leave the last weights
        last_one = run()[1]
    before, after = models.pretrained_part(untrained()), models.pretrained_part(last_one)
    moved = [
        not all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
        for one, two in zip(before.layers, after.layers, strict=True)
    ]
    expected = [
        number >= len(moved) - 6 and "conv" in layer.name and "bn" not in layer.name and bool(layer.get_weights())
        for number, layer in enumerate(after.layers)
    ]
    assert moved == expected and any(moved)
    STATE.unlink(missing_ok=True)
    for last in (1, 2, 3):

        def cut(self, epoch, logs=None, last=last):
            if epoch == last:
                raise Cut

        with monkeypatch.context() as patch:
            patch.setattr(training.Progress, "on_epoch_begin", cut)
            with pytest.raises(Cut):
                run()
    history, again = run()
    assert history.equals(whole)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    STATE.unlink(missing_ok=True)
    worse, kept = run(fine_tune_rate=1.0)  # ruins it: the first phase's best weights stay
    if worse["val_loss"].idxmin() < 2:
        assert loss_of(kept, images) == pytest.approx(worse["val_loss"].min(), rel=1e-4)
    else:
        pytest.fail(f"the second phase was to make it worse: {worse}")


def test_a_network_without_pretrained_layers_is_told_before_it_trains(images):
    with pytest.raises(ValueError, match="has no pretrained layers to train further: expected a network of keras"):
        train(fresh(images), images, OFF, **(SETTINGS | {"fine_tune_epochs": 1}))


def test_a_kill_while_the_state_is_written_leaves_the_one_before(images, monkeypatch):
    settings = SETTINGS | {"epochs": 4}
    model = fresh(images)
    whole = train(model, images, OFF, **settings)
    STATE.unlink(missing_ok=True)
    save, count = np.savez, 0

    def half(file, **arrays):
        nonlocal count
        count += 1
        if count == 2:
            file.write(b"PK half of it")
            raise Cut
        save(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", half)
        with pytest.raises(Cut):
            train(fresh(images), images, OFF, **settings)
    assert resuming.State(STATE).progress()["epoch"] == 1
    again = fresh(images)
    assert train(again, images, OFF, **settings).equals(whole)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


def test_a_damaged_state_begins_again(images, capsys):
    STATE.parent.mkdir(parents=True)
    STATE.write_bytes(b"PK damaged")
    history = train(fresh(images), images, OFF, **SETTINGS)
    assert len(history) == 2
    assert "run.npz is damaged, so training begins again" in capsys.readouterr().out


def test_a_state_belongs_to_its_inputs_and_code(images, tmp_path, monkeypatch):
    one = resuming.place(0, SETTINGS, images.digest())
    assert one == resuming.place(0, SETTINGS, images.digest())
    assert one != resuming.place(1, SETTINGS, images.digest())
    write(scan(), "data/other", image_size=[16, 16], interpolation="linear")
    assert one != resuming.place(0, SETTINGS, shards.Images("data/other").digest())
    (tmp_path / "resuming.py").write_text("# other code\n")
    monkeypatch.setattr(resuming, "__file__", str(tmp_path / "resuming.py"))
    assert one != resuming.place(0, SETTINGS, images.digest())


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
    monkeypatch.setattr(feeding, "EVALUATION_BATCH", 10)
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


def prepare(folder: Path, source: Path, **train) -> None:
    """A folder in which the train stage can run, on 60 pictures of three classes."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/sample").symlink_to(source)
    (folder / "stages").symlink_to(ROOT / "stages")
    (folder / "env.yaml").symlink_to(ROOT / "env.yaml")
    values = PARAMS | {"model": ARCHITECTURE | {"dropout": 0.5}, "train": PARAMS["train"] | train}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    for number in range(0 if source.exists() else 60):
        write_image(source / f"{number % 3}/{number}.png", number)
    for arguments in (
        ["index", "data/index.csv", "data/problems.csv"],
        ["split", "data/index.csv", "data/problems.csv", "data/splits", "data/classes.txt", "data.json", "a.png"],
        ["preprocess", "data/splits/train.csv", "data/train"],
        ["preprocess", "data/splits/val.csv", "data/val"],
    ):
        subprocess.run(
            [sys.executable, "-m", f"stages.{arguments[0]}", *arguments[1:]], cwd=folder, check=True, timeout=300
        )


TRAIN = ["data/train", "data/val", "data/classes.txt", "models", "train.json", "history.csv"]


def results(folder: Path) -> list[str]:
    files = ("models/model.weights.h5", "models/model.json", "history.csv", "train.json")
    return [hashlib.md5((folder / name).read_bytes()).hexdigest() for name in files]


@pytest.mark.slow
def test_the_same_bytes_again_on_one_core_and_on_two(tmp_path):
    """Two processes, in two folders, one of them held to one core: the same weights and history, bit for bit."""
    found = []
    for name, cores in (("one", "0"), ("two", "0,1")):
        prepare(tmp_path / name, tmp_path / "source", epochs=3)
        pin = f"import os; os.sched_setaffinity(0, {{{cores}}}) if hasattr(os, 'sched_setaffinity') else None; "
        run = f"import sys, runpy; sys.argv[1:] = {TRAIN!r}; sys.path.insert(0, '.'); "
        run += "runpy.run_module('stages.train', run_name='__main__', alter_sys=True)"
        subprocess.run([sys.executable, "-c", pin + run], cwd=tmp_path / name, check=True, timeout=300)
        found.append(results(tmp_path / name))
    assert found[0] == found[1]
    assert len(pd.read_csv(tmp_path / "one/history.csv")) == 3


@pytest.mark.slow
def test_a_stage_killed_again_and_again_ends_in_the_same_bytes(tmp_path):
    command = [sys.executable, "-m", "stages.train", *TRAIN]
    settings = {"epochs": 6, "ema": 0.9, "schedule": "plateau", "decay_epochs": 1, "patience": 6}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare(whole, tmp_path / "source", **settings)
    subprocess.run(command, cwd=whole, check=True, timeout=300)
    prepare(killed, tmp_path / "source", **settings)
    for epoch in (2, 4):
        with subprocess.Popen(command, cwd=killed, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith(f"epoch   {epoch}/6"):
                    break
            process.kill()
        assert not (killed / "models/model.weights.h5").exists()
    done = subprocess.run(command, cwd=killed, check=True, timeout=300, capture_output=True, text=True)
    assert re.search(r"train: goes on after epoch [34], where it was cut short", done.stdout), done.stdout
    assert results(killed) == results(whole)
    assert not list((killed / ".dvc/state").iterdir())
