"""Modality dropout: by hand, by (seed, epoch, image) alone, and refused where it cannot be what it says."""

import numpy as np
import pytest

from heldout.augmentation import augment
from heldout.networks import tokenizer
from heldout.training import modality_dropout

PIXELS = np.full((4, 2, 2, 3), 9, np.uint8)
TOKENS = np.array([[5, 6, 0]] * 4, np.int32)


def test_by_hand():
    drawn = np.array([0.0, 0.29, 0.3, 0.9])
    pixels, tokens = modality_dropout.drop(PIXELS, TOKENS, drawn, np.uint8(0), text=0.3, image=0.1)
    assert tokens.tolist() == [[tokenizer.NO_TEXT, 0, 0]] * 2 + [[5, 6, 0]] * 2
    assert (pixels[:3] == 9).all() and (pixels[3] == 0).all()
    assert pixels.dtype == np.uint8 and tokens.dtype == np.int32
    assert (PIXELS == 9).all()  # the shards' own are as they were


def test_the_fractions_are_kept_and_no_image_loses_both():
    drawn = modality_dropout.draws(10_000, 0, 3)
    assert np.array_equal(drawn, modality_dropout.draws(10_000, 0, 3))
    assert not np.array_equal(drawn, modality_dropout.draws(10_000, 0, 4))
    without_text, without_image = (drawn < 0.2), (drawn >= 0.9)
    assert without_text.mean() == pytest.approx(0.2, abs=0.02) and without_image.mean() == pytest.approx(0.1, abs=0.02)
    assert not (without_text & without_image).any()


@pytest.mark.parametrize(
    ("augmentation", "text", "image", "line"),
    [
        ({}, 0.7, 0.4, r"modality_dropout\.text is 0\.7 and modality_dropout\.image 0\.4: expected 1 together at most"),
        ({"mixup": 0.2}, 0, 0, r"augment\.mixup is 0\.2, which mixes images but not their texts: set it to 0, or text"),
        ({"cutmix": 1}, 0, 0, r"augment\.cutmix is 1, which mixes images but not their texts"),
    ],
)
def test_what_does_not_go_together_ends_in_one_line(augmentation, text, image, line):
    with pytest.raises(ValueError, match=line):
        modality_dropout.check(augment.OFF | augmentation, text, image)
    modality_dropout.check(augment.OFF, 0.5, 0.5)
