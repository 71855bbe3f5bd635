"""The multi-scale progressive (MSP) model of pixels, for lossless coding: the trainable face.

Each step codes one position of a repeated cell at one scale (see `entropy.pixel_order`), and evaluates a small exact
network at the pixels that it codes only, so a pixel costs one evaluation whatever the number of steps. The channels of
a pixel follow one another, each with a head that sees those before it. Kernels belong to a step of the cell and are
shared by all scales; biases are not. Nothing is quantised that was not an integer before, so all steps of all scales
are trained at once.

Source: system S7 (Zhang et al., "Lossless image compression using a multi-scale progressive statistical model", ACCV
2020). Evaluation of coded pixels only, block floating point, integer arithmetic and separate heads are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy import least_squares, pixel_context, pixel_network, pixel_order
from jaxicm.entropy.least_squares import FEATURES, Fit, FitConfig
from jaxicm.entropy.logistic_mixture import MEAN_FRAC, mixture_bits
from jaxicm.entropy.pixel_network import HIDDEN, PREVIOUS, Head, Layer
from jaxicm.entropy.pixel_order import CELLS, Order
from jaxicm.entropy.rounds import round_of
from jaxicm.errors import ConfigError
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed
from jaxicm.ops.colour import gamut


@dataclass(frozen=True)
class PixelConfig:
    """Sizes of the pixel model.

    Attributes:
      cell, kind, seed: the order, see `pixel_order.Order`.
      scales: most subsamplings; fewer where a side gets too short.
      biases: scales with biases of their own; coarser ones share the last.
      taps: neighbours that a pixel is predicted from, at least 12.
      hidden: width of the trunk.
      layers: of the trunk.
      head: width of a channel's head.
      mixtures: logistics that make up a distribution.
      experts: linear predictions of a mean that are gated and summed.
      fit: further predictions, fitted to the picture while it is decoded.
    """

    cell: str = "2x2"
    kind: str = "fixed"
    seed: int = 0
    scales: int = 6
    biases: int = 3
    taps: int = 24
    hidden: int = 128
    layers: int = 2
    head: int = 64
    mixtures: int = 3
    experts: int = 6
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self):
        for key, holds, rule in (
            ("cell", self.cell in CELLS, f"must be one of {', '.join(CELLS)}"),
            ("kind", self.kind in ("fixed", "random"), "must be fixed or random"),
            ("scales", 1 <= self.scales <= 15, "must be 1 to 15"),
            ("biases", self.biases >= 1, "must be at least 1"),
            ("taps", 12 <= self.taps <= 60, "must be 12 to 60"),
            ("layers", self.layers >= 1, "must be at least 1"),
            ("experts", 1 <= self.experts <= 16, "must be 1 to 16"),
            ("mixtures", 1 <= self.mixtures <= 16, "must be 1 to 16"),
        ):
            if not holds:
                raise ConfigError(f"{key}: found {getattr(self, key)!r}, {rule}")

    @property
    def order(self) -> Order:
        """The order as one value."""
        return Order(self.cell, self.kind, self.seed)

    @property
    def phases(self) -> tuple[pixel_order.Phase, ...]:
        """Steps of a scale."""
        return pixel_order.phases(self.order, self.taps)


SAMPLE_MAX = 255
"""Largest sample in training."""
CHANNELS = 3
"""Channels that the networks are made for; grey pictures use the first alone and zeros for the others."""


@dataclass(frozen=True)
class Kernel:
    """One kind of layer: its shape and what it reads.

    Attributes:
      inputs, outputs: of the kernel.
      x: format of the input.
      biased: whether it has a bias.
      start: standard deviation of the first weights, times the root of the inputs.
    """

    inputs: int
    outputs: int
    x: Fixed
    biased: bool = True
    start: float = 1.0


def kernels(config: PixelConfig) -> dict[str, Kernel]:
    """List the layers of a phase by name."""
    taps, hidden, head, out = config.taps * CHANNELS, config.hidden, config.head, 3 * config.mixtures + config.experts
    fits = config.fit.count
    inputs = pixel_context.feature_count(config.taps, CHANNELS)
    layers = {"w0": Kernel(inputs, hidden, pixel_context.FEATURE)}
    layers["taps"] = Kernel(taps, CHANNELS * config.experts, pixel_context.FEATURE, biased=False, start=0.2)
    layers |= {f"w{k}": Kernel(hidden, hidden, HIDDEN, start=0.7) for k in range(1, config.layers)}
    for c in range(CHANNELS):
        layers[f"u{c}"] = Kernel(hidden + FEATURES * fits + PREVIOUS * c, head, pixel_context.FEATURE)
        layers[f"o{c}"] = Kernel(head, out + fits, HIDDEN, start=0.1)
        if c:
            layers[f"across{c}"] = Kernel(PREVIOUS * c, config.experts, pixel_context.FEATURE, biased=False, start=0.0)
    return layers


class Networks(NamedTuple):
    """Layers of one phase at one scale: of the trunk, straight from the taps to the means, of each channel's head."""

    trunk: list[Layer]
    linear: Layer
    heads: list[Head]


def assemble(layers: Mapping[str, Layer], config: PixelConfig) -> Networks:
    """Sort layers by name into networks."""
    heads = [Head(layers[f"u{c}"], layers[f"o{c}"], layers[f"across{c}"] if c else None) for c in range(CHANNELS)]
    return Networks([layers[f"w{k}"] for k in range(config.layers)], layers["taps"], heads)


class Pixels(nn.Module):
    """Code lengths of pictures.

    Attributes:
      config: sizes.
      low, high: inclusive bounds of each channel.
      colour: transform of the samples, a name of `ops.colour.COLOURS`; it narrows the bounds of each sample.
    """

    config: PixelConfig
    low: tuple[int, ...] = (0, -255, -255)
    high: tuple[int, ...] = (255, 255, 255)
    colour: str = "ycocg"

    def setup(self):
        c, banks = self.config, len(self.config.phases)
        self.shapes = kernels(c)
        weights, biases = {}, {}
        for name, k in self.shapes.items():
            start = nn.initializers.normal(k.start / k.inputs**0.5) if k.start else nn.initializers.zeros
            weights[name] = self.param(name, start, (banks, k.inputs, k.outputs))
            if k.biased:
                first = (
                    _spread(c.mixtures, c.experts, c.fit.count)
                    if name.startswith("o")
                    else nn.initializers.constant(0.1)
                )
                biases[name] = self.param(f"b_{name}", first, (c.biases, banks, k.outputs))
        self.weights, self.offsets = weights, biases

    def _layers(self) -> list[list[dict[str, Layer]]]:
        """Quantise all layers once: by bias class and phase."""
        c = self.config
        found: list[list[dict[str, Layer]]] = [[{} for _ in c.phases] for _ in range(c.biases)]
        for name, k in self.shapes.items():
            kernel, bias = self.weights[name], self.offsets.get(name)
            bound = jnp.zeros((len(kernel), k.outputs)) if bias is None else jax.lax.stop_gradient(jnp.abs(bias).max(0))
            exponent = exact.kernel_exponent(kernel, bound, k.x)
            real = exact.quantize_kernel(kernel, exponent)
            for s in range(c.biases):
                offset = None if bias is None else exact.quantize_bias(bias[s], exponent, k.x)
                for p in range(len(c.phases)):
                    found[s][p][name] = Layer(real[p], 0.0 if offset is None else offset[p])
        return found

    def __call__(self, x: Array, scales: int | None = None, free: Array | None = None) -> Array:
        """Compute code lengths.

        Args:
          x: int32 `[B, H, W, 3]`, transformed samples; sides divisible by the cell's at every scale.
          scales: subsamplings; by default those of the config.
          free: bool `[B]`, pictures whose colours did not come out of the colour transform; without it there are none.

        Returns:
          Bits `[B, scales, 3]` of each scale and channel; the coarsest grid is not counted.
        """
        c, layers = self.config, self._layers()
        found = []
        for scale in range(c.scales if scales is None else scales):
            bank = layers[min(scale, c.biases - 1)]
            found.append(self._scale(x, bank, scale < c.fit.scales, free))
            x = x[:, 1::2, 1::2]
        return jnp.stack(found, axis=1)

    def _scale(self, x: Array, bank: list[dict[str, Layer]], fitted: bool, free: Array | None) -> Array:
        c = self.config
        (rows, columns), _ = CELLS[c.cell]
        margin = pixel_order.reach(c.order, c.taps)
        pad = ((0, 0), (margin, margin), (margin, margin), (0, 0))
        lattice = {(i, j): x[:, i::rows, j::columns] for i in range(rows) for j in range(columns)}
        padded = {where: jnp.pad(values, pad, mode="edge") for where, values in lattice.items()}
        rough = pixel_context.roughness(x[:, 1::2, 1::2])
        bits = jnp.zeros((x.shape[0], CHANNELS))
        for phase, layers in zip(c.phases, bank, strict=True):
            (i, j), target = phase.position, lattice[phase.position]
            height, width = target.shape[1:3]
            parts = []
            for r, k in phase.taps:
                (down, a), (right, b) = divmod(i + r, rows), divmod(j + k, columns)
                whole = padded[a, b]
                parts.append(whole[:, margin + down : margin + down + height, margin + right : margin + right + width])
            # XLA's CPU back end would gather the taps anew for everything that reads them.
            taps = jax.lax.optimization_barrier(jnp.concatenate(parts, axis=-1)).reshape(-1, c.taps * CHANNELS)
            where = rough[:, i // 2 :: rows // 2, j // 2 :: columns // 2].reshape(taps.shape[0], -1)
            bits += self._phase(taps, where, target, layers, fitted, free).reshape(len(x), -1, CHANNELS).sum(1)
        return bits

    def _phase(
        self,
        taps: Array,
        rough: Array,
        lattice: Array,
        layers: dict[str, Layer],
        fitted: bool,
        free: Array | None,
    ) -> Array:
        """Return bits `[N, 3]`; `lattice` is `[B, h, w, 3]`, the samples to code."""
        c, target = self.config, lattice.reshape(-1, CHANNELS)
        seen = pixel_context.observe(taps, rough, CHANNELS)
        seen = seen._replace(features=jax.lax.optimization_barrier(seen.features))
        networks = assemble(layers, c)
        sight = pixel_network.look(seen, networks.trunk, networks.linear)
        previous, bits = None, []
        for channel, head in enumerate(networks.heads):
            fit = self._fit(taps, lattice, sight.base, channel) if fitted else None
            found = pixel_network.predict(sight, previous, channel, head, fit, c.fit.count)
            x = target[:, channel]
            least, most = gamut(self.colour, SAMPLE_MAX, [target[:, c] for c in range(channel)], jnp)
            if free is not None:
                everywhere = jnp.repeat(free, len(target) // len(free))
                least = jnp.where(everywhere, self.low[channel], least)
                most = jnp.where(everywhere, self.high[channel], most)
            low = jnp.maximum(self.low[channel], least).astype(jnp.float32)
            high = jnp.minimum(self.high[channel], most).astype(jnp.float32)
            mean = found.mean * 2.0**-MEAN_FRAC
            bits.append(mixture_bits(x.astype(jnp.float32), low, high, mean, found.scale, found.weight))
            more = pixel_network.remember(x, sight, channel, found)
            previous = more if previous is None else jnp.concatenate([previous, more], axis=1)
        return jnp.stack(bits, axis=1)

    def _fit(self, taps: Array, lattice: Array, base: Array, channel: int) -> Fit:
        """Fit the predictions of a channel as coding does."""
        config = self.config.fit
        b, h, w, channels = lattice.shape
        taps, target = taps.reshape(b, h, w, -1, channels), lattice

        def tap(t: int, c: int) -> Array:
            return taps[..., t, c]

        guess = least_squares.first_guess(tap, channel)
        known = [target[..., before] for before in range(channel)]
        inputs = least_squares.regressors(tap, known, channel, config)
        variables = jnp.stack([*inputs, target[..., channel] - guess], axis=-1)
        prediction, noise = least_squares.fit_crops(variables, config)
        mean = least_squares.fit_mean(prediction, guess[..., None], base[:, channel].reshape(b, h, w, 1))
        present = jnp.asarray(round_of(h, w) > 0)
        present = jnp.broadcast_to(present, (b, h, w)).reshape(-1)
        flat = (b * h * w, config.count)
        return jax.lax.stop_gradient(Fit(mean.reshape(flat), noise.reshape(flat), present))


def _spread(mixtures: int, experts: int, fits: int):
    """Start the components with the same mean and different scales, from narrow to wide; one gate is open."""

    def start(key: Array, shape: tuple[int, ...]) -> Array:
        del key
        scales = np.linspace(-2.0, 0.0, mixtures) if mixtures > 1 else np.array([-1.5])
        row = np.concatenate([np.zeros(2 * mixtures), scales, np.eye(experts)[0], np.full(fits, 0.5 / max(fits, 1))])
        return jnp.broadcast_to(jnp.asarray(row, jnp.float32), shape)

    return start
