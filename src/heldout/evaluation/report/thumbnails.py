"""Pictures inside the page: as data URIs, small enough for a page of three megabytes."""

import base64
import io

import numpy as np
from PIL import Image

from heldout.evaluation.plots import sheet

MAX_SIDE = 128  # pixels; the page shows them at 112
LOSSLESS_SIDE = 40  # up to which a picture is kept to the pixel, which the page shows as squares
QUALITY = 80  # of JPEG: about 5 KB a photo


def thumbnail(picture: np.ndarray) -> str:
    """A data URI of the picture, shrunk to MAX_SIDE pixels.

    Args:
        picture: uint8 (height, width, channels), RGB or gray.
    """
    image = Image.fromarray(np.ascontiguousarray(sheet.rgb(picture)))
    buffer = io.BytesIO()
    if max(image.size) <= LOSSLESS_SIDE:
        image.save(buffer, "PNG", optimize=True)
        return data_uri(buffer.getvalue(), "png")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    image.save(buffer, "JPEG", quality=QUALITY)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """A picture file as the address of an image: no request."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
