"""`heldout lineage` in a real repository: from a file to its commit, and from an image to the models that saw it."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import change, commit, execute

from heldout.commands import lineage
from heldout.compare import locks
from heldout.data import manifest, raw_files

pytestmark = pytest.mark.slow


@pytest.fixture
def repository(restored, monkeypatch):
    """The finished project with its data, as the current folder, and a later commit of other params."""
    monkeypatch.chdir(restored)
    raw_files._dvc_cache.cache_clear()
    change(restored, {"evaluate": {"top_k": 3}})
    commit(restored)
    yield restored
    raw_files._dvc_cache.cache_clear()


def head(repository: Path, revision: str = "HEAD") -> str:
    return execute("git", "rev-parse", revision, cwd=repository).stdout.strip()


def test_a_file_its_copy_and_its_folder_lead_to_the_commit_and_its_params(repository, tmp_path):
    made = head(repository, "HEAD~1")[:10]
    lines = lineage.of_file("export/model.tflite")
    assert lines[0].startswith(f"model.tflite: made by {made} (") and lines[0].endswith(", test)")
    manifests = {line.split()[1]: line.split()[0] for line in lines if line.endswith("(split)")}
    assert manifests["data/splits/train.csv"] == locks.work_tree().outputs()["data/splits/train.csv"]
    assert "params that differ from those of the work tree: 1" in lines
    assert "  evaluate.top_k: 5, now 3" in lines
    assert lines[-1] == f"to have it back: `git checkout {made}`, then `dvc pull` or `dvc checkout`"

    copy = shutil.copy("export/model.tflite", tmp_path / "renamed.tflite")
    assert lineage.of_file(str(copy))[0].startswith(f"renamed.tflite: made by {made} (")
    folder = shutil.copytree("export/saved_model", tmp_path / "served")
    with pytest.raises(ValueError, match=r"no commit of this repository made .*nothing\.txt: `git fetch --all`"):
        Path(tmp_path / "nothing.txt").write_text("of another origin", encoding="utf-8")
        lineage.of_file(str(tmp_path / "nothing.txt"))
    assert lineage.of_file(str(folder))[0].startswith(f"served: made by {made} (")
    assert lineage.of_file("export")[1:] == lines[1:] == lineage.of_file("export/heldout.json")[1:]


def test_what_is_not_of_the_export_is_refused(repository):
    model = Path("export/model.tflite")
    content = model.read_bytes()
    model.unlink()  # a link to DVC's cache, which must stay as it is
    model.write_bytes(content[:-1] + b"!")
    with pytest.raises(ValueError, match=r"model\.tflite has other bytes than were exported with export/heldout\.json"):
        lineage.of_file("export/model.tflite")
    description = json.loads(Path("export/heldout.json").read_text(encoding="utf-8"))
    description["lineage"]["models/model.json"] = "0" * 32
    Path("export/heldout.json").unlink()
    Path("export/heldout.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ValueError, match=r"no commit of this repository made export: `git fetch --all`"):
        lineage.of_file("export")
    with pytest.raises(ValueError, match=r"^nowhere: no such file or folder$"):
        lineage.of_file("nowhere")


def test_without_the_lists_of_the_exports_it_says_what_to_fetch(repository, tmp_path):
    copy = shutil.copy("export/model.tflite", tmp_path)
    raw_files.cached_path(locks.work_tree().outputs()["export"]).unlink()
    with pytest.raises(ValueError, match=r"has not the lists of all exports: `dvc fetch --all-commits export`"):
        lineage.of_file(str(copy))
    execute("dvc", "fetch", "--all-commits", "export", cwd=repository)
    assert "made by" in lineage.of_file(str(copy))[0]


def test_an_image_and_the_models_that_trained_on_it(repository):
    train, test = (manifest.read(f"data/splits/{split}.csv").iloc[0] for split in ("train", "test"))
    for image in (train["path"], train["id"]):
        lines = lineage.of_image(image)
        assert lines[0] == f"{train['path']} ({train['id']}): in train now"
        assert lines[1].split()[1:3] == ["train", "since"] and lines[-1] == "1 of 1 committed models trained on it"
    Path(test["path"]).unlink()  # known by its path in the manifest
    lines = lineage.of_image(test["path"])
    assert lines[0].endswith(": in test now") and lines[-1] == "0 of 1 committed models trained on it"
    assert lineage.of_image("0" * 32)[0] == f"{'0' * 32}: in no split now"
    with pytest.raises(ValueError, match=r"^expected a file, an md5, or a path that data/splits has, got photo\.jpg$"):
        lineage.of_image("photo.jpg")


def test_where_a_manifest_is_missing_the_answer_is_unknown(repository):
    identity = manifest.read("data/splits/train.csv")["id"].iloc[0]
    raw_files.cached_path(locks.work_tree().outputs()["data/splits/train.csv"]).unlink()
    Path("data/splits/train.csv").unlink()
    lines = lineage.of_image(identity)
    assert lines[0] == f"{identity}: in no split now" and lines[1].split()[1] == "unknown"
    assert lines[-1].startswith(
        "1 unknown, whose lists are not in DVC's cache: `dvc fetch --all-commits data/splits/tr"
    )


def test_outside_a_repository_and_in_a_shallow_clone(repository, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"^expected a git repository, got "):
        list(locks.history(tmp_path))
    execute("git", "clone", "-q", "--depth", "1", f"file://{repository}", str(tmp_path / "shallow"), cwd=tmp_path)
    with pytest.raises(ValueError, match=r"^this clone is shallow: `git fetch --unshallow`"):
        list(locks.history(tmp_path / "shallow"))
