"""Every stage runs the src/ beside it, ends in one clear line on bad input, and ends when its `dvc repro` does."""

import sys
from pathlib import Path

# Not the installed package: `dvc exp run --temp` and queues run a copy of the tree, which must not import the original.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

try:
    from heldout.core import process
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed for {sys.executable}: run `make setup`, then `source .venv/bin/activate`")

process.setup()
