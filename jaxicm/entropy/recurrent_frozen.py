"""Integers of the recurrent network: from training, to and from arrays, and back to real values for coding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import jax
import numpy as np

from jaxicm.entropy.recurrent_network import Layers
from jaxicm.errors import CorruptFile
from jaxicm.nn.exact_conv import SLOPE_BOUND, FrozenConv, freeze_slope, real_slope


class Sizes(Protocol):
    """A configuration that names the layers of a recurrent network."""

    @property
    def convolutions(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each 3x3 convolution."""
        ...

    @property
    def slopes(self) -> dict[str, int]:
        """Number of PReLU slopes after each convolution that has them."""
        ...


@dataclass(frozen=True)
class FrozenLayers:
    """Integer parameters of the layers of a trained recurrent network.

    Attributes:
      convolutions: by the names of the config.
      slopes: int8 of each PReLU, multiples of 2**-6.
    """

    convolutions: dict[str, FrozenConv]
    slopes: dict[str, np.ndarray]
    _device: dict[str, Layers] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def freeze(cls, params: Mapping, config: Sizes) -> "FrozenLayers":
        """Turn trained float parameters into the integers that training used, and prove the bounds.

        Args:
          params: of a module that calls `recurrent.declare_layers`.
          config: sizes.

        Returns:
          The frozen layers.

        Raises:
          ExactnessError: if a sum could leave the exact range.
        """
        convolutions = {
            name: FrozenConv.freeze(np.asarray(params[f"{name}_kernel"]), np.asarray(params[f"{name}_bias"]))
            for name in config.convolutions
        }
        frozen = cls(convolutions, {name: freeze_slope(np.asarray(params[f"{name}_slope"])) for name in config.slopes})
        frozen.proof()
        return frozen

    def proof(self) -> dict[str, float]:
        """Return the worst-case sum of each layer as a fraction of 2**24; raises ExactnessError from 1 on."""
        worst = {name: layer.prove(f"entropy/{name}") for name, layer in self.convolutions.items()}
        return worst | {"slopes": SLOPE_BOUND}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all parameters as flat named integer arrays."""
        arrays = {f"{name}.slope": slope for name, slope in self.slopes.items()}
        for name, layer in self.convolutions.items():
            arrays |= {f"{name}.{key}": value for key, value in layer.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], config: Sizes) -> "FrozenLayers":
        """Rebuild from `to_arrays`; other arrays are ignored.

        Raises:
          CorruptFile: if an array is missing or does not fit the config.
        """
        convolutions = {n: FrozenConv.from_arrays(part(arrays, n), *shape) for n, shape in config.convolutions.items()}
        for name, count in config.slopes.items():
            slope = arrays.get(f"{name}.slope")
            if slope is None or slope.dtype != np.int8 or slope.shape != (count,):
                raise CorruptFile(f"weights: '{name}.slope' should be int8 ({count},); get an intact copy of the file")
        return cls(convolutions, {name: arrays[f"{name}.slope"] for name in config.slopes})

    def real(self) -> Layers:
        """Return the real values of all layers on the device."""
        if "layers" not in self._device:
            convolutions = {name: layer.real() for name, layer in self.convolutions.items()}
            slopes = {name: jax.device_put(real_slope(slope)) for name, slope in self.slopes.items()}
            self._device["layers"] = Layers.assemble(convolutions, slopes)
        return self._device["layers"]


def part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with `prefix` and a dot, under the rest of their names."""
    return {k.removeprefix(prefix + "."): v for k, v in arrays.items() if k.startswith(prefix + ".")}


def macs_of_step(config: Sizes) -> int:
    """Count the multiply-adds of one evaluation at one position."""
    return sum(9 * i * o for name, (i, o) in config.convolutions.items() if name != "upsample")


def macs_of_upsampling(config: Sizes) -> int:
    """Count the multiply-adds of `recurrent_network.upsample_context` at one position of the coarser grid."""
    inputs, outputs = config.convolutions["upsample"]
    return 9 * inputs * outputs
