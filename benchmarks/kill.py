"""Whether `make` ends in the undisturbed run's dvc.lock after a kill -9 of `dvc repro`, at any moment.

$ python benchmarks/kill.py FOLDER [--kills 40] [--seed 0]

The real graph on the real digits with a small network, killed at random moments (even numbers: `dvc` alone, odd ones:
with all that it started) and at each of the file operations below. A kill before `train` starts with nothing run, one
in or after it with a copy of what `dvc repro augment` left, or `dvc repro train`. Each kill's result is added to
FOLDER/results.jsonl, and what is there is not run again; remove FOLDER to start anew.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/pipeline")]

from conftest import SMALL, change, commit, copy_project  # noqa: E402
from kills import (  # noqa: E402
    LOCK,
    OBJECT,
    RUN,
    RWLOCK,
    Operation,
    copy_repository,
    kill_at_moment,
    kill_at_operation,
    make,
    start,
)

# What is run before a kill in these stages.
STARTS = {"evaluate": "train", "export": "train", "train": "augment"}
OPERATIONS = [  # each with what is run before it; `dvc` writes rwlock 18 times a stage, dvc.lock and the run-cache once
    ("nothing", Operation("dvc", RWLOCK, number=2)),
    ("augment", Operation("dvc", RWLOCK, number=100)),
    ("augment", Operation("dvc", RWLOCK, number=75, size=30)),
    ("nothing", Operation("dvc", LOCK)),
    ("nothing", Operation("dvc", LOCK, number=5, size=2000)),
    ("augment", Operation("dvc", LOCK, number=2, group=True)),
    ("train", Operation("dvc", LOCK, number=2, size=4096)),
    ("train", Operation("dvc", LOCK, number=2, size=8192)),
    ("nothing", Operation("dvc", RUN, number=3, size=505)),
    ("augment", Operation("dvc", RUN, size=2155)),
    ("augment", Operation("dvc", RUN, size=-1)),
    ("augment", Operation("dvc", r"/runs/../\w{64}/\w{64}\.[\w-]{22}\.tmp$", event="os.rename")),
    ("nothing", Operation("dvc", r"/runs/../\w{64}/\w{64}$", event="os.rename", number=3)),
    ("nothing", Operation("dvc", OBJECT)),
    ("augment", Operation("dvc", OBJECT)),
    ("nothing", Operation("dvc", r"/files/md5/../\.[\w-]{22}\.tmp$", number=3000, size=100)),
    ("augment", Operation("dvc", r"/models/\.[\w-]{22}\.tmp$")),
    ("nothing", Operation("stages.sample", r"^data/sample$", event="os.rename")),
    ("nothing", Operation("stages.split", r"^data/splits/val.csv$", event="os.rename", group=True)),
    ("augment", Operation("stages.train", r"^\.dvc/state/partial\.", size=5000)),
    ("augment", Operation("stages.train", r"^\.dvc/state/\w+\.npz$", event="os.rename", group=True)),
    ("augment", Operation("stages.train", r"^models/model\.weights\.h5$", event="os.rename")),
    ("augment", Operation("stages.train", r"^models/model\.weights\.h5$", event="os.rename", group=True)),
    ("train", Operation("stages.evaluate", r"^metrics/predictions\.csv$", event="os.rename")),
    ("train", Operation("stages.export", r"^export$", event="os.rename")),
    ("train", Operation("stages.export", r"^export$", event="os.rename", group=True)),
]


def main(folder: Path, kills: int, seed: int) -> None:
    seconds = prepare(folder)
    file = folder / "results.jsonl"
    results = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    names = [f"seed {seed}, kill {number}" for number in range(kills)] + [str(item) for _, item in OPERATIONS]
    for name in names:
        if name not in {result["name"] for result in results}:
            results.append({"name": name} | kill(folder, name, seconds))
            with file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(results[-1]) + "\n")
            print(json.dumps(results[-1]), flush=True)
    report("random moments", [result for result in results if result["name"] in names[:kills]])
    report("exact operations", [result for result in results if result["name"] in names[kills:]])


def report(kind: str, results: list[dict[str, Any]]) -> None:
    same = sum(result["same"] for result in results)
    print(f"{kind}: {same} of {len(results)} end in the undisturbed run's dvc.lock")
    print(f"  killed in: {dict(Counter(result['stage'] for result in results))}")
    print(f"  mended by heldout doctor --fix: {dict(Counter(fix for result in results for fix in result['fixed']))}")


def prepare(folder: Path) -> dict[str, float]:
    """The undisturbed run's dvc.lock and copies of what to start with; the seconds of each stage, from its first line.

    The first is the start of `dvc` itself.
    """
    project, seconds = folder / "project", folder / "seconds.json"
    if seconds.exists():
        return json.loads(seconds.read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    copy_project(folder / "nothing")
    change(folder / "nothing", SMALL)
    commit(folder / "nothing")
    copy_repository(folder / "nothing", project)
    times = [("dvc", time.monotonic())]
    with start(project) as dvc:
        for line in dvc.stdout or []:
            if line.startswith("Running stage"):
                times.append((line.split("'")[1], time.monotonic()))
    if dvc.returncode:
        raise SystemExit("the undisturbed `dvc repro` failed: expected it to end well")
    times.append(("end", time.monotonic()))
    (folder / "reference.lock").write_bytes((project / "dvc.lock").read_bytes())
    copy_repository(folder / "nothing", project)
    for targets in (["preprocess", "augment"], ["train"]):
        with start(project, *targets) as dvc:
            dvc.communicate()
        copy_repository(project, folder / targets[-1])
    result = {name: after - before for (name, before), (_, after) in itertools.pairwise(times)}
    seconds.write_text(json.dumps(result), encoding="utf-8")
    return result


def kill(folder: Path, name: str, seconds: dict[str, float]) -> dict[str, Any]:
    """Kill `dvc repro`, run `make`, and compare."""
    project, started = folder / "project", time.monotonic()
    output = kill_by_name(folder, project, name, seconds)
    stages = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    code, printed = make(project)
    fixes = [line for line in printed.splitlines() if line.startswith(("heldout: removed", "heldout: restored"))]
    lock = project / "dvc.lock"
    same = code == 0 and lock.read_bytes() == (folder / "reference.lock").read_bytes()
    if not same:
        copy_repository(project, folder / f"failed {time.time():.0f}")
        print(printed)
    return {
        "stage": stages[-1] if stages else "before the first",
        "fixed": [kind_of(line) for line in fixes],
        "same": same,
        "seconds": round(time.monotonic() - started, 1),
    }


def kind_of(line: str) -> str:
    for part, kind in (("/runs/", "run-cache"), ("rwlock", "rwlock"), ("dvc.lock", "dvc.lock"), (".db", "database")):
        if part in line:
            return kind
    return "copies that nothing reads"


def kill_by_name(folder: Path, project: Path, name: str, seconds: dict[str, float]) -> str:
    for before, operation in OPERATIONS:
        if str(operation) == name:
            copy_repository(folder / before, project)
            return kill_at_operation(project, operation)
    seed, number = (int(part.split()[-1]) for part in name.split(","))
    moment = np.random.default_rng([seed, number]).uniform(0, sum(seconds.values()))
    stage, delay = next(iter(seconds)), moment
    for stage in seconds:
        if delay < seconds[stage]:
            break
        delay -= seconds[stage]
    while True:  # a run that is faster than the undisturbed one may be over
        copy_repository(folder / STARTS.get(stage, "nothing"), project)
        output = kill_at_moment(start(project), after(stage, delay), group=number % 2 == 1)
        if output is not None:
            return output
        delay *= 0.8


def after(stage: str, delay: float) -> Callable[[str], bool]:
    """A test of the output so far: whether the stage (or `dvc` itself) began `delay` seconds ago."""
    began: list[float] = [time.monotonic()] if stage == "dvc" else []

    def is_moment(output: str) -> bool:
        if not began and f"Running stage '{stage}'" in output:
            began.append(time.monotonic())
        return bool(began) and time.monotonic() - began[0] >= delay

    return is_moment


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the repositories and the results; not removed")
    parser.add_argument("--kills", type=int, default=40, help="at random moments (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    options = parser.parse_args()
    try:
        main(options.folder.resolve(), options.kills, options.seed)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"kill: {error}") from error
