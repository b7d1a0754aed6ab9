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
    preview.class_sheet(images, labels, tmp_path / "classes.png")
    preview.augmentation_sheet(images, labels, augment.OFF, 0, tmp_path / "augment.png")
    for name, pictures in (("classes.png", 5), ("augment.png", preview.COLUMNS)):
        sheet = cv2.imread(str(tmp_path / name))
        pitch = contact_sheet.CELL + contact_sheet.GAP
        left = sheet.shape[1] - pictures * pitch
        assert sheet.shape[0] == contact_sheet.HEADING_HEIGHT + 2 * pitch
        for row, gray in enumerate((50, 200)):
            top = contact_sheet.HEADING_HEIGHT + row * pitch
            for column in range(pictures):
                cell = sheet[top:, left + column * pitch :][: contact_sheet.CELL, : contact_sheet.CELL]
                assert (cell == gray).all(), (name, row, column)
    settings = augment.OFF | {"brightness": 0.5}
    preview.augmentation_sheet(images, labels, settings, 0, tmp_path / "augment.png")
    assert cv2.imread(str(tmp_path / "augment.png")).shape[0] == contact_sheet.HEADING_HEIGHT + 3 * pitch
