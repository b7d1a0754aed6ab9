"""The page of a search: what it says, and that what comes from outside is text."""

import numpy as np
import pytest
from searches import SPACE, execute, plan, search
from test_confirmation import IMAGES, confirm

from heldout.search import charts, confirmation, page, summary
from heldout.search.journal import Journal
from heldout.search.rounds import Arm


@pytest.fixture(scope="module")
def journal(tmp_path_factory) -> Journal:
    path = tmp_path_factory.mktemp("page") / "a.jsonl"
    for method in ("nsga2", "random"):
        found = search(path, Arm(method, 0), plan(96, halving=True), execute)
    found.trials[5].failed = "<script>alert(1)</script>"
    confirmation.run(found, 3, 2, 0, confirm, lambda run: None)
    return found


def test_the_page_shows_all_of_it_and_asks_for_nothing(journal):
    confirmed = confirmation.results(journal, 3, np.arange(IMAGES))
    front = summary.pareto(journal.trials, "parameters")
    text = page.page(journal, confirmed, SPACE, "parameters", {front[0].name: 1.25}, IMAGES)
    assert text == page.page(journal, confirmed, SPACE, "parameters", {front[0].name: 1.25}, IMAGES)
    assert text.count("<img") == 4 and "http" not in text.replace("http-equiv", "")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "halving, epoch 2" in text and "1.25" in text and f"{len(journal.trials)} trials" in text
    for trial in confirmation.best(journal.trials, 3):
        assert trial.name in text
    assert all(name in text for name in SPACE)


def test_a_page_before_anything_is_known(tmp_path):
    text = page.page(Journal(tmp_path / "a.jsonl", {"seed": 0}), [], SPACE, "parameters", {}, 5)
    assert "<img" not in text and "Too few complete trials" in text


def test_pictures_are_the_same_bytes_again(journal):
    assert charts.slices(journal.trials, SPACE) == charts.slices(journal.trials, SPACE)
