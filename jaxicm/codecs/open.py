"""Opening codecs by name and files by what their header says."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from jaxicm.bits.container import unpack
from jaxicm.codecs import filtered_clip, filtered_picture, image_file, lossless, zoo
from jaxicm.codecs.image import ImageCodec
from jaxicm.codecs.lossless import LosslessCodec
from jaxicm.codecs.weights import read_info
from jaxicm.errors import CorruptFile, InputError

Codec = ImageCodec | LosslessCodec


def load_codec(name: str) -> Codec:
    """Load the codec of a model's name or weight file; loaded weights are kept."""
    path = zoo.find(name)
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else ImageCodec.load(path)


def decode_file(data: bytes, decoder: str | None = None) -> np.ndarray:
    """Decode a compressed file of any codec.

    Args:
      data: the bytes of a file.
      decoder: for whom, "people" or "machine"; by default for whom the file says.

    Returns:
      uint8 `[H, W, 3]` or `[H, W]`; of a lossless file the samples that went in, uint8 or uint16, with alpha if it has.
    """
    header, sections = unpack(data)
    if header.codec == lossless.CODEC_NAME:
        simple = lossless.decode_simple(header, sections)
        if simple is not None:
            return simple.samples
    elif header.codec == image_file.CODEC_NAME:
        image_file.check_header(header)
    elif header.codec == filtered_picture.CODEC_NAME:
        return filtered_picture.decode_picture(data)
    elif header.codec == filtered_clip.CODEC_NAME:
        raise InputError(
            "this file holds a clip, not a picture; decode it with `jaxicm decode FILE CLIP.mkv`, or in Python with "
            "jaxicm.codecs.filtered_clip.decode_clip"
        )
    else:
        raise CorruptFile(f"the codec '{header.codec}' is unknown; get an intact copy of the file")
    codec = load_codec(str(zoo.find_digest(header.weights)))
    wanted = LosslessCodec if header.codec == lossless.CODEC_NAME else ImageCodec
    if not isinstance(codec, wanted):
        raise CorruptFile(f"the codec '{header.codec}' does not fit the weights {codec.info.name}; get an intact copy")
    if isinstance(codec, LosslessCodec):
        return codec.decode_sections(header, sections).samples
    return codec.decode_sections(header, sections, decoder).image


@lru_cache(maxsize=4)
def _load(path: Path, changed_ns: int) -> Codec:
    del changed_ns  # only makes the cache notice a new file
    info = read_info(path)
    if info.is_filter:
        raise InputError(
            f"weights {info.name} are a filter behind a conventional codec; `jaxicm encode --codec vvc --model` takes "
            "them for pictures, `jaxicm video encode --model` for clips"
        )
    return LosslessCodec.load(path) if info.is_lossless else ImageCodec.load(path)
