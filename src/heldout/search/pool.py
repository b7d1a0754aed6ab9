"""The processes in which trials run, several at once or one after another: the same results, the same lines."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from heldout.core import process
from heldout.search.rounds import Job

# Each leaves its compiled steps in memory. ProcessPoolExecutor's own max_tasks_per_child may not start the next process
# (Python 3.11: a search stood still after 80 trials).
TRIALS_A_PROCESS = 16
ORPHAN_CHECK = 0.5  # seconds


class Setup(NamedTuple):
    """What all trials share: where the shards of train and val are, val's manifest, the class names, the folder of
    pretrained weights, params.yaml, and the digest of the code."""

    train: str
    val: str
    val_csv: str
    classes_txt: str
    pretrained: str
    base: dict[str, Any]
    digest: str


Work = Callable[[Job, Setup], tuple[dict[str, Any], str, float]]


class Pool:
    """Runs jobs in `size` processes at once; a context manager, at whose end no process is left.

    `cpu_seconds` is what the jobs took so far, to be printed and in no file.

    Args:
        setup: of `trial.run`.
        size: how many at once.
        work: what a process does with a job and the setup; it gives fields, checkpoint, and CPU seconds.
    """

    def __init__(self, setup: Setup, size: int, work: Work | None = None):
        self.setup, self.size, self.work, self.cpu_seconds = setup, size, work or _run, 0.0

    def __enter__(self) -> "Pool":
        # Not fork: TensorFlow does not survive it.
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(self.size, context, _begin, (os.getpid(),))
        self.submitted = 0
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.executor.shutdown()
            return
        for child in psutil.Process().children():
            with suppress(psutil.Error):  # it has ended
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
        self.executor.shutdown(wait=False, cancel_futures=True)

    def run(self, jobs: list[Job]) -> Iterator[dict[str, Any]]:
        """The fields of each job's record, in the order of the jobs; once the next is asked for, a checkpoint goes.

        Raises:
            ValueError: where a process was killed.
        """
        if self.submitted >= TRIALS_A_PROCESS * self.size:
            self.executor.shutdown()
            self.__enter__()
        self.submitted += len(jobs)
        futures = [self.executor.submit(self.work, job, self.setup) for job in jobs]
        for future in futures:
            fields, checkpoint, seconds = _result(future)
            self.cpu_seconds += seconds
            yield fields
            if checkpoint:
                Path(checkpoint).unlink(missing_ok=True)

    def latencies(self, models: list[dict[str, Any]]) -> list[float]:
        """Of `trial.latencies`."""
        return _result(self.executor.submit(_latencies, self.setup, models))


def _result(future: Future) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ValueError(
            "a trial's process was killed, for want of memory perhaps: run the same command again, which resumes it; "
            "fewer --jobs need less memory"
        ) from None


def _run(job: Job, setup: Setup) -> tuple[dict[str, Any], str, float]:
    started = time.process_time()
    from heldout.search import trial

    fields, checkpoint = trial.run(job, setup)
    return fields, checkpoint, time.process_time() - started


def _latencies(setup: Setup, models: list[dict[str, Any]]) -> list[float]:
    from heldout.search import trial

    return trial.latencies(setup, models)


def _begin(parent: int) -> None:
    """Make a process quiet, and let it end with the one that started it: after a `kill -9`, too."""
    process.setup()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    threading.Thread(target=_end_with, args=(psutil.Process(parent),), daemon=True).start()


def _end_with(parent: psutil.Process) -> None:
    while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
        time.sleep(ORPHAN_CHECK)
    os._exit(1)
