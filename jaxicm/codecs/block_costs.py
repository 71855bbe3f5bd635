"""What each block of a shown picture costs, to eyes or to task networks: by it filters are chosen for blocks (S1).

To eyes a block costs its squared error. To machines it costs that, weighed, and its share of the distance of features
of task networks: the errors at those positions of a feature map that lie in the block, over the energy of the whole
map. So the costs of the blocks add up to the distortion for machines of the picture (`objectives.machine`), in units of
the squared error of its planes; the networks see the whole picture once for each version and not once for each block.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.codecs import machine_objective
from jaxicm.codecs.block_choice import block_errors, grid
from jaxicm.codecs.filter_cost import CHROMA_WEIGHT
from jaxicm.codecs.filter_weights import PlaneFilterWeights
from jaxicm.configuration import from_dict
from jaxicm.media.yuv import Planes, to_pixels
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.tasks import zoo

Costs = Callable[[int], np.ndarray]
"""Of the side of a block, one of `block_choice.BLOCKS`: float64 `[rows, columns]`, in units of a squared error."""
Judge = Callable[[Planes], Costs]
"""Of the planes that are shown."""
UNIT = 128
"""Networks see pictures enlarged to multiples of it, so that pictures of many sizes share what is compiled."""
_PLANES_A_PIXEL = 1 + 2 / 4 * CHROMA_WEIGHT
"""Squared error that a pixel has where all its planes have a mean squared error of 1."""


def judge_for(network: PlaneFilterWeights | None, wanted: Planes) -> Judge:
    """Return what judges versions of a picture: by what the filters were trained for.

    Args:
      network: filters; None judges by squared errors.
      wanted: planes of 4:2:0 of 8 bits, or luma alone, of the original.

    Raises:
      InputError: filters for machines whose task networks are not at hand.
      MissingDependency: reading them needs a package that is not installed.
    """
    if network is None or network.info.machine is None:
        return partial(_squared_errors, wanted)
    return machine_judge(from_dict(MachineDistortion, network.info.machine), wanted)


def _squared_errors(wanted: Planes, shown: Planes) -> Costs:
    return lambda block: block_errors(wanted, shown, block, CHROMA_WEIGHT)


def machine_judge(distortion: MachineDistortion, wanted: Planes) -> Judge:
    """Return what judges versions of a picture by the features of task networks and by squared errors.

    Args:
      distortion: what counts; losses, which belong to no block, are left out.
      wanted: planes of 4:2:0 of 8 bits, or luma alone, of the original.

    Raises:
      InputError, MissingDependency: as `judge_for`.
    """
    weights = distortion.weights("proxy")
    seen = [(name, weight) for name, weight in zip(distortion.networks, weights, strict=True) if weight]
    size = wanted[0].shape
    original = _features([name for name, _ in seen], wanted)
    worth = distortion.exchange * 255.0**2 * wanted[0].size * _PLANES_A_PIXEL

    def judge(shown: Planes) -> Costs:
        maps: list[np.ndarray] = []
        found = _features([name for name, _ in seen], shown)
        for (name, weight), features, decoded in zip(seen, original, found, strict=True):
            levels = distortion.compared(zoo.functions(name), features)
            errors = _errors({k: features[k] for k in levels}, {k: decoded[k] for k in levels})
            maps += [weight / len(levels) * np.asarray(values, np.float64) for values in errors]

        def costs(block: int) -> np.ndarray:
            total = distortion.mse * block_errors(wanted, shown, block, CHROMA_WEIGHT)
            rows, columns = grid(size[0], size[1], block)
            for values in maps:
                down, across = (
                    _overlaps(length, count, block, positions)
                    for length, count, positions in zip(size, (rows, columns), values.shape, strict=True)
                )
                total += worth * (down @ values @ across.T)
            return total

        return costs

    return judge


def _overlaps(length: int, count: int, block: int, positions: int) -> np.ndarray:
    """Return which share of each of the positions along an axis lies in each block, `[count, positions]`."""
    padded = _padded(length)
    edges = np.minimum(np.arange(count + 1) * (block or length), length).astype(np.float64)
    edges[-1] = padded
    ends = np.linspace(0, padded, positions + 1)
    first = np.maximum(edges[:-1, None], ends[None, :-1])
    last = np.minimum(edges[1:, None], ends[None, 1:])
    return np.maximum(last - first, 0) * positions / padded


def _padded(length: int) -> int:
    return -(-length // UNIT) * UNIT


def _features(names: Sequence[str], planes: Planes) -> list[dict[str, Array]]:
    """Return the feature maps of each network."""
    pixels = to_pixels(planes, 8)
    height, width = pixels.shape[:2]
    around = ((0, _padded(height) - height), (0, _padded(width) - width), (0, 0))
    padded = np.pad(pixels, around, mode="edge")

    def features(name: str) -> dict[str, Array]:
        scale = machine_objective.usual_scale(zoo.functions(name).scale(height, width))
        return _seen(machine_objective.parameters(name), padded, name, scale)

    return [features(name) for name in names]


@partial(jax.jit, static_argnames=("name", "scale"))
def _seen(params: Any, pixels: Array, name: str, scale: float) -> dict[str, Array]:
    return dict(zoo.functions(name).outputs(params, pixels[None] / 255.0, scale, None).features)


@jax.jit
def _errors(original: Mapping[str, Array], decoded: Mapping[str, Array]) -> Sequence[Array]:
    """Return the squared errors of each level over the energy of the original's, by position `[h, w]`.

    Levels without rows and columns become one position.
    """

    def relative(level: str) -> Array:
        squares = jnp.square(decoded[level] - original[level])[0].sum(axis=-1)
        squares = squares if squares.ndim == 2 else squares.sum()[None, None]
        return squares / jnp.maximum(jnp.square(original[level]).sum(), 1e-6)

    return [relative(level) for level in original]
