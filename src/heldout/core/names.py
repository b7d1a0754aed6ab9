"""Names from outside, of files, classes and groups: which are refused, which look alike, and how to print one."""

import unicodedata
from collections.abc import Iterable

LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # of str.splitlines


def problem(name: str) -> str | None:
    """Why a name cannot go into lists of a name a line, CSV files and pages, or None: it reads on from `NAME ...`."""
    for character in name:
        if character in LINE_BREAKS:
            return "has a line break in its name"
        category = unicodedata.category(character)
        if category == "Cs":
            return "has a name that is not UTF-8"
        if category == "Cc":
            return f"has a control character (U+{ord(character):04X}) in its name"
    return None


def printable(name: str) -> str:
    """A name as text that a file, a terminal and a log take: the characters that `problem` refuses become escapes."""
    return "".join(ascii(character)[1:-1] if problem(character) else character for character in name)


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
