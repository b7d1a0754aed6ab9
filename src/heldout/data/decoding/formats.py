"""Image formats by a file's first bytes: those that are read, and those that are named in a problem."""

import re

HEAD = 32  # bytes that tell the format
# What is read, and Pillow's name of it. docs/data.md says how.
READ = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "WebP": "WEBP",
    "BMP": "BMP",
    "GIF": "GIF",
    "TIFF": "TIFF",
    "AVIF": "AVIF",
    "PNM": "PPM",
    "JPEG 2000": "JPEG2000",
}
# Formats of one signature. The longest comes first where one begins like another.
SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51\x00": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"8BPS\x00\x01": "PSD",
    b"8BPS\x00\x02": "PSD",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE\n": "Radiance HDR",
    b"#?RGBE\n": "Radiance HDR",
    b"qoif": "QOI",
    b"DDS |\x00\x00\x00": "DDS",
    b"icns\x00": "ICNS",
    b"\x59\xa6\x6a\x95": "Sun raster",
    b"gimp xcf ": "XCF",
    b"FUJIFILMCCD-RAW": "camera raw",
    b"IIU\x00": "camera raw",
    b"IIRO": "camera raw",
    b"IIRS": "camera raw",
    b"II\x1a\x00\x00\x00HEAPCCDR": "camera raw",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00\x08\x00\x00\x00": "TIFF",
    b"MM\x00+\x00\x08\x00\x00": "TIFF",
}
# The brand of an ISO media file. MP4 and QuickTime have the same box with others.
BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIC"),
    b"crx ": "camera raw",
}
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes; "BM" alone begins many a text
PNM = re.compile(rb"P[1-6]\s+(#|\d+\s+(#|\d+\s))")  # a comment may fill the head
PAM = re.compile(rb"P7\s*\n(WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE|#)")
PFM = re.compile(rb"P[Ff]\s+\d+\s+\d")
SVG = re.compile(rb"(\xef\xbb\xbf)?\s*<svg[\s>]")


def image_format(head: bytes) -> str | None:
    """The image format that a file's first bytes begin like, or None where they are no image's.

    Args:
        head: the first 32 bytes (`HEAD`), or all of a shorter file. More do not matter.
    """
    head = head[:HEAD]
    for start, name in SIGNATURES.items():
        if head.startswith(start):
            # Canon writes its mark behind a TIFF's header.
            return "camera raw" if name == "TIFF" and head[8:10] == b"CR" else name
    if container := _container_format(head):
        return container
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    if head[:4] in (b"\x00\x00\x01\x00", b"\x00\x00\x02\x00") and _is_icon(head):
        return "ICO"
    patterns = {"PNM": PNM, "PAM": PAM, "PFM": PFM, "SVG": SVG}
    return next((name for name, pattern in patterns.items() if pattern.match(head)), None)


def _container_format(head: bytes) -> str | None:
    """WebP and what shares the ISO media container; sound and film do as well, so the four letters inside decide."""
    if head.startswith(b"RIFF"):
        return "WebP" if head[8:12] == b"WEBP" else None
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[start : start + 4] for start in range(16, len(head) - 3, 4))]
        names = [BRANDS[brand] for brand in brands if brand in BRANDS]
        # mif1 is the major brand of some AVIF files as well.
        return "AVIF" if "AVIF" in names else names[0] if names and brands[0] in BRANDS else None
    return None


def _is_icon(head: bytes) -> bool:
    """Whether the directory's first entry can be one: the four bytes before it begin other files too."""
    count, reserved, offset = head[4:6], head[9:10], int.from_bytes(head[18:22], "little")
    return len(head) >= 22 and count != b"\x00\x00" and reserved == b"\x00" and offset >= 22
