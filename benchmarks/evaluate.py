"""What `evaluate` costs beyond its imports: wall and CPU seconds and peak memory, by images and classes.

$ python benchmarks/evaluate.py [--sizes 10000x10 50000x1000] [--git]

Each line is a process of its own, with as many synthetic images of val as of test. `--git` prints what predictions.csv
costs a packed git repository over ten commits, each of a retraining that moves all probabilities. Images have 32 x 32
pixels, for the slices.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SETTINGS = {"top_k": 5, "target_accuracy": 0.99, "min_slice": 20, "slices": []}


def draw(n: int, num_classes: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and float32 probabilities (n, num_classes), right for nine in ten."""
    labels = generator.integers(0, num_classes, n)
    values = np.empty((n, num_classes), np.float32)
    for start in range(0, n, 1000):
        block = generator.standard_normal((min(1000, n - start), num_classes), np.float32)
        own = labels[start : start + 1000]
        block[np.arange(len(own)), own] += 5 + 1.5 * generator.standard_normal(len(own))
        powers = np.exp(2 * block)
        values[start : start + 1000] = powers / powers.sum(axis=1, keepdims=True)
    return labels, values


def identities(n: int, generator: np.random.Generator) -> np.ndarray:
    return np.array(sorted(generator.bytes(16).hex() for _ in range(n)), object)


def prepare(folder: Path, n: int, num_classes: int) -> None:
    """What `predict`, `split` and `preprocess` would have written."""
    from heldout.data import manifest, shards
    from heldout.evaluation import probabilities

    generator = np.random.default_rng(0)
    names = np.array([f"class {number:04d}" for number in range(num_classes)], object)
    for split in ("val", "test"):
        labels, values = draw(n, num_classes, generator)
        ids = identities(n, generator)
        probabilities.write(probabilities.Probabilities(ids, names[labels], values), folder / split)
        rows = pd.DataFrame({"id": ids, "path": "data/raw/" + ids + ".jpg", "label": names[labels]})
        manifest.write(rows.assign(group=[f"g{row // 8}" for row in range(n)]), folder / f"{split}.csv")
    (folder / "shards").mkdir()
    for shard in shards.create_shards(rows, (32, 32, 3), folder / "shards"):
        with shard.path.open("r+b") as file:
            file.seek(shard.header_bytes)
            for _ in range(shard.start, shard.stop):
                file.write(generator.bytes(32 * 32 * 3))


def measure(folder: Path, num_classes: int) -> None:
    """One evaluation with groups, in this process."""
    from heldout.data import manifest, shards
    from heldout.evaluation import evaluate, probabilities

    names = [f"class {number:04d}" for number in range(num_classes)]
    imported = peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    predicted = {split: probabilities.read(folder / split) for split in ("val", "test")}
    manifests = {split: manifest.read(folder / f"{split}.csv") for split in ("val", "test")}
    manifests["train"] = manifests["val"]
    images = shards.Images(folder / "shards")
    result = evaluate.evaluate(predicted, manifests, names, images, folder, **SETTINGS)
    for name, table in result.tables.items():
        manifest.write(table, folder / f"{name}.csv")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = peak_memory()
    n = result.scores["images"]
    print(
        f"{n:>8,} x {num_classes:<6,}{wall:>7.1f} s{cpu:>7.1f} CPU s{memory:>7,.0f} MB ({imported:,.0f} imports)",
        flush=True,
    )


def peak_memory() -> float:
    """In MB, of this process since its start (ru_maxrss begins with what the parent had)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def git_cost(n: int) -> None:
    """The packed size of ten commits of predictions.csv."""
    from heldout.data import manifest
    from heldout.evaluation import metrics

    generator = np.random.default_rng(0)
    labels, values = draw(n, 10, generator)
    ids, names = identities(n, generator), [f"class {number}" for number in range(10)]
    logits, sizes = np.log(np.maximum(values, 1e-30)), []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "-q", folder], check=True)
        for commit in range(10):
            noisy = np.exp(logits + 0.5 * generator.standard_normal(logits.shape))
            noisy = (noisy / noisy.sum(axis=1, keepdims=True)).astype(np.float32)
            table = metrics.predictions(ids, labels, noisy, names, temperature=1.1)
            table.insert(1, "path", "data/raw/" + table["label"] + "/" + ids + ".jpg")
            manifest.write(table, Path(folder, "predictions.csv"))
            who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark"]
            subprocess.run(["git", "-C", folder, "add", "."], check=True)
            subprocess.run(["git", "-C", folder, *who, "commit", "-qm", str(commit)], check=True)
            subprocess.run(["git", "-C", folder, "gc", "-q", "--prune=now"], check=True)
            sizes.append(sum(path.stat().st_size for path in Path(folder, ".git/objects").rglob("*.pack")) / 1e6)
        one = Path(folder, "predictions.csv").stat().st_size / 1e6
    print(f"{n:>8,} images{one:>8.1f} MB the file{sizes[0]:>8.2f} MB one commit{sizes[-1]:>8.1f} MB ten", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["10000x10", "50000x1000"])
    parser.add_argument("--git", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(Path(arguments.measure[0]), int(arguments.measure[1]))
        return
    if arguments.git:
        for n in (1_000, 10_000, 100_000):
            git_cost(n)
        return
    for size in arguments.sizes:
        n, num_classes = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), n, num_classes)
            subprocess.run([sys.executable, __file__, "--measure", folder, str(num_classes)], check=True)


if __name__ == "__main__":
    main()
