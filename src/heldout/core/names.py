"""Names from outside, of files, classes and groups: which are refused, which look alike, and how to print one."""

import re
import unicodedata
from collections.abc import Iterable

LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # of str.splitlines
# Control characters (Unicode's category Cc), the two other line breaks, and what stands for bytes that are not UTF-8.
REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def problem(name: str) -> str | None:
    """Why a name cannot go into lists of a name a line, CSV files and pages, or None: it reads on from `NAME ...`."""
    match = REFUSED.search(name)
    if not match:
        return None
    if match[0] in LINE_BREAKS:
        return "has a line break in its name"
    if "\ud800" <= match[0] <= "\udfff":
        return "has a name that is not UTF-8"
    return f"has a control character (U+{ord(match[0]):04X}) in its name"


def printable(name: str) -> str:
    """A name as text that a file, a terminal and a log take: the characters that `problem` refuses become escapes."""
    return REFUSED.sub(lambda match: ascii(match[0])[1:-1], name)


def twins(names: Iterable[str], case: bool = True) -> tuple[str, str, str] | None:
    """The first two names that a reader takes for the same, and what they differ in; None where there are none.

    Args:
        names: any number of them, in any order.
        case: whether names that differ in upper and lower case count; single letters never do: they are classes of
            handwriting.
    """
    known: dict[str, str] = {}
    for name in sorted(set(names)):
        key = " ".join(unicodedata.normalize("NFC", name).split())
        key = unicodedata.normalize("NFC", key.casefold()) if case and len(key) > 1 else key
        if key in known:
            return known[key], name, _difference(known[key], name)
        known[key] = name
    return None


def _difference(first: str, second: str) -> str:
    first, second = (unicodedata.normalize("NFC", name) for name in (first, second))
    if first == second:
        return "Unicode form (NFC and NFD)"
    return "blanks" if first.split() == second.split() else "case"
