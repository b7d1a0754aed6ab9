"""Files of weights: put into a network of keras.applications, or said in one line what they are instead."""

import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py

from heldout.core import untrusted
from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
KERAS_WEIGHTS = "model.weights.h5"  # within a `.keras` archive
MAX_TOP_ARRAYS = 8  # of a network's own classifier, at most: VGG has three dense layers
# What people have in the place of weights, by how it begins.
OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer: run `git lfs pull`",
    b"<": "HTML, the page of a site and not the file behind it",
    b"outs:": "a .dvc file: name the file that it tracks, after `dvc pull`",
    b"\x80": "a pickle or PyTorch file",
}


class Mismatch(ValueError):
    """The weights are another network's."""


def load(network: keras.Model, path: str) -> None:
    """Put the weights of a file into a network without its top; those of a top are left aside.

    Args:
        network: of keras.applications.
        path: a file of Keras 3 (`.weights.h5`, `.keras`) or of Keras 1 and 2 (`.h5`), told apart by their content.

    Raises:
        Mismatch: where it holds another network's weights.
        ValueError: where it is damaged, or no such file.
    """
    with tempfile.TemporaryDirectory(prefix="heldout-weights-") as folder:
        file = _hdf5(Path(path), Path(folder))
        try:
            with h5py.File(file) as stored:
                _check(path, stored)
                group = stored.get("model_weights", stored)
                if "layer_names" in group.attrs or "layer_names0" in group.attrs:
                    _load_legacy(network, group, Path(folder, "legacy.h5"))
                elif "layers" in group:
                    named = Path(folder, KERAS_WEIGHTS)
                    if file != named:
                        named.symlink_to(file.resolve())
                    _load(network, named)
                else:
                    raise Mismatch(f"it is an HDF5 file without layers, of {', '.join(group) or 'nothing'}")
                return
        except Mismatch as error:
            raise Mismatch(f"{path} does not fit {network.name}: {error}") from error
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path} is damaged or cut short ({_shortened(error)}): fetch it again") from error


def shapes(path: str) -> Counter[tuple[int, ...]]:
    """How often a file holds an array of each shape."""
    with (
        tempfile.TemporaryDirectory(prefix="heldout-weights-") as folder,
        h5py.File(_hdf5(Path(path), Path(folder))) as stored,
    ):
        return Counter(array.shape for array in _arrays(stored.get("model_weights", stored)))


def fits(network: keras.Model, stored: Counter[tuple[int, ...]]) -> bool:
    """Whether all arrays of a network are among those of a file, and little else."""
    needed = Counter(tuple(weight.shape) for weight in network.weights)
    return needed <= stored and sum((stored - needed).values()) <= MAX_TOP_ARRAYS


def _check(path: str, stored: h5py.File) -> None:
    try:
        untrusted.check_hdf5(stored)
    except ValueError as error:
        raise ValueError(f"{path} is refused: {error}") from error


def _hdf5(path: Path, folder: Path) -> Path:
    """The HDF5 file that a file is, or that a `.keras` archive holds, which is put into a folder.

    Raises:
        ValueError: where there is none.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(HDF5):
        return path
    if head.startswith(ZIP):
        try:
            with zipfile.ZipFile(path) as archive:
                return Path(archive.extract(KERAS_WEIGHTS, folder))
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} is a zip archive without weights of Keras ({_shortened(error)}): unpack it, or fetch it again"
            ) from error
    kind = next((kind for mark, kind in OTHERS.items() if head.lstrip().startswith(mark)), "no HDF5 file")
    raise ValueError(
        f"{path} is {kind if head else 'empty'}; expected weights of Keras, a file `.weights.h5`, `.h5` or `.keras`"
    )


def _load(network: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it leaves a layer as it is
            network.load_weights(path)
    except (ValueError, KeyError, UserWarning) as error:
        raise Mismatch(_shortened(error)) from error


def _load_legacy(network: keras.Model, group: h5py.Group, path: Path) -> None:
    """By the order of the layers, as Keras does it, without those that follow the network's own."""
    stored = [name for name in _names(group, "layer_names") if _names(group[name], "weight_names")]
    layers = [layer for layer in network.layers if layer.weights]
    if len(stored) < len(layers):
        raise Mismatch(f"it holds {len(stored)} layers with weights, the network has {len(layers)}")
    with h5py.File(path, "w") as copy:
        for layer, name in zip(layers, stored, strict=False):
            has = [group[name][weight].shape for weight in _names(group[name], "weight_names")]
            expected = [tuple(weight.shape) for weight in layer.weights]
            if sorted(has) != sorted(expected):
                raise Mismatch(f"its {name} has {_listed(has)}, expected {_listed(expected)} of {layer.name}")
            group.copy(name, copy)
        copy.attrs["layer_names"] = [name.encode() for name in stored[: len(layers)]]
        copy.attrs["keras_version"], copy.attrs["backend"] = b"2.0", b"tensorflow"
    _load(network, path)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names, which HDF5 may hold in parts: an attribute has 64 KB."""
    if attribute in group.attrs:
        names = list(group.attrs[attribute])
    else:
        parts = [key for key in group.attrs if key.removeprefix(attribute).isdigit() and key.startswith(attribute)]
        names = [name for key in sorted(parts, key=lambda key: int(key.removeprefix(attribute)))
                 for name in group.attrs[key]]  # fmt: skip
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _arrays(group: h5py.Group) -> Iterator[h5py.Dataset]:
    for item in group.values():
        if isinstance(item, h5py.Group):
            yield from _arrays(item)
        else:
            yield item


def _listed(array_shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(map(str, array_shapes)) or "nothing"


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
