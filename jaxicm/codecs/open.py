"""Opening codecs by name and files by what their header says."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from jaxicm.bits.container import unpack
from jaxicm.codecs import zoo
from jaxicm.codecs.image import CODEC_NAME, ImageCodec, check_header
from jaxicm.errors import CorruptFile


def load_codec(name: str) -> ImageCodec:
    """Load the codec of a model's name or weight file; loaded weights are kept."""
    path = zoo.find(name)
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else ImageCodec.load(path)


def decode_file(data: bytes) -> np.ndarray:
    """Decode a compressed file of any codec to uint8 `[H, W, 3]` or `[H, W]`."""
    header, sections = unpack(data)
    if header.codec != CODEC_NAME:
        raise CorruptFile(f"the codec is '{header.codec}', expected '{CODEC_NAME}'; get an intact copy of the file")
    check_header(header)
    return load_codec(str(zoo.find_digest(header.weights))).decode_sections(header, sections).image


@lru_cache(maxsize=4)
def _load(path: Path, changed_ns: int) -> ImageCodec:
    del changed_ns  # only makes the cache notice a new file
    return ImageCodec.load(path)
