"""`heldout doctor`: a line and a remedy for each fault, on what DVC, git and the disks really do."""
# ruff: noqa: F401, F811 (fixtures are imported, and named by arguments)

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, commit, execute
from doctors import GOOD, doctor, folder, repository, reproduced

from heldout.commands import conflicts


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
        ("\ntrain:", "\nextra: 1\ntrain:", "params.yaml: extra is not read by any stage: expected augment, card,"),
        ("zoom: 0.1", "zoom: 3", "params.yaml: augment.zoom is 3: expected less than 1"),
        ("methods: []", "methods: [simclr]", "pretrain.methods is ['simclr'], but transfer.start is pretrained, so"),
        (
            "start: pretrained ",
            "start: models/encoder ",
            "transfer.start is models/encoder, but pretrain.methods is []",
        ),
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


@pytest.mark.slow
def test_damaged_settings_of_dvc_are_named_and_left_alone(reproduced):
    (reproduced / ".dvc/config").write_text("[core\n    analytics = false\n")
    (reproduced / ".dvc/config.local").write_text("[core]\n    no_such = 1\n")
    code, output = doctor(reproduced, "--fix")
    assert code == 1 and output.count("\n") == 2
    assert "heldout: .dvc/config: config file error: " in output and "`git restore .dvc/config` takes it back" in output
    assert "heldout: .dvc/config.local: config file error: extra keys not allowed" in output


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@needs_setpriv
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives a file to another user")
@pytest.mark.parametrize("part", [".dvc/site", ".dvc/cache", "."])
def test_what_belongs_to_another_user(reproduced, part):
    for path in [reproduced / part, *(reproduced / part).rglob("*")]:
        os.chown(path, 54321, 54321, follow_symlinks=False)
    reproduced.chmod(0o755)
    done = subprocess.run([*UNPRIVILEGED, "dvc", "repro", "-f"], cwd=reproduced, capture_output=True, text=True)
    assert done.returncode != 0
    code, output = doctor(reproduced, "--fix", prefix=UNPRIVILEGED)
    first = output.splitlines()[0]
    assert code == 1 and first.startswith(f"heldout: {part}"), output
    assert f"more belong to user 54321 and cannot be written to by root: `sudo chown -R root {part}`, or" in first


@pytest.mark.slow
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


@pytest.mark.slow
def test_no_folder_for_temporary_files(reproduced):
    """Python tries TMPDIR, /tmp, /var/tmp, /usr/tmp and the current folder."""
    code = "import tempfile; tempfile._get_default_tempdir = lambda *_: tempfile._os.stat('none')\n"
    code += "from heldout.__main__ import main; main(['doctor'])"
    output = execute(sys.executable, "-c", code, cwd=reproduced).stdout
    assert output == "heldout: No such file or directory: free some space there, or set TMPDIR to another folder\n"
