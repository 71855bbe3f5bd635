"""Crops taken inside the compiled step from pictures that live in device memory."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.train import tone

_STACK_WASTE = 4
"""A stack of pictures of unequal sizes may take this many times the memory of the pictures."""
_TONE = 4
"""What the key of the tones is folded with, none of the numbers of the four other keys: these, and with them the crops,
are those of a run without tones."""
_LOBES = 3
"""Half the width of the Lanczos kernel, in samples of the smaller picture."""


def stack_pictures(pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put pictures into one array for device memory.

    Args:
      pictures: uint8 `[H, W, 3]` each, at least one.

    Returns:
      uint8 `[N, H, W, 3]`, smaller pictures at the top left, and int32 `[N, 2]` true heights and widths.

    Raises:
      ConfigError: the sizes differ so much that most of the array would be empty.
    """
    sizes = np.array([picture.shape[:2] for picture in pictures], np.int32)
    height, width = map(int, sizes.max(0))
    used, needed = int(sizes.prod(1, dtype=np.int64).sum()), len(sizes) * height * width
    if needed > _STACK_WASTE * used:
        raise ConfigError(
            f"resident pictures: their sizes differ up to {height}x{width}, a stack would take {3 * needed:,} bytes"
            f" for {3 * used:,} bytes of pictures; cut them to one size, or train without --resident"
        )
    stack = np.zeros((len(sizes), height, width, 3), np.uint8)
    for slot, picture in zip(stack, pictures, strict=True):
        slot[: picture.shape[0], : picture.shape[1]] = picture
    return stack, sizes


def resident_crops(
    stack: Array,
    sizes: Array,
    key: Array,
    *,
    count: int,
    crop: int,
    flip: bool = True,
    transpose: bool = True,
    smallest_scale: float = 1.0,
    unscaled: float = 0.5,
    toned: float = 0.0,
) -> Array:
    """Draw crops at random.

    Args:
      stack: uint8 `[N, H, W, 3]`, pictures at the top left.
      sizes: int32 `[N, 2]`, height and width of each picture, at least `crop`.
      key: of the choice.
      count: of crops.
      crop: side of a crop.
      flip: mirror half of them.
      transpose: swap rows and columns of half of them.
      smallest_scale: reduce crops by a factor drawn from [smallest_scale, 1], uniform in its logarithm.
      unscaled: share of the crops in [0, 1] that keep their own scale.
      toned: share of the crops in [0, 1] whose contrast, colours and light are varied.

    Returns:
      uint8 `[count, crop, crop, 3]`.
    """
    which_key, place_key, flip_key, transpose_key = jax.random.split(key, 4)
    which = jax.random.randint(which_key, (count,), 0, stack.shape[0])
    if smallest_scale < 1:
        place_key, scale_key = jax.random.split(place_key)
        side = _draw_sides(scale_key, sizes[which], crop, smallest_scale, unscaled)
        corner = jax.random.randint(place_key, (count, 2), 0, sizes[which] - side[:, None] + 1)
        widest = math.ceil(crop / smallest_scale)
        crops = jax.vmap(lambda *at: _reduced_region(stack, *at, widest=widest, crop=crop))(which, corner, side)
    else:
        corner = jax.random.randint(place_key, (count, 2), 0, sizes[which] - crop + 1)
        start = jnp.concatenate([which[:, None], corner, jnp.zeros_like(which)[:, None]], axis=1)
        crops = jax.vmap(lambda at: jax.lax.dynamic_slice(stack, tuple(at), (1, crop, crop, 3))[0])(start)
    if flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(count, 1, 1, 1))
        crops = jnp.where(mirrored, crops[:, :, ::-1], crops)
    if transpose:
        swapped = jax.random.bernoulli(transpose_key, shape=(count, 1, 1, 1))
        crops = jnp.where(swapped, crops.swapaxes(1, 2), crops)
    if toned:
        chosen, *position = jax.random.uniform(jax.random.fold_in(key, _TONE), (4, count, 1, 1, 1))
        varied = tone.toned(crops.astype(jnp.float32), *tone.draw_tone(position)).astype(jnp.uint8)
        crops = jnp.where(chosen < toned, varied, crops)
    return crops


def _draw_sides(key: Array, sizes: Array, crop: int, smallest_scale: float, unscaled: float) -> Array:
    """Draw the side of the square that becomes each crop: int32 `[count]`, at least `crop`, none above its picture."""
    keep, position = jax.random.uniform(key, (2, sizes.shape[0]))
    scale = jnp.where(keep < unscaled, 1.0, jnp.exp(position * math.log(smallest_scale)))
    side = jnp.clip(jnp.round(crop / scale), crop, math.ceil(crop / smallest_scale)).astype(jnp.int32)
    return jnp.minimum(side, sizes.min(axis=1))


def _reduced_region(stack: Array, which: Array, corner: Array, side: Array, *, widest: int, crop: int) -> Array:
    """Cut a square and reduce it as Pillow's LANCZOS filter does: uint8 `[crop, crop, 3]`.

    Args:
      stack: uint8 `[N, H, W, 3]`.
      which: of the pictures.
      corner: int32 `[2]`, top and left of the square.
      side: of the square, in [crop, widest].
      widest: side of the window that is cut for every square.
      crop: side of the result.
    """
    window = (min(widest, stack.shape[1]), min(widest, stack.shape[2]))
    start = jnp.minimum(corner, jnp.asarray([stack.shape[1] - window[0], stack.shape[2] - window[1]], jnp.int32))
    region = jax.lax.dynamic_slice(stack, (which, *start, jnp.zeros_like(which)), (1, *window, 3))[0]
    rows, columns = (
        lanczos_weights(corner[axis] - start[axis], side, length=window[axis], crop=crop) for axis in (0, 1)
    )
    across = _to_8_bit(_weighted("hwc,pw->hpc", region.astype(jnp.float32), columns))
    return _to_8_bit(_weighted("hpc,oh->opc", across, rows)).astype(jnp.uint8)


def _weighted(subscripts: str, samples: Array, weights: Array) -> Array:
    """Sum 8-bit samples with weights.

    Matrix units hold samples exactly, but weights only to 8 or 11 bits, which would be off by several levels: so the
    rest of each weight is multiplied apart, which takes less time than full precision.
    """
    coarse = weights.astype(jnp.bfloat16).astype(jnp.float32)
    return jnp.einsum(subscripts, samples, coarse) + jnp.einsum(subscripts, samples, weights - coarse)


def _to_8_bit(samples: Array) -> Array:
    return jnp.clip(jnp.round(samples), 0, 255)  # after either pass, as in Pillow


def lanczos_weights(first: Array, side: Array, *, length: int, crop: int) -> Array:
    """Return the weights by which `side` samples become `crop` samples: float32 `[crop, length]`.

    The kernel is widened by side / crop and cut at both ends of the span, and the weights of each result sum to 1. With
    side = crop every sample is itself.

    Args:
      first: of the samples within the window.
      side: how many there are, at least `crop`.
      length: of the window.
      crop: how many there will be.
    """
    factor = side.astype(jnp.float32) / crop
    centre = first.astype(jnp.float32) + (jnp.arange(crop, dtype=jnp.float32) + 0.5) * factor
    place = jnp.arange(length)
    distance = (place.astype(jnp.float32)[None, :] + 0.5 - centre[:, None]) / factor
    inside = (place >= first) & (place < first + side)
    kernel = jnp.where(jnp.abs(distance) < _LOBES, jnp.sinc(distance) * jnp.sinc(distance / _LOBES), 0.0)
    kernel = jnp.where(inside[None, :], kernel, 0.0)
    return kernel / kernel.sum(axis=1, keepdims=True)
