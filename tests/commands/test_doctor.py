"""`heldout doctor`: a line and a remedy for each fault, and what `--fix` mends, on what DVC and git really do."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, commit, execute, write_image

from heldout.commands import conflicts

TOKEN = "aB3_-678901234567890xY"  # as dvc_objects makes them, 22 characters
GOOD = "heldout: params.yaml, the images, DVC's files and the disks are as expected\n"


@pytest.fixture
def folder(tmp_path):
    """The stages, the params and a small set of images in data/sample, and neither git nor DVC."""
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "env.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for number in range(2):
        write_image(tmp_path / f"data/sample/{number}/a.jpg", number)
    return tmp_path


@pytest.fixture
def repository(folder, monkeypatch):
    """The same as a committed DVC repository, with a graph of one stage that copies a file, and DVC's databases."""
    (folder / "dvc.yaml").write_text(
        "stages:\n  copy:\n    cmd: cat params.yaml > out.txt; cat params.yaml > note.txt\n    deps: [env.yaml]\n"
        f"    params: [{', '.join(line[:-1] for line in SECTIONS)}]\n    outs: [out.txt]\n"
        "    metrics: [note.txt: {cache: false}]\n"
    )
    execute("git", "init", "-q", "-b", "main", cwd=folder)
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".gitattributes", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder / ".dvc/site"))
    commit(folder)
    return folder


@pytest.fixture
def reproduced(repository):
    """The same after `dvc repro`, with dvc.lock committed."""
    execute("dvc", "repro", "-q", cwd=repository)
    commit(repository)
    return repository


SECTIONS = [
    line.split()[0]
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    if line[:1].isalpha()
]  # fmt: skip


def doctor(folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    command = [*prefix, sys.executable, "-m", "heldout", "doctor", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def repro(folder: Path, expect: int = 0) -> str:
    return execute("dvc", "repro", cwd=folder, expect=expect).stdout


def break_and_mend(folder: Path, line: str, done: str) -> None:
    """What is broken ends `dvc repro`, has a line of the doctor, and is mended by it: `dvc repro` ends well."""
    repro(folder, expect=255)
    code, output = doctor(folder)
    assert code == 1 and f"heldout: {line}" in output and "`heldout doctor --fix` does it" in output, output
    assert doctor(folder, "--fix") == (3, f"heldout: {done}\n")
    assert doctor(folder) == (0, GOOD)
    repro(folder)


def test_what_dvc_stops_at_in_a_line_of_its_own(folder):
    assert doctor(folder) == (0, GOOD)
    assert doctor(folder, "--fix") == (0, GOOD)
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    for old, new, line in (
        (
            "data/sample",
            "data/none",
            "data.dir is data/none: no such folder; set data.dir in params.yaml to a folder of",
        ),
        ("\ntrain:", "\ntrian:", "params.yaml: train is missing: is trian meant?"),
        ("\ntrain:", "\nextra: 1\ntrain:", "params.yaml: extra is not read by any stage: expected augment, data,"),
        ("zoom: 0.1", "zoom: 3", "params.yaml: augment.zoom is 3: expected less than 1"),
        ("zoom: 0.1", "zoom: [", "params.yaml is not YAML: while parsing a flow sequence"),
    ):
        (folder / "params.yaml").write_text(text.replace(old, new), encoding="utf-8")
        code, output = doctor(folder)
        assert code == 1 and f"heldout: {line}" in output, output


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x1b", b"a: [\n", b"stages: {a: 1}\n"])
def test_files_of_anything_are_lines(repository, content):
    names = ["params.yaml", "dvc.yaml", "env.yaml", "dvc.lock", ".dvc/config", ".dvc/config.local", ".dvc/tmp/rwlock"]
    (repository / ".dvc/tmp").mkdir()
    for name in names:
        (repository / name).write_bytes(content)
    for name in names:
        code, output = doctor(repository)
        seen = not (content == b"" and name.startswith(".dvc/config"))  # no settings are settings
        assert code == 1 and (name in output) == seen, output
        shutil.copy(ROOT / name, repository / name) if (ROOT / name).exists() else (repository / name).unlink()


def test_tensorflow_is_not_imported(repository):
    code = "import sys; from heldout.__main__ import main; main(['doctor']); print('tensorflow' in sys.modules)"
    assert execute(sys.executable, "-c", code, cwd=repository).stdout == f"{GOOD}False\n"


def test_an_empty_rwlock(reproduced):
    (reproduced / ".dvc/tmp/rwlock").write_bytes(b"")
    assert "JSON structure is corrupted" in repro(reproduced, expect=255)
    break_and_mend(reproduced, ".dvc/tmp/rwlock is broken, left by a killed dvc: remove it", "removed .dvc/tmp/rwlock")


@pytest.mark.parametrize("program", [["sleep", "60"], [sys.executable, "-c", "input()"]], ids=["sleep", "python"])
def test_an_rwlock_that_names_a_process_of_the_same_number(reproduced, program):
    """As after the restart of a container, whose first processes have the numbers of the last ones."""
    with subprocess.Popen(program, stdin=subprocess.PIPE) as process:
        lock = reproduced / ".dvc/tmp/rwlock"
        info = {"pid": process.pid, "cmd": "dvc repro"}
        lock.write_text(json.dumps({"write": {str(reproduced / "out.txt"): info}, "read": {}}))
        os.utime(lock, (1e9, 1e9))
        (reproduced / "out.txt").unlink()
        assert "it is being blocked by" in repro(reproduced, expect=255)
        os.utime(lock, (1e9, 1e9))
        break_and_mend(
            reproduced,
            f".dvc/tmp/rwlock waits for process {process.pid}, which is not the dvc that wrote it: remove it",
            "removed .dvc/tmp/rwlock",
        )
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
    assert "required key not provided" in repro(repository, expect=255)
    break_and_mend(repository, "dvc.lock is empty, left by a killed dvc or a full disk: remove it", "removed dvc.lock")
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
def test_half_an_entry_of_the_run_cache(reproduced, name):
    entry = run_cache_entry(reproduced)
    half = entry.with_name(name)
    half.write_bytes(entry.read_bytes().split(b"outs:")[0])
    (reproduced / "out.txt").unlink()
    (reproduced / "dvc.lock").unlink()
    assert "failed to reproduce 'copy': 'outs'" in repro(reproduced, expect=255)
    shown = half.relative_to(reproduced)
    break_and_mend(reproduced, f"{shown} is half an entry of the run-cache", f"removed {shown}")


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
    copies = [reproduced / f".{TOKEN}.tmp", reproduced / f".dvc/cache/files/md5/ab/.{TOKEN}.tmp"]
    for path in [*copies, reproduced / "mine.tmp", reproduced / ".hidden.tmp"]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 300000)
    code, output = doctor(reproduced)
    assert code == 1 and "and 1 more are copies that a killed dvc left, 0.6 MB: harmless" in output
    code, output = doctor(reproduced, "--fix")
    assert code == 0 and output.startswith("heldout: removed ") and not any(path.exists() for path in copies)
    assert (reproduced / "mine.tmp").exists() and (reproduced / ".hidden.tmp").exists()


def test_a_damaged_database_of_dvc(reproduced):
    (path,) = reproduced.glob(".dvc/site/repo/*/hashes/local/cache.db")
    path.write_bytes(b"\0" * 4096)
    shown = path.relative_to(reproduced)
    break_and_mend(reproduced, f"{shown} is damaged: remove it, DVC then hashes all files again", f"removed {shown}")


def test_damaged_settings_of_dvc_are_named_and_left_alone(reproduced):
    (reproduced / ".dvc/config").write_text("[core\n    analytics = false\n")
    (reproduced / ".dvc/config.local").write_text("[core]\n    no_such = 1\n")
    code, output = doctor(reproduced, "--fix")
    assert code == 1 and output.count("\n") == 2
    assert "heldout: .dvc/config: config file error: " in output and "`git restore .dvc/config` takes it back" in output
    assert "heldout: .dvc/config.local: config file error: extra keys not allowed" in output


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


def merge(repository: Path) -> None:
    """Two branches that both ran the stage, with other params, merged."""
    text = (repository / "params.yaml").read_text(encoding="utf-8")
    execute("git", "checkout", "-q", "-b", "other", cwd=repository)
    for branch, key in (("other", "seed: 1"), ("main", "seed: 2")):
        execute("git", "checkout", "-q", branch, cwd=repository)
        (repository / "params.yaml").write_text(text.replace("seed: 0", key, 1), encoding="utf-8")
        execute("dvc", "repro", "-q", cwd=repository)
        commit(repository)
    execute("git", "merge", "other", cwd=repository, expect=1)


@pytest.mark.parametrize("attributes", [True, False], ids=["index", "marks"])
def test_a_merge_in_conflict_is_named_and_not_mended(reproduced, attributes):
    if not attributes:
        (reproduced / ".gitattributes").unlink()
        commit(reproduced)
    merge(reproduced)
    before = (reproduced / "dvc.lock").read_bytes()
    assert attributes != conflicts.has_marks(before)
    code, output = doctor(reproduced, "--fix")
    commands = "git restore --source=HEAD --staged --worktree -- dvc.lock code.yaml metrics plots"
    assert code == 1 and (
        f"heldout: dvc.lock: in conflict after a merge: `{commands}`, then `dvc repro`, then `git add -A && git commit`"
        in output
    ), output
    assert "heldout: params.yaml holds conflict marks of a merge: keep one side between" in output
    assert (reproduced / "dvc.lock").read_bytes() == before
    execute("git", "restore", "--source=HEAD", "--staged", "--worktree", "--", "dvc.lock", cwd=reproduced)
    execute("git", "checkout", "-q", "--ours", "params.yaml", cwd=reproduced)
    assert "conflict" not in doctor(reproduced)[1]


# A process of root without the right to override permissions: what another user's process meets.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
needs_setpriv = pytest.mark.skipif(
    bool(UNPRIVILEGED) and shutil.which("setpriv") is None, reason="root overrides permissions, and setpriv is missing"
)


@needs_setpriv
def test_a_folder_that_its_owner_cannot_write_to(reproduced):
    cache = reproduced / ".dvc/cache/files/md5"
    cache.chmod(0o555)
    code, output = doctor(reproduced, prefix=UNPRIVILEGED)
    cache.chmod(0o755)
    assert code == 1
    assert output == (
        "heldout: .dvc/cache/files/md5 cannot be written to by you, its owner: `chmod -R u+w .dvc/cache`\n"
    )


@needs_setpriv
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives a file to another user")
@pytest.mark.parametrize("part", [".dvc/site", ".dvc/cache", "."])
def test_what_belongs_to_another_user(reproduced, part):
    for path in [reproduced / part, *(reproduced / part).rglob("*")]:
        os.chown(path, 54321, 54321, follow_symlinks=False)
    done = subprocess.run([*UNPRIVILEGED, "dvc", "repro", "-f"], cwd=reproduced, capture_output=True, text=True)
    assert done.returncode != 0
    code, output = doctor(reproduced, "--fix", prefix=UNPRIVILEGED)
    first = output.splitlines()[0]
    name = str(reproduced) if part == "." else part
    assert code == 1 and " more belongs to user 54321 and cannot be written to by root: `sudo chown -R root " in first
    assert ("." if part == "." else part) in first, name


def test_a_full_disk_is_named_with_what_lies_there(reproduced):
    """The cache on a file system of one megabyte."""
    options = ("-m",) if os.geteuid() == 0 else ("-rm",)
    script = 'mount -t tmpfs -o size=1m tmpfs .dvc/cache && exec "$@"'
    mounted = ("unshare", *options, "sh", "-c", script, "sh")
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], cwd=reproduced).returncode:
        pytest.skip("a file system cannot be mounted here")
    code, output = doctor(reproduced, prefix=mounted)
    assert code == 1 and output.startswith(f"heldout: 1 MB free at {reproduced / '.dvc/cache'}, for DVC's cache: free")
    assert output.count("\n") == 1


def test_no_folder_for_temporary_files(reproduced):
    """Python tries TMPDIR, /tmp, /var/tmp, /usr/tmp and the current folder."""
    code = "import tempfile; tempfile._get_default_tempdir = lambda *_: tempfile._os.stat('none')\n"
    code += "from heldout.__main__ import main; main(['doctor'])"
    output = execute(sys.executable, "-c", code, cwd=reproduced).stdout
    assert output == "heldout: No such file or directory: free some space there, or set TMPDIR to another folder\n"
