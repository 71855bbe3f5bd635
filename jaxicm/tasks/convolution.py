"""Convolutions as the original networks have them: padding alike on both sides, a bias, and a picture of known extent.

Depthwise convolutions are sums of shifted products, because grouped ones are 20 to 100 times slower on a CPU.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

PRECISION = lax.Precision.HIGHEST
"""Judges must not depend on the device: without it a GPU multiplies with ten bits of mantissa."""

Extent = tuple[Array | int, Array | int] | None
"""Rows and columns of the canvas that hold the picture, from the top left; None: all of it."""


class Conv(nn.Module):
    """A convolution with (size - 1) // 2 zeros around, or `padding` if given; parameters `kernel` (HWIO) and `bias`."""

    features: int
    size: int = 1
    stride: int = 1
    depthwise: bool = False
    padding: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Filter `[B, H, W, C]`."""
        inputs = 1 if self.depthwise else x.shape[-1]
        shape = (self.size, self.size, inputs, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        pad = (self.size - 1) // 2 if self.padding is None else self.padding
        if self.depthwise:
            return depthwise(x, kernel[:, :, 0], self.stride, pad) + bias
        if self.size == 1 and self.stride == 1 and pad == 0:
            return jnp.matmul(x, kernel[0, 0], precision=PRECISION) + bias
        y = lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            ((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=PRECISION,
        )
        return y + bias


class Dense(nn.Module):
    """A matrix product with parameters named as those of `Conv`."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Multiply `[..., C]`."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        return jnp.matmul(x, kernel, precision=PRECISION) + self.param("bias", nn.initializers.zeros, (self.features,))


def depthwise(x: Array, kernel: Array, stride: int, pad: int) -> Array:
    """Filter every channel of `[B, H, W, C]` on its own with `[k, k, C]`, zeros around."""
    size = kernel.shape[0]
    height, width = ((n + 2 * pad - size) // stride + 1 for n in x.shape[1:3])
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    total = jnp.zeros((x.shape[0], height, width, x.shape[3]), x.dtype)
    for i in range(size):
        for j in range(size):
            rows, columns = (
                slice(i, i + (height - 1) * stride + 1, stride),
                slice(j, j + (width - 1) * stride + 1, stride),
            )
            total = total + padded[:, rows, columns] * kernel[i, j]
    return total


def halved(extent: Extent) -> Extent:
    """Return the extent after a convolution of stride 2 with (size - 1) // 2 zeros around."""
    return None if extent is None else ((extent[0] + 1) // 2, (extent[1] + 1) // 2)


def clear_outside(x: Array, extent: Extent) -> Array:
    """Set `[B, H, W, C]` to zero beyond the extent, so that the next convolution sees what it sees at a true border."""
    if extent is None:
        return x
    rows = jnp.arange(x.shape[1])[:, None] < extent[0]
    columns = jnp.arange(x.shape[2]) < extent[1]
    return jnp.where((rows & columns)[..., None], x, 0.0)


def upsample(x: Array) -> Array:
    """Double height and width of `[B, H, W, C]` by repetition."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)
