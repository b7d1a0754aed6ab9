"""Probabilities on disk: the same again, or one line that says what is damaged."""

import numpy as np
import pytest

from heldout.evaluation import probabilities

VALUES = np.array([[0.25, 0.75], [1, 0]], np.float32)
WRITTEN = probabilities.Probabilities(np.array(["i0", "i1"], object), np.array(["NA", 'a,"b'], object), VALUES)


@pytest.fixture
def folder(tmp_path):
    probabilities.write(WRITTEN, tmp_path / "test")
    return tmp_path / "test"


def test_what_was_written_is_read(folder):
    read = probabilities.read(folder)
    assert read.ids.tolist() == ["i0", "i1"] and read.labels.tolist() == ["NA", 'a,"b']
    assert read.values.dtype == np.float32 and (read.values == VALUES).all()
    assert probabilities.class_numbers(read, ["NA", 'a,"b']).tolist() == [0, 1]


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", np.zeros((2, 2)), np.zeros((2, 2, 2), np.float32), np.zeros((3, 2), np.float32)],
    ids=["empty", "cut", "float64", "three dimensions", "a row more"],
)
def test_damage_ends_in_one_line(folder, content):
    if isinstance(content, bytes):
        (folder / probabilities.VALUES).write_bytes(content)
    else:
        np.save(folder / probabilities.VALUES, content)
    with pytest.raises(ValueError, match=r"probabilities\.npy .*: run `dvc checkout --force "):
        probabilities.read(folder)


def test_classes_that_are_not_the_models(folder):
    with pytest.raises(ValueError, match=r"tells 2 classes apart, data/classes\.txt names 1"):
        probabilities.class_numbers(probabilities.read(folder), ["NA"])
    with pytest.raises(ValueError, match="the label 'NA' is none of the 2 classes"):
        probabilities.class_numbers(probabilities.read(folder), ["x", "y"])
