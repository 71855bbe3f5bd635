"""JPEG XL through imagecodecs."""

import importlib.util
from dataclasses import dataclass

import numpy as np

from jaxicm.errors import MissingDependency
from jaxicm.evaluate.anchors.interface import Anchor, Coded, Decoded, thread_timed

_MISSING = "JPEG XL needs imagecodecs: pip install 'jaxicm[anchors]'"


@dataclass(frozen=True)
class JpegXlAnchor(Anchor):
    """Describe JPEG XL; its setting is the Butteraugli distance, larger for a smaller file.

    Attributes:
        effort: of the encoder, 1 to 9; 7 is the library's default.
    """

    effort: int = 7

    def missing(self) -> str | None:
        return _MISSING if importlib.util.find_spec("imagecodecs") is None else None

    def version(self) -> dict[str, str]:
        imagecodecs = _imagecodecs()
        libraries = dict(part.rsplit("-", 1) for part in imagecodecs.version().split(", "))
        return {
            "imagecodecs": imagecodecs.__version__,
            "libjxl": libraries.get("libjxl", "unknown"),
            "options": f"effort={self.effort}",
        }

    def encode(self, pixels: np.ndarray, setting: float) -> Coded:
        self.check(pixels, setting)
        encode = _imagecodecs().jpegxl_encode
        pixels = np.ascontiguousarray(pixels)
        data, cpu_s = thread_timed(
            lambda: encode(pixels, effort=self.effort, distance=float(setting), lossless=False, numthreads=1)
        )
        return Coded(bytes(data), cpu_s)

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> Decoded:
        del height, width, grey  # the stream holds them
        decode = _imagecodecs().jpegxl_decode
        return Decoded(*thread_timed(lambda: decode(data, numthreads=1)))


def _imagecodecs():
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingDependency(_MISSING) from error
    return imagecodecs
