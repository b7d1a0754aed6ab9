"""Damaged files of every format: pixels or one line, the same in the index, in training and in prediction."""

import re
from pathlib import Path

import numpy as np
import pytest
from encoded import CHANGES, change, corpus, with_right_checksums
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.data import image_info, images
from heldout.data.listing.files import ImageFile, Problem

FILES = corpus()
FORMATS = sorted({name.split()[0] for name in FILES})
MEGAPIXELS = 4
SETTINGS = {"channels": 3, "resize": "crop", "interpolation": "area", "pad_color": [0, 0, 0], "image_size": [16, 16]}


def files_of(image_format: str) -> list[bytes]:
    return [content for name, content in FILES.items() if name.split()[0] == image_format]


@st.composite
def damaged(draw, image_format: str):
    content = draw(st.sampled_from(files_of(image_format)))
    for _ in range(draw(st.integers(1, 3))):
        other = draw(st.sampled_from(list(FILES.values())))
        where, amount = draw(st.floats(0, 1)), draw(st.integers(0, 65535))
        content = change(content, draw(st.sampled_from(CHANGES)), where, amount, other)
    return with_right_checksums(content) if image_format == "PNG" and draw(st.booleans()) else content


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "a.img"


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_damaged_file_is_pixels_or_one_line(path, image_format):
    outcomes = set()

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(damaged(image_format))
    def check(content):
        path.write_bytes(content)
        row = image_info._read_file(ImageFile(str(path), "x"), path.parent, MEGAPIXELS)
        outcomes.add(type(row))
        if isinstance(row, Problem):
            assert row.kind == "unusable" and len(f"{row.reason}{row.remedy}".splitlines()) == 1
        for fast in (False, True):
            try:
                pixels = images.decode_and_resize(content, "a.img", None, MEGAPIXELS, fast_decode=fast, **SETTINGS)
            except ValueError as error:
                assert isinstance(row, Problem) and re.fullmatch(r"a\.img [^\n]+: [^\n]+", str(error))
            else:
                assert not isinstance(row, Problem) and pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8

    check()
    assert outcomes == {Problem, image_info.IndexedImage}


@pytest.mark.parametrize("name", FILES)
def test_half_of_a_file_is_a_problem(name):
    content = FILES[name]
    images.decode(content, "x")
    # What is missing may be the second frame of an animation, or the preview behind a phone's photo.
    for part in (0.1, 0.3) if name in ("GIF 2", "MPO 0") else (0.1, 0.5, 0.9):
        with pytest.raises(ValueError, match=r"^x (is a truncated|cannot be decoded|is a damaged)"):
            images.decode(content[: int(part * len(content))], "x")


@given(st.binary(max_size=200))
@settings(max_examples=1000, derandomize=True, database=None, deadline=None)
def test_any_bytes_are_a_line(content):
    with pytest.raises(ValueError, match=r"^x [^\n]+: [^\n]+$"):
        images.decode(content, "x")
