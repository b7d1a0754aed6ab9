"""What the tests share: real images, and real DVC repositories that run the project's own graph."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import settings

from heldout.data import index, manifest, preprocess, shards
from heldout.data.decode_cache import DecodeCache

# What hypothesis tries is the same in every run: a rare example fails in the change that makes it, or never.
# `pytest --hypothesis-profile=default` looks further.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
PREPROCESS = {
    "image_size": [10, 12],
    "channels": 3,
    "resize": "squash",
    "interpolation": "area",
    "pad_color": [0, 0, 0],
    "fast_decode": False,
}
# The real graph on the real digits, with a network that trains in seconds.
SMALL = {
    "preprocess": {"image_size": [22, 22]},
    "model": {"filters": [8, 16, 16], "dense_units": 32},
    "train": {"epochs": 2},
}


def execute(*command: str, cwd: Path, expect: int | None = 0) -> subprocess.CompletedProcess:
    """Run a command to its end; its output, both streams together, is in `stdout`."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=560)
    assert expect is None or done.returncode == expect, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done


def stages_run(output: str) -> list[str]:
    """The stages that a `dvc repro` ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def change(repository: Path, values: dict) -> None:
    """Set values of params.yaml: {section: {key: value}} or {key: value}."""
    path = repository / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in values.items():
        params[name] = params[name] | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def commit(repository: Path) -> None:
    execute("git", "add", "-A", cwd=repository)
    execute("git", "commit", "-q", "--allow-empty", "-m", "test", cwd=repository)


def write_image(path: Path, seed: int, size: tuple[int, int] = (24, 32)) -> None:
    """A real JPEG or PNG of coarse noise: `size` is (height, width)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))


def write_photos() -> None:
    """Write data/raw: three classes of eight photos."""
    for kind, name in enumerate(("cat", "dog", "wolf")):
        for number in range(8):
            write_image(Path("data/raw", name, f"{number}.jpg"), 100 * kind + number)


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory):
    """This interpreter's commands first, DVC and git that touch nothing of the person's own, nothing of `make test`."""
    private = tmp_path_factory.mktemp("private")
    names = ("AUTHOR_NAME", "COMMITTER_NAME", "AUTHOR_EMAIL", "COMMITTER_EMAIL")
    values = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(private / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(private / "global"),
        "DVC_NO_ANALYTICS": "1",
        **{f"GIT_{name}": "test@example.org" for name in names},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        for name in [name for name in os.environ if name.startswith(("DVC_", "MAKE", "MFLAGS")) and name not in values]:
            patch.delenv(name)
        if (
            signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        ):  # what nohup starts ignores it, and so would our `dvc repro`
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The current folder with data/raw: three classes of eight photos."""
    monkeypatch.chdir(tmp_path)
    write_photos()
    return Path("data/raw")


@pytest.fixture
def full_disk(tmp_path):
    """The words that run a command with a disk of one megabyte at the folder `disk` of `tmp_path`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=1m none {folder} && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    return words


def scan() -> pd.DataFrame:
    """The index of data/raw."""
    settings = {"layout": "auto", "group_pattern": "", "captions": False, "on_problem": "error", "on_conflict": "error"}
    return index.scan(dir="data/raw", class_depth=1, max_megapixels=9, unlabelled="", **settings)[0]


def write_shards(rows: pd.DataFrame, folder: str, texts: bool = False, **changed) -> int:
    """Preprocess as the stage does; how many images were decoded."""
    settings = PREPROCESS | changed
    rows = manifest.in_order(rows)
    cache = DecodeCache(settings)
    preprocess.write_shards(rows, folder, cache, texts=texts, **settings)
    return len(rows) - cache.num_reused


@pytest.fixture
def images(photos):
    """Shards of the photos, 16 pixels high and wide, in data/train."""
    write_shards(scan(), "data/train", image_size=[16, 16])
    return shards.Images("data/train")


def copy_project(to: Path) -> Path:
    """A repository of the project as the work tree has it, without what is ignored, and with nothing run."""
    listed = execute("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    (to / "dvc.lock").unlink(missing_ok=True)
    execute("git", "init", "-q", "-b", "main", cwd=to)
    return to


@pytest.fixture
def project(tmp_path):
    """The project, nothing run, with the small network."""
    repository = copy_project(tmp_path / "project")
    change(repository, SMALL)
    commit(repository)
    return repository


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A function that makes a folder once for all workers of pytest-xdist: the first that asks for it makes it.

    It takes a name and a function that fills the empty folder of that name.
    """
    own = tmp_path_factory.getbasetemp()
    parent = own if worker_id == "master" else own.parent

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder = parent / name
        with (parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (parent / f"{name}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (parent / f"{name}.done").touch()
        return folder

    return once


@pytest.fixture(scope="session")
def finished(shared):
    """The small project with every stage run and committed, pushed to a folder remote: to be cloned, not changed."""

    def make(folder: Path) -> None:
        repository = copy_project(folder / "project")
        change(repository, SMALL)
        execute("dvc", "repro", cwd=repository)
        execute("dvc", "remote", "add", "-d", "folder", str(folder / "remote"), cwd=repository)
        execute("dvc", "push", "-q", "--run-cache", cwd=repository)
        commit(repository)

    return shared("finished", make) / "project"


@pytest.fixture
def clone(finished, tmp_path):
    """A clean clone of `finished`, without its data."""
    execute("git", "clone", "-q", str(finished), str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


@pytest.fixture(scope="session")
def pulled(finished, shared):
    """A clean clone of `finished` with its data and its run-cache pulled: to be copied, not changed."""

    def make(folder: Path) -> None:
        execute("git", "clone", "-q", str(finished), "clone", cwd=folder)
        execute("dvc", "pull", "-q", "--run-cache", cwd=folder / "clone")

    return shared("pulled", make) / "clone"


@pytest.fixture
def restored(pulled, tmp_path):
    """A clean clone of `finished` with its data pulled: a copy, which takes a sixth of what a pull does."""
    execute("cp", "-a", str(pulled), str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


@pytest.fixture
def never_run(pulled, tmp_path):
    """A clone of `finished` with its data, in which nothing ran: what it runs, DVC's run-cache does not answer for."""
    execute("cp", "-a", str(pulled), str(tmp_path / "never-run"), cwd=tmp_path)
    shutil.rmtree(tmp_path / "never-run/.dvc/cache/runs")
    return tmp_path / "never-run"
