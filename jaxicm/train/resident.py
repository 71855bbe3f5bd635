"""Crops taken inside the compiled step from pictures that live in device memory."""

import jax
import jax.numpy as jnp
from jax import Array


def resident_crops(
    stack: Array, sizes: Array, key: Array, *, count: int, crop: int, flip: bool = True, transpose: bool = True
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

    Returns:
      uint8 `[count, crop, crop, 3]`.
    """
    which_key, place_key, flip_key, transpose_key = jax.random.split(key, 4)
    which = jax.random.randint(which_key, (count,), 0, stack.shape[0])
    corner = jax.random.randint(place_key, (count, 2), 0, sizes[which] - crop + 1)
    start = jnp.concatenate([which[:, None], corner, jnp.zeros_like(which)[:, None]], axis=1)
    crops = jax.vmap(lambda at: jax.lax.dynamic_slice(stack, tuple(at), (1, crop, crop, 3))[0])(start)
    if flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(count, 1, 1, 1))
        crops = jnp.where(mirrored, crops[:, :, ::-1], crops)
    if transpose:
        swapped = jax.random.bernoulli(transpose_key, shape=(count, 1, 1, 1))
        crops = jnp.where(swapped, crops.swapaxes(1, 2), crops)
    return crops
