"""`make` after a kill -9 of `dvc repro` in the middle of DVC's own writes; benchmarks/kill.py has more of them."""

import os
import shutil
import signal

import pytest
from conftest import commit, execute
from kills import LOCK, RUN, RWLOCK, Operation, kill_at_operation, make, start

pytestmark = pytest.mark.slow
RESTORED, REMOVED = "heldout: restored dvc.lock as HEAD has it", "heldout: removed dvc.lock"


@pytest.fixture
def unfinished(restored):
    """The finished project without dvc.lock, and without the run-cache's entry of `split`: the stage is run again."""
    (restored / "dvc.lock").unlink()
    (entry,) = [path for path in restored.glob(".dvc/cache/runs/*/*/*") if b"stages.split" in path.read_bytes()]
    shutil.rmtree(entry.parent)
    return restored


@pytest.mark.parametrize(
    "operation",
    [Operation("dvc", RWLOCK, number=30), Operation("dvc", RWLOCK, number=61, size=40, group=True)],
    ids=str,
)
def test_make_mends_a_broken_rwlock(restored, operation):
    kill_at_operation(restored, operation)
    code, output = make(restored)
    assert code == 0 and "heldout: removed .dvc/tmp/rwlock" in output, output
    assert execute("git", "status", "--porcelain", cwd=restored).stdout == ""


@pytest.mark.parametrize(
    ("operation", "mended"),
    [
        (Operation("dvc", LOCK, number=4), RESTORED),
        (Operation("dvc", LOCK, number=3, size=1000), RESTORED),
        (Operation("dvc", RUN, size=505), "heldout: removed .dvc/cache/runs/"),  # before "outs:"
        (Operation("dvc", RUN, size=-1), "heldout: removed .dvc/cache/runs/"),
    ],
    ids=str,
)
def test_make_mends_what_a_kill_left_of_a_run_and_ends_in_the_same_lock(unfinished, finished, operation, mended):
    kill_at_operation(unfinished, operation)
    code, output = make(unfinished)
    assert code == 0 and mended in output, output
    assert (unfinished / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()


def test_a_cut_lock_that_git_does_not_have_is_made_again(unfinished, finished):
    commit(unfinished)
    kill_at_operation(unfinished, Operation("dvc", LOCK, number=8))
    code, output = make(unfinished)
    assert code == 0 and REMOVED in output, output
    assert (unfinished / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()


def test_make_stops_where_there_is_nothing_to_mend(restored):
    (restored / "params.yaml").write_text("seed: 0\n", encoding="utf-8")
    code, output = make(restored)
    assert code != 0 and "heldout: params.yaml: data is missing" in output
    assert output.count("ERROR: ") == 1  # one repro


def test_make_says_that_another_dvc_runs(restored):
    """It does not touch that one's files, broken or not."""
    text = (restored / "dvc.yaml").read_text(encoding="utf-8")
    (restored / "dvc.yaml").write_text(text.replace("cmd: python -m stages.code", "cmd: sleep 60; true", 1), "utf-8")
    with start(restored) as dvc:
        assert dvc.stdout and any("sleep 60" in line for line in dvc.stdout)
        (restored / "dvc.lock").write_bytes(b"")
        code, output = make(restored)
        assert code != 0 and f"heldout: dvc runs here (process {dvc.pid}: dvc repro)" in output
        assert (restored / "dvc.lock").read_bytes() == b""
        os.killpg(dvc.pid, signal.SIGKILL)
