"""Captions: the text of an image that lies beside it, NAME.txt beside NAME.png."""

import os
from pathlib import Path

from heldout.core import names
from heldout.data.listing.files import Listing

SUFFIX = ".txt"
MAX_BYTES = 65536  # of a caption; what is longer is some other file


def read(listing: Listing) -> Listing:
    """The listing with the text of each image that has a file of its name beside it; that is then no problem.

    Args:
        listing: of `image_folder`; an image's text is '' where no CSV gives one.

    Raises:
        ValueError: where the CSV gives texts as well, a caption cannot be read, or no image has one.
    """
    beside = {problem.path for problem in listing.problems if problem.path.endswith(SUFFIX)}
    captions = {file.path: f"{os.path.splitext(file.path)[0]}{SUFFIX}" for file in listing.files}  # noqa: PTH122
    if any(file.text for file in listing.files):
        raise ValueError(f"both {listing.layout} and data.captions give texts: set data.captions: false")
    files = [
        file._replace(text=_read(caption)) if (caption := captions[file.path]) in beside else file
        for file in listing.files
    ]
    used = set(captions.values()) & beside
    if not used:
        example = captions[listing.files[0].path]
        raise ValueError(f"data.captions is true, but no image has one: expected files such as {example}")
    problems = [problem for problem in listing.problems if problem.path not in used]
    note = f"captions: {sum(bool(file.text) for file in files):,} of {len(files):,} images have one"
    return listing._replace(files=files, problems=problems, notes=[*listing.notes, note])


def _read(path: str) -> str:
    """The text of a caption in one line: a blank for each line break and each run of blanks."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = " ".join(content.decode("utf-8-sig").split())
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes: expected a caption; move it elsewhere")
    if problem := names.problem(text):
        raise ValueError(
            f"{path}: {names.printable(text[:80])} {problem.removesuffix(' in its name')}: write it without"
        )
    return text
