"""What a killed `dvc` leaves: it ends `dvc repro`, the doctor has a line for it, and `--fix` mends it."""
# ruff: noqa: F401, F811 (fixtures are imported, and named by arguments)

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import commit, execute
from doctors import GOOD, doctor, folder, repository, repro, reproduced

pytestmark = pytest.mark.slow
TOKEN = "aB3_-678901234567890xY"  # as dvc_objects makes them, 22 characters


def mend(folder: Path, line: str, done: str) -> str:
    """What is broken ends `dvc repro`, has a line of the doctor, and is mended by it: `dvc repro` ends well.

    Returns:
        What DVC says of it.
    """
    broken = repro(folder, expect=255)
    code, output = doctor(folder)
    assert code == 1 and f"heldout: {line}" in output and "`heldout doctor --fix` does it" in output, output
    assert doctor(folder, "--fix") == (3, f"heldout: {done}\n")
    assert doctor(folder) == (0, GOOD)
    repro(folder)
    return broken


def test_an_empty_rwlock(reproduced):
    (reproduced / ".dvc/tmp/rwlock").write_bytes(b"")
    line = ".dvc/tmp/rwlock is broken, left by a killed dvc: remove it"
    assert "JSON structure is corrupted" in mend(reproduced, line, "removed .dvc/tmp/rwlock")


@pytest.mark.parametrize("program", [["sleep", "60"], [sys.executable, "-c", "input()"]], ids=["sleep", "python"])
def test_an_rwlock_that_names_a_process_of_the_same_number(reproduced, program):
    """As after the restart of a container, whose first processes have the numbers of the last ones."""
    with subprocess.Popen(program, stdin=subprocess.PIPE) as process:
        lock = reproduced / ".dvc/tmp/rwlock"
        info = {"pid": process.pid, "cmd": "dvc repro"}
        lock.write_text(json.dumps({"write": {str(reproduced / "out.txt"): info}, "read": {}}))
        os.utime(lock, (1e9, 1e9))
        (reproduced / "out.txt").unlink()
        line = f".dvc/tmp/rwlock waits for process {process.pid}, which is not the dvc that wrote it: remove it"
        assert "it is being blocked by" in mend(reproduced, line, "removed .dvc/tmp/rwlock")
        process.kill()


@pytest.mark.parametrize("size", [0, 60, -3])
def test_a_cut_dvc_lock_is_the_committed_one_again(reproduced, size):
    lock = reproduced / "dvc.lock"
    content = lock.read_bytes()
    lock.write_bytes(content[:size])
    code, output = doctor(reproduced)
    state = "empty" if size == 0 else "cut"
    assert code == 1 and f"dvc.lock is {state}, left by a killed dvc or a full disk: `git restore" in output
    assert doctor(reproduced, "--fix") == (3, "heldout: restored dvc.lock as HEAD has it\n")
    assert lock.read_bytes() == content
    assert "Running stage" not in repro(reproduced)


@pytest.mark.parametrize("committed", [None, "stages: {"])
def test_a_cut_dvc_lock_without_a_good_one_in_git_is_made_from_the_run_cache(repository, committed):
    repro(repository)
    lock = repository / "dvc.lock"
    content = lock.read_bytes()
    if committed:
        lock.write_text(committed)
        commit(repository)
    lock.write_bytes(b"")
    line = "dvc.lock is empty, left by a killed dvc or a full disk: remove it"
    assert "required key not provided" in mend(repository, line, "removed dvc.lock")
    assert lock.read_bytes() == content


def test_a_dvc_lock_that_is_older_than_what_was_run_is_fine(reproduced):
    text = (reproduced / "params.yaml").read_text(encoding="utf-8")
    (reproduced / "params.yaml").write_text(text.replace("seed: 0", "seed: 1", 1), encoding="utf-8")
    repro(reproduced)
    execute("git", "checkout", "-q", "dvc.lock", cwd=reproduced)
    assert doctor(reproduced, "--fix") == (0, GOOD)


def run_cache_entry(repository: Path) -> Path:
    (path,) = repository.glob(".dvc/cache/runs/*/*/*")
    return path


@pytest.mark.parametrize("name", [f".{TOKEN}.tmp", f"entry.{TOKEN}.tmp"])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside a whole one"])
def test_half_an_entry_of_the_run_cache(reproduced, name, alone):
    entry = run_cache_entry(reproduced)
    half = entry.with_name(name)
    half.write_bytes(entry.read_bytes().split(b"outs:")[0])
    if alone:
        entry.unlink()
    (reproduced / "out.txt").unlink()
    (reproduced / "dvc.lock").unlink()
    shown = half.relative_to(reproduced)
    broken = mend(reproduced, f"{shown} is half an entry of the run-cache", f"removed {shown}")
    assert "failed to reproduce 'copy': 'outs'" in broken


def test_an_empty_entry_of_the_run_cache(reproduced):
    """A kill between making the folder and the file in it, or after DVC has removed a damaged file."""
    entry = run_cache_entry(reproduced)
    entry.unlink()
    (reproduced / "out.txt").unlink()
    (reproduced / "dvc.lock").unlink()
    shown = entry.parent.relative_to(reproduced)
    assert "not 'NoneType'" in mend(reproduced, f"{shown} is an empty entry of the run-cache", f"removed {shown}")


def test_an_entry_of_the_run_cache_that_lacks_its_name_alone_is_kept(reproduced):
    """A kill between writing and renaming it: DVC takes it as it is, and with it hours of training."""
    entry = run_cache_entry(reproduced)
    entry.rename(entry.with_name(f".{TOKEN}.tmp"))
    (reproduced / "out.txt").unlink()
    (reproduced / "dvc.lock").unlink()
    assert doctor(reproduced, "--fix") == (0, GOOD)
    assert "Stage 'copy' is cached" in repro(reproduced)


def test_a_young_copy_in_a_cache_of_several_repositories_may_be_under_way(reproduced, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    execute("dvc", "config", "--local", "cache.dir", str(shared), cwd=reproduced)
    half = shared / f"runs/ab/{'ab' * 32}/.{TOKEN}.tmp"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"cmd: cat\n")
    assert doctor(reproduced, "--fix") == (0, GOOD)
    os.utime(half, (1e9, 1e9))
    assert doctor(reproduced, "--fix") == (3, f"heldout: removed {half}\n")


def test_copies_that_nothing_reads_are_removed_and_files_of_the_user_are_not(reproduced):
    folders = [".", ".dvc/cache/files/md5", ".dvc/cache/files/md5/ab"]
    copies = [reproduced / folder / f".{TOKEN}.tmp" for folder in folders]
    for path in [*copies, reproduced / "mine.tmp", reproduced / ".hidden.tmp"]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 300000)
    code, output = doctor(reproduced)
    assert (
        code == 1 and "and 2 more: copies that a killed dvc or a full disk left, 0.9 MB that nothing reads: " in output
    )
    code, output = doctor(reproduced, "--fix")
    assert code == 0 and output.startswith("heldout: removed ") and not any(path.exists() for path in copies)
    assert (reproduced / "mine.tmp").exists() and (reproduced / ".hidden.tmp").exists()


def test_a_damaged_database_of_dvc(reproduced):
    (path,) = reproduced.glob(".dvc/site/repo/*/hashes/local/cache.db")
    path.write_bytes(b"\0" * 4096)
    shown = path.relative_to(reproduced)
    mend(reproduced, f"{shown} is damaged: remove it, DVC then hashes all files again", f"removed {shown}")


def test_nothing_is_mended_while_a_dvc_runs_here(reproduced):
    text = (reproduced / "dvc.yaml").read_text().replace("cmd: cat", "cmd: echo started; sleep 60; cat")
    (reproduced / "dvc.yaml").write_text(text)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    with subprocess.Popen(["dvc", "repro"], cwd=reproduced, **options) as dvc:
        assert dvc.stdout and any(line == "started\n" for line in dvc.stdout)
        (reproduced / "dvc.lock").write_bytes(b"")
        line = f"heldout: dvc runs here (process {dvc.pid}: dvc repro): wait for its end; what it is writing was not "
        for options in ([], ["--fix"]):
            assert doctor(reproduced, *options) == (1, f"{line}checked\n")
        assert (reproduced / "dvc.lock").read_bytes() == b""
        (reproduced / ".dvc/tmp/rwlock").write_bytes(b"")
        assert doctor(reproduced, "--fix") == (1, f"{line}checked\n")
        os.killpg(dvc.pid, signal.SIGKILL)
    code, output = doctor(reproduced, "--fix")
    assert (code, sorted(output.splitlines())) == (
        3, ["heldout: removed .dvc/tmp/rwlock", "heldout: restored dvc.lock as HEAD has it"]
    )  # fmt: skip


def test_the_lock_of_dvc_held_by_a_process_that_is_not_seen(reproduced):
    code = "import sys, zc.lockfile; lock = zc.lockfile.LockFile('.dvc/tmp/lock'); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=reproduced, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        (reproduced / ".dvc/tmp/rwlock").write_bytes(b"")
        code, output = doctor(reproduced, "--fix")
        assert code == 1 and "dvc runs here (another user's or machine's, which holds .dvc/tmp/lock)" in output
        holder.communicate("")
