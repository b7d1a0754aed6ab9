"""Modality dropout: training images that lose their text or their pixels, so that the model answers without as well.

ModDrop (Neverova et al., 2016).
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from heldout.networks import tokenizer

Fraction = Annotated[float, Field(ge=0, lt=1)]


def draws(count: int, seed: int, epoch: int) -> np.ndarray:
    """What is drawn for each image in an epoch, by (seed, epoch, image) alone: uniform in [0, 1), (count,)."""
    return np.random.default_rng([seed, epoch, *b"modality_dropout"]).random(count)


def drop(
    pixels: np.ndarray,
    tokens: np.ndarray,
    drawn: np.ndarray,
    blank: np.ndarray,
    *,
    text: Fraction,
    image: Fraction,
) -> tuple[np.ndarray, np.ndarray]:
    """A batch with black in place of some images, and no text in place of some texts; no image loses both.

    Args:
        pixels: uint8 (n, height, width, channels), or features of them, float32 (n, units).
        tokens: int32 (n, length).
        drawn: (n,), of `draws`.
        blank: a black image, or its features.
        text: the fraction that loses its text.
        image: the fraction that loses its pixels.

    """
    without_text, without_pixels = drawn < text, drawn >= 1 - image
    empty = tokenizer.without_text(len(tokens), tokens.shape[1])
    lost = without_pixels.reshape(-1, *[1] * (pixels.ndim - 1))
    return np.where(lost, blank, pixels), np.where(without_text[:, None], empty, tokens)


def check(augmentation: dict[str, Any], text: float, image: float) -> None:
    """Refuse what does not go with texts.

    Args:
        augmentation: the keyword arguments of `augment.augment_batch`.
        text, image: of `drop`.

    Raises:
        ValueError: where an image could lose both, or images are mixed.
    """
    if text + image > 1:
        raise ValueError(
            f"modality_dropout.text is {text:g} and modality_dropout.image {image:g}: expected 1 together at "
            "most, as no image loses both"
        )
    for name in ("mixup", "cutmix"):
        if augmentation[name]:
            raise ValueError(
                f"augment.{name} is {augmentation[name]:g}, which mixes images but not their texts: set it to 0, or "
                "text.method to none"
            )
