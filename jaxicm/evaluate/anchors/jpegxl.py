"""JPEG XL through imagecodecs, with and without loss."""

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxicm.errors import MissingDependency
from jaxicm.evaluate.anchors.interface import Anchor, Coded, Decoded, thread_timed

_MISSING = "JPEG XL needs imagecodecs: pip install 'jaxicm[anchors]'"


class _JpegXl(Anchor):
    """What JPEG XL with and without loss share; a subclass says how the setting enters."""

    def missing(self) -> str | None:
        return _MISSING if importlib.util.find_spec("imagecodecs") is None else None

    def version(self) -> dict[str, str]:
        imagecodecs = _imagecodecs()
        libraries = dict(part.rsplit("-", 1) for part in imagecodecs.version().split(", "))
        return {
            "imagecodecs": imagecodecs.__version__,
            "libjxl": libraries.get("libjxl", "unknown"),
            "options": self.fixed_options(),
        }

    def encode(self, pixels: np.ndarray, setting: float) -> Coded:
        self.check(pixels, setting)
        encode, options = _imagecodecs().jpegxl_encode, self.options(setting)
        pixels = np.ascontiguousarray(pixels)
        data, cpu_s = thread_timed(lambda: encode(pixels, numthreads=1, **options))
        return Coded(bytes(data), cpu_s)

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> Decoded:
        del height, width, grey  # the stream holds them
        decode = _imagecodecs().jpegxl_decode
        return Decoded(*thread_timed(lambda: decode(data, numthreads=1)))

    def fixed_options(self) -> str:
        """Return the options that do not depend on the setting, as `version` names them."""
        raise NotImplementedError

    def options(self, setting: float) -> dict[str, Any]:
        """Return the arguments of the encoder at a setting."""
        raise NotImplementedError


@dataclass(frozen=True)
class JpegXlAnchor(_JpegXl):
    """Describe JPEG XL; its setting is the Butteraugli distance, larger for a smaller file.

    Attributes:
        effort: of the encoder, 1 to 9; 7 is the library's default.
    """

    effort: int = 7

    def fixed_options(self) -> str:
        return f"effort={self.effort}"

    def options(self, setting: float) -> dict[str, Any]:
        return {"effort": self.effort, "distance": float(setting), "lossless": False}


@dataclass(frozen=True)
class LosslessJpegXlAnchor(_JpegXl):
    """Describe JPEG XL without loss; its setting is the effort, larger for a smaller file that takes longer to make.

    The encoder chooses a colour transform by itself.
    """

    lossless: bool = True

    def fixed_options(self) -> str:
        return "lossless=True"

    def options(self, setting: float) -> dict[str, Any]:
        return {"effort": int(setting), "lossless": True}


def _imagecodecs():
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingDependency(_MISSING) from error
    return imagecodecs
