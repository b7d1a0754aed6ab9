"""What is wrong with an image file: whatever a decoder raises becomes one reason and one remedy."""

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


def unreadable(image_format: str, error: Exception) -> UnreadableImage:
    """What a decoder raised, as a problem.

    Callers catch every exception: of damaged files, Pillow raises OSError, ValueError, SyntaxError, IndexError,
    KeyError, NotImplementedError, OverflowError, TypeError, EOFError, struct.error and zlib.error, OpenCV cv2.error.
    """
    if isinstance(error, UnreadableImage):
        return error
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
