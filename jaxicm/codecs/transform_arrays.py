"""The transforms' parameters as a weight file holds them: half precision, or kernels of 8 bits with scales."""

from typing import Any

import numpy as np

from jaxicm.adapt.parameter_code import leaves
from jaxicm.codecs.weights import unflatten

GAINS = ("log_gain", "log_step")
"""Names of the parameters that stay in single precision: all of a latent hangs on them."""
SCALE = ".scale"
"""Ends the name of the scales of a kernel of 8 bits, one an output channel."""
_LARGEST = 127


def to_arrays(transform: dict[str, Any], kernel_bits: int) -> dict[str, np.ndarray]:
    """Round the parameters of transforms to what a weight file holds.

    Args:
      transform: parameters of `ImageModel` without the probability model, or some of its parts.
      kernel_bits: 16 stores everything but the gains in half precision; 8 stores matrices and convolution kernels as
        integers in [-127, 127] times a scale for each output channel, a relative error of about 1 %.

    Returns:
      Flat named arrays; names are paths joined by slashes.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, leaf in leaves(transform).items():
        value, last = np.asarray(leaf, np.float32), name.rsplit("/")[-1]
        if last in GAINS:
            arrays[name] = value
        elif kernel_bits == 8 and last.startswith(("kernel", "klt")):
            scale = np.abs(value).max(axis=tuple(range(value.ndim - 1))) / _LARGEST
            arrays[name] = np.rint(value / np.where(scale > 0, scale, 1)).astype(np.int8)
            arrays[name + SCALE] = scale
        else:
            arrays[name] = value.astype(np.float16)
    return arrays


def from_arrays(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the parameters that `to_arrays` stands for, nested, in single precision."""
    real = {name: value.astype(np.float32) for name, value in arrays.items()}
    scales = {name: real.pop(name) for name in [*real] if name.endswith(SCALE)}
    for name, scale in scales.items():
        real[name.removesuffix(SCALE)] *= scale
    return unflatten(real)
