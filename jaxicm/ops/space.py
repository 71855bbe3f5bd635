"""Moving pixels between space and depth, channel last."""

import jax.numpy as jnp
from jax import Array


def space_to_depth(x: Array, block: int) -> Array:
    """Fold `block` x `block` pixels into channels.

    Args:
      x: `[B, H, W, C]` with H and W divisible by `block`.
      block: side of the folded square in pixels.

    Returns:
      `[B, H/block, W/block, block*block*C]`, channels ordered (row, column, channel).
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // block, block, w // block, block, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // block, w // block, block * block * c)


def depth_to_space(x: Array, block: int) -> Array:
    """Unfold channels into `block` x `block` pixels, the inverse of `space_to_depth`.

    Args:
      x: `[B, H, W, block*block*C]`.
      block: side of the unfolded square in pixels.

    Returns:
      `[B, H*block, W*block, C]`.
    """
    b, h, w, c = x.shape
    c //= block * block
    x = x.reshape(b, h, w, block, block, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * block, w * block, c)


def enlarge(x: Array, factor: int) -> Array:
    """Repeat each position `factor` times along rows and columns: `[B, h, w, C]` to `[B, h*factor, w*factor, C]`."""
    return jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)


def pyramid(x: Array, scales: int) -> list[Array]:
    """Subsample `[B, h, w, C]` by two, `scales` times, keeping the odd positions; `x` comes first."""
    grids = [x]
    for _ in range(scales):
        grids.append(grids[-1][:, 1::2, 1::2])
    return grids
