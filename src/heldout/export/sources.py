"""What a format may need beside the model: how an image file becomes pixels, and images to learn ranges from."""

from typing import Any, NamedTuple

import numpy as np

from heldout.data.shards import Images

REPRESENTATIVE = 200  # TensorFlow's guide to post-training quantization: 100 to 500


class Sources(NamedTuple):
    """The section `preprocess`, which says how a file was decoded and resized, and the preprocessed training images."""

    preprocess: dict[str, Any]
    train: Images

    def representative(self) -> np.ndarray:
        """Images of train, evenly spread over all of them: uint8 (n, height, width, channels), REPRESENTATIVE at most.

        Their order is that of their identities, which are hashes: evenly spread is as good as drawn. Two opposite
        corners of the first become 0 and 255, so that the range of a pixel is all of uint8 and 255 stays 255.
        """
        count = min(REPRESENTATIVE, len(self.train))
        images = self.train[np.arange(count) * len(self.train) // count]
        images[0, 0, 0], images[0, -1, -1] = 0, 255
        return images
