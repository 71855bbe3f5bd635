"""How decoders turn luma and chroma into RGB, integer for integer, and which luma and chroma a colour came from.

A decoder maps 8-bit triples (luma, two chroma) to RGB. The map is one to one nearly everywhere inside the cube, but
only one RGB colour in four (JPEG) or in nine (PhotoCD) is ever its result: who knows the map, need not code the rest.

Sources: JPEG: ITU-T T.871 (JFIF), in the fixed-point arithmetic of the Independent JPEG Group's library, which nearly
all decoders share. PhotoCD: Kodak's PhotoYCC, luma times 1.3584, chroma times 2.2179 and 1.8215 (J. Giorgianni,
T. Madden, "Digital Color Management", 1998); where a decoder rounds was found from the pictures of the Kodak suite,
of which it explains all but a few pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

_HALF = 1 << 15
_UNITS = 10_000  # PhotoCD's factors have four digits
_SATURATION = 96
"""How far a component may have been beyond the range before it was cut off."""


@dataclass(frozen=True)
class Conversion:
    """One way from luma and chroma to RGB.

    Attributes:
      name: of the format.
      zero: the two values of chroma that stand for grey.
      raw: maps int64 luma and centred chroma, each `[...]`, to `[..., 3]` before it is cut to [0, 255].
      matrix: about the same map for real numbers.
      offset: about what rounding takes from each component.
    """

    name: str
    zero: tuple[int, int]
    raw: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    matrix: tuple[tuple[float, float, float], ...]
    offset: tuple[float, float, float]

    def to_rgb(self, ycc: np.ndarray) -> np.ndarray:
        """Convert integers `[..., 3]`, luma and centred chroma, to RGB: int64 of the same shape."""
        y, first, second = np.moveaxis(ycc.astype(np.int64), -1, 0)
        return np.clip(self.raw(y, first, second), 0, 255)

    def from_rgb(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find what colours came from.

        Args:
          rgb: integers `[n, 3]`, in [0, 255].

        Returns:
          int64 `[n, 3]`, luma and centred chroma, and bool `[n]`, whether `to_rgb` returns the colour; where it does
          not, it returns one near it. The same colour always gives the same.
        """
        rgb = rgb.astype(np.int64)
        inverse = np.linalg.inv(self.matrix)
        start = np.rint((rgb + self.offset) @ inverse.T).astype(np.int64)
        found = self._inside(start)
        solved = np.all(self.to_rgb(found) == rgb, axis=1)
        for step in _NEIGHBOURS[1:]:
            _try(self, rgb, start + step, found, solved)
        # A component at the end of the range may have been beyond it.
        beyond = (rgb == 255).astype(np.int64) - (rgb == 0)
        for excess in range(1, _SATURATION + 1):
            left = np.flatnonzero(~solved & beyond.any(axis=1))
            if not left.size:
                break
            real = (rgb[left] + excess * beyond[left] + self.offset) @ inverse.T
            some, done = found[left], np.zeros(left.size, bool)
            for step in _NEIGHBOURS[:_NEAREST]:
                _try(self, rgb[left], np.rint(real).astype(np.int64) + step, some, done)
            found[left], solved[left] = some, done
        return found, solved

    def luma_of(self, rgb: np.ndarray, chroma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the luma that gives colours with known chroma.

        Args:
          rgb: integers `[n, 3]`, in [0, 255].
          chroma: integers `[n, 2]`, centred.

        Returns:
          int64 `[n]`, the luma, or else one that comes near; int64 `[n]`, by how much the components miss in all.
        """
        matrix = np.asarray(self.matrix)
        # Each component tells the luma but for rounding, unless it is cut off.
        real = (rgb + self.offset - chroma @ matrix[:, 1:].T) / matrix[:, 0]
        guesses = [np.full(len(rgb), 0), np.full(len(rgb), 255)]
        guesses += [np.clip(np.rint(real[:, c]) + step, 0, 255) for c in (1, 0, 2) for step in (0, -1, 1)]
        best, missed = np.zeros(len(rgb), np.int64), np.full(len(rgb), np.iinfo(np.int64).max)
        for guess in guesses[2:] + guesses[:2]:
            luma = guess.astype(np.int64)
            away = np.abs(self.to_rgb(np.column_stack([luma, chroma])) - rgb).sum(axis=1)
            better = away < missed
            best[better], missed[better] = luma[better], away[better]
        return best, missed

    def _inside(self, ycc: np.ndarray) -> np.ndarray:
        low = np.array([0, -self.zero[0], -self.zero[1]])
        return np.clip(ycc, low, low + 255)


def _try(conversion: Conversion, rgb: np.ndarray, guess: np.ndarray, found: np.ndarray, solved: np.ndarray) -> None:
    """Take guesses that give the colours not solved yet."""
    left = np.flatnonzero(~solved)
    inside = conversion._inside(guess[left])
    right = np.all(conversion.to_rgb(inside) == rgb[left], axis=1)
    found[left[right]] = inside[right]
    solved[left[right]] = True


_NEIGHBOURS = np.array(sorted(product((0, -1, 1, -2, 2), repeat=3), key=lambda step: sum(k * k for k in step)))
_NEAREST = 27


def _jpeg(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    red = y + (91881 * cr + _HALF >> 16)
    green = y + (-22554 * cb - 46802 * cr + _HALF >> 16)
    return np.stack([red, green, y + (116130 * cb + _HALF >> 16)], axis=-1)


def _photo_cd(y: np.ndarray, c1: np.ndarray, c2: np.ndarray) -> np.ndarray:
    luma, blue, red = 13584 * y, 22179 * c1, 18215 * c2
    green = luma - 1940 * (blue // _UNITS) - 5090 * (red // _UNITS)
    return np.stack([luma + red, green, luma + blue], axis=-1) // _UNITS


JPEG = Conversion("JPEG", (128, 128), _jpeg, ((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0)), (0.0, 0.0, 0.0))
PHOTO_CD = Conversion(
    "PhotoCD",
    (156, 137),
    _photo_cd,
    ((1.3584, 0, 1.8215), (1.3584, -0.43027, -0.92714), (1.3584, 2.2179, 0)),
    (0.5, 0.15, 0.5),
)
