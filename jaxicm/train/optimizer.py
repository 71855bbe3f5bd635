"""The optimiser: groups of parameters with their own learning rates, Adam or Muon, clipping, schedules."""

import re
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from jaxicm.train.config import OptimizerConfig

EXACT_KERNEL = re.compile(r"[wuo]\d*")
"""Names of the kernels of the probability models: `[..., inputs, outputs]`, stacked over banks, groups or phases."""
_ADAM_RMS = 0.2
"""Typical root mean square of an update of Adam; Muon's is brought to it, so that one learning rate suits both.

Source: Liu et al., "Muon is scalable for LLM training", 2025, section 2.2."""


def group_of(path: tuple[Any, ...], leaf: Any) -> str:
    """Name the group of a parameter, a field of `Multipliers` ("muon" stands apart, see `is_muon_kernel`).

    Args:
      path: of keys, as `jax.tree_util` makes it.
      leaf: the parameter.

    Returns:
      "linear", "gains", "taps" or "network".
    """
    del leaf
    name = str(path[-1].key)
    if name in ("klt", "std"):
        return "linear"
    if name.startswith("taps"):
        return "taps"
    return "gains" if name.startswith("log_") else "network"


def is_muon_kernel(path: tuple[Any, ...], leaf: Any, which: str = "all") -> bool:
    """Say whether a parameter is a stack of matrices that Muon orthogonalises; `which` is `muon_kernels`."""
    name = str(path[-1].key)
    return (name == "kernel" and leaf.ndim == 4) or (which == "all" and EXACT_KERNEL.fullmatch(name) is not None)


def learning_rate(config: OptimizerConfig, steps: Array | float, step: Array | int) -> Array:
    """Compute the learning rate of a step.

    It is a function of the step alone, so a resumed run goes on where it was; more `steps` lengthen the schedule.

    Args:
      config: of the optimiser.
      steps: of the whole run.
      step: from 0.

    Returns:
      A float32 scalar.
    """
    done = jnp.asarray(step, jnp.float32)
    warm = jnp.minimum(1.0, (done + 1) / max(config.warmup, 1))
    factor = jnp.float32(1.0)
    if config.schedule == "cosine":
        factor = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(done / steps, 0.0, 1.0)))
    elif config.schedule == "wsd":
        factor = jnp.clip((steps - done) / (config.cooldown * steps), 0.0, 1.0)
    return config.learning_rate * warm * factor


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Make the transformation from gradients to updates, without the learning rate and its sign.

    Args:
      config: of the optimiser.

    Returns:
      A transformation whose updates are multiplied by `-learning_rate(...)`.
    """
    multipliers = config.multipliers
    groups: dict[Hashable, optax.GradientTransformation] = {
        name: optax.chain(optax.scale_by_adam(config.b1, config.b2), optax.scale(getattr(multipliers, name)))
        for name in ("linear", "gains", "taps", "network")
    }
    if config.name == "muon":
        groups["muon"] = optax.chain(
            scale_by_muon(
                beta=config.muon_momentum,
                ns_steps=config.muon_iterations,
                weight_dimension_numbers=_dimension_numbers,
            ),
            optax.stateless(_match_adam if config.muon_scale == "adam" else lambda updates, params: updates),
            optax.scale(multipliers.muon),
        )

    def labels(params: Any) -> Any:
        def label(path: tuple[Any, ...], leaf: Any) -> str:
            orthogonal = config.name == "muon" and is_muon_kernel(path, leaf, config.muon_kernels)
            return "muon" if orthogonal else group_of(path, leaf)

        return jax.tree_util.tree_map_with_path(label, params)

    parts = [optax.clip_by_global_norm(config.clip)] if config.clip else []
    return optax.chain(*parts, optax.partition(groups, labels))


def _dimension_numbers(params: Any) -> Any:
    def numbers(path: tuple[Any, ...], leaf: Any) -> MuonDimensionNumbers:
        if str(path[-1].key) == "kernel":
            return MuonDimensionNumbers((0, 1, 2), (3,))
        return MuonDimensionNumbers((leaf.ndim - 2,), (leaf.ndim - 1,))

    return jax.tree_util.tree_map_with_path(numbers, params)


def _match_adam(updates: Any, params: Any = None) -> Any:
    del params

    def scale(path: tuple[Any, ...], update: Array) -> Array:
        outputs = update.shape[-1]
        inputs = update[0].size // outputs * update.shape[0] if str(path[-1].key) == "kernel" else update.shape[-2]
        return update * (_ADAM_RMS * max(inputs, outputs) ** 0.5)

    return jax.tree_util.tree_map_with_path(scale, updates)
