"""What encoding and decoding a picture gives besides bytes and pixels."""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from jaxicm.codecs.adaptation import Adapted
from jaxicm.errors import JaxicmError

T = TypeVar("T")

NO_VALUES = np.zeros((0, 0, 0), np.int16)
"""The latent of a file that holds none."""


@dataclass(frozen=True)
class EncodeResult:
    """A compressed picture and how it came about.

    Attributes:
      data: the file.
      quality: used, in 1..100.
      reconstruction: what the decoder shows, uint8, if it was computed on the way.
      timings_s: seconds by part: "analysis", "entropy" (probability networks), "coder" (rANS), "synthesis".
      estimated_bits: ideal code length of the latent.
      adapted: what adaptation gained; None where there was none.
      values_q4: int16 `[h, w, C]`, 16 times the quantised latent, as every decoder finds it; empty of a plain file.
      plain: whether the file keeps the picture without loss, because that costs less (see `codecs.plain`).
    """

    data: bytes
    quality: float
    reconstruction: np.ndarray | None
    timings_s: dict[str, float]
    estimated_bits: float
    values_q4: np.ndarray = field(repr=False)
    adapted: Adapted | None = None
    plain: bool = False


@dataclass(frozen=True)
class DecodeResult:
    """A decoded picture, uint8 `[H, W, 3]` or `[H, W]`, and seconds by part."""

    image: np.ndarray
    timings_s: dict[str, float]
    values_q4: np.ndarray = field(repr=False)


def result_of(found: T | JaxicmError) -> T:
    """Return what came of a picture of a batch, or raise the error that took its place."""
    if isinstance(found, JaxicmError):
        raise found
    return found
