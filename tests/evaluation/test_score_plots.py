"""The pictures of scores: that they show what the tables say, at any number of classes, and what they leave out."""

import numpy as np
import pandas as pd
import pytest
import report_inputs
from PIL import Image

from heldout.evaluation.plots import sheet, style
from heldout.evaluation.plots.by_class import f1_by_class
from heldout.evaluation.plots.draw import draw
from heldout.evaluation.plots.one_against_rest import one_against_rest
from heldout.evaluation.plots.reliability import reliability
from heldout.evaluation.plots.risk_coverage import risk_coverage
from heldout.evaluation.plots.robustness import robustness
from heldout.evaluation.plots.slices import slices
from heldout.evaluation.probabilities import Probabilities
from heldout.evaluation.report import inputs


@pytest.fixture
def drawn(monkeypatch):
    """The figures that a test saves, kept open until its end."""
    figures = []
    close = style.plt.close
    monkeypatch.setattr(style.plt, "close", figures.append)
    yield figures
    for figure in figures:
        close(figure)


def by_class(count: int) -> pd.DataFrame:
    """Class n has an F1 of n / count and n test images."""
    f1 = np.arange(count) / count
    names = [f"class {number:04}" for number in range(count)]
    return pd.DataFrame({"label": names, "support": range(count), "f1": f1, "f1_low": f1 / 2, "f1_high": (1 + f1) / 2})


def predicted(num_classes: int, images: int = 400) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, num_classes, images)
    logits = rng.normal(size=(images, num_classes))
    logits[np.arange(images), numbers] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return numbers, probabilities, [f"class {number}" for number in range(num_classes)]


def sliced(count: int) -> pd.DataFrame:
    accuracy = np.linspace(0.5, 0.9, count)
    table = pd.DataFrame({"slice": "class", "value": [f"value {number}" for number in range(count)], "images": 30})
    table = table.assign(accuracy=accuracy, accuracy_low=accuracy - 0.1, accuracy_high=accuracy + 0.1)
    return table.assign(flagged=np.arange(count) < 2)


@pytest.mark.parametrize("count", [2, 3, 16, 100, 1000])
def test_pictures_fit_a_page_and_have_the_same_bytes_again(count, tmp_path):
    table = by_class(count)
    for folder, rows in (("first", table), ("second", table.sample(frac=1, random_state=1))):
        f1_by_class(rows, table["label"].tolist(), tmp_path / folder / "by_class.png")
        one_against_rest(*predicted(count), tmp_path / folder / "one_against_rest.png")
        slices(sliced(count), 0.9, tmp_path / folder / "slices.png")
    for path in sorted((tmp_path / "first").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
        with Image.open(path) as image:
            assert image.width == 800 and image.height <= 1300, (path, image.size)


def test_of_many_classes_the_lowest_are_shown_and_those_without_images_left_out(tmp_path, drawn):
    table = by_class(100)
    f1_by_class(table, table["label"].tolist(), tmp_path / "by_class.png")
    axes = drawn[0].axes[0]
    assert axes.get_title() == ("F1 by class: the 30 lowest of 99 classes\nleft out, without a test image: 1")
    assert [label.get_text() for label in axes.get_yticklabels()] == table["label"].tolist()[1:31]
    assert axes.collections[0].get_segments()[0].tolist() == [[0.005, 0], [0.505, 0]]
    assert drawn[0].legends[0].get_texts()[0].get_text() == "mean of all classes: 0.500"


def test_an_empty_test_set_of_a_kind_draws_no_curve(tmp_path, drawn):
    one_against_rest(np.zeros(5, int), np.full((5, 3), 1 / 3), ["a", "b", "c"], tmp_path / "one.png")
    assert drawn[0].get_suptitle() == "no curve: the test images are all of one class"


def test_two_classes_give_the_curve_of_the_second_and_a_named_one_its_own(tmp_path, drawn):
    """By hand: the scores of the positives are 0.9 and 0.4, of the negatives 0.6 and 0.1: AUC 3/4, AP (1 + 2/3) / 2."""
    scores = np.array([0.9, 0.6, 0.4, 0.1])
    one_against_rest(np.array([1, 0, 1, 0]), np.stack([1 - scores, scores], 1), ["no", "_yes"], tmp_path / "two.png")
    (text,) = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert text == "class _yes: AUC 0.7500, average precision 0.8333, 2 of 4 images"
    assert drawn[0].axes[0].lines[0].get_ydata().tolist()[-1] == 1
    one_against_rest(*predicted(7), tmp_path / "named.png", positive="class 3")
    assert drawn[1].get_suptitle() == "class 3 against the rest"
    one_against_rest(*predicted(7), tmp_path / "lowest.png")
    assert drawn[2].get_suptitle() == "the 5 classes with the lowest AUC of 7, against the rest"


def test_the_diagram_begins_where_the_lowest_bin_does(tmp_path, drawn):
    rows = [(when, 0.9, 0.88, 0.74, 0.95) for when in ("before", "after")]
    table = pd.DataFrame(rows, columns=["when", "confidence", "accuracy", "accuracy_low", "accuracy_high"])
    reliability(table, {"before": 0.02, "after": 0.01}, tmp_path / "reliability.png")
    before, after = drawn[0].axes
    assert before.get_title() == "as trained\nexpected calibration error 0.0200"
    assert after.get_title() == "after temperature scaling\nexpected calibration error 0.0100"
    assert before.get_xlim() == pytest.approx((0.691, 1.009)) and before.get_xlim() == before.get_ylim()


def test_the_threshold_is_marked_where_it_keeps_images(tmp_path, drawn):
    curve = pd.DataFrame(
        {"coverage": [0.25, 0.5, 0.75, 1], "risk": [0, 0, 0.1, 0.2], "threshold": [0.9, 0.8, 0.6, 0.3]}
    )
    scores = {"area_under_risk_coverage": 0.05, "selective_accuracy": 1.0, "selective_coverage": 0.5}
    calibration = {"threshold": 0.7, "target_accuracy": 0.95}
    risk_coverage(curve, scores, calibration, tmp_path / "risk.png")
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts[0] == "test images, area 0.0500" and texts[1] == "target: accuracy 0.95, error rate 0.05"
    assert texts[2] == "threshold 0.700 (from validation): answers 50.0%, errs 0.00%"
    risk_coverage(curve, scores | {"selective_coverage": 0.0}, calibration, tmp_path / "none.png")
    assert len(drawn[1].legends[0].get_texts()) == 2


def test_slices_say_which_are_more_than_chance(tmp_path, drawn):
    slices(sliced(30), 0.9, tmp_path / "slices.png")
    slices(sliced(30).head(0), 0.9, tmp_path / "none.png")
    assert drawn[0].axes[0].get_title() == "Accuracy by slice: the 25 worst of 30"
    assert [line.get_marker() for line in drawn[0].axes[0].lines[1:3]] == ["D", "o"]
    assert drawn[1].axes[0].get_title() == "No slice has enough images"


def test_robustness_begins_at_the_images_as_they_are(tmp_path, drawn):
    table = pd.DataFrame({"corruption": "fog", "strength": [2, 1], "accuracy": [0.5, 0.7]})
    robustness(table, 0.9, tmp_path / "robustness.png")
    robustness(table.head(0), 0.9, tmp_path / "none.png")
    assert drawn[0].axes[0].lines[0].get_xydata().tolist() == [[0, 0.9], [1, 0.7], [2, 0.5]]
    assert drawn[1].axes[0].get_title() == "No corruption was tried"


def test_all_pictures_of_an_evaluation_are_drawn_from_its_tables(tmp_path):
    root = report_inputs.write(tmp_path)
    read = inputs.read(root, root / "params.yaml", root / "env.yaml")
    rows = read.tables["predictions"]
    test = Probabilities(rows["id"], rows["label"].to_numpy(object), np.full((len(rows), 12), 1 / 12, np.float32))
    tables = read.tables | {"slices": read.tables["slices"].assign(flagged=False)}
    scores, calibration, history = read.numbers["eval"], read.numbers["calibration"], read.tables["history"]
    draw(scores, calibration, tables, test, read.class_names, history, tmp_path / "drawn")
    shown = {path.stem for path in (tmp_path / "drawn").iterdir()}
    assert shown == set(inputs.PLOTS) - {"split"}


@pytest.mark.parametrize("pictures", [1, 2])
def test_a_sheet_is_about_800_pixels_wide(pictures, tmp_path):
    tiles = [[np.full((28, 40, 1), 9, np.uint8)] * pictures] * 5
    sheet.sheet(tiles, [["a" * 200, "b"]] * 5, "title", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert 780 <= image.width <= 820
    sheet.sheet([], [], "nothing", tmp_path / "empty.png")
    assert sheet.cut("abc", 100) == "abc" and sheet.cut("w" * 50, 60).endswith("w…")


def test_a_heat_map_is_yellow_where_it_is_high():
    shown = sheet.overlay(np.full((4, 4, 3), 100, np.uint8), np.array([[0, 255], [0, 255]], np.uint8))
    red, _, blue = shown[0, -1].astype(int)
    assert red - blue > 60 and shown[0, 0, 2] > shown[0, 0, 0]
