"""What stands for rounding in training: the value that later steps and the synthesis see, and its rate.

Rounding has no useful gradient, so training replaces it. The ways differ in what the rate, the distortion and the
context see; the coded file always holds rounded values. Sources: uniform noise, Balle et al., "Variational image
compression with a scale hyperprior", 2018; noise for the rate and rounding for the rest, Minnen and Singh,
"Channel-wise autoregressive entropy models", 2020; soft rounding, Agustsson and Theis, "Universally quantized neural
compression", 2020. "rounded" is ours.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.entropy import gaussian
from jaxicm.ops.quantize import straight_through

Kind = Literal["rounded", "straight_through", "mixed", "noise", "soft"]
"""Ways to replace rounding.

* "rounded": values and rate are those of the file; the gradient of the rate is its mean over uniform noise.
* "straight_through": values and rate are those of the file; the gradient of the rate is the Gaussian's own.
* "mixed": the rate is that of noisy values, all else sees rounded ones.
* "noise": everything sees noisy values.
* "soft": everything sees softly rounded noisy values; the sharpness is to grow during training.
"""


class Surrogate(NamedTuple):
    """How rounding is replaced in one evaluation of the model.

    Attributes:
      kind: the way.
      sharpness: of soft rounding, above 0; a number or a scalar array.
      sample_phases: evaluate one phase of the finest scale, drawn at random, instead of all three, and count its rate
        three times. The other phases are rounded without their means.
      passes: 0 goes step by step, as coding does; otherwise all steps are taken at once, from guesses that as many
        passes make better (`entropy.progressive_parallel`), which keeps an accelerator busy.
    """

    kind: Kind = "rounded"
    sharpness: Array | float = 12.0
    sample_phases: bool = False
    passes: int = 0

    @property
    def noisy(self) -> bool:
        """Whether uniform noise is drawn."""
        return self.kind in ("mixed", "noise", "soft")

    @property
    def random(self) -> bool:
        """Whether the model needs a random key."""
        return self.noisy or self.sample_phases


ROUNDED = Surrogate()


def soft_round(x: Array, sharpness: Array | float) -> Array:
    """Round softly: near the identity for a small sharpness, rounding for a large one.

    Args:
      x: of any shape.
      sharpness: alpha, above 0.

    Returns:
      `floor(x) + 1/2 + tanh(alpha (x - floor(x) - 1/2)) / (2 tanh(alpha / 2))`.
    """
    middle = jnp.floor(x) + 0.5
    return middle + jnp.tanh(sharpness * (x - middle)) / (2 * jnp.tanh(jnp.asarray(sharpness) / 2))


class Rounding(NamedTuple):
    """What stands for rounding, as functions of arrays of one shape.

    Values are chosen step by step, since later steps depend on them; the rate of many steps is computed at once, which
    an accelerator does in a fraction of the time.

    Attributes:
      choose: from latents in steps, means, scale indices (integers, real-valued) and noise in [-1/2, 1/2] or None to
        the values that later steps see (not clipped), and to what is coded: an array or several.
      bits: from what is coded and scale indices to bits.
    """

    choose: Callable[[Array, Array, Array, Any], tuple[Array, Any]]
    bits: Callable[[Any, Array], Array]

    def __call__(self, y: Array, mean: Array, index: Array, noise: Any) -> tuple[Array, Array]:
        """Return values and bits of a single step."""
        value, coded = self.choose(y, mean, index, noise)
        return value, self.bits(coded, index)


def rounding_of(surrogate: Surrogate) -> Rounding:
    """Return what replaces the rounding of latents under their distribution."""
    bits = _rounded_bits if surrogate.kind == "rounded" else gaussian.bits_of_index
    return Rounding(partial(_choose, surrogate=surrogate), bits)


def _choose(y: Array, mean: Array, index: Array, noise: Array | None, surrogate: Surrogate) -> tuple[Array, Any]:
    residual = y - mean
    drawn = jnp.zeros_like(y) if noise is None else noise
    if surrogate.kind == "noise":
        return y + drawn, residual + drawn
    if surrogate.kind == "soft":
        softened = soft_round(residual, surrogate.sharpness) + drawn
        return soft_round(softened, surrogate.sharpness) + mean, softened
    rounded = gaussian.round_with_cost(jax.lax.stop_gradient(residual), jax.lax.stop_gradient(index))
    # With the symbol fixed the decoded value moves with the mean; it moves with y as if there were no rounding.
    value = straight_through(jnp.where(index > 0, rounded, 0.0), y) + mean
    # The rate sees the symbol even where the coder would skip it, so that a scale can leave the floor.
    if surrogate.kind == "mixed":
        return value, residual + drawn
    if surrogate.kind == "straight_through":
        return value, straight_through(rounded, residual)
    return value, (rounded, residual)


def _rounded_bits(coded: tuple[Array, Array], index: Array) -> Array:
    return gaussian.rounded_bits(*coded, gaussian.scale_of_index(index))
