"""The lines that end `make`."""

import json

from heldout.commands.summary import summary


def test_intervals_stand_beside_their_scores_and_columns_hold_large_numbers(tmp_path):
    scores = {"accuracy": 0.9809, "accuracy_low": 0.968197, "accuracy_high": 0.988589, "images": 733}
    (tmp_path / "eval.json").write_text(json.dumps(scores))
    (tmp_path / "data.json").write_text(json.dumps({"test": 733, "test_fingerprint": 225350749470769}))
    (tmp_path / "calibration.json").write_text(json.dumps({"temperature": 1.110885}))
    lines = summary(tmp_path).split("\n")
    assert lines[:5] == [
        "data      test                              733",
        "data      test fingerprint  225,350,749,470,769",
        "test      accuracy                       0.9809 [0.968, 0.989]",
        "test      images                            733",
        "unsure    temperature                    1.1109",
    ]


def test_nothing_was_run_yet(tmp_path):
    assert summary(tmp_path).startswith("\nmetrics/predictions.csv")
