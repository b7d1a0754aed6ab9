"""Write a digest of each other stage's code: comments, docstrings and formatting rerun this stage alone.

$ python -m stages.code code.yaml
"""

import sys
from pathlib import Path

from heldout.core import atomic, code


def main(code_yaml: str) -> None:
    """One line a stage, NAME: md5 of the syntax trees of its script and of all that this imports."""
    scripts = sorted(path for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "code"))
    lines = [f"{script.stem}: {code.stage_digest(script)}\n" for script in scripts]
    heading = "# What each stage runs, without comments, docstrings and formatting; the stage `code` writes this.\n"
    atomic.write_text(code_yaml, heading + "".join(lines))
    print(f"code: {len(lines)} stages in {code_yaml}")


if __name__ == "__main__":
    main(*sys.argv[1:])
