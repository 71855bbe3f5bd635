"""Linear layers whose results are the same bits on every machine.

An exact layer multiplies integers that are held in float32. Inputs are integers times `2**-x_frac`, weights are
integers in [-127, 127] times a power of two of their output channel, biases are integers in the unit of the
accumulator. As long as the worst case `sum|w| * max|x| + |b|` of every output stays below 2**24 units, each partial sum
is an integer that float32 holds exactly, so the order of summation, fused multiply-adds, the batch, the tile, the
number of threads and the device cannot change a bit. bfloat16 and TF32 operands hold the same integers, so matrix units
change nothing either, provided that they accumulate in float32 (8-bit floats do not). The requantisation is a product
with a power of two and a floor. There is no division, exponential or other inexact operation.

Training uses the same arithmetic through straight-through gradients: what is trained is what is coded. `freeze_kernel`
and `prove` turn a trained layer into integers and check the bound.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import ExactnessError
from jaxicm.ops.quantize import clip_towards, floor_ste, straight_through

ACCUMULATOR_LIMIT = 2.0**24
WEIGHT_MAX = 127
_EXPONENT_RANGE = (-6, 20)


@dataclass(frozen=True)
class Fixed:
    """A fixed-point format: integers in [low, high] times `2**-frac`."""

    frac: int
    low: int
    high: int

    @property
    def magnitude(self) -> int:
        """The largest absolute integer of the format."""
        return max(abs(self.low), abs(self.high))


def kernel_exponent(kernel: Array, bias_bound: Array, x: Fixed) -> Array:
    """Choose the power of two of each output channel.

    The largest exponent for which the weights fit 8 bits and the worst-case accumulator fits 24 bits.

    Args:
      kernel: `[..., inputs, outputs]` float weights.
      bias_bound: `[..., outputs]` largest absolute bias.
      x: format of the input.

    Returns:
      `[..., outputs]` int32 exponents e; a weight is an integer times `2**-e`.
    """
    inputs = kernel.shape[-2]
    peak = jnp.max(jnp.abs(kernel), axis=-2)
    by_weight = jnp.floor(jnp.log2(WEIGHT_MAX / jnp.maximum(peak, 1e-9)))
    l1 = jnp.sum(jnp.abs(kernel), axis=-2) * x.magnitude + bias_bound * 2.0**x.frac
    # Rounding moves each weight by at most half a unit, the bias by one.
    room = ACCUMULATOR_LIMIT - 2.0 - 0.5 * inputs * x.magnitude
    by_sum = jnp.floor(jnp.log2(room / jnp.maximum(l1, 1e-9)))
    exponent = jnp.clip(jnp.minimum(by_weight, by_sum), *_EXPONENT_RANGE)
    return jax.lax.stop_gradient(exponent).astype(jnp.int32)


def power_of_two(exponent: Array) -> Array:
    """Return `2.0**exponent` exactly, from the bits of the float (an `exp2` may be one unit off)."""
    return jax.lax.bitcast_convert_type((exponent.astype(jnp.int32) + 127) << 23, jnp.float32)


def quantize_kernel(kernel: Array, exponent: Array) -> Array:
    """Round weights to integers times `2**-exponent` (straight-through gradient)."""
    unit = power_of_two(-exponent)[..., None, :]
    integers = jnp.clip(jnp.round(kernel / unit), -WEIGHT_MAX, WEIGHT_MAX)
    return straight_through(integers * unit, kernel)


def quantize_bias(bias: Array, exponent: Array, x: Fixed) -> Array:
    """Round biases to the unit of the accumulator, `2**-(exponent + x.frac)` (straight-through gradient)."""
    unit = power_of_two(-exponent - x.frac)
    return straight_through(jnp.round(bias / unit) * unit, bias)


def dot(x: Array, kernel: Array) -> Array:
    """Multiply exactly: `[..., inputs] @ [inputs, outputs]`, accumulated in float32.

    Several kernels `[K, inputs, outputs]` are multiplied by as many stacks of rows `[K, rows, inputs]`.
    """
    stacked = tuple(range(kernel.ndim - 2))
    contract = (((x.ndim - 1,), (kernel.ndim - 2,)), (stacked, stacked))
    return jax.lax.dot_general(x, kernel, contract, preferred_element_type=jnp.float32)


@jax.custom_vjp
def narrow_dot(x: Array, kernel: Array) -> Array:
    """Multiply exactly with operands of 16 bits, of which an accelerator moves and multiplies twice as many.

    Args:
      x: bfloat16 `[K, rows, inputs]`, integers of 8 bits times a power of two, which bfloat16 holds exactly.
      kernel: float32 `[K, inputs, outputs]` exact weights, which it holds too.

    Returns:
      float32 `[K, rows, outputs]`, the same bits as of `dot`. Gradients have operands of bfloat16 too.
    """
    return dot(x, kernel.astype(jnp.bfloat16))


def _narrow_dot_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return narrow_dot(x, kernel), (x, kernel)


def _narrow_dot_backward(operands: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = operands
    gradient, kernel = gradient.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    of_x = jax.lax.dot_general(gradient, kernel, (((2,), (2,)), ((0,), (0,))), preferred_element_type=jnp.bfloat16)
    of_kernel = jax.lax.dot_general(x, gradient, (((1,), (1,)), ((0,), (0,))), preferred_element_type=jnp.float32)
    return of_x, of_kernel


narrow_dot.defvjp(_narrow_dot_forward, _narrow_dot_backward)


def requantize(accumulator: Array, out: Fixed) -> Array:
    """Bring an accumulator to the format `out`: nearest integer (halves upwards), then clip.

    Args:
      accumulator: real values, integers in the accumulator's unit.
      out: the format of the result.

    Returns:
      Real values, integers in [out.low, out.high] times `2**-out.frac`.
    """
    scale = 2.0**out.frac
    return clip_towards(floor_ste(accumulator * scale + 0.5), out.low, out.high) / scale


@dataclass(frozen=True)
class FrozenKernel:
    """Integer weights of one exact layer (stacked layers keep their leading axes).

    Attributes:
      weight: int8 `[..., inputs, outputs]`.
      exponent: int8 `[..., outputs]`; a real weight is `weight * 2**-exponent`.
    """

    weight: np.ndarray
    exponent: np.ndarray

    def real(self) -> np.ndarray:
        """Return the weights as float32, exactly."""
        return np.ldexp(self.weight.astype(np.float32), -self.exponent[..., None, :].astype(np.int32))


def freeze_kernel(kernel: np.ndarray, bias_bound: np.ndarray, x: Fixed) -> FrozenKernel:
    """Turn trained float weights into the integers that training used.

    Args:
      kernel: `[..., inputs, outputs]` float weights.
      bias_bound: `[..., outputs]` largest absolute bias over all conditions.
      x: format of the input.

    Returns:
      The integer weights and their exponents.
    """
    exponent = np.asarray(kernel_exponent(jnp.asarray(kernel), jnp.asarray(bias_bound), x))
    scaled = np.ldexp(kernel.astype(np.float64), exponent[..., None, :])
    weight = np.clip(np.round(scaled), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
    return FrozenKernel(weight, exponent.astype(np.int8))


def freeze_bias(bias: np.ndarray, exponent: np.ndarray, x: Fixed) -> np.ndarray:
    """Round biases to int32 in the unit of the accumulator; `exponent` broadcasts against `bias`."""
    return np.round(np.ldexp(bias.astype(np.float64), exponent.astype(np.int32) + x.frac)).astype(np.int32)


def real_bias(bias: np.ndarray, exponent: np.ndarray, x: Fixed) -> np.ndarray:
    """Return integer biases as float32 in real units, exactly."""
    return np.ldexp(bias.astype(np.float32), -(exponent.astype(np.int32) + x.frac))


def prove(name: str, kernel: FrozenKernel, bias_bound: np.ndarray, x: Fixed) -> float:
    """Prove that no partial sum of a frozen layer can leave the exact range of float32.

    Args:
      name: of the layer, for the message.
      kernel: the integer weights.
      bias_bound: `[..., outputs]` largest absolute integer bias over all conditions.
      x: format of the input.

    Returns:
      The worst case as a fraction of 2**24, below 1.

    Raises:
      ExactnessError: if the bound does not hold.
    """
    l1 = np.abs(kernel.weight.astype(np.int64)).sum(axis=-2) * x.magnitude + np.abs(bias_bound.astype(np.int64))
    worst = float((l1 / ACCUMULATOR_LIMIT).max())
    if worst >= 1.0:
        raise ExactnessError(
            f"layer {name}: the worst-case sum is {worst:.3f} of 2**24, expected below 1; "
            "train on with a smaller weight norm, or widen the layer's output unit"
        )
    return worst
