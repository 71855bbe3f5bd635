"""3x3 convolutions, residual blocks and PReLU whose results are the same bits on every machine.

A convolution is nine shifted exact dots (see `nn.exact`), never a call of a convolution library, which may choose a
Winograd or FFT algorithm whose rounding differs. PReLU slopes are multiples of 2**-6. Functions work on real values
that are integers times a power of two, so that training (`quantize_conv`) and frozen weights (`FrozenConv.real`) run
the very same code.

The formats: activations are integers in [-255, 255] times 1/32, so that bfloat16 operands hold them too; between a
convolution and its PReLU, values are integers in [-32767, 32767] times 1/256.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import CorruptFile
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed, FrozenKernel
from jaxicm.ops.quantize import clip_towards, round_ste

ACTIVATION = Fixed(5, -255, 255)
WIDE = Fixed(8, -32767, 32767)
SLOPE_FRAC = 6
SLOPE_MAX = 127
TAPS = 3

SLOPE_BOUND = (WIDE.magnitude + (ACTIVATION.magnitude << (WIDE.frac - ACTIVATION.frac))) * SLOPE_MAX / 2.0**24
"""Largest product inside a PReLU, as a fraction of 2**24; it holds for all weights."""


class Conv(NamedTuple):
    """Real values of one layer: kernel `[3, 3, inputs, outputs]` and bias `[outputs]`, both exact."""

    kernel: Array
    bias: Array


class Block(NamedTuple):
    """Real values of a residual block; slopes are `[width]`."""

    first: Conv
    first_slope: Array
    second: Conv
    second_slope: Array


def conv(x: Array, layer: Conv, *, padded: bool = True) -> Array:
    """Convolve exactly.

    Args:
      x: `[B, H, W, inputs]` real values of the format that the layer was made for.
      layer: kernel and bias.
      padded: zeros around `x`; without, the result is smaller by one position on each side.

    Returns:
      Accumulators `[B, H, W, outputs]` as real values.
    """
    if padded:
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1] - 2, x.shape[2] - 2
    total = jnp.broadcast_to(layer.bias.reshape(1, 1, 1, -1), (x.shape[0], height, width, layer.bias.shape[0]))
    for r in range(TAPS):
        for c in range(TAPS):
            total = total + exact.dot(x[:, r : r + height, c : c + width], layer.kernel[r, c])
    return total


def prelu(x: Array, slope: Array) -> Array:
    """Scale negative values; the product of a `WIDE` value and a slope is exact.

    Args:
      x: `[B, H, W, C]` real values of `WIDE`.
      slope: `[C]` or `[1]`, multiples of 2**-SLOPE_FRAC.

    Returns:
      `[B, H, W, C]`, multiples of 2**-(WIDE.frac + SLOPE_FRAC).
    """
    return jnp.where(x >= 0, x, x * slope.reshape(1, 1, 1, -1))


def activate(accumulator: Array, slope: Array) -> Array:
    """Bring accumulators through a PReLU to `ACTIVATION`."""
    return exact.requantize(prelu(exact.requantize(accumulator, WIDE), slope), ACTIVATION)


def residual(x: Array, block: Block) -> Array:
    """Apply conv, PReLU, conv, add the input, PReLU.

    Args:
      x: `[B, H, W, width]` of `ACTIVATION`.
      block: weights.

    Returns:
      `[B, H, W, width]` of `ACTIVATION`.
    """
    h = activate(conv(x, block.first), block.first_slope)
    h = exact.requantize(conv(h, block.second), WIDE) + x
    return exact.requantize(prelu(h, block.second_slope), ACTIVATION)


def quantize_conv(kernel: Array, bias: Array, x: Fixed = ACTIVATION) -> Conv:
    """Round trainable weights to what the frozen layer holds, with straight-through gradients.

    Args:
      kernel: `[3, 3, inputs, outputs]`.
      bias: `[outputs]`.
      x: format of the input.

    Returns:
      The layer in real values.
    """
    flat = kernel.reshape(-1, kernel.shape[-1])
    exponent = exact.kernel_exponent(flat, jnp.abs(bias), x)
    return Conv(exact.quantize_kernel(flat, exponent).reshape(kernel.shape), exact.quantize_bias(bias, exponent, x))


def quantize_slope(slope: Array) -> Array:
    """Round slopes to multiples of 2**-SLOPE_FRAC below 2 (straight-through gradient)."""
    return clip_towards(round_ste(slope * 2.0**SLOPE_FRAC), -SLOPE_MAX, SLOPE_MAX) * 2.0**-SLOPE_FRAC


def freeze_slope(slope: np.ndarray) -> np.ndarray:
    """Return slopes as int8 in units of 2**-SLOPE_FRAC."""
    return np.clip(np.round(slope * 2.0**SLOPE_FRAC), -SLOPE_MAX, SLOPE_MAX).astype(np.int8)


def real_slope(slope: np.ndarray) -> np.ndarray:
    """Return integer slopes as float32, exactly."""
    return slope.astype(np.float32) * np.float32(2.0**-SLOPE_FRAC)


@dataclass(frozen=True)
class FrozenConv:
    """Integers of one layer.

    Attributes:
      kernel: weight int8 `[9 * inputs, outputs]` (taps row-major, then inputs) and exponents.
      bias: int32 `[outputs]` in the unit of the accumulator.
      x: format of the input.
    """

    kernel: FrozenKernel
    bias: np.ndarray
    x: Fixed = ACTIVATION

    @classmethod
    def freeze(cls, kernel: np.ndarray, bias: np.ndarray, x: Fixed = ACTIVATION) -> "FrozenConv":
        """Turn trained float weights `[3, 3, inputs, outputs]` and biases into the integers that training used."""
        frozen = exact.freeze_kernel(kernel.reshape(-1, kernel.shape[-1]), np.abs(bias), x)
        return cls(frozen, exact.freeze_bias(bias, frozen.exponent, x), x)

    def real(self) -> Conv:
        """Return the layer in real values, exactly, on the device."""
        kernel = self.kernel.real()
        bias = exact.real_bias(self.bias, self.kernel.exponent, self.x)
        # jnp.asarray would compile a copy for each shape
        return Conv(*jax.device_put((kernel.reshape(TAPS, TAPS, -1, kernel.shape[-1]), bias)))

    def prove(self, name: str) -> float:
        """Return the worst-case sum as a fraction of 2**24.

        Raises:
          ExactnessError: if it is not below 1.
        """
        return exact.prove(name, self.kernel, np.abs(self.bias.astype(np.int64)), self.x)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the integers by name: weight, exponent, bias."""
        return {"weight": self.kernel.weight, "exponent": self.kernel.exponent, "bias": self.bias}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], inputs: int, outputs: int, x: Fixed = ACTIVATION
    ) -> "FrozenConv":
        """Rebuild from `to_arrays`.

        Raises:
          CorruptFile: if an array is missing or has a wrong shape or type.
        """
        shapes = {
            "weight": (np.int8, (TAPS * TAPS * inputs, outputs)),
            "exponent": (np.int8, (outputs,)),
            "bias": (np.int32, (outputs,)),
        }
        for name, (dtype, shape) in shapes.items():
            found = arrays.get(name)
            if found is None or found.dtype != dtype or found.shape != shape:
                what = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise CorruptFile(
                    f"exact convolution: '{name}' should be {np.dtype(dtype)} {shape}, found {what}; "
                    "get an intact copy of the weight file"
                )
        return cls(FrozenKernel(arrays["weight"], arrays["exponent"]), arrays["bias"], x)
