"""`heldout search SPACE.yaml --budget N`: what it reads, runs, writes and prints; nothing of the test is opened."""

import argparse
import json
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.commands import recipes, schemas
from heldout.core import atomic, code, params
from heldout.data import manifest
from heldout.data.shards import Images
from heldout.search import confirmation, costs, journal, page, parts, rounds, space_file, summary
from heldout.search import space as spaces
from heldout.search.confirmation import BASELINE, TOP, Confirmed
from heldout.search.journal import Confirmation, Journal, Trial
from heldout.search.pool import Pool, Setup

PARAMS = "params.yaml"
TRAIN, VAL, VAL_CSV = "data/processed/train", "data/processed/val", "data/splits/val.csv"
TEST_CSV = "data/splits/test.csv"
DATA_STAGES = ("split", "preprocess@train", "preprocess@val")
CLASSES, PRETRAINED = "data/classes.txt", "pretrained"
SUMMARY, PAGE = "metrics/search.json", "report/search.html"
TRIAL = Path(rounds.__file__).with_name("trial.py")


class Inputs(NamedTuple):
    """What a search reads: the plan of all arms, the header of its file, the setup of its trials, and the groups of
    the images of the confirmation part."""

    plan: rounds.Plan
    header: dict[str, Any]
    setup: Setup
    groups: np.ndarray


def search(options: argparse.Namespace) -> int:
    """Search, confirm, write the summary and the page; then apply and queue what is asked for."""
    inputs = _inputs(options)
    path = Path(options.file)
    with journal.exclusive(path):
        found = Journal(path, inputs.header)
        confirmed, latencies = _run(options, inputs, found)
    text = page.page(found, confirmed, inputs.plan.space, options.against, latencies, len(inputs.groups))
    atomic.write_text(PAGE, text)
    print(f"search: {summary.verdict(confirmed)}")
    print(f"search: written: {path}, {SUMMARY}: commit them; {PAGE}: open it in a browser")
    if options.apply:
        _apply(confirmed, found)
    if options.queue:
        _queue(confirmed[: options.queue + 1], options.queue, found)
    return 0


def _inputs(options: argparse.Namespace) -> Inputs:
    """Everything read and checked before a process is started."""
    params.check_versions("tensorflow", "keras", "numpy", "opencv-python-headless")
    known = schemas.load(Path("stages"))
    values = params.load(PARAMS)
    base: dict[str, Any] = {name: values.get(name) for name in (*space_file.SECTIONS, *space_file.FIXED)}
    for name, section in base.items():
        params.check(name, section, known[name], PARAMS)
    space = space_file.read(options.space, known, base)
    if base["hardware"]["strategy"] not in ("single", "mirrored"):
        raise ValueError("hardware.strategy is of several machines, a search of one: expected single or mirrored")
    if options.halving and (base["fine_tune"]["epochs"] or "fine_tune.epochs" in space):
        raise ValueError("--halving is for a training of one phase: set fine_tune.epochs: 0, or leave it out")
    if options.seed < 0:
        raise ValueError(f"--seed is {options.seed}: expected an integer from 0")
    _check_data()
    train, val = Images(TRAIN), Images(VAL)
    chosen, components = parts.cut(val, manifest.read(VAL_CSV))
    digest = code.stage_digest(TRIAL)
    plan = rounds.Plan(
        space, base, options.seed, options.budget, lambda sections: costs.epoch_cost(sections, len(train)),
        options.halving, options.against,
    )  # fmt: skip
    header = {
        "seed": options.seed,
        "space": spaces.text(space),
        "halving": options.halving,
        "against": options.against,
        "params": base,
        "data": [train.digest(), val.digest()],
        "versions": {name: _version(name) for name in ("tensorflow", "keras", "optuna")},
        "code": digest,
    }
    setup = Setup(TRAIN, VAL, VAL_CSV, CLASSES, PRETRAINED, base, digest)
    return Inputs(plan, header, setup, components[~chosen])


def _check_data() -> None:
    """That the shards are those of params.yaml: DVC knows, and looks at train and val alone."""
    if not Path(TRAIN).is_dir() or not Path(VAL).is_dir():
        raise ValueError(f"{TRAIN} and {VAL} are needed, which are not here: run `dvc repro preprocess`")
    done = subprocess.run(["dvc", "status", "--json", *DATA_STAGES], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ValueError(f"`dvc status` failed: {lines[-1] if lines else 'no message'}")
    if any(map(_is_stale, json.loads(done.stdout or "{}").values())):
        raise ValueError("data/processed is not what params.yaml asks for: run `dvc repro preprocess` first")


def _is_stale(changes: list[Any]) -> bool:
    """Whether DVC finds changes in a stage other than that the list of the test is not here, which is not needed."""
    if any(not isinstance(change, dict) for change in changes):  # its command
        return True
    paths = {path for change in changes for kind in change.values() for path in kind}
    return bool(paths - {TEST_CSV})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _run(options: argparse.Namespace, inputs: Inputs, found: Journal) -> tuple[list[Confirmed], dict[str, float]]:
    """All arms, the confirmation, and the summary, which holds the CPU time even of a search that is interrupted."""
    methods = dict.fromkeys([options.method, "random"])
    arms = [rounds.Arm(method, repeat) for repeat in range(options.repeats) for method in methods]
    print(
        f"search: {len(arms)} searches ({' and '.join(methods)}, {options.repeats} each) of {options.budget} epochs, "
        f"{len(inputs.plan.space)} keys; then {options.confirm} seeds of the best {TOP} and of {PARAMS}",
        flush=True,
    )
    with Pool(inputs.setup, options.jobs) as pool:

        def report(trial: Trial) -> None:
            result = f"failed: {trial.failed}" if trial.failed else f"accuracy {trial.val_accuracy:.4f}"
            halved = f", halving ended it at epoch {trial.pruned_at}" if trial.pruned_at else ""
            print(f"search: {trial.name}: {result}, {trial.cost:g} epochs{halved}", flush=True)

        def report_run(run: Confirmation) -> None:
            result = f"failed: {run.failed}" if run.failed else f"accuracy {run.accuracy:.4f}"
            print(f"search: confirm {run.candidate}, seed {run.seed}: {result}", flush=True)

        try:
            for arm in arms:
                rounds.run(arm, inputs.plan, found, pool.run, report)
            confirmation.run(found, TOP, options.confirm, options.seed, pool.run, report_run)
        finally:
            confirmed = confirmation.results(found, TOP, inputs.groups)
            _write_summary(found, confirmed, pool.cpu_seconds)
        front = summary.pareto(found.trials, options.against) if options.latency else []
        times = pool.latencies([trial.params for trial in front]) if front else []
    print(f"search: {pool.cpu_seconds:,.0f} CPU seconds")
    return confirmed, {trial.name: value for trial, value in zip(front, times, strict=True)}


def _write_summary(found: Journal, confirmed: list[Confirmed], cpu_seconds: float) -> None:
    """metrics/search.json; CPU hours add up over the runs of one search, and a killed run's are not known."""
    header = int(summary.md5_of_text(repr(found.header))[:12], 16)
    before = params.load(SUMMARY) if Path(SUMMARY).is_file() else {}
    hours = before.get("cpu_hours", 0.0) if before.get("header_fingerprint") == header else 0.0
    figures = summary.figures(found, confirmed) | {"header_fingerprint": header}
    atomic.write_metrics(SUMMARY, figures | {"cpu_hours": hours + cpu_seconds / 3600})


def _apply(confirmed: list[Confirmed], found: Journal) -> None:
    """Put the winner into params.yaml, and with it how many trials it was chosen from."""
    if not confirmed or confirmed[0].name == BASELINE:
        print(f"search: not applied: {PARAMS} as it is was the best on the confirmation part")
        return
    for line in recipes.put(list(_values(confirmed[0], found).items()), PARAMS):
        print(f"search: {line}")
    print("search: `dvc repro` trains it, and the test sees it once; `heldout compare HEAD` says what it gained")


def _queue(confirmed: list[Confirmed], count: int, found: Journal) -> None:
    """Queue runs up to `train`, which do not meet the test."""
    for candidate in [item for item in confirmed if item.name != BASELINE][:count]:
        words = [f"{name}={_override(value)}" for name, value in _values(candidate, found).items()]
        settings = [word for pair in words for word in ("--set-param", pair)]
        done = subprocess.run(["dvc", "exp", "run", "--queue", *settings, "train"], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise ValueError(f"DVC did not queue {candidate.name}: {lines[-1] if lines else 'no message'}")
        print(f"search: queued {candidate.name}: {summary.changed(candidate.params)}")
    print("search: `dvc queue start` runs them up to train; `dvc exp show` lists them")


def _values(candidate: Confirmed, found: Journal) -> dict[str, Any]:
    looks = {"searched.trials": len(found.trials), "searched.md5": summary.md5(found.path)}
    return candidate.params | looks


def _override(value: Any) -> str:
    """A value as `dvc exp run --set-param` reads it."""
    if isinstance(value, list):
        return f"[{','.join(map(_override, value))}]"
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
