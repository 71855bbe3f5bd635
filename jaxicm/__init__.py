"""Learned image and video coding, for machines and for people, in JAX.

>>> import jaxicm
>>> codec = jaxicm.load("fast")                      # doctest: +SKIP
>>> data = codec.encode(image_uint8, quality=60)     # doctest: +SKIP
>>> image = jaxicm.decode(data)                      # doctest: +SKIP
>>> codec = jaxicm.load("lossless_fast")             # doctest: +SKIP
>>> data = codec.encode(samples_uint8_or_uint16)     # doctest: +SKIP

Importing this package imports no JAX; the first `load` or `decode` does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from jaxicm.codecs.image import ImageCodec
    from jaxicm.codecs.lossless import LosslessCodec

__version__ = "0.1.0"
__all__ = ["__version__", "decode", "load"]


def load(name: str = "fast") -> "ImageCodec | LosslessCodec":
    """Load a codec by the name of its weights (see `jaxicm models`) or the path of a weight file.

    Raises:
      InputError: if there are no such weights.
    """
    from jaxicm.codecs.open import load_codec

    return load_codec(name)


def decode(data: bytes, decoder: str | None = None) -> "np.ndarray":
    """Decode a compressed picture with the weights that it names.

    Args:
      data: the bytes of a file.
      decoder: "people" or "machine", where the weights have a further decoder; by default the one that the file names.

    Returns:
      uint8 `[H, W, 3]` RGB or `[H, W]` grey; of a lossless file the samples that went in, uint8 or uint16, with
      an alpha channel where they had one.

    Raises:
      FileFormatError: a subclass says why the file cannot be decoded.
    """
    from jaxicm.codecs.open import decode_file

    return decode_file(data, decoder)
