"""What the graph costs when there is nothing to do, as a ratio to `dvc status` in the same run.

$ python benchmarks/pipeline.py
"""

import json
import resource
import statistics
import subprocess
import sys
import time

BASELINE = "dvc status"
COMMANDS = [BASELINE, "dvc repro", "make", "dvc metrics diff", "heldout predict data/sample/7"]
RUNS = 5


def seconds(command: str) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    if "up to date" not in subprocess.run(["dvc", "status"], capture_output=True, text=True).stdout:
        sys.exit("benchmark: expected a reproduced pipeline: run `make` first")
    measured: dict[str, list[tuple[float, float]]] = {command: [] for command in COMMANDS}
    for _ in range(RUNS):  # in turn, so that a machine that slows down slows all of them
        for command in COMMANDS:
            measured[command].append(seconds(command))
    medians = {c: [statistics.median(column) for column in zip(*runs, strict=True)] for c, runs in measured.items()}
    base = medians[BASELINE]
    print(f"{'command':<32}{'wall s':>8}{'cpu s':>8}{'wall / ' + BASELINE:>20}")
    for command, (wall, cpu) in medians.items():
        print(f"{command:<32}{wall:>8.2f}{cpu:>8.2f}{wall / base[0]:>20.2f}")
    print(json.dumps({command: {"wall": wall, "cpu": cpu} for command, (wall, cpu) in medians.items()}))


if __name__ == "__main__":
    main()
