"""`heldout search` in a real repository from which the test set is gone: kill, resume, several jobs, apply, queue."""

import argparse
import json
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import change, commit, execute

SPACE = """
schedule.learning_rate: {low: 0.001, high: 0.01, log: true}
model.filters: [[4], [8, 8], [4, 4, 4, 4]]
train.epochs: [2]
"""  # the images are too small for four blocks, so that such trials fail
SEARCH = ["heldout", "search", "space.yaml", "--repeats", "1", "--confirm", "1", "--budget", "2"]


@pytest.fixture
def searched(restored):
    """The small project without its test set, and with epochs of a few steps."""
    change(restored, {"train": {"epochs": 2, "steps_per_epoch": 20, "batch_size": 32}})
    (restored / "space.yaml").write_text(SPACE, encoding="utf-8")
    shutil.rmtree(restored / "data/processed/test")
    (restored / "data/splits/test.csv").unlink()
    return restored


def kill_in_a_trial(repository: Path) -> None:
    """Start a search, and kill it where a trial has a checkpoint and another one has ended."""
    state, file = repository / ".dvc/state", repository / "killed.jsonl"
    shutil.rmtree(state, ignore_errors=True)
    child = subprocess.Popen([*SEARCH, "--file", "killed.jsonl"], cwd=repository, stdout=subprocess.DEVNULL)
    for _ in range(3000):
        ended = file.is_file() and len(file.read_bytes().splitlines()) > 2
        if ended and any(path.stat().st_size for path in state.glob("[0-9a-f]*.npz")):
            break
        time.sleep(0.02)
    workers = psutil.Process(child.pid).children()
    child.kill()
    child.wait()
    assert not psutil.wait_procs(workers, timeout=60)[1]  # no orphan writes on


@pytest.mark.slow
def test_a_search_without_the_test_set_resumed_and_in_parallel_ends_in_the_same_bytes(searched):
    output = execute(*SEARCH, "--jobs", "2", "--file", "whole.jsonl", cwd=searched).stdout
    whole = (searched / "whole.jsonl").read_bytes()
    kill_in_a_trial(searched)
    torn = (searched / "killed.jsonl").read_bytes()
    assert whole.startswith(torn) and len(torn) < len(whole)
    execute(*SEARCH, "--latency", "--file", "killed.jsonl", cwd=searched)
    assert (searched / "killed.jsonl").read_bytes() == whole
    assert not list((searched / ".dvc/state").glob("*.npz"))  # every run's checkpoint is gone

    header, *lines = map(json.loads, whole.splitlines())
    trials = [line for line in lines if "method" in line]
    assert {line["method"] for line in trials} == {"tpe", "random"} and header["seed"] == 0
    failed = [line for line in trials if line["failed"]]
    assert failed and all("too small for 4 blocks" in line["failed"] for line in failed)
    assert sum("candidate" in line for line in lines) == 4 and "CPU seconds" in output
    summary = json.loads((searched / "metrics/search.json").read_text(encoding="utf-8"))
    assert summary["trials"] == len(trials) and summary["cpu_hours"] > 0
    assert "ms an image" in (searched / "report/search.html").read_text(encoding="utf-8")
    assert not (searched / "data/processed/test").exists()

    wrong = execute(*SEARCH, "--file", "whole.jsonl", "--seed", "1", cwd=searched, expect=1).stdout
    assert "whole.jsonl is a search with another seed (0, now 1)" in wrong and wrong.count("\n") == 1
    change(searched, {"preprocess": {"image_size": [24, 24]}})
    stale = execute(*SEARCH, "--file", "whole.jsonl", cwd=searched, expect=1).stdout
    assert stale == "heldout: data/processed is not what params.yaml asks for: run `dvc repro preprocess` first\n"


def test_apply_and_queue_hand_on_the_winner_and_its_looks(clone, monkeypatch, capsys):
    from heldout.commands import search
    from heldout.evaluation.intervals import Interval
    from heldout.search.confirmation import BASELINE, Confirmed
    from heldout.search.journal import Journal, Trial

    monkeypatch.chdir(clone)
    journal = Journal("metrics/search.jsonl", {"seed": 0})
    journal.append(Trial("tpe", 0, 0, {}, 0, 1))
    values = {"model.filters": [8, 8], "schedule.learning_rate": 0.00001234, "model.batch_norm": True}
    accuracy = Interval(0.9, 0.8, 0.95)
    winner = Confirmed("tpe/0/0", values, 2, 0.9, 0.9, accuracy, 0.3, None)
    baseline = Confirmed(BASELINE, {}, 2, float("nan"), 0.9, accuracy, 0.3, None)
    commit(clone)
    search._queue([winner, baseline], 1, journal)
    tasks = execute("dvc", "queue", "status", cwd=clone).stdout
    assert "Queued" in tasks and "1234" not in tasks
    queued = execute("git", "show", "refs/exps/celery/stash:params.yaml", cwd=clone).stdout
    queued = yaml.safe_load(queued)
    assert queued["model"]["filters"] == [8, 8] and queued["model"]["batch_norm"] is True
    assert queued["searched"]["trials"] == 1 and queued["schedule"]["learning_rate"] == 0.00001234
    search._apply([baseline, winner], journal)
    assert "not applied" in capsys.readouterr().out
    search._apply([winner, baseline], journal)
    applied = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
    assert applied["model"]["filters"] == [8, 8] and applied["schedule"]["learning_rate"] == 0.00001234
    assert applied["searched"] == {"trials": 1, "md5": search.summary.md5("metrics/search.jsonl")}
    assert "searched.trials: 0 -> 1" in capsys.readouterr().out
    reruns = execute("dvc", "status", "train", "evaluate", cwd=clone).stdout
    assert "model" in reruns and "searched" in reruns


def options(**changed) -> argparse.Namespace:
    from heldout.__main__ import parser

    words = [f"--{key}={value}" if value is not True else f"--{key}" for key, value in changed.items()]
    return parser().parse_args(["search", "space.yaml", "--budget", "2", *words])


def test_what_a_search_cannot_do_is_one_line(project, monkeypatch):
    from heldout.commands import search

    monkeypatch.chdir(project)
    Path("space.yaml").write_text("model.dropout: [0, 0.5]\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match="data/processed/val are needed, which are not here: run `dvc repro preprocess"
    ):
        search.search(options())
    change(project, {"fine_tune": {"epochs": 2}})
    with pytest.raises(ValueError, match="--halving is for a training of one phase"):
        search.search(options(halving=True))
    change(project, {"fine_tune": {"epochs": 0}, "hardware": {"strategy": "multi_worker"}})
    with pytest.raises(ValueError, match=r"hardware.strategy is of several machines"):
        search.search(options())
    with pytest.raises(ValueError, match="--seed is -1: expected an integer from 0"):
        change(project, {"hardware": {"strategy": "single"}})
        search.search(options(seed=-1))
