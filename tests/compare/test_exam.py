"""How often an exam was looked at, in a real history, and what choosing gains."""

import json

import numpy as np
import pytest
from conftest import execute

from heldout.compare import exam


def test_the_expected_best_of_many_is_that_of_drawn_numbers():
    drawn = np.random.default_rng(0).normal(size=(200_000, 14)).max(axis=1).mean()
    assert exam.gain_by_choice(14, 1.0) == pytest.approx(drawn, abs=0.005)
    assert exam.gain_by_choice(2, 1.0) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-4)
    assert exam.gain_by_choice(1, 1.0) == 0


def test_looks_are_counted_by_exam_and_by_result(tmp_path):
    execute("git", "init", "-q", "-b", "main", cwd=tmp_path)
    (tmp_path / "metrics").mkdir()
    for number, accuracy in ((1, 0.9), (1, 0.91), (1, 0.91), (2, 0.8), (1, 0.92)):
        (tmp_path / exam.DATA).write_text(json.dumps({"test_fingerprint": number}), "utf-8")
        (tmp_path / exam.EVAL).write_text(json.dumps({"accuracy": accuracy, "loss": 0.5}), "utf-8")
        execute("git", "add", "-A", cwd=tmp_path)
        execute("git", "commit", "-q", "--allow-empty", "-m", "result", cwd=tmp_path)
    assert exam.count_looks(tmp_path, "main", 1, {"accuracy": 0.92, "loss": 0.5}) == 3
    assert exam.count_looks(tmp_path, "main", 1, {"accuracy": 0.95, "loss": 0.5}) == 4  # the pull request's own
    assert exam.count_looks(tmp_path, "main", 2, {"accuracy": 0.8, "log_loss": 0.5}) == 1  # a score that was renamed
    assert exam.count_looks(tmp_path, "nothing", 1, {"accuracy": 0.9}) == 1
