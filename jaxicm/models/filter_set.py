"""Several filters of planes that share a task, one of which is chosen for each block: content-specific filters (S1).

Either each filter has parameters of its own, or all share their kernels and differ in biases and slopes, which costs
little in a weight file and lets every filter learn from all content.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.models import filter
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig

MOST_FILTERS = 64


@dataclass(frozen=True)
class FilterSetConfig:
    """Sizes of a set of filters.

    Attributes:
      filter: network of each one.
      count: of filters. The parameters of one alone are those of `PlaneFilter`; of several, parameters of their own are
        stacked along a first axis.
      shared_kernels: kernels are the same in all filters.
    """

    filter: PlaneFilterConfig = field(default_factory=PlaneFilterConfig)
    count: int = 1
    shared_kernels: bool = False

    def __post_init__(self):
        if not 1 <= self.count <= MOST_FILTERS:
            raise ConfigError(f"count: found {self.count}, must be in [1, {MOST_FILTERS}]")

    def is_own(self, path: tuple[str, ...]) -> bool:
        """Say whether each filter has the parameter of this path for itself."""
        return self.count > 1 and not (self.shared_kernels and path[-1] == "kernel")


def initial_parameters(config: FilterSetConfig, seed: int) -> dict[str, Any]:
    """Draw the parameters of a set: all filters alike, and the identity."""
    return spread(filter.initial_parameters(config.filter, seed), config)


def spread(params: Mapping[str, Any], config: FilterSetConfig, noise: float = 0.0, seed: int = 0) -> dict[str, Any]:
    """Make a set of one filter.

    Args:
      params: of `PlaneFilter`.
      config: of the set.
      noise: standard deviation of what is added to each filter, relative to each parameter's mean size; without any
        they would all learn the same.
      seed: of the noise.

    Returns:
      Parameters of the set.
    """
    rng = np.random.default_rng(seed)

    def copies(path: tuple[str, ...], leaf: np.ndarray) -> Array:
        if not config.is_own(path):
            return jnp.asarray(leaf)
        shape = (config.count, *leaf.shape)
        moved = leaf + noise * np.mean(np.abs(leaf)) * rng.normal(size=shape)
        return jnp.asarray(moved.astype(np.float32))

    flat = flatten_dict(dict(params))
    return unflatten_dict({path: copies(path, np.asarray(leaf)) for path, leaf in flat.items()})


def member(params: Mapping[str, Any], config: FilterSetConfig, number: int) -> dict[str, Any]:
    """Return the parameters of one filter of a set."""
    flat = flatten_dict(dict(params))
    return unflatten_dict(
        {path: np.asarray(leaf)[number] if config.is_own(path) else leaf for path, leaf in flat.items()}
    )


def apply_all(
    params: Mapping[str, Any], config: FilterSetConfig, luma: Array, chroma: Array, qp: Array
) -> tuple[Array, Array]:
    """Filter pictures with every filter of a set, one after the other.

    Batched over filters they would be grouped convolutions, and in a loop of the compiled program they would run on one
    thread: both are many times slower on a CPU.

    Args:
      params: of the set.
      config: of the set.
      luma: `[B, H, W, 1]` in [0, 1], even sides.
      chroma: `[B, H/2, W/2, 2]` in [0, 1].
      qp: `[B]`.

    Returns:
      Luma `[M, B, H, W, 1]` and chroma `[M, B, H/2, W/2, 2]`, not clipped.
    """
    flat: dict[tuple[str, ...], Array] = flatten_dict(dict(params))  # pyright: ignore[reportAssignmentType]
    own = {path: leaf for path, leaf in flat.items() if config.is_own(path)}
    common = {path: leaf for path, leaf in flat.items() if not config.is_own(path)}

    def run(leaves: Mapping[tuple[str, ...], Array]) -> tuple[Array, Array]:
        variables = {"params": unflatten_dict({**common, **leaves})}
        return cast(tuple[Array, Array], PlaneFilter(config.filter).apply(variables, luma, chroma, qp))

    found = [run({path: leaf[number] for path, leaf in own.items()}) for number in range(config.count)]
    return jnp.stack([luma for luma, _ in found]), jnp.stack([chroma for _, chroma in found])
