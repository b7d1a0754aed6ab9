"""The recipe for photos beside the tutorial's code, on the same images and cores, in no more time.

$ python benchmarks/recipe.py FOLDER

FOLDER holds train/CLASS/..., validation/CLASS/... and test/CLASS/.... The tutorial's code is what one would type:
Keras's ImageDataGenerator with its six augmentations, the CNN, Adam, batches of 32, 10 epochs. Ours is a clone of this
repository, `heldout recipe photos`, and a whole `dvc repro`: index, split, preprocess, train, evaluate, export.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 10  # the tutorial's
BATCH, SIDE = 32, 150


def tutorial(folder: Path) -> float:
    """Train as the tutorials do; the test accuracy."""
    from tensorflow import keras
    from tensorflow.keras import layers
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    augmented = ImageDataGenerator(
        rescale=1 / 255, rotation_range=20, width_shift_range=0.2, height_shift_range=0.2,
        shear_range=0.2, zoom_range=0.2, horizontal_flip=True,
    )  # fmt: skip
    plain = ImageDataGenerator(rescale=1 / 255)
    how = {"target_size": (SIDE, SIDE), "batch_size": BATCH, "class_mode": "categorical"}
    train = augmented.flow_from_directory(folder / "train", **how)
    validation = plain.flow_from_directory(folder / "validation", **how)
    test = plain.flow_from_directory(folder / "test", **how)
    model = keras.Sequential([
        layers.Input((SIDE, SIDE, 3)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5),
        layers.Dense(train.num_classes, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=EPOCHS, validation_data=validation, verbose=2)
    return float(model.evaluate(test, verbose=0)[1])


def ours(folder: Path) -> dict[str, float]:
    """Reproduce the whole graph with the recipe; the seconds that `dvc repro` took, and the test accuracy."""
    with tempfile.TemporaryDirectory(prefix="heldout-recipe-") as name:
        clone = Path(name, "clone")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        shutil.copytree(folder, clone / "data/raw")
        subprocess.run(["dvc", "add", "-q", "data/raw"], cwd=clone, check=True)
        settings = ["data.dir=data/raw", "data.on_conflict=drop"]
        environment = os.environ | {"PYTHONPATH": str(clone / "src")}
        recipe = [sys.executable, "-m", "heldout", "recipe", "photos", *settings]
        subprocess.run(recipe, cwd=clone, env=environment, check=True)
        started = time.perf_counter()
        subprocess.run(["dvc", "repro"], cwd=clone, env=environment, check=True, stdout=sys.stderr)
        seconds = time.perf_counter() - started
        accuracy = json.loads((clone / "metrics/eval.json").read_text(encoding="utf-8"))["accuracy"]
    return {"seconds": seconds, "accuracy": accuracy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--tutorial", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tutorial:
        print(tutorial(options.folder))
        return
    started = time.perf_counter()
    command = [sys.executable, __file__, "--tutorial", str(options.folder)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    theirs = {"seconds": time.perf_counter() - started, "accuracy": float(said.splitlines()[-1])}
    found = ours(options.folder)
    for name, one in (("the tutorial's code", theirs), ("the recipe for photos", found)):
        print(f"{name:<24}{one['accuracy']:>8.3f} test accuracy in {one['seconds']:>7.0f} s")
    points = 100 * (found["accuracy"] - theirs["accuracy"])
    print(
        f"{points:+.1f} points (wanted >= 10) in {found['seconds'] / theirs['seconds']:.2f} of the time (wanted <= 1)"
    )
    print(json.dumps({"tutorial": theirs, "recipe": found}))


if __name__ == "__main__":
    main()
