"""Killed runs and repeated ones: the same bytes as a run left alone, whatever they train and on which cores."""

import hashlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, scan, write_image, write_shards
from test_fit import TECHNIQUES
from training_runs import (
    ARCHITECTURE,
    CHECKPOINT,
    PARAMS,
    Interrupted,
    interrupt_after_step,
    mean_loss,
    merged,
    same_weights,
    train,
    untrained,
)

from heldout.data import shards
from heldout.networks import build, encoder, frozen
from heldout.training import fit
from heldout.training.checkpoint import Checkpoint, checkpoint_path


def interrupt_before_epoch(last: int, run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, and be killed where the epoch of this number (from 0) begins."""

    def interrupt(self, epoch, logs=None):
        if epoch == last:
            raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(fit.EarlyStopping, "on_epoch_begin", interrupt)
        run()


@pytest.mark.parametrize(
    ("technique", "every", "unit"),
    [
        *[(technique, 2, "steps") for technique in TECHNIQUES],
        *[("plateau focal balanced", every, "epochs") for every in (1, 3)],
    ],
)
def test_an_interrupted_run_ends_in_the_same_bytes(images, technique, every, unit, monkeypatch):
    """Interrupted in three steps, most of them within an epoch: of 3 steps, 2 where gradients accumulate, or 5."""
    mixing = {"mixup": 0.3, "cutmix": 1.0, "rotation": 20}
    length = {"epochs": 9, "patience": 3, "checkpoint_every": every, "checkpoint_unit": unit}
    sections = merged({"schedule": {"learning_rate": 0.05}, "augment": mixing, "train": {"epochs": 9, "patience": 3}})
    sections = merged(sections, TECHNIQUES[technique], {"train": length})
    settings = sections["train"]
    steps = settings["steps_per_epoch"] or -(-24 // (8 * settings["gradient_accumulation_steps"]))
    interval = every * (steps if unit == "epochs" else 1)
    keras.config.set_dtype_policy(sections["hardware"]["precision"])

    def run() -> tuple[pd.DataFrame, list]:
        model = untrained(images, dropout=0.5, batch_norm=True)
        return train(model, images, sections), model.get_weights()

    history, weights = run()
    CHECKPOINT.unlink(missing_ok=True)
    first = 0
    for last in (2, 7, 13):
        if last < steps * len(history):
            assert interrupt_after_step(last, steps, run, monkeypatch) == last - first
            first = last // interval * interval  # less than an interval is repeated
            assert CHECKPOINT.is_file() == (first > 0)
    resumed, resumed_weights = run()
    keras.config.set_dtype_policy("float32")
    assert resumed.equals(history)
    assert same_weights(weights, resumed_weights)


@pytest.mark.slow
def test_a_second_phase_trains_the_top_layers_and_resumes(images, monkeypatch):
    """Weights of a pretrained network move in its top layers alone, its statistics nowhere; interrupted in either phase
    and between them, the run ends in the same bytes."""
    architecture = ARCHITECTURE | {
        "architecture": "MobileNet", "weights": "none", "pooling": "average", "dense_units": 0
    }  # fmt: skip
    sections = merged({"fine_tune": {"epochs": 2, "layers": 6, "learning_rate": 0.01}})

    def new_model() -> keras.Model:
        keras.utils.set_random_seed(0)
        model = build.build((32, 32, 3), 3, **architecture)
        for layer in frozen.pretrained_part(model).layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(np.full(layer.gamma.shape, 5.0))  # else nothing of the image reaches the output
        return model

    def run(*changes: dict) -> tuple[pd.DataFrame, keras.Model]:
        model = new_model()
        return train(model, images, sections, *changes), model

    write_shards(scan(), "data/large", image_size=[32, 32])
    images = shards.Images("data/large")
    history, model = run()
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["learning_rate"].tolist() == pytest.approx([0.003, 0.003, 0.01, 0.01])
    CHECKPOINT.unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(fit.EarlyStopping, "on_train_end", lambda self, logs=None: None)  # leave the last weights
        last_model = run()[1]
    before, after = frozen.pretrained_part(new_model()), frozen.pretrained_part(last_model)
    moved = [
        not same_weights(old.get_weights(), new.get_weights())
        for old, new in zip(before.layers, after.layers, strict=True)
    ]
    expected = [
        number >= len(moved) - 6 and "conv" in layer.name and "bn" not in layer.name and bool(layer.get_weights())
        for number, layer in enumerate(after.layers)
    ]
    assert moved == expected and any(moved)
    CHECKPOINT.unlink(missing_ok=True)
    for last in (1, 2, 3):
        interrupt_before_epoch(last, run, monkeypatch)
    resumed, resumed_model = run()
    assert resumed.equals(history)
    assert same_weights(model.get_weights(), resumed_model.get_weights())
    CHECKPOINT.unlink(missing_ok=True)
    worse, kept = run({"fine_tune": {"learning_rate": 1.0}})  # ruins it: the first phase's best weights stay
    if worse["val_loss"].idxmin() < 2:
        assert mean_loss(kept, images) == pytest.approx(worse["val_loss"].min(), rel=1e-4)
    else:
        pytest.fail(f"the second phase was to make it worse: {worse}")


def test_the_top_of_a_frozen_encoder_trains_in_the_second_phase_and_resumes(images, tmp_path, monkeypatch):
    """First what follows the encoder alone, then its top layers with it: neither the rest nor any statistic moves."""
    architecture = ARCHITECTURE | {"architecture": "resnet", "depth": 8}
    given = untrained(images, seed=7, **architecture)
    encoder.save(encoder.encoder(given), architecture, tmp_path)
    layers = 8  # of the last block
    two_phases = {"fine_tune": {"epochs": 2, "layers": layers, "learning_rate": 0.01}}

    def run() -> tuple[pd.DataFrame, keras.Model]:
        model = untrained(images, **architecture)
        encoder.transfer(model, architecture, str(tmp_path), start="models/encoder", frozen=True)
        return train(model, images, two_phases), model

    with monkeypatch.context() as patch:
        patch.setattr(fit.EarlyStopping, "on_train_end", lambda self, logs=None: None)  # leave the last weights
        history, model = run()
    assert history["learning_rate"].tolist() == pytest.approx([0.003, 0.003, 0.01, 0.01])
    before, after = encoder.encoder(given).layers, encoder.encoder(model).layers
    moved = [not same_weights(old.get_weights(), new.get_weights()) for old, new in zip(before, after, strict=True)]
    expected = [
        number >= len(after) - layers and isinstance(layer, keras.layers.Conv2D) for number, layer in enumerate(after)
    ]
    assert moved == expected and any(moved)
    CHECKPOINT.unlink(missing_ok=True)
    whole = run()[1]
    for last in (1, 2, 3):
        CHECKPOINT.unlink(missing_ok=True)
        interrupt_before_epoch(last, run, monkeypatch)
        resumed, resumed_model = run()
        assert resumed.equals(history)
        assert same_weights(whole.get_weights(), resumed_model.get_weights())


def test_what_nothing_is_frozen_in_cannot_be_fine_tuned(images):
    with pytest.raises(ValueError, match=r"resnet, which has no pretrained layers .* transfer.frozen true") as caught:
        train(untrained(images, architecture="resnet", depth=8), images, {"fine_tune": {"epochs": 1}})
    assert "\n" not in str(caught.value)


def test_a_kill_while_the_checkpoint_is_written_leaves_the_one_before(images, monkeypatch):
    sections = merged({"train": {"epochs": 4}})
    model = untrained(images)
    history = train(model, images, sections)
    CHECKPOINT.unlink(missing_ok=True)
    save, count = np.savez, 0

    def write_half(file, **arrays):
        nonlocal count
        count += 1
        if count == 2:
            file.write(b"PK half of it")
            raise Interrupted
        save(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", write_half)
        with pytest.raises(Interrupted):
            train(untrained(images), images, sections)
    assert Checkpoint(CHECKPOINT).progress().epoch == 1
    resumed = untrained(images)
    assert train(resumed, images, sections).equals(history)
    assert same_weights(model.get_weights(), resumed.get_weights())


def test_a_corrupt_checkpoint_starts_from_epoch_1(images, capsys):
    CHECKPOINT.parent.mkdir(parents=True)
    CHECKPOINT.write_bytes(b"PK damaged")
    history = train(untrained(images), images)
    assert len(history) == 2
    assert "run.npz is corrupt: starting from epoch 1" in capsys.readouterr().out


def test_a_checkpoint_belongs_to_its_inputs(images):
    settings = PARAMS["train"]
    path = checkpoint_path("digest", 0, settings, images.digest())
    assert path == checkpoint_path("digest", 0, settings, images.digest())
    assert path != checkpoint_path("digest", 1, settings, images.digest())
    assert path != checkpoint_path("other code", 0, settings, images.digest())
    write_shards(scan(), "data/other", image_size=[16, 16], interpolation="linear")
    assert path != checkpoint_path("digest", 0, settings, shards.Images("data/other").digest())


def prepare(folder: Path, source: Path, order: list[int] | None = None, **changes: dict) -> None:
    """A folder in which the train stage can run, on 60 pictures of three classes, made in an order."""
    prepare_code(folder, source, **changes)
    for number in [] if source.exists() else order or range(60):
        write_image(source / f"{number % 3}/{number}.png", number)
    for stage, *arguments in (
        ["index", "data/index.csv", "data/problems.csv"],
        ["split", "data/index.csv", "data/problems.csv", "data/splits", *SPLIT],
        ["preprocess", "data/splits/train.csv", "data/train"],
        ["preprocess", "data/splits/val.csv", "data/val"],
    ):
        run_stage(folder, stage, *arguments)


def prepare_code(folder: Path, source: Path, **changes: dict) -> None:
    """The code and params of such a folder, whose images are at `source`."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/sample").symlink_to(source)
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "env.yaml").symlink_to(ROOT / "env.yaml")
    base = {
        "data": PARAMS["data"] | {"dir": "data/sample"},
        "model": ARCHITECTURE | {"dropout": 0.5},
        "augment": PARAMS["augment"] | {"mixup": 0.3, "random_erasing": 0.3},
    }
    values = PARAMS | base
    for name, changed in changes.items():
        values[name] = values[name] | changed
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    run_stage(folder, "code", "code.yaml")


def run_stage(folder: Path, name: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"stages.{name}", *arguments], cwd=folder, check=True, timeout=300)


SPLIT = ["data/classes.txt", "data.json", "classes.csv", "split.png"]
TRAIN = ["data/train", "data/val", "data/classes.txt", "pretrained", "models", "train.json", "history.csv"]


def results(folder: Path) -> list[str]:
    files = ("models/model.weights.h5", "models/model.json", "history.csv", "train.json")
    return [hashlib.md5((folder / name).read_bytes()).hexdigest() for name in files]


@pytest.mark.slow
def test_the_same_bytes_again_on_one_core_and_on_two(tmp_path):
    """Two processes, in two folders whose images were made in another order, one of them held to one core: the same
    weights and history, bit for bit."""
    digests = []
    for name, cores in (("first", "0"), ("second", "0,1")):
        order = np.random.default_rng(0).permutation(60).tolist() if name == "second" else None
        prepare(tmp_path / name, tmp_path / f"source-{name}", order, train={"epochs": 3})
        pin = f"import os; os.sched_setaffinity(0, {{{cores}}}) if hasattr(os, 'sched_setaffinity') else None; "
        run = f"import sys, runpy; sys.argv[1:] = {TRAIN!r}; sys.path.insert(0, '.'); "
        run += "runpy.run_module('stages.train', run_name='__main__', alter_sys=True)"
        subprocess.run([sys.executable, "-c", pin + run], cwd=tmp_path / name, check=True, timeout=300)
        digests.append(results(tmp_path / name))
    assert digests[0] == digests[1]
    assert len(pd.read_csv(tmp_path / "first/history.csv")) == 3


@pytest.mark.slow
def test_a_stage_killed_again_and_again_ends_in_the_same_bytes(tmp_path):
    command = [sys.executable, "-m", "stages.train", *TRAIN]
    changes = {
        "optimizer": {"ema_momentum": 0.9},
        "schedule": {"name": "plateau", "decay_epochs": 1, "warmup_epochs": 0},
        # So many epochs that none of the kills comes after the last, however busy the machine is.
        "train": {
            "epochs": 30, "patience": 30, "batch_size": 4, "gradient_accumulation_steps": 2,
            "checkpoint_every": 2, "checkpoint_unit": "steps",
        },
    }  # fmt: skip
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    prepare(undisturbed, tmp_path / "source", **changes)
    shutil.copytree(undisturbed, killed, symlinks=True)
    subprocess.run(command, cwd=undisturbed, check=True, timeout=300)
    random = np.random.default_rng()  # any moment will do: within a step, within the writing of the checkpoint
    for epoch in (1, 2, 4):
        with subprocess.Popen(command, cwd=killed, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if (match := re.match(r"epoch +(\d+)/", line)) and int(match[1]) >= epoch:
                    break
            time.sleep(random.uniform(0, 0.1))
            process.kill()
    # A comment changes no digest: the checkpoint is found all the same.
    with (killed / "src/heldout/training/fit.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    done = subprocess.run(command, cwd=killed, check=True, timeout=300, capture_output=True, text=True)
    match = re.search(r"train: resuming from checkpoint \(epoch (\d+), step \d+\)", done.stdout)
    assert match and int(match[1]) > 4, done.stdout
    assert results(killed) == results(undisturbed)
    assert not list((killed / ".dvc/state").iterdir())


def test_a_stage_refuses_code_that_code_yaml_does_not_hold(tmp_path):
    prepare_code(tmp_path / "a", tmp_path / "source")
    with (tmp_path / "a/src/heldout/training/fit.py").open("a", encoding="utf-8") as file:
        file.write("EDIT = 1\n")
    command = [sys.executable, "-m", "stages.train", *TRAIN]
    done = subprocess.run(command, cwd=tmp_path / "a", timeout=300, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "train: the code of the stage train is not the one that code.yaml holds: "
        "run `dvc repro`, which writes code.yaml first\n"
    )
