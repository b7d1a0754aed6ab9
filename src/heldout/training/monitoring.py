"""Curves while a network trains, where the environment asks for them: no part of the graph or of a checkpoint."""

import importlib.util
import os
from pathlib import Path

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras


def callbacks(run: str, resumed: bool) -> list[keras.callbacks.Callback]:
    """Callbacks that write curves: for TensorBoard where HELDOUT_TENSORBOARD names a folder, by DVCLive where
    HELDOUT_DVCLIVE does; each run into a folder of its own there.

    Args:
        run: what the run's folder is called.
        resumed: whether it resumes from a checkpoint, so that what it wrote before stays.

    Raises:
        ValueError: where the package is not installed.
    """
    result: list[keras.callbacks.Callback] = []
    if folder := _run_folder("tensorboard", run):
        result.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    if folder := _run_folder("dvclive", run):
        with suppress_native_stderr():
            from dvclive import Live
            from dvclive.keras import DVCLiveCallback
        # Neither an experiment nor a dvc.yaml: both are the pipeline's own.
        result.append(DVCLiveCallback(live=Live(str(folder), resume=resumed, save_dvc_exp=False, dvcyaml=None)))
    return result


def _run_folder(package: str, run: str) -> Path | None:
    variable = f"HELDOUT_{package.upper()}"
    folder = os.environ.get(variable)
    if not folder:
        return None
    if not importlib.util.find_spec(package):
        raise ValueError(f"{variable} is set, but {package} is not installed: run `make setup`, or unset it")
    return Path(folder, run)
