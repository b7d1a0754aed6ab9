"""What a model file that somebody else may have made must not hold: code, classes that are not Keras's, other files."""

import re
from collections.abc import Iterable
from typing import Any

import h5py

# Where Keras keeps what a network is made of. Elsewhere (keras.utils) are functions that read and fetch files.
MODULES = re.compile(
    r"keras(\.src)?(\.(layers|models|initializers|regularizers|activations|constraints|dtype_policies|ops)(\.\w+)*)?"
)
CODE = ("Lambda", "__lambda__", "function")
# Operations of TensorFlow that call Python, or read or write other files than the checkpoint of the model itself.
OPERATIONS = re.compile(r"File(?!name)|PyFunc|Dataset|Reader|Summary|Print|Debug|Dump|Rpc|Library")


def check_config(config: Any) -> None:
    """Check a Keras configuration, at any depth.

    Raises:
        ValueError: where it holds code (a Lambda), or a class of a module that is not one of Keras's networks.
    """
    if isinstance(config, list):
        for item in config:
            check_config(item)
    if isinstance(config, dict):
        name, module = config.get("class_name"), config.get("module")
        if name in CODE:
            raise ValueError(f"it holds code, a {name}")
        if name is not None and module is not None and not MODULES.fullmatch(str(module)):
            raise ValueError(f"it names {module}.{name}, which is no part of Keras's networks")
        for item in config.values():
            check_config(item)


def check_hdf5(file: h5py.Group) -> None:
    """Check an HDF5 file of weights, which may refer to other files.

    Raises:
        ValueError: where an object is a link, or its values are in another file.
    """
    for name in file:
        link, item = file.get(name, getlink=True), None
        if isinstance(link, h5py.HardLink):
            item = file[name]
        if item is None or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
            raise ValueError(f"its {name} refers to another place")
        if isinstance(item, h5py.Group):
            check_hdf5(item)


def check_operations(names: Iterable[str]) -> None:
    """Check the operations of a TensorFlow graph.

    Raises:
        ValueError: where one calls Python, or reads or writes a file.
    """
    for name in sorted(set(names)):
        if OPERATIONS.search(name):
            raise ValueError(f"it holds the operation {name}, which no exported model needs")
