"""Finding the quality for a size, a rate or a PSNR by trying."""

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from jaxicm.adapt.stage import Progress
from jaxicm.errors import TargetError
from jaxicm.media.fidelity import psnr

if TYPE_CHECKING:
    from jaxicm.codecs.image_result import EncodeResult

LOW, HIGH = 16, 1600
"""Range of 16 times the quality."""
_LOSSLESS_DB = 100.0
"""Stands for the PSNR of equal pictures: the search needs a finite number."""


class Attempt(Protocol):
    """Encode once at 16 times a quality."""

    def __call__(self, quality_q4: int, *, reconstruct: bool) -> "EncodeResult": ...


class Adapt(Protocol):
    """Adapt the picture at the quality of a result."""

    def __call__(
        self, *, first: "EncodeResult", limit_s: float | None, progress: Progress | None
    ) -> "EncodeResult": ...


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


ADAPTATIONS = 4
"""How often a picture is adapted at most while a target is sought."""


def search_adapted(
    attempt: Attempt,
    adapt: Adapt,
    name: str,
    target: float,
    image: np.ndarray,
    limit_s: float | None,
    progress: Progress | None,
) -> "EncodeResult":
    """Do the same with adaptation, which changes size and PSNR at a quality by a few per cent.

    The quality is sought without adaptation, for a target that is corrected by what adaptation did to it before.

    Args:
      attempt, name, target, image: as of `search`.
      adapt: adapts at the quality of a result.
      limit_s: seconds of adaptation in all.
      progress: of each adaptation.

    Returns:
      The best result that keeps the target; one without adaptation where none with it does.

    Raises:
      TargetError: as `search`.
    """
    first = search(attempt, name, target, image)
    began, goal, by_psnr = time.monotonic(), target, name == "psnr"
    pixels = image.shape[0] * image.shape[1]
    best: EncodeResult | None = None

    def value(result: "EncodeResult") -> float:
        if by_psnr:
            assert result.reconstruction is not None
            return psnr(image, result.reconstruction)
        return 8 * len(result.data) / pixels if name == "bpp" else float(len(result.data))

    tried = set()
    result = first
    for turn in range(ADAPTATIONS):
        left = None if limit_s is None else (limit_s - (time.monotonic() - began)) / (ADAPTATIONS - turn)
        if result.quality in tried or (left is not None and left <= 0):
            break
        tried.add(result.quality)
        found = adapt(first=result, limit_s=left, progress=progress)
        reached = value(found)
        keeps = reached >= target if by_psnr else reached <= target
        if keeps and (best is None or (reached < value(best) if by_psnr else reached > value(best))):
            best = found
        if keeps and (reached - target < _NEAR_DB if by_psnr else reached > target * (1 - _NEAR)):
            break
        # The next one aims at the near side of the target.
        if by_psnr:
            goal += target + 0.3 * _NEAR_DB - reached
        else:
            goal *= target * (1 - 0.3 * _NEAR) / reached
        try:
            result = search(attempt, name, goal, image)
        except TargetError:
            break
    return first if best is None else best


_NEAR, _NEAR_DB = 0.01, 0.05
"""How near to the target is near enough: a share of the size, or dB."""
