"""Errors as a person meets them: one line, from a real stage in a real process."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, write_image

from heldout.core import atomic, process


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with the stages, the params and a small set of images in data/sample."""
    made = tmp_path_factory.mktemp("template")
    for name in ("stages", "src"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "env.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, made / name)
    stage(made, "code", "code.yaml", expect=0)
    for number in range(12):
        write_image(made / f"data/sample/{number % 2}/{number}.jpg", number)
    return made


@pytest.fixture
def folder(template, tmp_path):
    """A copy of `template`, to be changed."""
    return shutil.copytree(template, tmp_path, dirs_exist_ok=True)


def stage(folder: Path, name: str, *arguments: str, expect: int = 1) -> str:
    """Run a stage; what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{name}", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == expect, done.stderr
    return done.stderr


def set_param(folder: Path, section: str, key: str, value: object) -> None:
    path = folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values[section][key] = value
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


INDEX = ("index", "data/index.csv", "data/problems.csv")
SPLIT = (
    *("split", "data/index.csv", "data/problems.csv", "data/splits"),
    *("data/classes.txt", "metrics/data.json", "metrics/classes.csv", "plots/split.png"),
)


def test_a_good_folder_prints_what_a_person_wants_to_know(folder):
    done = subprocess.run(
        [sys.executable, "-m", "stages.index", *INDEX[1:]], cwd=folder, capture_output=True, text=True
    )
    assert done.stdout == "index: 12 images in 2 classes (class folders)\n"
    assert done.stderr == ""


def test_a_file_that_is_no_image(folder):
    (folder / "data/sample/0/notes.jpg").write_text("text")
    assert stage(folder, *INDEX) == (
        "index: data/sample/0/notes.jpg cannot be decoded as an image: convert it to JPEG or PNG, or remove it; "
        "or set data.on_problem: skip\n"
    )
    assert not (folder / "data/index.csv").exists()


def test_one_class(folder):
    shutil.rmtree(folder / "data/sample/1")
    assert stage(folder, *INDEX).startswith("index: data/sample holds one class (0): expected two or more; expected")


def test_a_class_with_one_image(folder):
    write_image(folder / "data/sample/lonely/a.jpg", 99)
    stage(folder, *INDEX, expect=0)
    assert stage(folder, *SPLIT) == (
        "split: class lonely has 1 image to train on and draw from: expected 3 or more; "
        "add images, or remove its folder\n"
    )


def test_an_empty_and_a_missing_folder(folder):
    shutil.rmtree(folder / "data/sample")
    (folder / "data/sample").mkdir()
    assert stage(folder, *INDEX).startswith("index: data/sample holds no images: expected one folder a class")
    set_param(folder, "data", "dir", "data/nowhere")
    assert stage(folder, *INDEX) == (
        "index: data.dir is data/nowhere: no such folder; set data.dir in params.yaml to a folder of images\n"
    )


def test_typing_errors_in_params(folder):
    set_param(folder, "data", "on_problm", "skip")
    assert stage(folder, *INDEX) == "index: params.yaml: data.on_problm is not known: did you mean on_problem?\n"


def test_a_python_without_the_libraries_says_what_to_do(folder):
    done = subprocess.run(
        [sys.executable, "-S", "-m", "stages.index", *INDEX[1:]], cwd=folder, capture_output=True, text=True
    )
    assert done.stderr.startswith("psutil is not installed for ") and done.stderr.count("\n") == 1
    assert "source .venv/bin/activate" in done.stderr


def test_another_version_than_env_says(folder):
    text = (folder / "env.yaml").read_text(encoding="utf-8")
    (folder / "env.yaml").write_text(text.replace("numpy: ", "numpy: 0"), encoding="utf-8")
    line = stage(folder, "preprocess", "data/splits/train.csv", "data/processed/train")
    assert line.startswith("preprocess: env.yaml says numpy 0") and "make setup" in line and line.count("\n") == 1


def test_columns_of_the_csv_reach_the_splits(folder):
    rows = [f"{number % 2}/{number}.jpg;{number % 2};north;{number}" for number in range(12)]
    (folder / "data/sample/metadata.csv").write_text("File Name;Class;site;width\n" + "\n".join(rows) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.index", *INDEX[1:]], cwd=folder, capture_output=True, text=True
    )
    assert done.stdout == (
        "index: 12 images in 2 classes (metadata.csv)\n"
        "index: metadata.csv: File Name is the path, Class is the label\n"
        "index: metadata.csv: kept beside them: site, width\n"
    )
    stage(folder, *SPLIT, expect=0)
    header, first, *_ = (folder / "data/splits/train.csv").read_text().splitlines()
    assert header == "id,path,label,width,height,orientation,cluster,site,width_given"
    assert first.split(",")[2] == "0" and first.split(",")[-2:] == ["north", "0"]


def test_given_splits_that_leak_fail_the_stage(folder):
    rows = [f"{number % 2}/{number}.jpg,{number % 2},{'test' if number < 4 else 'train'}," for number in range(12)]
    rows[0] += "rex"
    rows[8] += "rex"
    (folder / "data/sample/labels.csv").write_text("path,label,split,group\n" + "\n".join(rows) + "\n")
    stage(folder, *INDEX, expect=0)
    line = (
        "split: the given splits leak: data/sample/0/0.jpg (test) and data/sample/0/8.jpg (train) belong to the group "
        "rex: put them into one split, or set split.on_leak: move (to the most held-out one) or keep\n"
    )
    assert stage(folder, *SPLIT) == line
    assert not (folder / "data/splits").exists()
    set_param(folder, "split", "on_leak", "keep")
    stage(folder, *SPLIT, expect=0)
    assert json.loads((folder / "metrics/data.json").read_text())["leaks_groups"] == 1
    set_param(folder, "split", "on_leak", "move")
    stage(folder, *SPLIT, expect=0)
    assert json.loads((folder / "metrics/data.json").read_text())["leaks_groups"] == 0


def test_a_missing_input_names_the_file(folder):
    assert stage(folder, *SPLIT) == "split: No such file or directory: data/index.csv\n"


def test_a_fault_of_the_program_keeps_its_traceback(folder):
    with (folder / "src/heldout/data/listing/image_folder.py").open("a") as file:
        file.write("\n\nlist_images = None\n")
    stage(folder, "code", "code.yaml", expect=0)
    assert "Traceback" in stage(folder, *INDEX)


def test_variables_that_would_change_results_unseen_are_taken_away(folder):
    code = "import os, stages; from heldout.core.process import UNTRACKED\n"
    code += "print([name for name in UNTRACKED if name in os.environ])"
    environment = os.environ | dict.fromkeys(process.UNTRACKED, "0")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_full_disk_says_so():
    error = OSError(errno.ENOSPC, "No space left on device", "data/x")
    assert process.user_message(error) == "No space left on device: data/x; free some space and run it again"
    assert process.user_message(ValueError("not ours")) is None


@pytest.mark.parametrize("stage_name", ["", "train"])
def test_a_full_disk_within_a_library_is_one_line(tmp_path, full_disk, stage_name):
    code = f"""
from heldout.core import atomic, process
process.setup()
import h5py, numpy
with atomic.replacing({str(tmp_path / "disk/model.weights.h5")!r}) as partial, h5py.File(partial, "w") as file:
    file.create_dataset("x", data=numpy.ones(10**6))
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")} | ({"DVC_STAGE": stage_name} if stage_name else {})
    done = subprocess.run([*full_disk, sys.executable, "-c", code], capture_output=True, text=True, env=env)
    restored = (
        "; `git checkout metrics plots` brings back what DVC removed before it ran this stage" if stage_name else ""
    )
    assert done.stderr == f"-c: No space left on device; free some space and run it again{restored}\n"
    assert done.returncode == 1


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path):
    atomic.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(OSError, match="No space left"), atomic.replacing(tmp_path / "a.txt") as partial:
        partial.symlink_to("/dev/full")
        with partial.open("w") as file:
            file.write("new" * 10000)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.txt").write_text("old")
    (tmp_path / "partial.out").mkdir()
    (tmp_path / "partial.out/left").write_text("by a killed process")
    with atomic.replacing_folder(tmp_path / "out") as partial:
        (partial / "new.txt").write_text("new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new.txt", "out"]


def test_native_stderr_is_shown_where_it_fails(tmp_path):
    code = "import os, sys; sys.path.insert(0, 'src'); from heldout.core.process import suppress_native_stderr\n"
    code += "with suppress_native_stderr(): os.write(2, b'noise'); {}"
    for action, seen in (("pass", ""), ("1 / 0", "noise")):
        done = subprocess.run([sys.executable, "-c", code.format(action)], cwd=ROOT, capture_output=True, text=True)
        assert done.stderr.startswith(seen) and bool(done.stderr) == bool(seen)
