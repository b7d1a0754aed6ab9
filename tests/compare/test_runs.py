"""Other seeds and mixtures of two revisions, trained by the project's own graph in copies."""

import pytest
from conftest import change, commit, execute

from heldout.compare import attribution, comparison, noise, revisions

pytestmark = pytest.mark.slow


def test_noise_of_the_present_recipe(restored, monkeypatch):
    """Two other seeds leave nothing but metrics/noise.*, and what was trained is not trained again."""
    monkeypatch.chdir(restored)
    lines: list[str] = []
    revision = revisions.read(None, restored)
    summary = noise.measure(revision, 2, restored, lines.append)
    assert [line.split(":")[1] for line in lines] == [" seed 1", " seed 2"]
    assert summary["runs"] == 2 and summary["accuracy_sd"] > 0 and 0 < summary["changed_predictions"] < 1
    changed = {line[3:] for line in execute("git", "status", "--porcelain", cwd=restored).stdout.splitlines()}
    assert changed == {noise.NOISE_CSV, noise.NOISE_JSON}
    assert not list((restored / ".dvc/tmp").glob("heldout-run-*"))
    written = [(restored / name).read_bytes() for name in (noise.NOISE_CSV, noise.NOISE_JSON)]
    assert noise.measure(revision, 2, restored, lines.append) == summary
    assert lines[2:] == [f"noise: 2 of 2 seeds are in {noise.NOISE_CSV}, and are not run again"]
    assert [(restored / name).read_bytes() for name in (noise.NOISE_CSV, noise.NOISE_JSON)] == written
    compared = comparison.compare(revisions.read("HEAD", restored), revisions.read(None, restored), root=restored)
    assert comparison.verdict(compared).startswith("no difference: both sides have the same trained model")
    assert compared.recipes.p_value == 1 and compared.recipes_note == "from 2 other seeds"


def test_data_and_params_share_the_difference(restored, monkeypatch):
    """Half of the training images go to val and training is one epoch longer: the data did the harm."""
    monkeypatch.chdir(restored)
    change(restored, {"split": {"val": 0.45}, "train": {"epochs": 3}})
    execute("dvc", "repro", "evaluate", cwd=restored)
    commit(restored)
    base, head = (revisions.read(name, restored, revisions.SCORED) for name in ("HEAD~1", "HEAD"))
    assert attribution.differing_parts(base, head) == ["data", "params"]
    divided = attribution.attribute(base, head, restored, lambda line: None)
    assert sum(divided.parts.values()) == pytest.approx(divided.difference)
    assert divided.images == len(base.predictions)
    assert divided.parts["data"] < 0 < divided.parts["params"]
    with pytest.raises(ValueError, match="commit the work tree"):
        attribution.attribute(base, revisions.read(None, restored, revisions.SCORED), restored)
    with pytest.raises(ValueError, match="nothing differs here"):
        attribution.attribute(base, base, restored)


def test_shapley_by_hand():
    """Data are worth 3 and code 5, and together 2 more, which they share."""
    values = {(): 0.0, ("data",): 3.0, ("code",): 5.0, ("data", "code"): 10.0}
    assert attribution.shapley(["data", "code"], values) == {"data": 4.0, "code": 6.0}


def test_noise_of_one_seed_is_refused(restored):
    before = execute("git", "status", "--porcelain", cwd=restored).stdout
    with pytest.raises(ValueError, match="two seeds or more, got 1"):
        noise.measure(revisions.read(None, restored), 1, restored, lambda line: None)
    assert execute("git", "status", "--porcelain", cwd=restored).stdout == before
