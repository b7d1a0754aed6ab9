"""The library that the stages compose; `heldout.predict` is for notebooks (docs/export.md)."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Every stage runs this file. An import that core/code.py can follow would make prediction an input of all of them.
    if name == "predict":
        from importlib import import_module

        return import_module("heldout.export.predict").predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
