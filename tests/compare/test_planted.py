"""Real trainings of which it is known what changed: label noise, fewer images, an edit of the network."""

import json

import planted
import pytest
from conftest import copy_project, execute

from heldout.compare import attribution, comparison, gates, revisions
from heldout.compare.comparison import Comparison
from heldout.evaluation.significance import paired_tests

pytestmark = pytest.mark.slow

CNN = "src/heldout/networks/cnn.py"


@pytest.fixture(scope="session")
def repository(shared):
    """Of `planted.make`: to be read and to be cloned."""
    return shared("planted", lambda folder: planted.make(copy_project(folder / "project"))) / "project"


@pytest.fixture
def clone(repository, tmp_path, monkeypatch):
    """A clone of it that shares its DVC cache."""
    execute("git", "clone", "-q", str(repository), str(tmp_path / "clone"), cwd=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    execute("dvc", "config", "--local", "cache.dir", str(repository / ".dvc/cache"), cwd=tmp_path / "clone")
    return tmp_path / "clone"


def compare(repository, base: str, head: str) -> Comparison:
    return comparison.compare(revisions.read(base, repository), revisions.read(head, repository), root=repository)


def assert_data_alone_did_it(compared: Comparison) -> None:
    assert compared.causes[["kind", "name"]].to_numpy().tolist() == [["data", "data/raw"]]
    assert attribution.differing_parts(compared.base, compared.head) == ["data"]


def test_noise_in_train_is_another_model_on_the_same_exam(repository):
    compared = compare(repository, "base", "noisy-train")
    assert compared.exam.is_same and len(compared.exam.common) == len(compared.base.predictions)
    labels = [side.predictions[["id", "label"]] for side in (compared.base, compared.head)]
    assert labels[0].equals(labels[1])
    assert_data_alone_did_it(compared)
    assert {"preprocess@train", "train", "predict"} <= set(compared.outputs)
    assert not {"preprocess@val", "preprocess@test"} & set(compared.outputs)
    assert len(compared.images) and "same trained model" not in comparison.verdict(compared)


def test_noise_in_test_is_no_worse_model(repository):
    """By each side's own labels the same predictions would be "worse"; so what was relabelled is left out."""
    compared = compare(repository, "base", "noisy-test")
    wrong = len(planted.paths(repository, "test")[::20])
    before, after = compared.base.predictions, compared.head.predictions
    naive = paired_tests.correct(*((side["predicted"] == side["label"]).to_numpy() for side in (before, after)))
    assert naive.p_value < 0.05 and comparison.word(naive) == "worse"
    assert [len(compared.exam.relabelled), len(compared.exam.common)] == [wrong, len(before) - wrong]
    assert (before["id"] == after["id"]).all() and (before["predicted"] == after["predicted"]).all()
    assert (compared.models.value, compared.models.p_value, len(compared.images)) == (0.0, 1.0, 0)
    assert (compared.metrics["difference"] == 0).all()
    assert comparison.verdict(compared).startswith("no difference: both sides have the same trained model, accuracy ")
    assert_data_alone_did_it(compared)
    assert "preprocess@test" in compared.outputs
    assert not {"preprocess@train", "preprocess@val", "train"} & set(compared.outputs)
    assert list(gates.failures(compared, max_drop=0, class_max_drop=0)) == []
    assert list(gates.failures(compared, same_exam=True)) == [
        f"--same-exam: 0 test images were added, 0 removed, {wrong} relabelled"
    ]


def test_noise_in_both_is_the_noise_in_train_on_the_images_that_kept_their_labels(repository):
    both, train = (compare(repository, "base", f"noisy-{name}") for name in ("both", "train"))
    assert len(both.exam.relabelled) == len(planted.paths(repository, "test")[::20])
    columns = ["id", "label", "predicted_base", "predicted_head"]
    kept = train.exam.common[~train.exam.common["id"].isin(both.exam.relabelled["id"])]
    assert both.exam.common[columns].to_numpy().tolist() == kept[columns].to_numpy().tolist()
    assert_data_alone_did_it(both)
    since = compare(repository, "noisy-test", "noisy-both")  # both with the wrong exam
    assert since.exam.is_same and len(since.exam.common) == len(since.base.predictions)
    assert "preprocess@test" not in since.outputs and "train" in since.outputs


def test_a_recipe_with_an_eighth_of_the_images_is_worse_over_seeds(repository):
    command = ["heldout", "compare", "base", "fewer", "--seeds", "2", "--json", "--max-drop", "0.1"]
    done = execute(*command, cwd=repository, expect=1)
    values = json.loads(done.stdout[done.stdout.index("{\n") : done.stdout.rindex("\n}") + 2])
    assert values["recipes"]["word"] == "worse" and values["recipes"]["high"] < 0
    assert "; more than another seed would give (± " in values["verdict"]
    assert values["recipes_note"] == "2 other seeds of each recipe" and values["exam"]["same"]
    for name in ("base", "fewer"):
        assert done.stdout.count(f" of {name}: accuracy ") == 2
    assert values["failures"][0].startswith("--max-drop 0.1: accuracy fell by ")


@pytest.mark.parametrize(
    ("data", "scale", "larger"), [("fewer", "1 / 256", "data"), ("noisy-train", "1 / 255**3", "code")]
)
def test_the_larger_harm_has_the_larger_shapley_value(clone, data, scale, larger):
    execute("git", "checkout", "-q", data, cwd=clone)
    execute("dvc", "checkout", "-q", "--force", "data/raw.dvc", cwd=clone)
    text = (clone / CNN).read_text(encoding="utf-8")
    assert text.count("Rescaling(1 / 255") == 1
    (clone / CNN).write_text(text.replace("Rescaling(1 / 255", f"Rescaling({scale}"), encoding="utf-8")
    planted.run(clone, "head")
    base, head = revisions.read("base", clone), revisions.read("head", clone)
    assert attribution.differing_parts(base, head) == ["data", "code"]
    divided = attribution.attribute(base, head, clone, lambda line: None)
    assert sum(divided.parts.values()) == pytest.approx(divided.difference)
    assert divided.difference < -0.1
    assert min(divided.parts, key=divided.parts.__getitem__) == larger
    assert abs(divided.parts[larger]) > 2 * max(abs(value) for part, value in divided.parts.items() if part != larger)
