"""Text from outside in Markdown: shown as it is, whatever it holds."""

import html
import re

from heldout.core import names

SPECIAL = re.compile(r"([\\`*_\[\]|~])")


def escape(value: str) -> str:
    """Text that Markdown shows as it is: no link, image, comment, mention or cell of a table comes of it.

    GitHub reads `@name` and `#1` through a backslash, so a character that is not seen parts them.
    """
    value = html.escape(names.printable(value), quote=False)
    value = re.sub(r"([@#])(?=\w)", "\\1\u2060", value)
    return SPECIAL.sub(r"\\\1", value)
