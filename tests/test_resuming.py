"""Killed runs and repeated ones: the same bytes as a run left alone, whatever they train and on which cores."""

import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, scan, write_image, write_shards
from test_augment import OFF
from test_training import ARCHITECTURE, PARAMS, SETTINGS, STATE, TECHNIQUES, fresh, loss_of, train

from heldout import control, models, resuming, shards, training


class Cut(Exception):
    """What stands for a kill in the middle of an epoch."""


@TECHNIQUES
@pytest.mark.parametrize(("every", "unit"), [(1, "epochs"), (3, "epochs"), (2, "steps")])
def test_a_run_that_was_cut_short_ends_in_the_same_bytes(images, changed, every, unit, monkeypatch):
    """Cut in three steps, most of them within an epoch: of 3 steps, 2 where gradients are accumulated, or 5."""
    settings = SETTINGS | {"epochs": 9, "learning_rate": 0.05, "patience": 3} | changed
    settings |= {"checkpoint_every": every, "checkpoint_unit": unit}
    steps = settings["steps_per_epoch"] or -(-24 // (8 * settings["accumulate"]))
    interval = every * (steps if unit == "epochs" else 1)
    mixing = OFF | {"mixup": 0.3, "cutmix": 1.0, "rotation": 20, "fill": "nearest"}
    keras.config.set_dtype_policy(settings["precision"])

    def run() -> tuple[pd.DataFrame, list]:
        model = fresh(images, dropout=0.5, batch_norm=True)
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

    write_shards(scan(), "data/large", image_size=[32, 32])
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
            patch.setattr(training.Stopping, "on_epoch_begin", cut)
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
    assert resuming.State(STATE).progress().epoch == 1
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
    write_shards(scan(), "data/other", image_size=[16, 16], interpolation="linear")
    assert one != resuming.place(0, SETTINGS, shards.Images("data/other").digest())
    (tmp_path / "resuming.py").write_text("# other code\n")
    monkeypatch.setattr(resuming, "__file__", str(tmp_path / "resuming.py"))
    assert one != resuming.place(0, SETTINGS, images.digest())


def prepare(folder: Path, source: Path, order: list[int] | None = None, **train) -> None:
    """A folder in which the train stage can run, on 60 pictures of three classes, made in an order."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/sample").symlink_to(source)
    (folder / "stages").symlink_to(ROOT / "stages")
    (folder / "env.yaml").symlink_to(ROOT / "env.yaml")
    values = PARAMS | {"model": ARCHITECTURE | {"dropout": 0.5}, "train": PARAMS["train"] | train}
    values |= {"augment": PARAMS["augment"] | {"mixup": 0.3, "erasing": 0.3}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    for number in [] if source.exists() else order or range(60):
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


TRAIN = ["data/train", "data/val", "data/classes.txt", "pretrained", "models", "train.json", "history.csv"]


def results(folder: Path) -> list[str]:
    files = ("models/model.weights.h5", "models/model.json", "history.csv", "train.json")
    return [hashlib.md5((folder / name).read_bytes()).hexdigest() for name in files]


@pytest.mark.slow
def test_the_same_bytes_again_on_one_core_and_on_two(tmp_path):
    """Two processes, in two folders whose images were made in another order, one of them held to one core: the same
    weights and history, bit for bit."""
    found = []
    for name, cores in (("one", "0"), ("two", "0,1")):
        order = np.random.default_rng(0).permutation(60).tolist() if name == "two" else None
        prepare(tmp_path / name, tmp_path / f"source-{name}", order, epochs=3)
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
    settings = {"epochs": 12, "ema": 0.9, "schedule": "plateau", "decay_epochs": 1, "patience": 12}
    settings |= {"batch_size": 4, "accumulate": 2, "checkpoint_every": 2, "checkpoint_unit": "steps"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare(whole, tmp_path / "source", **settings)
    subprocess.run(command, cwd=whole, check=True, timeout=300)
    prepare(killed, tmp_path / "source", **settings)
    moments = np.random.default_rng()  # any moment will do: within a step, within the writing of the state
    for epoch in (1, 2, 4):
        with subprocess.Popen(command, cwd=killed, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if (found := re.match(r"epoch +(\d+)/", line)) and int(found[1]) >= epoch:
                    break
            time.sleep(moments.uniform(0, 0.1))
            process.kill()
    done = subprocess.run(command, cwd=killed, check=True, timeout=300, capture_output=True, text=True)
    assert re.search(r"goes on after epoch ([4-9]|10|11)( and \d+ steps)?, where it was cut", done.stdout), done.stdout
    assert results(killed) == results(whole)
    assert not list((killed / ".dvc/state").iterdir())
