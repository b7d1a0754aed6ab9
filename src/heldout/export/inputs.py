"""The inputs of an exported model by name: `images`, and whatever else it takes, in the order of their names."""

from collections.abc import Iterable
from typing import Any

import numpy as np

IMAGES, PROBABILITIES = "images", "probabilities"


def named(names: Iterable[str], inputs: Any) -> dict[str, np.ndarray]:
    """The arrays by name.

    Args:
        names: of the inputs that a file declares, in any order: not every format keeps one.
        inputs: the array of the only input, or a list of arrays in the order of their names.

    Raises:
        ValueError: where they are not as many.
    """
    arrays = inputs if isinstance(inputs, list) else [inputs]
    names = sorted(names)
    if len(names) != len(arrays):
        raise ValueError(f"the model takes {', '.join(names)}; expected as many arrays, got {len(arrays)}")
    return dict(zip(names, arrays, strict=True))
