"""Finding the quality for a size, a rate or a PSNR by trying."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

from jaxicm.errors import TargetError
from jaxicm.media.fidelity import psnr

if TYPE_CHECKING:
    from jaxicm.codecs.image import EncodeResult

LOW, HIGH = 16, 1600
"""Range of 16 times the quality."""
_LOSSLESS_DB = 100.0
"""Stands for the PSNR of equal pictures: the search needs a finite number."""


class Attempt(Protocol):
    """Encode once at 16 times a quality."""

    def __call__(self, quality_q4: int, *, reconstruct: bool) -> "EncodeResult": ...


def search(attempt: Attempt, name: str, target: float, image: np.ndarray) -> "EncodeResult":
    """Find the best quality whose file keeps a limit, or the smallest file that reaches a PSNR.

    Args:
      attempt: encodes at a quality.
      name: "bpp", "size_bytes" or "psnr".
      target: its value.
      image: the picture, uint8.

    Returns:
      For a rate, the result of the highest quality found whose size does not exceed the target; for a PSNR, that of the
      lowest quality found that reaches it.

    Raises:
      TargetError: if no quality does; the message says what can be reached.
    """
    pixels = image.shape[0] * image.shape[1]
    by_psnr = name == "psnr"
    limit = target * pixels / 8 if name == "bpp" else target

    def value(result: "EncodeResult") -> float:
        if not by_psnr:
            return float(np.log(len(result.data)))
        assert result.reconstruction is not None
        return min(psnr(image, result.reconstruction), _LOSSLESS_DB)

    goal = limit if by_psnr else float(np.log(limit))
    low, high = attempt(LOW, reconstruct=by_psnr), attempt(HIGH, reconstruct=by_psnr)
    if by_psnr and value(high) < goal:
        raise TargetError(f"PSNR {target:g} dB cannot be reached; quality 100 gives {value(high):.2f} dB")
    if not by_psnr and value(low) > goal:
        least = len(low.data)
        raise TargetError(
            f"{target:g} {'bpp' if name == 'bpp' else 'bytes'} cannot be reached; "
            f"quality 1 needs {least} bytes ({8 * least / pixels:.4f} bpp)"
        )
    if by_psnr and value(low) >= goal:
        return low
    if not by_psnr and value(high) <= goal:
        return high
    left, right = (LOW, low, value(low)), (HIGH, high, value(high))
    for turn in range(16):
        if right[0] - left[0] <= 1 or (turn > 3 and abs(left[2] - goal) < 1e-3):
            break
        # A secant step; halving every third time keeps a crooked curve from slowing it down.
        fraction = 0.5 if turn % 3 == 2 else (goal - left[2]) / max(right[2] - left[2], 1e-9)
        middle = left[0] + round(float(np.clip(fraction, 0.02, 0.98)) * (right[0] - left[0]))
        middle = min(max(middle, left[0] + 1), right[0] - 1)
        tried = (middle, result := attempt(middle, reconstruct=by_psnr), value(result))
        left, right = (left, tried) if tried[2] > goal or (by_psnr and tried[2] >= goal) else (tried, right)
    return right[1] if by_psnr else left[1]
