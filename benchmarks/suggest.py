"""`heldout suggest` beside random choice, simulated: labels of a data set are hidden, and given back where it asks.

$ python benchmarks/suggest.py FOLDER [--size 48] [--n 50] [--seeds 3]

FOLDER is as for benchmarks/pretrain.py, whose network, augmentation and first labels (2 %, by group) these are. A
network is trained on the first labels; N more images are chosen among the other training images by margin, by k-center
and at random; a new network is trained on the first and those N. Prints test accuracy, and the difference from random
choice.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from pretrain import ARCHITECTURE, TRAINING_EPOCHS, draw_labeled, fitted, prepare, write_shards
from results import SECTIONS, interval

from heldout.data import shards
from heldout.networks import devices
from heldout.training import active_learning

FRACTION = 0.02


def run(size: int, count: int, seed: int, work: Path, table: pd.DataFrame) -> dict[str, float]:
    """Test accuracy by the method of choice, and before it."""
    strategy = devices.tf.distribute.get_strategy()
    train = table[table["split"] == "train"].sort_values(["id", "label"])
    first = draw_labeled(train, FRACTION, seed)
    hidden = train[~train["id"].isin(first["id"])]
    test, pool = shards.Images(work / "test"), write_shards(hidden, size, work / f"hidden-{seed}")
    labeled = write_shards(first, size, work / f"first-{seed}")
    model, before = fitted("scratch", labeled, test, seed, strategy, TRAINING_EPOCHS, work)
    embedded, known = active_learning.embed(model, pool), active_learning.embed(model, labeled)
    chosen = {name: active_learning.choose(embedded, known, count, name) for name in ("margin", "k_center")}
    chosen["random"] = np.random.default_rng([seed, 1]).choice(len(pool), count, replace=False)
    result = {"none": before["accuracy"]}
    for name, rows in chosen.items():
        more = pd.concat([first, hidden[hidden["id"].isin(pool.ids[rows])]])
        images = write_shards(more, size, work / f"{name}-{seed}")
        result[name] = fitted("scratch", images, test, seed, strategy, TRAINING_EPOCHS, work)[1]["accuracy"]
    print(f"seed {seed}: {result}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=48, help="height and width of images, pixels (%(default)s)")
    parser.add_argument("--n", type=int, default=50, help="images that are chosen (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument("--precision", default="float32", help="hardware.precision (%(default)s)")
    options = parser.parse_args()
    devices.configure_tensorflow(0, **(SECTIONS["hardware"] | {"precision": options.precision}))
    with tempfile.TemporaryDirectory(prefix="heldout-suggest-") as name:
        table = prepare(options.folder, options.size, Path(name))
        runs = pd.DataFrame([run(options.size, options.n, seed, Path(name), table) for seed in range(options.seeds)])
    print(f"{ARCHITECTURE['architecture']}, {options.n} more images of {options.folder.name}")
    for method in runs:
        difference = "" if method == "random" else f"  {interval(runs[method] - runs['random'])} from random choice"
        print(f"{method:<10}{interval(runs[method]):>16} test accuracy{difference}")


if __name__ == "__main__":
    main()
