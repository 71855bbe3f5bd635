"""The paper's multi-scale progressive (MSP) probability model: one network for all steps, with recurrent context.

The coarsest grid is coded with the factorised prior. Each finer grid starts from the nearest-neighbour upsampled
coarser one; a step evaluates the network on the whole grid (known values, predictions of the unknown ones, a mask of
what is known, and the context z), codes its entries and writes them back. z is carried from step to step and, through
an upsampling convolution, from scale to scale. The number of evaluations depends on the schedule only, 27 for profile
base and 120 for extra, but each covers the whole grid: extra costs about 1.5 MMAC a pixel.

Source: system S4, Zhang et al., arXiv 2210.04112; network and order as read in the VCM reference software
(specification 2.5). Deviations: all arithmetic is exact (`nn.exact_conv`); decoded values enter as companded bytes
(`entropy.context`) and activations are clipped to [-8, 8]; means are multiples of 1/16 and scales one of 64; an entry
whose scale is the smallest is not coded; the last convolution reads the clipped z.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import gaussian
from jaxicm.entropy.factorized import Factorized
from jaxicm.entropy.recurrent_network import Layers, RecurrentConfig
from jaxicm.entropy.recurrent_rate import code_grid
from jaxicm.entropy.surrogate import Rounding
from jaxicm.nn.exact_conv import quantize_conv, quantize_slope
from jaxicm.ops.quantize import round_ste, straight_through

START_SCALE = 1.0
"""Standard deviation that an untrained network predicts, in quantisation steps."""


class Trained(NamedTuple):
    """Trainable parameters of all layers, by the names of the configuration."""

    kernels: dict[str, Array]
    biases: dict[str, Array]
    slopes: dict[str, Array]


def declare_layers(
    module: nn.Module,
    convolutions: Mapping[str, tuple[int, int]],
    slopes: Mapping[str, int],
    start_head: nn.initializers.Initializer,
) -> Trained:
    """Declare the parameters of a network in the `setup` of its module.

    Args:
      module: that holds them.
      convolutions: inputs and outputs by name.
      slopes: counts by name.
      start_head: first values of the bias of "head"; its kernel starts small, all other biases at zero.

    Returns:
      The parameters.
    """
    kernels, biases = {}, {}
    for name, (inputs, outputs) in convolutions.items():
        kernel, bias = nn.initializers.lecun_normal(), nn.initializers.zeros
        if name == "head":  # the first predictions are nearly those of the bias
            kernel, bias = nn.initializers.normal(0.01), start_head
        kernels[name] = module.param(f"{name}_kernel", kernel, (3, 3, inputs, outputs))
        biases[name] = module.param(f"{name}_bias", bias, (outputs,))
    start = nn.initializers.constant(0.25)
    return Trained(kernels, biases, {n: module.param(f"{n}_slope", start, (count,)) for n, count in slopes.items()})


def round_layers(trained: Trained) -> Layers:
    """Round trainable parameters to what coding uses, with straight-through gradients."""
    convolutions = {name: quantize_conv(kernel, trained.biases[name]) for name, kernel in trained.kernels.items()}
    return Layers.assemble(convolutions, {name: quantize_slope(slope) for name, slope in trained.slopes.items()})


class Recurrent(nn.Module):
    """The trainable model: the rate of a latent and its quantised values.

    Attributes:
      config: sizes.
    """

    config: RecurrentConfig

    def setup(self):
        self.trained = declare_layers(self, self.config.convolutions, self.config.slopes, _start_bias)
        self.prior = Factorized(self.config.channels)

    def layers(self) -> Layers:
        """Round the weights to what coding uses."""
        return round_layers(self.trained)

    def declare(self, y: Array) -> None:
        """Create the parameters without running the steps; `y` is a latent `[B, h, w, C]`."""
        self.prior(y)

    def __call__(self, y: Array, position: Array | None, key: Array) -> tuple[Array, Array]:
        """Estimate the rate and quantise.

        Args:
          y: `[B, h, w, C]` latents in quantisation steps, of any size.
          position: not used; one model serves one rate, as in the paper.
          key: of the uniform noise that stands for rounding in the rate.

        Returns:
          Quantised latents `[B, h, w, C]` (straight-through) and bits `[B]`.
        """
        del position
        if self.is_initializing():
            self.declare(y)  # an order without a prior does not touch its parameters below
        noise = jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
        prior = Rounding(_round_prior, self._prior_bits)
        return code_grid(self.layers(), self.config, y, _NOISY_RATE, prior_rounding=prior, noise=noise)

    def _prior_bits(self, coded: Array, index: Array) -> Array:
        del index
        return self.prior(coded)


def _round_prior(y: Array, mean: Array, index: Array, noise: Array) -> tuple[Array, Array]:
    del mean, index
    return round_ste(y), y + noise


def _round(y: Array, mean: Array, index: Array, noise: Array) -> tuple[Array, Array]:
    distance = y - mean
    symbol = round_ste(distance)
    symbol = jnp.where(index > 0, symbol, straight_through(jnp.zeros_like(symbol), symbol))
    return symbol + mean, distance + noise


_NOISY_RATE = Rounding(_round, gaussian.bits_of_index)
"""Round; the rate is that of noisy values ("mixed" of `entropy.surrogate`, with plain rounding)."""


def _start_bias(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Start with means of zero and scales of START_SCALE."""
    del key
    log_scale = float(gaussian.index_of_scale(np.array(START_SCALE))) / gaussian.SCALES_PER_NAT
    half = shape[0] // 2
    return jnp.concatenate([jnp.zeros(half, dtype), jnp.full(half, log_scale, dtype)])
