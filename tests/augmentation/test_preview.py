"""The contact sheets: which rows they have, and what a row shows."""

import cv2
import numpy as np

from heldout.augmentation import augment, contact_sheet, preview


def test_each_operation_that_is_on_has_a_row_with_the_others_off():
    settings = augment.OFF | {"rotation": 10, "horizontal_flip": True, "fill_mode": "reflect"}
    reflect = augment.OFF | {"fill_mode": "reflect"}
    assert preview.each_alone(settings) == {
        "rotation alone": reflect | {"rotation": 10},
        "horizontal_flip alone": reflect | {"horizontal_flip": True},
    }
    assert preview.each_alone(augment.OFF) == {}


def test_the_sheets_show_classes_and_operations(tmp_path):
    """Two classes, one darker; with all operations off, every epoch shows the image as it is."""
    images = np.repeat(np.array([50, 200] * 5, np.uint8), 12 * 12 * 3).reshape(10, 12, 12, 3)
    labels = np.array(["dark", "light"] * 5, object)
    assert preview.class_sheet(images, labels, tmp_path / "classes.png") == "all 2 classes"
    preview.augmentation_sheet(images, labels, augment.OFF, 0, tmp_path / "augment.png")
    for name, lines, pictures in (("classes.png", 1, 5), ("augment.png", 2, preview.COLUMNS)):
        sheet = cv2.imread(str(tmp_path / name))
        assert cells(sheet, lines, pictures) == [[50] * pictures, [200] * pictures], name
    settings = augment.OFF | {"brightness": 0.5}
    preview.augmentation_sheet(images, labels, settings, 0, tmp_path / "augment.png")
    assert len(cells(cv2.imread(str(tmp_path / "augment.png")), 2, preview.COLUMNS)) == 3


def cells(sheet: np.ndarray, lines: int, pictures: int) -> list[list[int]]:
    """The middle pixel of each picture of a sheet with lines of text above."""
    first = contact_sheet.LINE_HEIGHT * lines + contact_sheet.CELL // 2
    pitch = contact_sheet.CELL + contact_sheet.GAP
    columns = [sheet.shape[1] - number * pitch + contact_sheet.CELL // 2 for number in range(pictures, 0, -1)]
    assert (sheet.shape[0] - contact_sheet.LINE_HEIGHT * lines) % pitch == 0
    return [[int(sheet[row, column, 0]) for column in columns] for row in range(first, sheet.shape[0], pitch)]


class Gray:
    """Images of one gray each, which is the row's number modulo 250; eight rows a class."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        return np.repeat((np.asarray(rows) // 8 % 250).astype(np.uint8), 4 * 4 * 3).reshape(-1, 4, 4, 3)


def test_of_a_thousand_classes_the_sheets_show_some_evenly_spaced(tmp_path):
    labels = np.repeat(np.array([f"class {number:04d}" for number in range(1000)], object), 8)
    assert preview.class_sheet(Gray(), labels, tmp_path / "classes.png") == "20 of 1,000 classes"
    shown = [[round(999 * row / 19) % 250] * 8 for row in range(20)]
    assert cells(cv2.imread(str(tmp_path / "classes.png")), 1, 8) == shown
    preview.augmentation_sheet(Gray(), labels, augment.OFF, 0, tmp_path / "augment.png")
    shown = [[round(999 * row / 5) % 250] * 8 for row in range(6)]
    assert cells(cv2.imread(str(tmp_path / "augment.png")), 2, 8) == shown


def test_any_class_name_has_a_sheet_as_wide_as_its_text(tmp_path):
    """One picture a class, so that the title is the widest; names in every script, one of 255 characters."""
    names = ["$x$", "_a", "a\u200fb", "e\u0301", "שלום", "北京", "🐕", "W" * 255]
    images = np.zeros((len(names), 4, 4, 3), np.uint8)
    for number in range(2):
        preview.class_sheet(images, np.array(names, object), tmp_path / f"{number}.png")
    sheet = cv2.imread(str(tmp_path / "0.png"))
    assert (sheet[: contact_sheet.LINE_HEIGHT, -contact_sheet.MARGIN :] == 255).all()
    assert (sheet[:, -contact_sheet.MARGIN - 4 : -contact_sheet.MARGIN] < 255).any()
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
