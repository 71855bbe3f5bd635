"""Reversible colour transforms of integers: nothing is lost, and neighbouring channels say less about each other.

Sources: YCoCg-R: H. Malvar, G. Sullivan, "YCoCg-R: a color space with RGB reversibility and low dynamic range",
JVT-I014, 2003; subtraction of green: the lossless modes of WebP and many others.
"""

from types import ModuleType
from typing import Any

COLOURS = ("none", "ycocg", "green")
"""Names of the transforms; the position is their number in a file."""


def forward(x: Any, colour: str, np: ModuleType) -> Any:
    """Transform RGB samples.

    Args:
      x: signed integers `[..., 3]`, of numpy or jax.
      colour: a name of `COLOURS`.
      np: `numpy` or `jax.numpy`, to which `x` belongs.

    Returns:
      The same shape. "ycocg": luma in the range of the samples, then two channels of one bit more; "green": green, and
      the differences of red and blue to it.
    """
    if colour == "none":
        return x
    r, g, b = x[..., 0], x[..., 1], x[..., 2]
    if colour == "green":
        return np.stack([g, r - g, b - g], axis=-1)
    co = r - b
    t = b + (co >> 1)
    cg = g - t
    return np.stack([t + (cg >> 1), co, cg], axis=-1)


def inverse(x: Any, colour: str, np: ModuleType) -> Any:
    """Undo `forward`; arguments as there."""
    if colour == "none":
        return x
    first, second, third = x[..., 0], x[..., 1], x[..., 2]
    if colour == "green":
        return np.stack([second + first, first, third + first], axis=-1)
    t = first - (third >> 1)
    b = t - (second >> 1)
    return np.stack([b + second, third + t, b], axis=-1)


def gamut(colour: str, most: int, known: list[Any], np: ModuleType) -> tuple[Any, Any]:
    """Return the bounds of a channel that RGB samples in [0, most] leave, given the channels before it.

    Where a picture is saturated, the bounds tell the sample almost or fully.

    Args:
      colour: a name of `COLOURS`.
      most: the largest RGB sample.
      known: int32 arrays of the channels before, of one shape.
      np: `numpy` or `jax.numpy`, to which they belong.

    Returns:
      The lowest and the highest value, inclusive: scalars, or arrays of the shape of the channels.
    """
    if not known or colour == "none":
        return 0, most
    if colour == "green":
        return -known[0], most - known[0]
    y = known[0]
    if len(known) == 1:
        low = np.maximum(np.maximum(-4 * y - 3, 4 * (y - most)), -most)
        return low, np.minimum(np.minimum(4 * y + 3, 4 * (most - y)), most)
    # green = y + ceil(cg / 2), blue = m - floor(cg / 2), red = blue + co
    co, m = known[1], y - (known[1] >> 1)
    low = np.maximum(-2 * y - 1, 2 * (np.maximum(m, m + co) - most))
    return low, np.minimum(2 * (most - y), 2 * np.minimum(m, m + co) + 1)
