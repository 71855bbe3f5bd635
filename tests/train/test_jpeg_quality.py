"""The quality of JPEG files: compared with the setting that Pillow wrote them with."""

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxicm.train.jpeg_quality import jpeg_quality


def file(quality: int, *, format: str = "JPEG", grey: bool = False) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16) if grey else (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, quality=quality)
    return buffer.getvalue()


@given(quality=st.integers(1, 99), grey=st.booleans())
def test_the_quality_that_pillow_was_asked_for_is_found(quality: int, grey: bool):
    assert jpeg_quality(file(quality, grey=grey)) == quality


def test_a_table_of_another_program_gets_the_nearest_quality():
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", qtables=[[3] * 64, [3] * 64])
    assert 90 < (jpeg_quality(buffer.getvalue()) or 0) < 99


def test_other_files_and_damaged_headers_have_no_quality():
    assert jpeg_quality(file(80, format="PNG")) is None
    assert jpeg_quality(b"\xff\xd8\xff\xe0") is None
    assert jpeg_quality(b"") is None
