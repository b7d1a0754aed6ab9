"""The command `heldout verify`: whether an export is as it was written, and answers as it did."""

import sys

from heldout.core import names
from heldout.export import verification


def verify(export: str) -> int:
    """Print a line a finding; the exit code is 1 where one is bad, or no file could be run."""
    failed = False
    for finding in verification.verify(export):
        failed = failed or finding.is_good is False
        line = names.printable(finding.line)
        if finding.is_good is False:
            print(f"heldout: {line}", file=sys.stderr, flush=True)
        else:
            print(line, flush=True)
    return int(failed)
