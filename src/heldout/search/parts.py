"""Val in two: the part by which a search chooses, and the part that confirms what it chose; groups stay together."""

import base64
import hashlib

import numpy as np
import pandas as pd

from heldout.data import components, manifest
from heldout.data.shards import Images

KEY = b"heldout search"  # no seed: a second search, too, leaves the confirmation part alone


class Part(Images):
    """Some of the images of a folder of shards, in their order."""

    def __init__(self, whole: Images, rows: np.ndarray) -> None:
        self._folder, self._shards, self.image_shape = whole._folder, whole._shards, whole.image_shape
        self.ids, self.labels = whole.ids[rows], whole.labels[rows]
        self.texts = None if whole.texts is None else whole.texts[rows]
        self._shard_of_image, self._row_of_image = whole._shard_of_image[rows], whole._row_of_image[rows]


def cut(val: Images, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the search part and of the confirmation part, half each on average, and their groups.

    A keyed hash gives each group, or image without one, a position, as the split does. A component (a group,
    near-duplicates, or groups that share one) is in the confirmation part where one of its members is, so that growing
    data take nothing out of it.

    Args:
        val: its images.
        table: its manifest, rows as the split has them: id, label, group, cluster.

    Returns:
        Whether each image is in the search part, bool (n,), and the number of its component, (n,).

    Raises:
        ValueError: where the two do not hold the same images, or a part is empty.
    """
    rows = manifest.match(table, val.ids, "the images of data/processed/val", "data/splits/val.csv")
    rows = rows.assign(**{name: "" for name in components.LINK_COLUMNS if name not in rows})  # where none is known
    component = components.label(rows)
    names = rows["id"].where(rows["group"] == "", "group " + rows["group"])
    chosen = (names.map(_position).groupby(component).transform("max") < 0.5).to_numpy()
    if chosen.all() or not chosen.any():
        raise ValueError(
            f"the {len(chosen)} images of val are of too few groups to be cut in two ({component.nunique()}): "
            "a larger split.val is needed"
        )
    return chosen, component.to_numpy()


def pack(correct: np.ndarray) -> str:
    """Whether images are right, bool (n,), as text of a sixth of their number."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")


def unpack(text: str, count: int) -> np.ndarray:
    """What `pack` was given, of so many images."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)


def _position(name: str) -> float:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=KEY).digest()) / 2**64
