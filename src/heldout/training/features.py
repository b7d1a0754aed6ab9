"""Features of a frozen network: computed once an image, or once each of its augmentations, and kept by the pixels."""

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from heldout.augmentation import augment
from heldout.core import code
from heldout.core.array_cache import ArrayCache
from heldout.core.process import suppress_native_stderr
from heldout.data.shards import BATCH, Images
from heldout.networks import devices, frozen

with suppress_native_stderr():
    import keras
    import tensorflow as tf

PACK_BYTES = 8 * 2**20  # of features that a killed run loses, at most
MIXING = ("mixup", "cutmix")


class Features:
    """The features of images, float32 (units,) each, by mmap where they are kept on disk.

    Args:
        packs: arrays (n, units).
        locations: int (count, 2), each image's pack and row.
        count: of images; more rows are further views of them, all images one after another.
        blank: of a black image, (units,).
    """

    def __init__(self, packs: list[np.ndarray], locations: np.ndarray, count: int, blank: np.ndarray) -> None:
        self._packs, self._locations, self.count, self.blank = packs, locations, count, blank
        self.views = len(locations) // count

    def rows(self, rows: np.ndarray, view: int = 0) -> np.ndarray:
        """The features of some images, (len(rows), units)."""
        result = np.empty((len(rows), len(self.blank)), np.float32)
        located = self._locations[view * self.count + rows]
        for pack in np.unique(located[:, 0]):
            chosen = located[:, 0] == pack
            result[chosen] = self._packs[pack][located[chosen, 1]]
        return result

    def all(self) -> np.ndarray:
        """All of them in memory, (views * count, units)."""
        every = np.arange(self.count)
        return np.concatenate([self.rows(every, view) for view in range(self.views)])


class Computed(NamedTuple):
    """Images by number, the keys of their pixels, and their features (n, units)."""

    numbers: tuple[int, ...]
    keys: tuple[str, ...]
    features: np.ndarray


class Extractor:
    """Computes the features of pixels, each once: what is in the cache is not computed again.

    Args:
        backbone: of `frozen.parts`.
        fingerprint: what features depend on beside pixels and code, of `frozen.fingerprint`.
    """

    def __init__(self, backbone: keras.Model, fingerprint: dict[str, Any]) -> None:
        self._shape, units = backbone.input_shape[1:], backbone.output_shape[-1]
        self._compute = tf.function(lambda pixels: tf.cast(backbone(pixels, training=False), tf.float32))
        fingerprint = fingerprint | {name: version(name) for name in ("keras", "tensorflow", "numpy")}
        digest = code.stage_digest(Path(frozen.BUILD))
        self._cache = ArrayCache("features", fingerprint, digest, (units,), np.dtype(np.float32))
        self.num_computed = 0
        self._pack_rows = max(1, PACK_BYTES // (4 * units))

    def of_images(self, images: Images) -> Features:
        """The features of images as they are."""
        return self._features(images.batches(), len(images), 1)

    def of_views(self, images: Images, augmentation: dict[str, Any], seed: int, views: int) -> Features:
        """The features of so many augmentations of each image: those of the first epochs of training.

        Args:
            images: of the training split.
            augmentation: the keyword arguments of `augment.augment_batch`.
            seed: of the augmentation.
            views: how many.
        """
        return self._features(view_batches(images, augmentation, seed, views), len(images), views)

    def _features(self, batches: Iterable[np.ndarray], count: int, views: int) -> Features:
        packs, locations = list(self._cache.packs), np.zeros((views * count, 2), int)
        missing = self._missing(batches, locations)
        computed: list[Computed] = []
        for group in iter(lambda: list(islice(missing, BATCH)), []):
            numbers, keys, _ = zip(*group, strict=True)
            computed.append(Computed(numbers, keys, self._run(group)))
            if len(computed) * BATCH >= self._pack_rows:
                self._store(computed, packs, locations)
        self._store(computed, packs, locations)
        blank = self._run([(0, "", np.zeros(self._shape, np.uint8))])[0]
        return Features(packs, locations, count, blank)

    def _missing(self, batches: Iterable[np.ndarray], locations: np.ndarray) -> Iterator[tuple[int, str, np.ndarray]]:
        """The number, key and pixels of each image that is not in the cache; the others get their locations."""
        start = 0
        with tqdm(total=len(locations), desc="features", unit=" images", delay=2, mininterval=1) as bar:
            for batch in batches:
                keys = [hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest() for image in batch]
                entries = self._cache.lookup(np.array(keys)).tolist()
                for number, (key, entry, pixels) in enumerate(zip(keys, entries, batch, strict=True), start):
                    if self._cache.get(entry) is None:
                        yield number, key, pixels
                    else:
                        locations[number] = self._cache.location(entry)
                start += len(batch)
                bar.update(len(batch))

    def _store(self, computed: list[Computed], packs: list[np.ndarray], locations: np.ndarray) -> None:
        """Make a pack of what was computed, and empty the list."""
        if not computed:
            return
        features = np.concatenate([part.features for part in computed])
        keys = [key for part in computed for key in part.keys]
        numbers = [number for part in computed for number in part.numbers]
        locations[numbers] = np.column_stack([np.full(len(numbers), len(packs)), np.arange(len(numbers))])
        packs.append(self._cache.put(features, np.array(keys)))
        self.num_computed += len(keys)
        computed.clear()

    def _run(self, group: list[tuple[int, str, np.ndarray]]) -> np.ndarray:
        """The features of at most BATCH images; always a full batch, as what a library computes may depend on it."""
        padded = np.zeros((BATCH, *self._shape), np.uint8)
        for out, (_, _, pixels) in zip(padded, group, strict=False):
            out[:] = pixels
        return self._compute(padded).numpy()[: len(group)]


def extract(
    backbone: keras.Model,
    train: Images,
    val: Images,
    sections: dict[str, dict[str, Any]],
    seed: int,
    views: int,
    strategy: tf.distribute.Strategy,
) -> tuple[Features, Features]:
    """The features of the views of train, and of val.

    Args:
        backbone: of `frozen.parts`.
        train, val: the images.
        sections: of params.yaml: `augment`, `model` and `hardware`.
        seed, views: of `Extractor.of_views`.
        strategy: of `devices.configure_tensorflow`.
    """
    hardware = sections["hardware"]
    environment = devices.environment(strategy, **devices.determinism_settings(hardware))
    environment |= {"precision": hardware["precision"]}
    extractor = Extractor(backbone, frozen.fingerprint(backbone, sections["model"], environment))
    both = extractor.of_views(train, sections["augment"], seed, views), extractor.of_images(val)
    total = views * len(train) + len(val)
    print(f"train: features of {total:,} images, {extractor.num_computed:,} computed", flush=True)
    return both


def num_views(augmentation: dict[str, Any], views: int, head: str, *, is_frozen: bool) -> int:
    """How many fixed augmentations each image has; 0 where they are drawn anew in every epoch, 1 where there is none.

    Args:
        augmentation: the keyword arguments of `augment.augment_batch`.
        views, head: of the section `train`.
        is_frozen: whether all layers before the pooling are.

    Raises:
        ValueError: where there are no fixed augmentations though `views` or `head` ask for them.
    """
    is_off = all(augmentation[name] == value for name, value in augment.OFF.items() if name not in augment.MODIFIERS)
    if not is_frozen and (views or head == "logistic"):
        key, value, off = ("train.views", views, "0") if views else ("train.head", head, "dense")
        raise ValueError(
            f"{key} is {value}, but all of the network trains: set it to {off}, or model.architecture to a network of "
            "keras.applications"
        )
    if head == "logistic" and not views and not is_off:
        raise ValueError(
            "train.head is logistic, but augment draws anew in every epoch: set train.views to 1 or more, or switch "
            "augment off"
        )
    for name in MIXING:
        if views and augmentation[name]:
            raise ValueError(
                f"train.views is {views}, but augment.{name} is {augmentation[name]:g}, which mixes images in pairs: "
                f"set train.views or augment.{name} to 0"
            )
    return 1 if is_off else views


def view_batches(images: Images, augmentation: dict[str, Any], seed: int, views: int) -> Iterator[np.ndarray]:
    """All images in order, BATCH at a time, augmented as in the first epoch; then as in the second, and so on."""
    count = len(images)
    labels = np.zeros(count, int)
    for view in range(views):
        drawn = augment.draws(count, seed, view)
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count))
            yield augment.augment_batch(images, labels, 1, rows, drawn, **augmentation)[0]
