"""What was done to the images of each split, read from the work tree and from DVC's cache by md5."""

import hashlib

import pandas as pd
import pytest
from conftest import execute
from revisions_of import repository, table, write
from ruamel.yaml import YAML

from heldout.compare import comparison, manifests, revisions
from heldout.compare.report import outputs
from heldout.data import raw_files

HEADER = "id,path,label\n"


def rows(text: str) -> str:
    """A manifest of images such as `1a 2b`: id and label."""
    return HEADER + "".join(f"{word[:-1]:0>32},data/raw/{word}.jpg,{word[-1]}\n" for word in text.split())


def revision_with(folder, cache, **splits: str) -> revisions.Revision:
    """The work tree, whose dvc.lock names manifests that are in the cache alone."""
    lock = YAML(typ="safe").load((folder / "dvc.lock").read_text())
    outs = []
    for split, text in splits.items():
        content = rows(text).encode()
        md5 = hashlib.md5(content).hexdigest()
        (cache / md5[:2]).mkdir(parents=True, exist_ok=True)
        (cache / md5[:2] / md5[2:]).write_bytes(content)
        outs.append({"path": f"data/splits/{split}.csv", "md5": md5})
    lock["stages"]["split"] = {"outs": outs}
    with (folder / "dvc.lock").open("w") as file:
        YAML(typ="safe").dump(lock, file)
    return revisions.read(None, folder)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = repository(tmp_path / "repository")
    execute("dvc", "init", "-q", cwd=made)
    monkeypatch.chdir(made)
    raw_files._dvc_cache.cache_clear()
    yield made
    raw_files._dvc_cache.cache_clear()


def test_each_kind_of_change_by_split(folder):
    cache = folder / ".dvc/cache/files/md5"
    write(folder, table("aaaaabbbbbccccc" * 4))
    base = revision_with(folder, cache, train="101a 102a 103b 104b", val="111a", test="0a 1a 2a 3b")
    head = revision_with(folder, cache, train="101a 102b 0a 105b 106b", val="111a 104b", test="1a 2a 3b 103b 107a")
    assert manifests.differing_splits(base, head) == ["train", "val", "test"]
    before, after = manifests.images(base, folder), manifests.images(head, folder)
    assert manifests.by_split(before, after).to_numpy().tolist() == [
        ["train", 4, 5, 2, 0, 1, 1, 2],  # 105, 106; 102; 0 from test; 103 and 104 went
        ["val", 1, 2, 0, 0, 0, 1, 0],
        ["test", 4, 5, 1, 0, 0, 1, 1],
    ]
    changed = manifests.changed_images(before, after).set_index("id")
    assert changed.loc["102".zfill(32)].tolist() == ["train", "train", "a", "b"]
    assert changed.loc["103".zfill(32)].tolist() == ["train", "test", "b", "b"]
    assert len(manifests.changed_images(before, before)) == 0


def test_the_comparison_counts_what_either_side_trained_on(folder):
    cache = folder / ".dvc/cache/files/md5"
    labels = "aaaaabbbbbccccc" * 4
    write(folder, table(labels))
    base = revision_with(folder, cache, train="201a 202a", val="", test="0a")
    write(folder, table(labels).assign(id=lambda rows: rows["id"].where(rows.index > 0, "201".zfill(32))), images="6")
    head = revision_with(folder, cache, train="0a 202a", val="", test="201a")
    compared = comparison.compare(base, head, root=folder)
    assert len(compared.exam.common) == 59 and compared.trained_on == 2
    text = outputs.text(compared, [])
    assert "of those left out, 2 were in the other side's train or val" in text
    assert "1 moved in, 1 moved out" in text
    for file in cache.rglob("*"):
        if file.is_file():
            file.unlink()
    compared = comparison.compare(base, head, root=folder)
    assert compared.splits is None and compared.trained_on is None
    assert "`dvc fetch --all-branches data/splits`" in outputs.text(compared, [])
    assert '"splits": null' in outputs.as_json(compared, [])


def test_a_damaged_copy_is_not_read(folder):
    cache = folder / ".dvc/cache/files/md5"
    write(folder, table("aaaaabbbbbccccc" * 4))
    head = revision_with(folder, cache, train="1a", val="2a", test="3a")
    assert len(manifests.images(head, folder)) == 3
    next(file for file in cache.rglob("*") if file.is_file()).write_bytes(b"id,path,label\n")
    assert manifests.images(head, folder) is None
    (folder / "data/splits").mkdir(parents=True)
    for split, text in (("train", "1a"), ("val", "2a"), ("test", "3a")):
        (folder / f"data/splits/{split}.csv").write_text(rows(text))
    assert isinstance(manifests.images(head, folder), pd.DataFrame)  # the work tree has the same
