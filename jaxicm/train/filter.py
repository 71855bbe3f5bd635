"""Training a filter behind a codec: its settings and its loss on crops of `train.coded_material`."""

from dataclasses import dataclass, field
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig
from jaxicm.objectives.rate_distortion import RateDistortion
from jaxicm.ops.space import enlarge

PLANE_WEIGHTS = (6 / 8, 1 / 8, 1 / 8)
"""Of luma and both chroma planes."""
_LEAST_ERROR = (0.5 / 255) ** 2
"""Added to both errors of a ratio: crops that coding hardly changed have no say."""


@dataclass(frozen=True)
class FilterTraining:
    """How a filter is trained.

    Attributes:
      model: the network.
      margin: luma samples at the edges of a crop that do not count: there the filter sees less than in a picture.
    """

    model: PlaneFilterConfig = field(default_factory=PlaneFilterConfig)
    margin: int = 16

    def __post_init__(self):
        if self.margin < 0 or self.margin % 2:
            raise ConfigError(f"filter.margin: found {self.margin}, must be even and not negative")


def filter_loss(settings: FilterTraining, params: Any, crops: Array, *, rounded: bool) -> tuple[RateDistortion, Array]:
    """Compute what error the filter leaves, relative to that without it.

    Args:
      settings: of the training.
      params: of `PlaneFilter`.
      crops: uint8 `[B, H, W, 7]`.
      rounded: clip and round what the filter makes to 8 bits.

    Returns:
      The terms (the loss is the weighted mean over the planes of the ratio of squared errors, 1 for no filter; "mse" is
      that of luma; there is no rate), and the filtered planes in [0, 1], `[B, H, W, 3]`, chroma repeated.
    """
    decoded, original = _planes(crops[..., :3]), _planes(crops[..., 3:6])
    qp = crops[:, 0, 0, 6].astype(jnp.float32)
    filtered = cast(tuple[Array, Array], PlaneFilter(settings.model).apply({"params": params}, *decoded, qp))
    if rounded:
        filtered = tuple(jnp.round(jnp.clip(plane, 0, 1) * 255) / 255 for plane in filtered)
    after, before = (_errors(planes, original, settings.margin) for planes in (filtered, decoded))
    ratio = (after + _LEAST_ERROR) / (before + _LEAST_ERROR)
    terms = RateDistortion(ratio @ jnp.asarray(PLANE_WEIGHTS), jnp.zeros(len(crops)), after[:, 0])
    return terms, jnp.concatenate([filtered[0], enlarge(filtered[1], 2)], axis=-1)


def _planes(samples: Array) -> tuple[Array, Array]:
    values = samples.astype(jnp.float32) / 255
    return values[..., :1], values[:, ::2, ::2, 1:]


def _errors(planes: tuple[Array, ...], original: tuple[Array, ...], margin: int) -> Array:
    """Return squared errors of luma and both chroma planes inside the margin, `[B, 3]`."""
    means = []
    for plane, wanted, edge in zip(planes, original, (margin, margin // 2), strict=True):
        inner = slice(edge, plane.shape[1] - edge), slice(edge, plane.shape[2] - edge)
        means.append(jnp.mean(jnp.square(plane - wanted)[:, *inner], axis=(1, 2)))
    return jnp.concatenate(means, axis=-1)


def original_samples(crops: np.ndarray) -> np.ndarray:
    """Return the planes of the originals as they are shown beside filtered ones: uint8 `[B, H, W, 3]`."""
    return crops[..., 3:6]
