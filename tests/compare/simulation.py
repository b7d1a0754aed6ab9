"""Simulated exams of two models, and of recipes over seeds, by the tests and by benchmarks."""

import numpy as np
from scipy import stats


def pair(generator: np.random.Generator, images: int, base: float, head: float, grouped: bool) -> tuple:
    """Whether BASE and HEAD predict each image's label, and the images' groups, None where each is a draw of its own.

    What a model gets right is a third the image's, a third the group's and a third the model's own luck.
    """
    sizes = generator.integers(1, 21, images)
    group = np.repeat(np.arange(images), sizes)[:images] if grouped else np.arange(images)
    common = generator.normal(size=images)
    sides = []
    for accuracy in (base, head):
        own, shared = generator.normal(size=(2, images))
        sides.append(stats.norm.cdf((own + shared[group] + common) / np.sqrt(3)) < accuracy)
    return *sides, group if grouped else None


def runs_of(
    generator: np.random.Generator, seeds: int, images: int, by_seed: float, by_image: float, shift: float = 0.0
) -> np.ndarray:
    """Whether each run predicts each image, bool (seeds, images): what the image is worth is the same for all runs of
    all recipes."""
    difficulty = np.random.default_rng(7).normal(0, by_image, images)
    luck = generator.normal(0, by_seed, seeds)[:, None]
    return generator.normal(size=(seeds, images)) + difficulty + luck + 1 + shift > 0
