"""What looks on while a network trains, where the environment asks for it: no part of the graph or the saved state."""

import importlib.util
import os
from pathlib import Path

from heldout.process import quiet

with quiet():
    import keras


def callbacks(run: str, resumed: bool) -> list[keras.callbacks.Callback]:
    """Callbacks that write curves: for TensorBoard where HELDOUT_TENSORBOARD names a folder, by DVCLive where
    HELDOUT_DVCLIVE does; each run into a folder of its own there.

    Args:
        run: what the run's folder is called.
        resumed: whether it goes on from where it was, so that what it wrote before stays.

    Raises:
        ValueError: where the package is not installed.
    """
    found: list[keras.callbacks.Callback] = []
    if folder := _folder("tensorboard", run):
        found.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    if folder := _folder("dvclive", run):
        with quiet():
            from dvclive import Live
            from dvclive.keras import DVCLiveCallback
        # Neither an experiment nor a dvc.yaml: both are the pipeline's own.
        found.append(DVCLiveCallback(live=Live(str(folder), resume=resumed, save_dvc_exp=False, dvcyaml=None)))
    return found


def _folder(package: str, run: str) -> Path | None:
    variable = f"HELDOUT_{package.upper()}"
    folder = os.environ.get(variable)
    if not folder:
        return None
    if not importlib.util.find_spec(package):
        raise ValueError(f"{variable} is set, but {package} is not installed: run `make setup`, or unset it")
    return Path(folder, run)
