"""The plots: that they say something at any number of classes, whatever the classes are called."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from heldout.evaluation.plots.confusion import confusion
from heldout.evaluation.plots.splits import class_by_split
from heldout.evaluation.plots.style import plt

ODD_NAMES = [
    "$x$",
    "\\frac{1}{2}",
    "_hidden",
    "a\u200fb",
    "e\u0301clair",
    "שלום",
    "北京 duck",
    "🐕",
    "w" * 255,
    "{x}%d",
]
WRITTEN = [
    "$x$",
    "\\frac{1}{2}",
    "_hidden",
    "#4 a…b",
    "éclair",
    "#6",
    "#7 … duck",
    "#8",
    f"{'w' * 8}…{'w' * 7}",
    "{x}%d",
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that a test saves, kept open until its end."""
    figures = []
    close = plt.close
    monkeypatch.setattr(plt, "close", figures.append)
    yield figures
    for figure in figures:
        close(figure)


def texts(figure) -> list[str]:
    """Every line of text of a figure."""
    found = [text.get_text() for text in figure.findobj(Text)]
    return [line.strip() for text in found for line in text.splitlines()]


def class_counts(names: list[str]) -> pd.DataFrame:
    """Class n (from 0) has n + 5 images, two of them in test and one in val."""
    count = len(names)
    return pd.DataFrame({"train": np.arange(count) + 2, "val": [1] * count, "test": [2] * count}, index=names)


def predictions(names: list[str], wrong: dict[tuple[int, int], int]) -> pd.DataFrame:
    """Ten images a class; of class `true` so many are taken for class `predicted` as `wrong` says."""
    labels = np.repeat(np.array(names, object), 10)
    predicted, first = labels.copy(), 10 * np.arange(len(names))
    for (true, other), count in wrong.items():
        predicted[first[true] : first[true] + count] = names[other]
        first[true] += count
    return pd.DataFrame({"label": labels, "predicted": predicted})


def test_a_class_is_written_as_it_is_called_or_by_its_number(tmp_path, drawn):
    class_by_split(class_counts(ODD_NAMES), tmp_path / "split.png")
    confusion(predictions(ODD_NAMES, {(0, 2): 3}), ODD_NAMES, tmp_path / "confusion.png")
    for figure, axis in zip(drawn, ("class", "true"), strict=True):
        axes = figure.axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == WRITTEN
        assert not any(label.get_parse_math() for label in axes.get_yticklabels())
        assert axes.get_ylabel() == f"{axis} (#n: line n of classes.txt)"


def test_names_without_numbers_need_no_key(tmp_path, drawn):
    class_by_split(class_counts(["cat", "dog"]), tmp_path / "split.png")
    assert drawn[0].axes[0].get_ylabel() == "class"


@pytest.mark.parametrize("count", [2, 3, 10, 20, 21, 40, 41, 1000])
def test_a_picture_fits_a_page_and_its_bytes_do_not_depend_on_the_order_of_the_rows(count, tmp_path):
    names = [f"class {number:05d}" for number in range(count)]
    table = predictions(names, {(number, number // 3): 1 + number % 5 for number in range(1, count, 2)})
    class_by_split(class_counts(names), tmp_path / "split.png")
    for name, rows in (("first", table), ("second", table.sample(frac=1, random_state=1))):
        confusion(rows, names, tmp_path / f"{name}.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    for name in ("split", "first"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width <= 1300 and image.height <= 1600, image.size
        assert (tmp_path / f"{name}.png").stat().st_size < 250_000


def test_many_classes_are_shown_by_size_with_the_extremes_named(tmp_path, drawn):
    class_by_split(class_counts([f"class {number:03d}" for number in range(1000)]), tmp_path / "split.png")
    (sizes, fractions), lines = drawn[0].axes, texts(drawn[0])
    assert sizes.get_title() == "504,500 images in 1,000 classes of 5 to 1,004"
    steps = sizes.patches[0].get_data()
    assert steps.values.tolist() == list(range(1004, 4, -1))
    assert [patch.get_label() for patch in fractions.patches] == [
        "train (501,500, 99.4 %)",
        "val (1,000, 0.2 %)",
        "test (2,000, 0.4 %)",
    ]
    top_of_train = fractions.patches[0].get_data().values
    assert top_of_train[[0, -1]] == pytest.approx([1001 / 1004, 2 / 5])
    first = lines.index("largest (train + val + test images)")
    assert lines[first + 1 : first + 3] == ["class 999: 1,001 + 1 + 2", "class 998: 1,000 + 1 + 2"]
    first = lines.index("smallest")
    assert lines[first + 1 : first + 3] == ["class 000: 2 + 1 + 2", "class 001: 3 + 1 + 2"]


def test_of_many_classes_the_most_confused_are_beside_each_other(tmp_path, drawn):
    """Some of 100 classes are confused once, 7 and 70 most often, then 90 and 11."""
    names = [f"class {number:02d}" for number in range(100)]
    wrong = {(number, (number + 80) % 100): 1 for number in range(40, 60)}
    wrong |= {(7, 70): 6, (70, 7): 2, (90, 11): 5, (3, 7): 4}
    confusion(predictions(names, wrong), names, tmp_path / "confusion.png")
    axes, lines = drawn[0].axes[0], texts(drawn[0])
    assert axes.get_title() == (
        "963 of 1,000 test images correct\nshown: 20 of 100 classes, those that are confused most"
    )
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 20 and shown == [label.get_text() for label in axes.get_xticklabels()]
    for first, second in (("class 07", "class 70"), ("class 90", "class 11"), ("class 03", "class 07")):
        assert abs(shown.index(first) - shown.index(second)) == 1
    row, column = shown.index("class 07"), shown.index("class 70")
    assert axes.images[0].get_array()[row, column] == pytest.approx(0.6)
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[column, row] == "6" and cells[row, column] == "2"
    first = lines.index("most frequent confusions (true → predicted)")
    assert lines[first + 1 : first + 4] == [
        "class 07 → class 70: 6",
        "class 90 → class 11: 5",
        "class 03 → class 07: 4",
    ]
    first = lines.index("classes with the most errors")
    assert lines[first + 1 : first + 3] == ["class 07: 6 of 10 images", "class 90: 5 of 10 images"]


def test_of_many_classes_without_an_error_the_first_are_shown(tmp_path, drawn):
    names = [f"class {number:02d}" for number in range(100)]
    confusion(predictions(names, {}), names, tmp_path / "confusion.png")
    axes = drawn[0].axes[0]
    assert axes.get_title() == "1,000 of 1,000 test images correct\nshown: 20 of 100 classes, the first ones"
    assert [label.get_text() for label in axes.get_yticklabels()] == names[:20]
    assert texts(drawn[0]).count("none") == 2


def test_a_class_without_test_images_has_an_empty_row(tmp_path, drawn):
    confusion(predictions(["a", "b"], {(0, 1): 4}), ["a", "b", "c"], tmp_path / "confusion.png")
    assert drawn[0].axes[0].images[0].get_array().tolist() == [[0.6, 0.4, 0], [0, 1, 0], [0, 0, 0]]
