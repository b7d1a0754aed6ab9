"""What training costs, each as a ratio to a named baseline in the same run.

$ python benchmarks/train.py [--turns N] [--part PART ...] [--json FILE]

Every run is a process of its own, in turn with the others; of each, the fastest epoch after the first counts, because
other work on the machine can only add to it. CPU seconds are of all threads of the process. With PyTorch installed
beside the packages of this project, its eager mode is measured as well. The part `large` needs root: it holds a process
to less memory than its images take.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from heldout.data import shards

ROLES = str(Path(__file__).with_name("train_roles.py"))
CASES = {  # name: pixels, images, architecture
    "cnn": (150, 512, {"family": "cnn", "filters": [32, 64, 128], "dense_units": 512, "dropout": 0.5}),
    "resnet20": (32, 1024, {"family": "resnet", "depth": 20}),
}
LARGE = (224, 12000, {"family": "cnn", "filters": [8], "pooling": "average", "dense_units": 0, "dropout": 0.0})
LIMIT = 1200 * 2**20  # bytes of memory for the process that trains on LARGE, 1.8 GB of images
rows: list[dict] = []


def report(what: str, ratio: float, baseline: str, wanted: str = "") -> None:
    rows.append({"what": what, "ratio": round(ratio, 3), "baseline": baseline, "wanted": wanted})
    print(f"{what:<62}{ratio:>7.2f}  of {baseline}{f'  (wanted {wanted})' if wanted else ''}", flush=True)


def make(folder: Path, side: int, count: int) -> None:
    """Shards of noise with ten classes."""
    random = np.random.default_rng(0)
    ids = [f"{number:032x}" for number in sorted(random.choice(2**62, count, replace=False) << 64 >> 64)]
    table = pd.DataFrame({"id": ids, "label": [str(number % 10) for number in range(count)]}).sort_values("id")
    folder.mkdir()
    for shard in shards.lay_out(table.reset_index(drop=True), (side, side, 3), folder):
        with shard.path.open("r+b") as file:
            file.seek(shard.head)
            for _ in range(shard.start, shard.stop):
                file.write(random.integers(0, 256, (side, side, 3), np.uint8).data)


def in_turn(roles: list[str], folder: Path, architecture: dict, epochs: int, turns: int) -> dict[str, dict]:
    """The best of several runs of each role, in turn."""
    found: dict[str, list] = {role: [] for role in roles}
    for _ in range(turns):
        for role in roles:
            found[role].append(once(role, folder, architecture, epochs))
    best = {}
    for role, runs in found.items():
        best[role] = {key: max(run[key] for run in runs) for key in runs[0]}
    return best


def once(role: str, folder: Path, architecture: dict, epochs: int, limit: int = 0):
    """What a run of a role, in a process of its own, prints at its end; within `limit` bytes of memory, if any."""
    command = [sys.executable, ROLES, role, str(folder), json.dumps(architecture), str(epochs)]
    if limit:
        command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(control_group(limit)), *command]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def control_group(limit: int) -> Path:
    """A control group of Linux, of version 1 or 2, with so many bytes of memory, file cache included."""
    root = Path("/sys/fs/cgroup")
    first = (root / "memory").is_dir()
    group = (root / "memory" if first else root) / "heldout-bench"
    group.mkdir(exist_ok=True)
    (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
    return group


def compare(case: str, work: Path, turns: int) -> None:
    """The whole loop against `fit`, without and with augmentation."""
    side, count, architecture = CASES[case]
    folder = work / case
    make(folder, side, count)
    make(work / f"{case}-val", side, 64)
    torch = ["torch"] if find_spec("torch") else []
    processor = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    half = ["bfloat16"] if "avx512_bf16" in processor else []
    old = ["portable"] if "avx512f" in processor else []
    found = in_turn(["fit", "plain", "augmented", "free", *half, *old, *torch], folder, architecture, 3, turns)
    for kind, unit in (("cpu", "CPU second"), ("wall", "second")):
        base = f"keras fit, {found['fit'][kind]:.0f} images per {unit}"
        what = f"{case} at {side} px: images per {unit}"
        report(what, found["plain"][kind] / found["fit"][kind], base, ">= 0.95")
        report(f"{what}, augmented", found["augmented"][kind] / found["fit"][kind], base, ">= 0.90")
        report(what, found["plain"][kind] / found["free"][kind], "the same without deterministic operations")
        for role in half:
            report(f"{what}, {role}", found[role][kind] / found["plain"][kind], "float32", ">= 1.5")
        for role in old:
            report(f"{what}, {role}", found[role][kind] / found["plain"][kind], "the same with AVX-512")
        for role in torch:
            report(what, found["plain"][kind] / found[role][kind], "PyTorch eager", "> 1")


def compare_warp(work: Path, turns: int) -> None:
    make(work / "warp", 96, 1024)
    found = in_turn(["layers", "warp"], work / "warp", {}, 4, turns)
    ratio = found["warp"]["cpu"] / found["layers"]["cpu"]
    report("the tutorial's augmentation at 96 px: images per CPU second", ratio, "four Keras layers in map", ">= 2.5")


def compare_memory(work: Path, turns: int) -> None:
    make(work / "few", 32, 512)
    make(work / "few-val", 32, 64)
    architecture = CASES["resnet20"][2]
    two, twenty = (once("augmented", work / "few", architecture, epochs)["peak"] for epochs in (2, 20))
    report("peak memory after 20 epochs", twenty / two, f"after 2, {two:.0f} MB", "<= 1.05")


def compare_first_step(work: Path, turns: int) -> None:
    for case, (side, _, architecture) in CASES.items():
        make(work / f"first-{case}", side, 128)
        found = [once("first_step", work / f"first-{case}", architecture, 1) for _ in range(turns)]
        print(f"{case}: the first step is done {min(found):.1f} s after TensorFlow is imported (wanted <= 15)")
        rows.append({"what": f"first step, {case}", "seconds": round(min(found), 1)})


def compare_large(work: Path, turns: int) -> None:
    side, count, architecture = LARGE
    make(work / "large", side, count)
    make(work / "large-val", side, 64)
    found: dict[str, list[dict]] = {"free": [], "held": []}
    for _ in range(turns):
        found["free"].append(once("plain", work / "large", architecture, 2))
        found["held"].append(once("plain", work / "large", architecture, 2, LIMIT))
    free, held = (max(run["wall"] for run in runs) for runs in found.values())
    size = side * side * 3 * count / LIMIT
    report(f"images of {size:.1f} times the memory: images per second", held / free, f"all in memory, {free:.0f}")


PARTS = {
    "warp": compare_warp,
    **{case: partial(compare, case) for case in CASES},
    "memory": compare_memory,
    "first_step": compare_first_step,
    "large": compare_large,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS)[:-1], help="(all but large)")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as name:
        for part in options.part:
            PARTS[part](Path(name), options.turns)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
