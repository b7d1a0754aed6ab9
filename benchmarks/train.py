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
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heldout.data import shards

ROLES = str(Path(__file__).with_name("train_roles.py"))
RESNET20 = {"architecture": "resnet", "depth": 20, "width": 1, "stem": "small"}
CASES = {  # name: pixels, images, what differs from the CNN of results.py, the tutorial's
    "cnn": (150, 512, {}),
    "resnet20": (32, 1024, RESNET20),
}
LARGE = (224, 12000, {"filters": [8], "pooling": "average", "dense_units": 0, "dropout": 0.0})
MEMORY_LIMIT = 1200 * 2**20  # bytes for the process that trains on LARGE, 1.8 GB of images
UNITS = {"images_per_cpu_second": "images per CPU second", "images_per_second": "images per second"}
rows: list[dict] = []


def report(what: str, ratio: float, baseline: str, target: str = "") -> None:
    rows.append({"what": what, "ratio": round(ratio, 3), "baseline": baseline, "target": target})
    print(f"{what:<62}{ratio:>7.2f}  of {baseline}{f'  (target {target})' if target else ''}", flush=True)


def make_splits(folder: Path, side: int, count: int) -> None:
    """So many training images, and 64 for validation."""
    make_shards(folder / "train", side, count)
    make_shards(folder / "val", side, 64)


def make_shards(folder: Path, side: int, count: int) -> None:
    """Shards of noise with ten classes."""
    random = np.random.default_rng(0)
    ids = [f"{number:032x}" for number in sorted(random.choice(2**62, count, replace=False) << 64 >> 64)]
    table = pd.DataFrame({"id": ids, "label": [str(number % 10) for number in range(count)]}).sort_values("id")
    folder.mkdir(parents=True)
    for shard in shards.create_shards(table.reset_index(drop=True), (side, side, 3), folder):
        with shard.path.open("r+b") as file:
            file.seek(shard.header_bytes)
            for _ in range(shard.start, shard.stop):
                file.write(random.integers(0, 256, (side, side, 3), np.uint8).data)


def best_of_turns(roles: list[str], folder: Path, changes: dict, epochs: int, turns: int) -> dict[str, dict]:
    """The best of several runs of each role, in turn."""
    measured: dict[str, list] = {role: [] for role in roles}
    for _ in range(turns):
        for role in roles:
            measured[role].append(run_role(role, folder, changes, epochs))
    return {role: {key: max(run[key] for run in runs) for key in runs[0]} for role, runs in measured.items()}


def run_role(role: str, folder: Path, changes: dict, epochs: int, memory_limit: int = 0) -> Any:
    """What a run of a role, in a process of its own, prints at its end; within `memory_limit` bytes, if any."""
    command = [sys.executable, ROLES, role, str(folder), json.dumps(changes), str(epochs)]
    if memory_limit:
        group = control_group(memory_limit)
        command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), *command]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def control_group(memory_limit: int) -> Path:
    """A control group of Linux, of version 1 or 2, with so many bytes of memory, file cache included."""
    root = Path("/sys/fs/cgroup")
    is_version_1 = (root / "memory").is_dir()
    group = (root / "memory" if is_version_1 else root) / "heldout-bench"
    group.mkdir(exist_ok=True)
    (group / ("memory.limit_in_bytes" if is_version_1 else "memory.max")).write_text(str(memory_limit))
    return group


def compare(case: str, work: Path, turns: int) -> None:
    """The training loop against `fit`, without and with augmentation."""
    side, count, changes = CASES[case]
    folder = work / case
    make_splits(folder, side, count)
    torch_roles = ["torch"] if find_spec("torch") else []
    processor = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    bfloat16_roles = ["bfloat16"] if "avx512_bf16" in processor else []
    avx2_roles = ["avx2"] if "avx512f" in processor else []
    roles = ["fit", "plain", "augmented", "nondeterministic", *bfloat16_roles, *avx2_roles, *torch_roles]
    rates = best_of_turns(roles, folder, changes, 3, turns)
    for key, unit in UNITS.items():
        rate = {role: measured[key] for role, measured in rates.items()}
        baseline = f"keras fit, {rate['fit']:.0f} {unit}"
        what = f"{case} at {side} px: {unit}"
        report(what, rate["plain"] / rate["fit"], baseline, ">= 0.95")
        report(f"{what}, augmented", rate["augmented"] / rate["fit"], baseline, ">= 0.90")
        report(what, rate["plain"] / rate["nondeterministic"], "the same without deterministic operations")
        for role in bfloat16_roles:
            report(f"{what}, {role}", rate[role] / rate["plain"], "float32", ">= 1.5")
        for role in avx2_roles:
            report(f"{what}, {role}", rate[role] / rate["plain"], "the same with AVX-512")
        for role in torch_roles:
            report(what, rate["plain"] / rate[role], "PyTorch eager", "> 1")


def compare_warp(work: Path, turns: int) -> None:
    make_splits(work / "warp", 96, 1024)
    rates = best_of_turns(["layers", "warp"], work / "warp", {}, 4, turns)
    ratio = rates["warp"]["images_per_cpu_second"] / rates["layers"]["images_per_cpu_second"]
    report("the tutorial's augmentation at 96 px: images per CPU second", ratio, "four Keras layers in map", ">= 2.5")


def compare_memory(work: Path, turns: int) -> None:
    make_splits(work / "memory", 32, 512)
    after_2, after_20 = (
        run_role("augmented", work / "memory", RESNET20, epochs)["peak_megabytes"] for epochs in (2, 20)
    )
    report("peak memory after 20 epochs", after_20 / after_2, f"after 2, {after_2:.0f} MB", "<= 1.05")


def compare_first_step(work: Path, turns: int) -> None:
    for case, (side, _, changes) in CASES.items():
        folder = work / f"first-step-{case}"
        make_splits(folder, side, 128)
        seconds = min(run_role("first_step", folder, changes, 1) for _ in range(turns))
        print(f"{case}: the first step is done {seconds:.1f} s after TensorFlow is imported (target <= 15)")
        rows.append({"what": f"first step, {case}", "seconds": round(seconds, 1), "target": "<= 15"})


def compare_large(work: Path, turns: int) -> None:
    side, count, changes = LARGE
    make_splits(work / "large", side, count)
    rates: dict[int, list[float]] = {0: [], MEMORY_LIMIT: []}
    for _ in range(turns):
        for limit, measured in rates.items():
            measured.append(run_role("plain", work / "large", changes, 2, limit)["images_per_second"])
    unlimited, limited = map(max, rates.values())
    size = side * side * 3 * count / MEMORY_LIMIT
    baseline = f"all in memory, {unlimited:.0f}"
    report(f"images of {size:.1f} times the memory: images per second", limited / unlimited, baseline)


PARTS: dict[str, Callable[[Path, int], None]] = {
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
