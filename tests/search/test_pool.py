"""The processes of a search, with cheap work: in order, replaced after some jobs, and gone in the end."""

import os

import psutil
import pytest

from heldout.search import pool
from heldout.search.pool import Pool, Setup
from heldout.search.rounds import Job

SETUP = Setup("", "", "", "", "", {}, "")
JOBS = [Job({"number": number}, number, {}) for number in range(4)]


def work(job, setup):
    return {"number": job.params["number"], "process": os.getpid()}, "", 0.5


def die(job, setup):
    os._exit(9)


def test_processes_are_replaced_after_some_jobs_and_none_is_left(monkeypatch):
    monkeypatch.setattr(pool, "TRIALS_A_PROCESS", 4)
    with Pool(SETUP, 1, work) as started:
        fields = [field for _ in range(4) for field in started.run(JOBS)]
    assert [field["number"] for field in fields] == [0, 1, 2, 3] * 4 and started.cpu_seconds == 8
    processes = list(dict.fromkeys(field["process"] for field in fields))
    assert len(processes) == 4 and os.getpid() not in processes
    psutil.wait_procs([psutil.Process(pid) for pid in processes if psutil.pid_exists(pid)], timeout=30)
    assert not any(psutil.pid_exists(pid) for pid in processes)


def test_a_killed_process_is_one_line():
    with Pool(SETUP, 1, die) as started, pytest.raises(ValueError, match=r"a trial's process was killed, for want of"):
        list(started.run(JOBS))
