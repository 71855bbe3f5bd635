"""Rounding and bounds with useful gradients. Pure functions of arrays."""

import jax
import jax.numpy as jnp
from jax import Array


def straight_through(value: Array, surrogate: Array) -> Array:
    """Return `value` in the forward pass and the gradient of `surrogate` in the backward pass.

    Args:
      value: what the forward pass computes, of any shape.
      surrogate: a differentiable stand-in of the same shape.

    Returns:
      An array equal to `value`.
    """
    # `surrogate - surrogate` is exactly zero, so the sum keeps every bit of `value`.
    return jax.lax.stop_gradient(value) + (surrogate - jax.lax.stop_gradient(surrogate))


def round_ste(x: Array) -> Array:
    """Round half to even; the gradient is the identity."""
    return straight_through(jnp.round(x), x)


def floor_ste(x: Array) -> Array:
    """Round towards minus infinity; the gradient is the identity."""
    return straight_through(jnp.floor(x), x)


def levels_of(x: Array) -> Array:
    """Return the 8-bit levels that show real pixels: nearest integers of 255 `x`, halves upwards, in [0, 255]."""
    return jnp.clip(jnp.floor(x * 255.0 + 0.5), 0, 255)


@jax.custom_vjp
def clip_towards(x: Array, lower: float, upper: float) -> Array:
    """Clip `x` to [lower, upper] with a gradient that can leave the bounds.

    The gradient passes inside the range, and outside wherever a descent step would move `x` back into the range (the
    rule of the lower bound in Balle et al., "Variational image compression with a scale hyperprior", 2018).
    """
    return jnp.clip(x, lower, upper)


def _clip_forward(x: Array, lower: float, upper: float):
    return jnp.clip(x, lower, upper), (x, lower, upper)


def _clip_backward(residuals, gradient: Array):
    x, lower, upper = residuals
    passes = ((x >= lower) | (gradient < 0)) & ((x <= upper) | (gradient > 0))
    return jnp.where(passes, gradient, 0.0), None, None


clip_towards.defvjp(_clip_forward, _clip_backward)
