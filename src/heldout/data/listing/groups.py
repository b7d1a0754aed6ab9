"""Groups told by a pattern in the images' paths: the person, the scene, the site that several of them show."""

import re
from pathlib import Path

from heldout.core import process
from heldout.data.listing.files import ImageFile

SECONDS = 1.0  # of the processor for one path, where microseconds are usual


def by_pattern(files: list[ImageFile], root: Path, pattern: str) -> list[ImageFile]:
    """The files with the groups that a pattern catches.

    Args:
        files: without groups.
        root: the image folder.
        pattern: a regular expression that is searched in each path below `root`; what its parentheses catch, joined by
            hyphens, names the group, and a path that it does not match has none.

    Raises:
        ValueError: where it is no regular expression, catches nothing, or needs for ever.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"data.group_pattern {pattern!r} is not a regular expression: {error}") from error
    if not regex.groups:
        raise ValueError(f"data.group_pattern {pattern!r} has no parentheses: put them around what names the group")
    if any(file.group for file in files):
        raise ValueError("both the CSV and data.group_pattern give groups: remove one of them")
    start = len(root.as_posix()) + 1
    result = [file._replace(group=_group(regex, file.path[start:])) for file in files]
    if files and not any(file.group for file in result):
        example = files[0].path
        raise ValueError(f"data.group_pattern {pattern!r} matches no path below {root}, such as {example}: correct it")
    return result


def _group(pattern: re.Pattern, path: str) -> str:
    try:
        with process.cpu_limit(SECONDS):
            match = pattern.search(path)
    except TimeoutError as error:
        raise ValueError(
            f"data.group_pattern {pattern.pattern!r} is not done with {path} in {SECONDS:g} s: "
            "it backtracks; repeat no part that holds a repetition, as (a+)+ does"
        ) from error
    return "-".join(filter(None, match.groups())) if match else ""
