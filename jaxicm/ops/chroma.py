"""How decoders enlarge chroma of half the resolution, integer for integer, and what they enlarged.

Sources: the Independent JPEG Group's library, `h2v2_fancy_upsample` ("centred"), which nearly all decoders of JPEG
share, and plain repetition; "cosited" are the means that decoders of PhotoCD take, found from the Kodak suite.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_ROUNDS = 60
"""Corrections of the search for what was enlarged."""
_GAIN = 1.6
_SWEEPS = 8
_STEPS = tuple(sign * step for step in (1, 2, 4, 8, 16) for sign in (1, -1))


class Enlarging(NamedTuple):
    """One way to double both sides of planes.

    Attributes:
      name: of it.
      enlarge: maps int32 `[C, h, w]` to int32 `[C, 2 h, 2 w]`.
      reduce: finds planes that `enlarge` maps to given ones or near them.
      mirrored: whether pictures of decoders may have to be reversed along an axis for it.
    """

    name: str
    enlarge: Callable[[np.ndarray], np.ndarray]
    reduce: Callable[[np.ndarray], np.ndarray]
    mirrored: bool = False


def _before(x: np.ndarray, axis: int) -> np.ndarray:
    """Return the sample before each along an axis; the first is its own."""
    return np.concatenate([x.take([0], axis), x.take(range(x.shape[axis] - 1), axis)], axis)


def _after(x: np.ndarray, axis: int) -> np.ndarray:
    """Return the sample after each along an axis; the last is its own."""
    return np.concatenate([x.take(range(1, x.shape[axis]), axis), x.take([-1], axis)], axis)


def _interleaved(planes: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Join the planes of even and odd rows and columns."""
    first = planes[0][0]
    out = np.empty((first.shape[0], 2 * first.shape[1], 2 * first.shape[2]), first.dtype)
    for i, row in enumerate(planes):
        for j, plane in enumerate(row):
            out[:, i::2, j::2] = plane
    return out


def _repeat(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def _between(x: np.ndarray) -> np.ndarray:
    """Put samples at odd places and rounded means at even ones."""
    above, left = _before(x, 1), _before(x, 2)
    corner = _before(above, 2)
    return _interleaved(
        ((x + above + left + corner + 2 >> 2, x + above + 1 >> 1), (x + left + 1 >> 1, x)),
    )


def _triangle(x: np.ndarray) -> np.ndarray:
    """Weigh the four nearest samples by 9, 3, 3 and 1 sixteenths, with the rounding of the library."""
    rows = []
    for near in (_before, _after):
        total = 3 * x + near(x, 1)
        rows.append((3 * total + _before(total, 2) + 8 >> 4, 3 * total + _after(total, 2) + 7 >> 4))
    return _interleaved((rows[0], rows[1]))


def _untriangle(full: np.ndarray) -> np.ndarray:
    """Search for what `_triangle` enlarged: the error at a sample's four results corrects it."""
    target = full.astype(np.float64)

    def blocks(x: np.ndarray) -> np.ndarray:
        return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4

    def enlarged(x: np.ndarray) -> np.ndarray:
        rows = []
        for near in (_before, _after):
            total = 0.75 * x + 0.25 * near(x, 1)
            rows.append((0.75 * total + 0.25 * _before(total, 2), 0.75 * total + 0.25 * _after(total, 2)))
        return _interleaved((rows[0], rows[1]))

    guess = blocks(target)
    for _ in range(_ROUNDS):
        guess += _GAIN * blocks(target - enlarged(guess))
    return np.rint(guess).astype(np.int32)


ENLARGINGS = (
    Enlarging("centred", _triangle, _untriangle),
    Enlarging("repeated", _repeat, lambda full: np.ascontiguousarray(full[:, ::2, ::2])),
    Enlarging("cosited", _between, lambda full: np.ascontiguousarray(full[:, 1::2, 1::2]), mirrored=True),
)
"""The position plus one is the number in a file."""


def find_half(enlarging: Enlarging, full: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Find what was enlarged.

    Args:
      enlarging: the way.
      full: int32 `[C, 2 h, 2 w]`, the result.
      sure: bool `[2 h, 2 w]`, where the result is known; elsewhere it may be wrong.

    Returns:
      int32 `[C, h, w]`; `enlarging.enlarge` maps it to `full` or as near as the search gets.
    """
    half = enlarging.reduce(full)
    low, high = full.min(axis=(1, 2)), full.max(axis=(1, 2))
    for plane, target, least, most in zip(half, full, low, high, strict=True):
        np.clip(plane, least, most, out=plane)
        for _ in range(_SWEEPS):
            wrong = sure & (enlarging.enlarge(plane[None])[0] != target)
            if not sum(_move(enlarging, plane, target, sure, *_near_samples(wrong, place)) for place in range(4)):
                break
    return half


def _near_samples(wrong: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the samples that have a share in some wrong result.

    Args:
      wrong: bool `[2 h, 2 w]`.
      place: 0 to 3, which samples: those of one place share no result.
    """
    wide = np.pad(wrong, 1)
    near = np.zeros((wrong.shape[0] // 2, wrong.shape[1] // 2), bool)
    for i, j in np.ndindex(4, 4):
        near |= wide[i : i + wrong.shape[0] : 2, j : j + wrong.shape[1] : 2]
    i, j = np.nonzero(near[place // 2 :: 2, place % 2 :: 2])
    return 2 * i + place // 2, 2 * j + place % 2


def _patches(half: np.ndarray, i: np.ndarray, j: np.ndarray, step: int) -> np.ndarray:
    """Return samples with their neighbours and `step` added to them: `[n, 3, 3]`.

    Of what these are enlarged to, rows and columns 1 to 4 are what the whole plane would give.
    """
    around = np.arange(3)
    found = np.pad(half, 1, mode="edge")[i[:, None, None] + around[:, None], j[:, None, None] + around]
    found[:, 1, 1] += step
    # At the edges of the picture a sample stands for those beyond too.
    found[:, 0, 1] += step * (i == 0)
    found[:, 2, 1] += step * (i == half.shape[0] - 1)
    found[:, 1, 0] += step * (j == 0)
    found[:, 1, 2] += step * (j == half.shape[1] - 1)
    return found


def _move(
    enlarging: Enlarging, half: np.ndarray, full: np.ndarray, sure: np.ndarray, i: np.ndarray, j: np.ndarray
) -> int:
    """Change samples that share no result for the better; return how many."""
    beyond = np.arange(4)
    rows, columns = 2 * i[:, None, None] + beyond[:, None], 2 * j[:, None, None] + beyond
    target, known = np.pad(full, 1)[rows, columns], np.pad(sure, 1)[rows, columns]

    def errors(step: int) -> np.ndarray:
        away = np.abs(enlarging.enlarge(_patches(half, i, j, step))[:, 1:5, 1:5] - target)
        return (away * known).sum(axis=(1, 2))

    best, change = errors(0), np.zeros(len(i), np.int32)
    for step in _STEPS:
        found = errors(step)
        change, best = np.where(found < best, step, change), np.minimum(found, best)
    half[i, j] += change
    return int(np.count_nonzero(change))
