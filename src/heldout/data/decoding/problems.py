"""What is wrong with an image file: whatever a decoder raises becomes one reason and one remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from heldout.data.decoding import formats

FETCH = "fetch it again or remove it"
CONVERT = "convert it to JPEG or PNG, or remove it"
TRUNCATED = ("truncated", "not enough image data")  # in what Pillow raises


class UnreadableImage(ValueError):
    """A file that does not become pixels: why, and what to do."""

    def __init__(self, reason: str, remedy: str = CONVERT) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.problem = (reason, remedy)


@contextmanager
def decoder_errors(image_format: str) -> Iterator[None]:
    """Turn what a decoder raises into UnreadableImage.

    Every exception is caught: of damaged files, Pillow raises OSError, ValueError, SyntaxError, NotImplementedError,
    OverflowError, IndexError, KeyError, TypeError, EOFError, struct.error and zlib.error, OpenCV cv2.error.
    """
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        raise _unreadable(image_format, error) from error


def _unreadable(image_format: str, error: Exception) -> UnreadableImage:
    if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem):
        return UnreadableImage("needs more memory than there is", "shrink it, or free memory")
    if any(word in str(error) for word in TRUNCATED):
        return truncated(image_format)
    return UnreadableImage("cannot be decoded as an image")


def truncated(image_format: str) -> UnreadableImage:
    """The problem of a file that ends too early."""
    return UnreadableImage(f"is a truncated {image_format}", FETCH)


def check_format(content: bytes) -> str:
    """The format of a file's bytes.

    Raises:
        UnreadableImage: where there are none, or they are no image of a format that is read.
    """
    if not content:
        raise UnreadableImage("is empty (0 bytes)", FETCH)
    image_format = formats.image_format(content)
    if image_format is None:
        raise UnreadableImage("cannot be decoded as an image")
    if image_format not in formats.READ:
        raise UnreadableImage(f"is {image_format}, which is not supported")
    return image_format
