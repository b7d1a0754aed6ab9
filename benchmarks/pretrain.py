"""Pretraining without labels beside training from scratch, where few images have labels: test accuracy and CPU seconds.

$ python benchmarks/pretrain.py FOLDER [--size 48] [--epochs 60] [--fractions 0.02 0.1] [--seeds 3] [--flip]

FOLDER holds a data set as data.dir does, such as the signs, split by the signer. The pool is all training images; of
these a fraction, drawn by group, keeps its labels, and nothing else with a label is looked at before the test: training
is watched on the labelled images themselves. For each seed (of the pretraining, the labels that are drawn, and the
training) the table has a linear probe (the encoder frozen), the encoder trained on, and training from scratch with the
same augmentation, for as many steps and for as much CPU time as pretraining and training on took together.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from results import SECTIONS, interval

from heldout.augmentation import augment
from heldout.data import components, index, preprocess, shards, split
from heldout.data.decode_cache import DecodeCache
from heldout.networks import build, devices, encoder
from heldout.networks.batch_norm import BatchNormalization
from heldout.training import fit
from heldout.training.checkpoint import Checkpoint
from heldout.training.contrastive import pretrain
from heldout.training.contrastive.pool import Pool

ARCHITECTURE = SECTIONS["model"] | {"architecture": "resnet", "depth": 8, "stem": "large", "width": 2}
VIEWS = {
    "rotation": 20, "crop": 0.5, "aspect_ratio": 0.33, "horizontal_flip": False, "vertical_flip": False,
    "fill_mode": "nearest", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2,
    "blur": 0,
}  # fmt: skip
AUGMENTATION = augment.OFF | {
    "rotation": 15, "width_shift": 0.1, "height_shift": 0.1, "zoom": 0.1, "brightness": 0.3, "contrast": 0.3,
}  # fmt: skip
STEPS = 20  # of an "epoch": what lies between two looks at the labelled images
TRAINING_EPOCHS = 60
# The highest learning rate of each, chosen on val with labels that no other run has. Of the signs (30 labels, 80 epochs
# of pretraining): scratch .848 and .906 (0.003, 0.01), tuned .906, .902, .902 (0.006, 0.012, 0.024). Of the clothing
# (307 labels, 100 epochs): scratch .513, .487, .516, .531 (0.003, 0.006, 0.01, 0.024), tuned .484, .504, .525, .563,
# .528, .493 (0.002, 0.003, 0.006, 0.012, 0.024, 0.05). Probe of 300 steps with the signs: .692, .688 (0.003, 0.01).
LEARNING_RATES = {"scratch": 0.01, "tuned": 0.012, "probe": 0.003}


def prepare(folder: Path, size: int, work: Path) -> pd.DataFrame:
    """Index, split and preprocess as the stages do; the index, with each image's split and component."""
    settings = SECTIONS["data"] | {"dir": str(folder), "on_problem": "skip", "on_conflict": "drop"}
    table = index.scan(**settings).images
    splits, _ = split.assign(table, **SECTIONS["split"])
    table = table.assign(split=splits, component=components.label(table)).drop_duplicates("id")
    for name in ("train", "test"):
        write_shards(table[table["split"] == name], size, work / name)
    return table


def write_shards(rows: pd.DataFrame, size: int, folder: Path) -> shards.Images:
    """The images of some rows."""
    settings = SECTIONS["preprocess"] | {"image_size": [size, size]}
    preprocess.write_shards(
        rows.sort_values(["id", "label"], ignore_index=True), str(folder), DecodeCache(settings), **settings
    )
    return shards.Images(folder)


def draw_labeled(train: pd.DataFrame, fraction: float, seed: int) -> pd.DataFrame:
    """Whole components in a random order, until there are so many images and every class is among them."""
    order = np.random.default_rng(seed).permutation(train["component"].unique())
    position = dict(zip(order, range(len(order)), strict=True))
    rows = train.assign(position=train["component"].map(position)).sort_values(["position", "path"])
    seen = [len(set(rows["label"].iloc[: count + 1])) for count in range(len(rows))]
    enough = max(round(fraction * len(rows)), 1 + int(np.argmax(np.array(seen) == rows["label"].nunique())))
    return rows[rows["position"] <= rows["position"].iloc[enough - 1]]


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def fitted(
    kind: str, labeled: shards.Images, test: shards.Images, seed: int, strategy: Any, epochs: int, weights: Path
) -> tuple[Any, dict[str, float]]:
    """A trained network, which began with the encoder unless it is `scratch`; test accuracy and CPU seconds."""
    started = cpu_seconds()
    class_names = sorted(set(labeled.labels))
    fit.keras.utils.set_random_seed(seed)
    model = build.build(labeled.image_shape, len(class_names), BatchNormalization, **ARCHITECTURE)
    if kind != "scratch":
        network = encoder.encoder(model)
        encoder.load(network, ARCHITECTURE, weights)
        network.trainable = kind == "tuned"
    sections = SECTIONS | {
        "augment": AUGMENTATION,
        "optimizer": SECTIONS["optimizer"] | {"name": "adamw", "weight_decay": 0.01},
        "schedule": SECTIONS["schedule"] | {"name": "cosine", "learning_rate": LEARNING_RATES[kind]},
    }
    settings = SECTIONS["train"] | {
        "epochs": epochs, "patience": epochs, "steps_per_epoch": STEPS, "checkpoint_every": 10**6,
    }  # fmt: skip
    saved = Checkpoint(weights / "checkpoint.npz")
    fit.fit(model, labeled, labeled, class_names, sections, seed, strategy, saved, **settings)
    probabilities = np.concatenate([model(batch, training=False) for batch in test.batches()])
    seconds = cpu_seconds() - started
    accuracy = np.mean(probabilities.argmax(axis=1) == test.class_numbers(class_names))
    return model, {"accuracy": float(accuracy), "cpu_seconds": seconds}


def pretrained(images: shards.Images, table: pd.DataFrame, seed: int, strategy: Any, options: Any, work: Path) -> float:
    """Pretrain on all training images, write the encoder, and say how many CPU seconds that took."""
    started = cpu_seconds()
    fit.keras.utils.set_random_seed(seed)
    network = encoder.encoder(build.build(images.image_shape, 2, BatchNormalization, **ARCHITECTURE))
    component = table.set_index("id").loc[images.ids, "component"].to_numpy()
    history = pretrain.pretrain(
        network, Pool([images]), images.labels, component, VIEWS | {"horizontal_flip": options.flip}, seed, strategy,
        Checkpoint(work / "pretrain.npz"), methods=["simclr"], epochs=options.epochs, batch_size=128, temperature=0.2,
        projection_units=[128, 64], learning_rate=0.002, warmup_epochs=2, weight_decay=0.0001, checkpoint_every=10**6,
    )  # fmt: skip
    encoder.save(network, ARCHITECTURE, work)
    print(f"seed {seed}: {history.iloc[-1].round(3).to_dict()}", flush=True)
    return cpu_seconds() - started


def run(options: argparse.Namespace, work: Path) -> pd.DataFrame:
    AUGMENTATION["horizontal_flip"] = options.flip
    table = prepare(options.folder, options.size, work)
    strategy = devices.configure_tensorflow(0, **(SECTIONS["hardware"] | {"precision": options.precision}))
    images, test = shards.Images(work / "train"), shards.Images(work / "test")
    rows: list[dict[str, Any]] = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        spent = pretrained(images, table, seed, strategy, options, work)
        for fraction in options.fractions:
            labeled_rows = draw_labeled(table[table["split"] == "train"], fraction, seed)
            labeled = write_shards(labeled_rows, options.size, work / f"labeled-{fraction}-{seed}")
            arguments = (labeled, test, seed, strategy)
            results = {
                kind: fitted(kind, *arguments, TRAINING_EPOCHS, work)[1] for kind in ("probe", "tuned", "scratch")
            }
            # Steps cost what they cost from scratch; building the graph does not come again.
            ratio = (spent + results["tuned"]["cpu_seconds"]) / results["scratch"]["cpu_seconds"]
            epochs = round(TRAINING_EPOCHS * ratio)
            results["scratch, equal time"] = fitted("scratch", *arguments, epochs, work)[1]
            for kind, result in results.items():
                extra = spent if kind in ("probe", "tuned") else 0.0
                row = {"images": len(labeled), "fraction": fraction, "seed": seed, "kind": kind} | result
                rows.append(row | {"cpu_seconds": result["cpu_seconds"] + extra})
                print(json.dumps(rows[-1]), flush=True)
            if options.rows:
                pd.DataFrame(rows).to_csv(options.rows, index=False)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=48, help="height and width of images, pixels (%(default)s)")
    parser.add_argument("--epochs", type=int, default=60, help="of pretraining (%(default)s)")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.02, 0.1], help="of labels (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (%(default)s)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--flip", action="store_true", help="flip images horizontally, as is right for photos")
    parser.add_argument("--precision", default="float32", help="hardware.precision (%(default)s)")
    parser.add_argument("--rows", type=Path, help="a CSV that gets a row a run")
    options = parser.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="heldout-pretrain-") as name:
        table = run(options, Path(name))
    for (fraction, kind), runs in table.groupby(["fraction", "kind"], sort=False):
        print(
            f"{fraction:>5.0%} {runs['images'].mean():>6.0f} images  {kind:<20}{interval(runs['accuracy']):>16} "
            f"test accuracy, {runs['cpu_seconds'].mean():>5.0f} CPU s"
        )
    mean = table.groupby(["fraction", "kind"])["accuracy"].mean().unstack()
    gain = mean[["probe", "tuned"]].max(axis=1) - mean[["scratch", "scratch, equal time"]].max(axis=1)
    for fraction, points in gain.items():
        print(f"{fraction:>5.0%} {100 * points:+.1f} points over the better of the two from scratch")
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
