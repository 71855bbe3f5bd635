"""Integer parameters of the pixel model: frozen from training, stored with the weights, kept on the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from jaxicm.entropy.pixel_coder import Enlarge, PixelCoder
from jaxicm.entropy.pixel_network import Layer
from jaxicm.entropy.pixel_update import BIAS_FRAC, Update, adapted
from jaxicm.entropy.pixels import Kernel, Networks, PixelConfig, assemble, kernels
from jaxicm.errors import CorruptFile, ExactnessError
from jaxicm.nn import exact
from jaxicm.nn.exact import FrozenKernel


@dataclass(frozen=True)
class FrozenPixels:
    """Integer parameters of a trained `Pixels` model.

    Attributes:
      config: sizes.
      kernels: by the names of `pixels.kernels`; int8 weights `[phases, inputs, outputs]` and their exponents.
      biases: int32 `[biases, phases, outputs]` in accumulator units.
    """

    config: PixelConfig
    kernels: dict[str, FrozenKernel]
    biases: dict[str, np.ndarray]
    _device: dict[tuple[int, int], Networks] = field(init=False, default_factory=dict, repr=False, compare=False)

    @classmethod
    def freeze(cls, params: Mapping, config: PixelConfig) -> "FrozenPixels":
        """Turn trained float parameters into the integers that training used, and prove the bounds.

        Args:
          params: parameters of `Pixels`.
          config: sizes.

        Returns:
          The frozen model.

        Raises:
          ExactnessError: if a sum could leave the exact range.
        """
        frozen, biases = {}, {}
        for name, shape in kernels(config).items():
            kernel = np.asarray(params[name])
            bias = np.asarray(params[f"b_{name}"]) if shape.biased else np.zeros((1, len(kernel), shape.outputs))
            frozen[name] = exact.freeze_kernel(kernel, np.abs(bias).max(axis=0), shape.x)
            if shape.biased:
                biases[name] = exact.freeze_bias(bias, frozen[name].exponent, shape.x)
        model = cls(config, frozen, biases)
        model.proof()
        return model

    def thaw(self) -> dict[str, np.ndarray]:
        """Return parameters of `Pixels` that stand for the same integers, to train on from a release."""
        params = {name: kernel.real() for name, kernel in self.kernels.items()}
        for name, bias in self.biases.items():
            params[f"b_{name}"] = exact.real_bias(bias, self.kernels[name].exponent, kernels(self.config)[name].x)
        return params

    def updated(self, update: Update) -> "FrozenPixels":
        """Return the model with the steps of an update added.

        Raises:
          ExactnessError: if a sum could leave the exact range then.
        """
        frozen, biases = dict(self.kernels), dict(self.biases)
        for name, steps in update.items():
            if name.startswith("b_"):
                own = name.removeprefix("b_")
                shift = self.kernels[own].exponent.astype(int) + kernels(self.config)[own].x.frac - BIAS_FRAC
                moved = self.biases[own] + np.floor(np.ldexp(steps.astype(np.float64), shift) + 0.5).astype(np.int64)
                biases[own] = np.clip(moved, -(2**30), 2**30).astype(np.int32)
            else:
                moved = self.kernels[name].weight.astype(np.int32) + steps
                weight = np.clip(moved, -exact.WEIGHT_MAX, exact.WEIGHT_MAX).astype(np.int8)
                frozen[name] = FrozenKernel(weight, self.kernels[name].exponent)
        model = FrozenPixels(self.config, frozen, biases)
        model.proof()
        return model

    def step_sizes(self, channels: int) -> dict[str, np.ndarray]:
        """Return how much one step of an update changes each parameter, broadcastable to its shape."""
        return {
            name: np.full(1, 2.0**-BIAS_FRAC, np.float32)
            if name.startswith("b_")
            else np.ldexp(np.float32(1), -self.kernels[name].exponent.astype(np.int32))[:, None, :]
            for name in adapted(self.config, channels)
        }

    def proof(self) -> dict[str, float]:
        """Return the worst-case sum of each layer as a fraction of 2**24; raises ExactnessError from 1 on."""
        worst = {}
        for name, shape in kernels(self.config).items():
            kernel, bias = self.kernels[name], self.biases.get(name)
            bound = np.zeros(shape.outputs, np.int64) if bias is None else np.abs(bias.astype(np.int64)).max(axis=0)
            if name[0] == "w" and name != "w0":
                # What the layer reads is added to it, in the finer of the two units.
                fine = np.ldexp(1.0, np.maximum(kernel.exponent.astype(int), 0))
                bound = bound + (shape.x.magnitude * fine).astype(np.int64)
                if kernel.exponent.min() < 0:
                    raise ExactnessError(f"layer {name}: an exponent is negative; train on with smaller weights")
            worst[name] = exact.prove(f"pixels/{name}", kernel, bound, shape.x)
        return worst

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all parameters as flat named integer arrays."""
        arrays = {f"{name}.bias": bias for name, bias in self.biases.items()}
        for name, kernel in self.kernels.items():
            arrays |= {f"{name}.weight": kernel.weight, f"{name}.exponent": kernel.exponent}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], config: PixelConfig) -> "FrozenPixels":
        """Rebuild from `to_arrays`.

        Raises:
          CorruptFile: if an array is missing or has a wrong shape or type.
        """
        phases = len(config.phases)

        def take(name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
            found = arrays.get(name)
            if found is None or found.dtype != dtype or found.shape != shape:
                what = "nothing" if found is None else f"{found.dtype} {found.shape}"
                raise CorruptFile(
                    f"weights: '{name}' should be {np.dtype(dtype)} {shape}, found {what}; get an intact copy of them"
                )
            return found

        frozen, biases = {}, {}
        for name, k in kernels(config).items():
            weight = take(f"{name}.weight", np.int8, (phases, k.inputs, k.outputs))
            frozen[name] = FrozenKernel(weight, take(f"{name}.exponent", np.int8, (phases, k.outputs)))
            if k.biased:
                biases[name] = take(f"{name}.bias", np.int32, (config.biases, phases, k.outputs))
        return cls(config, frozen, biases)

    def macs_per_pixel(self) -> float:
        """Count the multiply-adds of coding one pixel of a large picture: each is evaluated once."""
        return float(sum(k.inputs * k.outputs for k in kernels(self.config).values()))

    def coder(
        self,
        height: int,
        width: int,
        low: Sequence[int],
        high: Sequence[int],
        depth: int,
        colour: str | None = "none",
        enlarge: Enlarge | None = None,
    ) -> PixelCoder:
        """Start the steps of a picture.

        Args:
          height, width: in pixels.
          low, high: inclusive bounds of the samples of each channel; three channels, or one for grey.
          depth: bits of a sample of the first channel.
          colour: transform of three channels, a name of `ops.colour.COLOURS`, which tells bounds of the samples; None
            where it was none of them.
          enlarge: maps the second and third channel of the finest grid but one to those of the picture, which are not
            coded then; for even sides.
        """
        return PixelCoder(self, height, width, low, high, depth, colour, enlarge)

    def networks(self, scale: int, phase: int) -> Networks:
        """Return the real values of the layers of a phase at a scale, on the device."""
        bank = min(scale, self.config.biases - 1)
        if (bank, phase) not in self._device:
            layers = {name: self._layer(name, k, bank, phase) for name, k in kernels(self.config).items()}
            self._device[bank, phase] = jax.device_put(assemble(layers, self.config))
        return self._device[bank, phase]

    def _layer(self, name: str, shape: Kernel, bank: int, phase: int) -> Layer:
        kernel = FrozenKernel(self.kernels[name].weight[phase], self.kernels[name].exponent[phase])
        bias = np.float32(0)
        if name in self.biases:
            bias = exact.real_bias(self.biases[name][bank, phase], kernel.exponent, shape.x)
        return Layer(kernel.real(), bias)  # pyright: ignore[reportArgumentType]
