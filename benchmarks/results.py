"""What the networks reach on two real data sets: the runs behind docs/results.md, each a `dvc repro` of its own.

$ python benchmarks/results.py --clothing FOLDER --signs FOLDER [--work FOLDER] [--rows docs/results.csv]

Every run trains with early stopping on validation images and meets the test images once. Runs that the CSV holds are
not run again, so a stopped table goes on where it was. At the end it prints the table that docs/results.md shows.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t

from heldout.augmentation import augment

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
Sections = dict[str, dict[str, Any]]
# Complete sections of params.yaml, whose defaults may change while the rows of the CSV stay: the tutorial's CNN, Adam,
# batches of 32, nothing augmented. A key that params.yaml gets later is missing here, and ends a run in one line.
SECTIONS: Sections = {
    "data": {
        "dir": "data/raw", "layout": "auto", "class_depth": 1, "group_pattern": "", "captions": False,
        "on_problem": "error", "on_conflict": "error", "max_megapixels": 100,
        "unlabelled": "",
    },
    "split": {"method": "hash", "val": 0.15, "test": 0.15, "seed": 0, "on_leak": "error"},
    "preprocess": {
        "image_size": [64, 64], "channels": 3, "resize": "squash", "interpolation": "area",
        "pad_color": [0, 0, 0], "fast_decode": False,
    },
    "augment": augment.OFF,
    "model": {
        "architecture": "cnn", "attention": "none", "filters": [32, 64, 128], "kernel_size": 3, "batch_norm": False,
        "depth": 20, "width": 1, "stem": "small", "alpha": 1.0, "minimalistic": False, "weights": "none",
        "pooling": "flatten", "dense_units": 512, "dropout": 0.5, "l2": 0,
    },
    "train": {
        "epochs": 20, "steps_per_epoch": 0, "batch_size": 32, "gradient_accumulation_steps": 1,
        "loss": "cross_entropy", "label_smoothing": 0, "class_weights": "none", "patience": 5,
        "checkpoint_every": 1, "checkpoint_unit": "epochs", "xla": False, "head": "dense", "views": 0,
    },
    "optimizer": {
        "name": "adam", "momentum": 0.9, "nesterov": True, "weight_decay": 0, "global_clipnorm": 0, "ema_momentum": 0,
    },
    "schedule": {
        "name": "constant", "learning_rate": 0.001, "warmup_epochs": 0, "decay_epochs": 3, "decay_factor": 0.3,
    },
    "fine_tune": {"epochs": 0, "layers": 20, "learning_rate": 0.00001},
    "hardware": {
        "strategy": "single", "precision": "float32", "intra_op_threads": 2, "max_cpu_isa": "default",
        "deterministic": True,
    },
}  # fmt: skip
AUGMENTATION = {"rotation": 10, "width_shift": 0.1, "height_shift": 0.1, "zoom": 0.1}
COSINE = {"name": "cosine", "warmup_epochs": 1}
DATA: dict[str, Sections] = {
    "clothing": {
        "data": {"on_conflict": "drop"},
        "preprocess": {"image_size": [96, 96]},
        "augment": AUGMENTATION | {"horizontal_flip": True},
        "train": {"epochs": 12},
        "schedule": COSINE,
    },
    "signs": {
        "preprocess": {"image_size": [64, 64]},
        "augment": AUGMENTATION,
        "train": {"epochs": 20},
        "schedule": COSINE,
    },
}
# Each on top of the one above it, but for the last. Clothing's rows `tutorial CNN` of commit e4aa996 were run with
# horizontal flips, which were not switched off then; here nothing is augmented.
VARIANTS: dict[str, Sections] = {
    "tutorial CNN": {"augment": augment.OFF},
    "+ augmentation": {},
    "+ batch normalization": {"model": {"batch_norm": True}},
    "+ squeeze and excite": {"model": {"batch_norm": True, "attention": "se"}},
    "ResNet20": {"model": {"architecture": "resnet", "stem": "large"}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in DATA:
        parser.add_argument(f"--{name}", type=Path, help=f"the folder of images {name}")
    parser.add_argument("--work", type=Path, help="where the clones are made (a temporary folder)")
    parser.add_argument("--rows", type=Path, default=ROOT / "docs/results.csv", help="a row a run (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heldout-results-") as temporary:
        work = options.work or Path(temporary)
        for seed in SEEDS:
            for data in DATA:
                for variant in VARIANTS:
                    if folder := getattr(options, data):
                        run(work / data, folder, data, variant, seed, options.rows)
    print(table(pd.read_csv(options.rows)))


def run(clone: Path, folder: Path, data: str, variant: str, seed: int, csv: Path) -> None:
    """Reproduce up to evaluate, and add a row to the CSV unless it is there."""
    rows = pd.read_csv(csv) if csv.is_file() else pd.DataFrame(columns=["data", "variant", "seed"])
    if ((rows["data"] == data) & (rows["variant"] == variant) & (rows["seed"] == seed)).any():
        return
    if not clone.is_dir():
        execute("git", "clone", "-q", str(ROOT), str(clone), cwd=ROOT)
        shutil.copytree(folder, clone / "data/raw")
        execute("dvc", "add", "-q", "data/raw", cwd=clone)
    params = yaml.safe_load(execute("git", "show", "HEAD:params.yaml", cwd=clone)) | SECTIONS | {"seed": seed}
    for section, values in [*DATA[data].items(), *VARIANTS[variant].items()]:
        params[section] = params[section] | values
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    execute("dvc", "repro", "-q", "preprocess", cwd=clone)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    execute("dvc", "repro", "-q", "evaluate", cwd=clone)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    scores, training = (json.loads((clone / f"metrics/{name}.json").read_text("utf-8")) for name in ("eval", "train"))
    row = {
        "data": data,
        "variant": variant,
        "seed": seed,
        "test_accuracy": scores["accuracy"],
        "macro_f1": scores["macro_f1"],
        "best_epoch": training["best_epoch"],
        "epochs": training["epochs"],
        "parameters": training["parameters"],
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "commit": execute("git", "rev-parse", "--short", "HEAD", cwd=clone).strip(),
    }
    rows = pd.DataFrame([*rows.to_dict("records"), row])
    csv.write_text(rows.to_csv(index=False), encoding="utf-8")
    print(row, flush=True)


def table(rows: pd.DataFrame) -> str:
    """Markdown: mean and 95 % interval (Student's t over the seeds) of the test accuracy and macro F1."""
    lines = [
        "| data | network | test accuracy | macro F1 | epochs | parameters | CPU minutes a run |",
        "|" + "---|" * 7,
    ]
    for (data, variant), runs in rows.groupby(["data", "variant"], sort=False):
        cells = [interval(runs["test_accuracy"]), interval(runs["macro_f1"])]
        epochs = " ".join(map(str, runs["epochs"]))
        minutes = f"{runs['cpu_seconds'].mean() / 60:.0f}"
        lines.append(f"| {' | '.join([data, variant, *cells, epochs, f'{runs.parameters.iloc[0]:,}', minutes])} |")
    return "\n".join(lines)


def interval(values: pd.Series) -> str:
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half_width = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {half_width:.3f}"


def execute(*command: str, cwd: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(cwd / "src")}  # the clone's code, not that of an editable install
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
