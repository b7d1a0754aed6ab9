"""Transfer learning with real weights: what the recipes reach, and what fixed views cost and save.

$ python benchmarks/transfer.py recipes --clothing FOLDER --signs FOLDER --weights FOLDER [--work FOLDER]
$ python benchmarks/transfer.py views --clothing FOLDER --weights FOLDER [--work FOLDER]

WEIGHTS holds the files LARGE and SMALL. Every run is a `dvc repro evaluate` of its own, after one of `preprocess`; the
test images are met once a run. Rows are added to --rows; those that are there are not run again. `recipes` prints the
table of docs/results.md: mean and 95 % interval (Student's t) over three seeds. `views` prints, for each number of
views, test accuracy less that of augmentation anew, paired by seed, and how fast the epochs after the first are.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from results import interval

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
LARGE = "mobilenet_v2_1.0_224_ptq_no_top.weights.h5"
SMALL = "mobilenet_v2_0.35_224_no_top.weights.h5"
PHOTOS = ["data.dir=data/raw", "data.on_conflict=drop"]
# Each with the recipe that it begins with, and what is set on top; signs are not mirrored.
RECIPES = {
    "transfer-small": ["transfer-small"],
    "transfer": ["transfer"],
    "transfer at 160 px": ["transfer", "preprocess.image_size=[160, 160]"],
    "logistic head at 224 px": [
        "transfer", "train.head=logistic", "train.views=0", "fine_tune.epochs=0", "augment.horizontal_flip=false",
    ],
}  # fmt: skip
ON_SIGNS = ("transfer-small", "transfer at 160 px")
FROZEN = [
    "transfer-small", "preprocess.image_size=[96, 96]", "train.epochs=32", "train.patience=32", "fine_tune.epochs=0",
    "augment.horizontal_flip=true", "augment.rotation=10", "augment.width_shift=0.1", "augment.height_shift=0.1",
    "augment.zoom=0.1",
]  # fmt: skip
VIEWS = {f"views {count}" if count else "anew": [*FROZEN, f"train.views={count}"] for count in (0, 1, 4, 16)}


def run(clone: Path, folder: Path, weights: Path, settings: list[str], seed: int) -> dict[str, float | str]:
    """Reproduce up to evaluate; the row."""
    if not clone.is_dir():
        execute("git", "clone", "-q", str(ROOT), str(clone), cwd=ROOT)
        shutil.copytree(folder, clone / "data/raw")
        execute("dvc", "add", "-q", "data/raw", cwd=clone)
    file = SMALL if settings[0] == "transfer-small" else LARGE
    shutil.copyfile(weights / file, clone / "pretrained" / file)
    execute("git", "checkout", "-q", "params.yaml", cwd=clone)
    recipe, *others = settings
    heldout = (sys.executable, "-m", "heldout", "recipe", recipe, *PHOTOS, f"model.weights=pretrained/{file}")
    unmirrored = ["augment.horizontal_flip=false"] if clone.name == "signs" else []
    execute(*heldout, *others, *unmirrored, f"seed={seed}", cwd=clone)
    execute("dvc", "repro", "-q", "preprocess", cwd=clone)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = execute("dvc", "repro", "evaluate", cwd=clone)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    scores, training = (json.loads((clone / f"metrics/{name}.json").read_text("utf-8")) for name in ("eval", "train"))
    rates = [float(line.split(" images/s")[0].split()[-1].replace(",", "")) for line in output.splitlines()
             if line.startswith("epoch") and " images/s" in line]  # fmt: skip
    return {
        "seed": seed,
        "test_accuracy": scores["accuracy"],
        "val_accuracy": training["val_accuracy"],
        "macro_f1": scores["macro_f1"],
        "epochs": training["epochs"],
        "parameters": training["parameters"],
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "images_per_second": sorted(rates[1:])[len(rates[1:]) // 2] if len(rates) > 1 else float("nan"),
        "commit": execute("git", "rev-parse", "--short", "HEAD", cwd=clone).strip(),
    }


def execute(*command: str, cwd: Path) -> str:
    """Run a command; its output. The runs are the clone's own code; features are not those of an earlier run."""
    environment = os.environ | {"PYTHONPATH": str(cwd / "src")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def collect(options: argparse.Namespace, variants: dict[str, list[str]]) -> pd.DataFrame:
    """All rows of the variants, of which those that the CSV lacks are run."""
    csv: Path = options.rows
    table = pd.read_csv(csv) if csv.is_file() else pd.DataFrame(columns=["data", "variant", "seed"])
    with tempfile.TemporaryDirectory(prefix="heldout-transfer-") as temporary:
        for seed in SEEDS:
            for variant, settings in variants.items():
                for data in ("clothing", "signs"):
                    folder = getattr(options, data, None)
                    key = (table["data"] == data) & (table["variant"] == variant) & (table["seed"] == seed)
                    if folder is None or key.any() or (data == "signs" and variant not in ON_SIGNS):
                        continue
                    clone = (options.work or Path(temporary)) / data
                    row = {"data": data, "variant": variant, **run(clone, folder, options.weights, settings, seed)}
                    # Features of an earlier run of another variant would hide what this one costs.
                    shutil.rmtree(clone / ".dvc/images", ignore_errors=True)
                    table = pd.DataFrame([*table.to_dict("records"), row])
                    table.to_csv(csv, index=False, lineterminator="\n")
                    print(row, flush=True)
    return table[table["variant"].isin(variants)]


def print_recipes(table: pd.DataFrame) -> None:
    print("| data | what | test accuracy | macro F1 | parameters | CPU seconds a run |\n|---|---|---|---|---|---|")
    for (data, variant), rows in table.groupby(["data", "variant"], sort=False):
        print(
            f"| {data} | {variant} | {interval(rows['test_accuracy'])} | {interval(rows['macro_f1'])} | "
            f"{rows['parameters'].iloc[0]:,} | {rows['cpu_seconds'].mean():.0f} |"
        )


def print_views(table: pd.DataFrame) -> None:
    anew = table[table["variant"] == "anew"].set_index("seed")
    print("| views | test accuracy | less anew, paired | CPU seconds a run | speed of later epochs to anew |")
    print("|---|---|---|---|---|")
    for variant, rows in table.groupby("variant", sort=False):
        paired = rows.set_index("seed")
        difference = paired["test_accuracy"] - anew["test_accuracy"]
        ratio = (paired["images_per_second"] / anew["images_per_second"]).mean()
        print(
            f"| {variant} | {interval(rows['test_accuracy'])} | {interval(difference)} | "
            f"{rows['cpu_seconds'].mean():.0f} | {ratio:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("recipes", "views"))
    parser.add_argument("--clothing", type=Path, required=True, help="the folder of images clothing")
    parser.add_argument("--signs", type=Path, help="the folder of images signs")
    parser.add_argument("--weights", type=Path, required=True, help="the folder of the weights' files")
    parser.add_argument("--work", type=Path, help="where the clones are made (a temporary folder)")
    parser.add_argument("--rows", type=Path, default=ROOT / "docs/transfer.csv", help="a row a run (%(default)s)")
    options = parser.parse_args()
    if options.what == "recipes":
        print_recipes(collect(options, RECIPES))
    else:
        options.signs = None
        print_views(collect(options, VIEWS))


if __name__ == "__main__":
    main()
