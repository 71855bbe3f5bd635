"""Competitive learning: several networks share a task, and each becomes good at the content that it is best at.

Every sample is given to all M networks, and the loss is a soft minimum of their distortions whose temperature falls. At
a high temperature all learn from everything; at zero the best one alone learns from the sample. In between the gradient
is exactly that of the distortions weighted by softmax(-D / T), the fuzzy assignment of system S1 (Zhang et al.,
"Competitive learning for achieving content-specific filters in video coding for machines", 2024, arXiv 2406.12367;
specification 3.1 and B.5). Such annealing is that of Rose, "Deterministic annealing for clustering", 1998.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.errors import ConfigError


@dataclass(frozen=True)
class Annealing:
    """How the temperature falls, in units of the mean distortion: geometrically, then it stays at the last one.

    Attributes:
      first, last: temperatures.
      share: of the steps over which it falls.
      least_usage: share of the samples below which a network is idle and is made anew (`revive`).
      noise: standard deviation of what is added to the copy, relative to each parameter's mean size.
    """

    first: float = 1.0
    last: float = 0.01
    share: float = 0.7
    least_usage: float = 0.01
    noise: float = 0.02

    def __post_init__(self):
        for key, holds, rule in (
            ("first", self.first >= self.last > 0, "must not be below the last one, which must be above 0"),
            ("share", 0 < self.share <= 1, "must be in (0, 1]"),
            ("least_usage", 0 <= self.least_usage < 0.5, "must be in [0, 0.5)"),
            ("noise", self.noise >= 0, "must not be negative"),
        ):
            if not holds:
                raise ConfigError(f"competition.{key}: found {getattr(self, key)!r}, {rule}")

    def temperature(self, done: Array | float) -> Array:
        """Return the temperature when this share of the steps is done."""
        return self.first * (self.last / self.first) ** jnp.clip(jnp.asarray(done) / self.share, 0.0, 1.0)


def soft_minimum(distortions: Array, temperature: Array | float) -> Array:
    """Compute -T log mean_j exp(-D_j / T): the mean of the distortions at T -> infinity, the least one at T -> 0.

    Args:
      distortions: `[M, ...]` of M networks.
      temperature: in the units of the distortions, above 0.

    Returns:
      `[...]`, with the gradient softmax(-D / T) in each distortion.
    """
    count = distortions.shape[0]
    return -temperature * (jax.nn.logsumexp(-distortions / temperature, axis=0) - math.log(count))


def revive(params: Any, used: Array, annealing: Annealing, key: Array) -> tuple[Any, Array]:
    """Replace networks that are hardly used by copies of the busiest one, moved a little at random.

    Args:
      params: a tree whose leaves have the network as their first axis, `[M, ...]`.
      used: `[M]` shares of the samples, an average over many steps.
      annealing: what counts as idle, and the noise.
      key: of the noise.

    Returns:
      The parameters, and the shares as the networks have them now: a copy shares what the busiest one had.
    """
    idle, busiest = used < annealing.least_usage, jnp.argmax(used)
    leaves, tree = jax.tree.flatten(params)

    def renewed(leaf: Array, key: Array) -> Array:
        source = leaf[busiest]
        size = jnp.mean(jnp.abs(source))
        copies = source + annealing.noise * size * jax.random.normal(key, leaf.shape, leaf.dtype)
        return jnp.where(idle.reshape(-1, *[1] * (leaf.ndim - 1)), copies, leaf)

    keys = jax.random.split(key, len(leaves))
    renewed_leaves = [renewed(leaf, one) for leaf, one in zip(leaves, keys, strict=True)]
    share = used[busiest] / (1 + idle.sum())
    shared = jnp.where(idle | (jnp.arange(len(used)) == busiest), share, used)
    return jax.tree.unflatten(tree, renewed_leaves), jnp.where(idle.any(), shared, used)
