"""Views: the operations of `augment`, with the section's keys alone."""

import numpy as np
import pytest
import yaml
from conftest import ROOT

from heldout.augmentation import augment, views
from heldout.core import params

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
OFF = {key: augment.OFF[key] for key in params.schema(views.view_batch)}


def view(**changed) -> np.ndarray:
    return views.view_batch(IMAGES, np.arange(20), augment.draws(20, 0, 0), **(OFF | changed))


@pytest.mark.parametrize("key", [key for key in OFF if key not in augment.MODIFIERS])
def test_each_key_does_what_it_does_in_augment(key):
    value = {"horizontal_flip": True, "vertical_flip": True}.get(key, 0.5)
    settings = augment.OFF | {key: value}
    drawn = augment.draws(20, 0, 0)
    expected, _ = augment.augment_batch(IMAGES, np.zeros(20, int), 1, np.arange(20), drawn, **settings)
    assert np.array_equal(view(**{key: value}), expected) and not np.array_equal(expected, IMAGES)


def test_off_changes_nothing_and_the_default_changes_every_image():
    assert np.array_equal(view(), IMAGES)
    default = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["views"]
    assert (view(**default) != IMAGES).any(axis=(1, 2, 3)).all()
