"""The checkerboard index: how strongly a decoder prints the grid of its strides onto a picture."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.media.pictures import read_picture

BAND = 0.02
"""Half width, in cycles per pixel, of the neighbourhood with which a frequency is compared."""


def checkerboard_index(pixels: np.ndarray, period: int = 8) -> float:
    """Return how far the spectrum stands out at multiples of 1/`period` cycles per pixel.

    With the residual r = x - lowpass(x) and S = |FFT|^2 of its rows and columns, averaged, the index is the mean over
    k = 1..period/2 of S(k/period) / median(S within 0.02 of k/period). Learned decoders upsample by strides, which
    leaves lines at these frequencies (ICM-GAN, ICIP 2022, removes them; the measure itself is this project's).

    The low-pass is the moving average of `period` pixels, made symmetrical with half weights at its ends: its response
    is zero at every multiple of 1/period, so the residual holds the lines in full. Rows and columns are cut into
    pieces of one length, a multiple of `period`, which puts each line into one bin; pieces overlap so that they cover
    the picture. Colour channels are averaged.

    Args:
        pixels: uint8 or float [H, W, 3] or [H, W]; both sides at least 5 * `period`.
        period: of the grid in pixels, even, at least 2.

    Returns:
        1.0 on average for photographs, between 0.9 and 1.2 for most; Kodak's originals have 1.2, as PhotoCD left a line
        at 1/2. A grid of lines 4 grey levels high gives 5. Blocks whose edges have random signs, as those of JPEG, are
        no periodic pattern and do not raise it. 1 for a picture without any detail.

    Raises:
        ValueError: too small a picture, or an odd period.
    """
    if period < 2 or period % 2:
        raise ValueError(f"the period must be even and at least 2, got {period}")
    if pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < smallest_side(period):
        raise ValueError(f"pixels must be [H, W] or [H, W, C] of {smallest_side(period)} pixels, got {pixels.shape}")
    x = np.atleast_3d(pixels).astype(np.float64)
    half = period // 2
    residual = x[half:-half, half:-half] - _moving_average(_moving_average(x, 0, period), 1, period)
    length = min(residual.shape[:2]) // period * period
    power = (_power(residual, length) + _power(residual.transpose(1, 0, 2), length)) / 2
    width = max(1, round(BAND * length))
    ratios = []
    for k in range(1, half + 1):
        line = k * length // period
        usual = float(np.median(power[max(line - width, 0) : line + width + 1]))
        # no power at all on either side is no grid; a line above nothing has no ratio, so it meets a tiny floor
        floor = 1e-12 * float(power.max())
        ratios.append((power[line] + floor) / (usual + floor) if floor > 0 else 1.0)
    return float(np.mean(ratios))


def smallest_side(period: int = 8) -> int:
    """Return the smallest side of a picture that has an index, in pixels: four periods beside the low-pass."""
    return 5 * period


def _moving_average(x: np.ndarray, axis: int, period: int) -> np.ndarray:
    """Average `period` + 1 pixels with half weights at the ends, only where they fit."""
    taps = np.r_[0.5, np.ones(period - 1), 0.5] / period
    count = x.shape[axis] - period
    return np.asarray(sum(tap * x.take(range(k, k + count), axis) for k, tap in enumerate(taps)))


def _power(rows: np.ndarray, length: int) -> np.ndarray:
    """Return |FFT|^2 of rows [n, W, C] in pieces of `length`, averaged: [length/2 + 1]."""
    extent = rows.shape[1]
    starts = np.linspace(0, extent - length, -(-extent // length)).astype(int)
    pieces = (np.fft.rfft(rows[:, start : start + length], axis=1) for start in starts)
    return np.mean([np.square(np.abs(piece)).mean((0, 2)) for piece in pieces], axis=0)


class CheckerboardObserver:
    """Measure the index of every decoded picture of a run; beside it stands that of the originals.

    Args:
        pictures: files of the originals by name.
    """

    name: str = "checkerboard"
    digest: str | None = None
    ground_truth: str | None = None

    def __init__(self, pictures: Mapping[str, Path]):
        self._pictures = pictures

    def observe(self, picture: str, original: np.ndarray, decoded: np.ndarray) -> dict[str, Any]:
        """Return the index of a decoded picture; None where it is too small to have one."""
        del picture, original
        small = min(decoded.shape[:2]) < smallest_side()
        return {"checkerboard": None if small else round(checkerboard_index(decoded), 4)}

    def summarise(self, observations: Mapping[str, dict[str, Any]]) -> dict[str, float]:
        """Return the mean over the pictures."""
        values = [one["checkerboard"] for one in observations.values() if one["checkerboard"] is not None]
        return {"checkerboard": float(np.mean(values))} if values else {}

    def reference(self) -> dict[str, float] | None:
        """Return the mean of the originals, from their files."""
        return dict(self._reference)

    @functools.cached_property
    def _reference(self) -> dict[str, float]:
        originals = ((name, read_picture(path).pixels) for name, path in self._pictures.items())
        return self.summarise({name: self.observe(name, pixels, pixels) for name, pixels in originals})
