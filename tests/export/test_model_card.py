"""The card that ships: what it says, and that each of its blocks runs where nothing is installed but what it names."""

import json
import re
import subprocess

import environments
import pandas as pd
import pytest
from conftest import ROOT, execute
from small_models import CARD, CLASS_NAMES, TEMPLATE, write_export
from test_export_formats import INSTALLED

from heldout.evaluation.intervals import Interval
from heldout.export import files, model_card, self_test
from heldout.export.exam import Parity

TEXT = {"method": "hashed", "buckets": 64, "length": 6}
BLOCK = re.compile(r"`(\S+)`\n\n```python\n# pip install ([^\n]*)\n(.*?)```", re.DOTALL)
DESCRIPTION = {
    "class_names": [str(digit) for digit in range(10)],
    "preprocess": {"image_size": [32, 48], "channels": 3},
    "temperature": 1.11,
    "threshold": 0.7625,
    "target_accuracy": 0.99,
    "lineage": {"models/model.json": "0" * 32},
}


def card(tmp_path, facts=None, parity=None, **stated) -> str:
    facts = facts or model_card.read(ROOT / "metrics", DESCRIPTION)
    kit = self_test.Kit([self_test.Item("00.png", b"", "")], None, None)
    model_card.write(tmp_path, facts, parity or {}, kit, TEMPLATE, **(CARD | stated))
    return (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_card_says_what_the_metrics_say(tmp_path):
    scores = json.loads((ROOT / "metrics/eval.json").read_text(encoding="utf-8"))
    classes = pd.read_csv(ROOT / "metrics/by_class.csv", dtype={"label": str}).sort_values("recall", kind="stable")
    same = Interval(0.9, 0.85, 0.94)
    text = card(tmp_path, parity={"tflite_int8": Parity(0.021, 3, 387032, same, same)})
    assert text.startswith("# Model card: images of 10 classes\n")
    assert f"**Right on {100 * scores['accuracy']:.1f} % of 733 test images** (95 % interval" in text
    assert "| Takes | 48 x 32 pixels, RGB, uint8 0 to 255, any number of images |" in text
    worst = classes.iloc[0]
    assert f"| Weakest class | {worst['label']}: finds {100 * worst['recall']:.1f} % of its" in text
    assert "| `model_int8.tflite` | 387,032 | 0.900 [0.850, 0.940] | 3 of 733 | 2e-02 |" in text
    assert "| License | *to fill in: `card.license` in params.yaml, then `dvc repro`* |" in text
    assert "| Leaks | none: no image, no near-duplicate and no group is in two splits |" in text
    assert f"| `models/model.json` | `{'0' * 32}` |" in text
    assert card(tmp_path, parity={"tflite_int8": Parity(0.021, 3, 387032, same, same)}) == text


def test_names_and_words_from_outside_are_shown_as_they_are(tmp_path):
    facts = model_card.read(ROOT / "metrics", DESCRIPTION | {"class_names": ["a|b", "<img src=x>", "[c](d)"]})
    facts = facts._replace(classes=facts.classes.assign(label="a|b"), slices=facts.slices.iloc[:0])
    text = card(tmp_path, facts, license="Apache-2.0", title="Pets | *home*", out_of_scope="@owner")
    assert text.startswith("# Pets \\| \\*home\\*\n")
    assert "one of 3 classes: a\\|b, &lt;img src=x&gt;, \\[c\\](d) |" in text and "| Weakest class | a\\|b:" in text
    assert "| License | Apache-2.0 |" in text and "**Not for:** @\u2060owner" in text
    assert "No slice has enough images to be judged." in text


def test_leaks_that_were_kept_and_scores_without_intervals_are_said(tmp_path):
    facts = model_card.read(ROOT / "metrics", DESCRIPTION)
    data = facts.data | {"leaks_groups": 3, "random_split_leakage": 0.9965, "groups": 220}
    scores = {name: value for name, value in facts.scores.items() if not name.endswith(("_low", "_high"))}
    text = card(tmp_path, facts._replace(data=data, scores=scores | {"searched_trials": 40, "groups": 30}))
    assert "| Leaks | known leaks between the splits: 3 groups; the scores may be too good; a random" in text
    assert "leaked 99.7 % of the test images |" in text and "- Groups (people, scenes): 220." in text
    assert "intervals, by group. The params were chosen from 40 trials on val." in text
    assert "test images**, none of which training saw.\n" in text


def test_a_damaged_table_is_named(tmp_path):
    for name in ("data.json", "eval.json", "train.json", "by_class.csv", "slices.csv"):
        (tmp_path / name).write_bytes((ROOT / "metrics" / name).read_bytes())
    (tmp_path / "slices.csv").write_text("slice,accuracy\nclass,high\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"slices\.csv is damaged \(.*high.*\): run `dvc repro`, or `git checkout"):
        model_card.read(tmp_path, DESCRIPTION)


def test_every_format_has_a_block_and_packages():
    assert set(model_card.PACKAGES) == set(files.FILES)


@pytest.mark.slow
@pytest.mark.parametrize("text", [None, TEXT], ids=["pixels", "with a text"])
def test_each_block_of_the_card_runs_with_nothing_but_what_it_says(tmp_path, text):
    """openvino's runs where that is installed: it is in no lock."""
    formats = [name for name in INSTALLED if not (text and (name.startswith("tflite_") or name == "h5"))]
    export = tmp_path / "export"
    export.mkdir()
    write_export(export, formats, text)
    expected = json.loads((export / "self_test/expected.json").read_text(encoding="utf-8"))
    probabilities = expected["images"][0]["probabilities"]
    answer = CLASS_NAMES[probabilities.index(max(probabilities))]
    blocks = {
        file: (packages, code) for file, packages, code in BLOCK.findall((export / "README.md").read_text("utf-8"))
    }
    assert list(blocks) == [files.FILES[name] for name in formats]
    pythons = {}
    for file, (packages, code) in blocks.items():
        assert len(code.splitlines()) <= (11 if text else 9), file
        names = environments.required([package.split("==")[0] for package in packages.split()])
        assert "heldout" not in names and "opencv-python-headless" not in names
        if names not in pythons:
            pythons[names] = environments.make(tmp_path / f"environment{len(pythons)}", names)
        done = subprocess.run([pythons[names], "-c", code], cwd=export, capture_output=True, text=True)
        assert done.returncode == 0, (file, done.stderr)
        assert done.stdout.splitlines()[-1] == answer, file
    assert len(pythons) == 3 + ("openvino" in formats)
    execute("heldout", "verify", cwd=tmp_path)
