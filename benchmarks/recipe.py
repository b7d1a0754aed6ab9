"""The recipe for photos beside the tutorial's code, on the same images and cores, in no more time.

$ python benchmarks/recipe.py FOLDER [--seeds N]

FOLDER holds train/CLASS/..., validation/CLASS/... and test/CLASS/.... The tutorial's code is tutorial.py. Ours is a
clone of this repository, `heldout recipe photos`, and a whole `dvc repro`: index, split, preprocess, train, evaluate,
export. The two take turns, N times; ours with the seeds 0 to N - 1, the tutorial's as chance has it.
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

import pandas as pd
from results import interval

ROOT = Path(__file__).resolve().parents[1]


def tutorial(folder: Path) -> dict[str, float]:
    """Run the tutorial's code in a process of its own; the seconds that it took, and the test accuracy."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "benchmarks/tutorial.py"), str(folder)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"seconds": time.perf_counter() - started, "accuracy": float(said.splitlines()[-1])}


def ours(folder: Path, seed: int) -> dict[str, float]:
    """Reproduce the whole graph with the recipe; the seconds that `dvc repro` took, and the test accuracy."""
    with tempfile.TemporaryDirectory(prefix="heldout-recipe-") as name:
        clone = Path(name, "clone")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        shutil.copytree(folder, clone / "data/raw")
        subprocess.run(["dvc", "add", "-q", "data/raw"], cwd=clone, check=True)
        settings = ["data.dir=data/raw", "data.on_conflict=drop", f"seed={seed}"]
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
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each (%(default)s)")
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        for name, found in (("tutorial", tutorial(options.folder)), ("recipe", ours(options.folder, seed))):
            rows.append({"what": name, "seed": seed} | found)
            print(f"{name}, {seed}: {found['accuracy']:.3f} test accuracy in {found['seconds']:.0f} s", flush=True)
    runs = pd.DataFrame(rows)
    for name, own in runs.groupby("what", sort=False):
        print(f"{name:<10}{interval(own['accuracy']):>16} test accuracy in {own['seconds'].mean():>6.0f} s")
    mean = runs.groupby("what")[["accuracy", "seconds"]].mean()
    points = 100 * (mean.accuracy["recipe"] - mean.accuracy["tutorial"])
    share = mean.seconds["recipe"] / mean.seconds["tutorial"]
    print(f"{points:+.1f} points (wanted >= 10) in {share:.2f} of the time (wanted <= 1)")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
