"""One picture at one operating point: scaled, encoded, decoded, scaled back and measured."""

import functools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import JaxicmError
from jaxicm.evaluate.coded_files import CodedFiles
from jaxicm.evaluate.journal import Key
from jaxicm.evaluate.metrics import ms_ssim, ms_ssim_db, psnr, psnr_yuv
from jaxicm.evaluate.subjects import DecodedPicture, Encoded, Subject, subject
from jaxicm.media.pictures import read_picture
from jaxicm.media.scaling import resize, scaled_size


@dataclass(frozen=True)
class Need:
    """Say what is still to be found out about a picture at an operating point.

    Attributes:
        key: the picture and the operating point.
        measure: rate, quality and seconds.
        lpips: the perceptual distance.
        observers: names of the observers that have not seen it.
        crop: a crop is to be written.
    """

    key: Key
    measure: bool = True
    lpips: bool = False
    observers: tuple[str, ...] = ()
    crop: bool = False

    @property
    def decoded(self) -> bool:
        """Return whether more than the measurements is to be made of the decoded picture."""
        return self.lpips or self.crop or bool(self.observers)


@dataclass(frozen=True)
class Outcome:
    """Hold what coding a picture gave.

    Attributes:
        need: that it answers.
        measured: fields of "pictures" in the run file, where they were needed.
        decoded: uint8, of the original's size, where it was needed.
        failure: one line, where it failed.
    """

    need: Need
    measured: dict[str, Any] = field(default_factory=dict)
    decoded: np.ndarray | None = None
    failure: str | None = None


@functools.lru_cache(maxsize=2)
def read_original(path: Path) -> np.ndarray:
    """Read the pixels of a picture; the last ones are kept."""
    return read_picture(path).pixels


def code_file(codec: str, path: Path, need: Need, kept: Path | None = None) -> Outcome:
    """Do everything for a conventional codec, in whatever process this is.

    Args:
        codec: its name.
        path: of the original.
        need: what to find out.
        kept: folder of coded files that are used again, or None.

    Returns:
        What it gave.
    """
    original, item = read_original(path), _kept_subject(codec)
    try:
        encoded = encode(item, original, need.key, kept)
        decoded = decode(item, encoded, original, need.key)
    except JaxicmError as error:
        return Outcome(need, failure=str(error))
    return assess(original, encoded, decoded, need)


def encode(item: Subject, original: np.ndarray, key: Key, kept: Path | None = None) -> Encoded:
    """Scale a picture and compress it; scaling is not timed.

    Args:
        item: the codec.
        original: uint8 [H, W, 3] or [H, W].
        key: the operating point.
        kept: folder of coded files that are used again, or None.

    Returns:
        The file.
    """
    pixels = resize(original, *coded_size(original, key.scale))
    return item.encode(pixels, key.quality) if kept is None else CodedFiles(kept).encode(item, pixels, key.quality)


def decode(item: Subject, encoded: Encoded, original: np.ndarray, key: Key) -> DecodedPicture:
    """Decode a file of `encode`, at the size at which it was coded.

    Args:
        item: the codec.
        encoded: the file.
        original: uint8 [H, W, 3] or [H, W].
        key: the operating point.

    Returns:
        The picture, not yet scaled back.
    """
    return item.decode(encoded.data, *coded_size(original, key.scale), grey=original.ndim == 2)


def coded_size(original: np.ndarray, scale: int) -> tuple[int, int]:
    """Return the height and width at which a picture is coded."""
    return scaled_size(original.shape[0], original.shape[1], scale)


def assess(original: np.ndarray, encoded: Encoded, decoded: DecodedPicture, need: Need, timed: bool = True) -> Outcome:
    """Scale a decoded picture back and measure it.

    Args:
        original: uint8 [H, W, 3] or [H, W].
        encoded: its file.
        decoded: what the decoder made of that.
        need: what to find out.
        timed: whether the seconds mean anything.

    Returns:
        What it gave; bits per pixel (bpp) are of the original's pixels, bits per sub-pixel (bpsp) are given only where
        every sample came back.
    """
    height, width = original.shape[:2]
    expected = (*coded_size(original, need.key.scale), *original.shape[2:])
    if decoded.pixels.shape != expected or decoded.pixels.dtype != np.uint8:
        return Outcome(
            need,
            failure=f"the decoder gave {decoded.pixels.dtype} {decoded.pixels.shape}, expected uint8 {expected}",
        )
    pixels = resize(decoded.pixels, height, width)
    measured: dict[str, Any] = {}
    if need.measure:
        similarity = ms_ssim(original, pixels)
        size_bits = 8 * len(encoded.data)
        measured = {
            "width": width,
            "height": height,
            "size_bytes": len(encoded.data),
            "bpp": size_bits / (height * width),
            "bpsp": size_bits / original.size if np.array_equal(original, pixels) else None,
            "psnr_rgb": finite(psnr(original, pixels)),
            "psnr_yuv": finite(psnr_yuv(original, pixels)),
            "ms_ssim": similarity,
            "ms_ssim_db": finite(ms_ssim_db(similarity)),
            "lpips": None,
            "encode_s": encoded.seconds if timed else None,
            "decode_s": decoded.seconds if timed else None,
            "encode_parts_s": encoded.parts_s if timed else {},
            "decode_parts_s": decoded.parts_s if timed else {},
        }
    return Outcome(need, measured, pixels if need.decoded else None)


def finite(value: float) -> float | None:
    """Return a number that JSON can hold, or None in place of an infinite one."""
    return value if math.isfinite(value) else None


@functools.lru_cache(maxsize=2)
def _kept_subject(codec: str) -> Subject:
    return subject(codec)
