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
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"seconds": time.perf_counter() - started, "accuracy": float(output.splitlines()[-1])}


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
        for method, result in (("tutorial", tutorial(options.folder)), ("recipe", ours(options.folder, seed))):
            rows.append({"method": method, "seed": seed} | result)
            accuracy, seconds = result["accuracy"], result["seconds"]
            print(f"{method}, {seed}: {accuracy:.3f} test accuracy in {seconds:.0f} s", flush=True)
    table = pd.DataFrame(rows)
    for method, runs in table.groupby("method", sort=False):
        print(f"{method:<10}{interval(runs['accuracy']):>16} test accuracy in {runs['seconds'].mean():>6.0f} s")
    mean = table.groupby("method")[["accuracy", "seconds"]].mean()
    points = 100 * (mean.accuracy["recipe"] - mean.accuracy["tutorial"])
    time_ratio = mean.seconds["recipe"] / mean.seconds["tutorial"]
    print(f"{points:+.1f} points (target >= 10) in {time_ratio:.2f} of the time (target <= 1)")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
