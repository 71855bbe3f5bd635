"""The optimiser: groups of parameters with their own learning rates, Adam or Muon, clipping, schedules."""

import re
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from jaxicm.models.stage16 import KLT
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
    if name in (*KLT, "std"):
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
            _alike_together(
                scale_by_muon(
                    beta=config.muon_momentum,
                    ns_steps=config.muon_iterations,
                    weight_dimension_numbers=_matrices,
                )
            ),
            optax.stateless(_match_adam if config.muon_scale == "adam" else lambda updates, params: updates),
            optax.scale(multipliers.muon),
        )

    def labels(params: Any) -> Any:
        def label(path: tuple[Any, ...], leaf: Any) -> str:
            orthogonal = config.name == "muon" and is_muon_kernel(path, leaf, config.muon_kernels)
            return "muon" if orthogonal else group_of(path, leaf)

        return jax.tree_util.tree_map_with_path(label, params)

    parts = [_clip_by_norm(config.clip)] if config.clip else []
    return optax.chain(*parts, optax.partition(groups, labels))


def global_norm(tree: Any) -> Array:
    """Return the root of the sum of all squares of a tree of arrays, summed at once: a sum of each is a kernel each."""
    flat = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(tree)])
    return jnp.sqrt(jnp.sum(jnp.square(flat)))


def _clip_by_norm(limit: float) -> optax.GradientTransformation:
    def clip(updates: Any, params: Any = None) -> Any:
        del params
        norm = global_norm(updates)
        factor = jnp.where(norm < limit, 1.0, limit / norm)
        return jax.tree.map(lambda update: update * factor, updates)

    return optax.stateless(clip)


def _alike_together(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """Give a transformation the matrices of about one size as one stack, filled up with zeros, which stay zeros.

    Each of the iterations that orthogonalise a matrix is a handful of tiny kernels on an accelerator: launched for
    every layer apart they took longer than the layers themselves.

    Args:
      transformation: of a dictionary of arrays `[count, longer, shorter]`, one entry for every size; zeros at the end
        of rows or columns must change nothing.

    Returns:
      The transformation of parameters or gradients as they lie in the model; its state holds the stacks.
    """

    def sizes(tree: Any) -> dict[tuple[int, bool], tuple[int, int]]:
        """Return the size of the stack of each kind of matrix, see `_kind`."""
        found: dict[tuple[int, bool], tuple[int, int]] = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            shape = _matrix_shape(path, leaf)
            longest, shortest = found.get(_kind(shape), (0, 0))
            found[_kind(shape)] = max(longest, *shape), max(shortest, min(shape))
        return found

    def stack(tree: Any) -> dict[str, Array]:
        kinds, alike = sizes(tree), {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            shape = _matrix_shape(path, leaf)
            rows, columns = kinds[_kind(shape)]
            matrices = leaf.reshape(-1, *shape)
            if shape[0] < shape[1]:
                matrices = matrices.swapaxes(1, 2)
            room = ((0, 0), (0, rows - max(shape)), (0, columns - min(shape)))
            alike.setdefault(f"{rows}x{columns}", []).append(jnp.pad(matrices, room))
        return {size: jnp.concatenate(matrices) for size, matrices in alike.items()}

    def unstack(stacks: dict[str, Array], like: Any) -> Any:
        kinds, taken = sizes(like), dict.fromkeys(stacks, 0)

        def take(path: tuple[Any, ...], leaf: Any) -> Array:
            shape = _matrix_shape(path, leaf)
            rows, columns = kinds[_kind(shape)]
            size, count = f"{rows}x{columns}", leaf.size // (shape[0] * shape[1])
            taken[size] += count
            matrices = stacks[size][taken[size] - count : taken[size], : max(shape), : min(shape)]
            return (matrices.swapaxes(1, 2) if shape[0] < shape[1] else matrices).reshape(leaf.shape)

        return jax.tree_util.tree_map_with_path(take, like)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        stacks, state = transformation.update(stack(updates), state)
        return unstack(stacks, updates), state  # pyright: ignore[reportArgumentType]

    return optax.GradientTransformation(lambda params: transformation.init(stack(params)), update)


def _kind(shape: tuple[int, int]) -> tuple[int, bool]:
    """Return what matrices of one stack have in common: the power of two above their shorter side, and being long."""
    width = 1 << (min(shape) - 1).bit_length()
    return width, max(shape) > 4 * width


def _matrices(stacks: Any) -> dict[str, MuonDimensionNumbers]:
    return dict.fromkeys(stacks, MuonDimensionNumbers((1,), (2,)))


def _matrix_shape(path: tuple[Any, ...], leaf: Any) -> tuple[int, int]:
    """Return inputs and outputs of the matrices that a parameter of Muon holds; see `is_muon_kernel`."""
    outputs = leaf.shape[-1]
    return (leaf.size // outputs if str(path[-1].key) == "kernel" else leaf.shape[-2]), outputs


def _match_adam(updates: Any, params: Any = None) -> Any:
    del params

    def scale(path: tuple[Any, ...], update: Array) -> Array:
        return update * (_ADAM_RMS * max(_matrix_shape(path, update)) ** 0.5)

    return jax.tree_util.tree_map_with_path(scale, updates)
