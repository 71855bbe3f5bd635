"""Training the lossless codec: its settings, its variations of the crops, its loss."""

from dataclasses import dataclass, field
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.models.lossless import LosslessConfig, LosslessModel
from jaxicm.objectives.rate_distortion import RateDistortion


@dataclass(frozen=True)
class LosslessTraining:
    """How a lossless codec is trained.

    Attributes:
      model: the networks.
      scales: at which a crop is coded; its sides must be divisible by 4 * 2**scales (not with `masked`).
      grey_share: share of the crops that are coded as grey pictures.
      subsampled_share: share of the crops whose chroma is reduced to half and enlarged again first, as scanners,
        cameras and JPEG leave it.
    """

    model: LosslessConfig = field(default_factory=LosslessConfig)
    scales: int = 3
    grey_share: float = 0.1
    subsampled_share: float = 0.4

    def __post_init__(self):
        for key in ("grey_share", "subsampled_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"{key}: found {getattr(self, key)}, must be in [0, 1]")
        if not 1 <= self.scales <= self.model.scales:
            raise ConfigError(f"scales: found {self.scales}, must be 1 to {self.model.scales}")


def lossless_loss(
    settings: LosslessTraining, params: Any, crops: Array, key: Array, *, vary: bool
) -> tuple[RateDistortion, Array]:
    """Compute the code length of crops.

    Args:
      settings: of the training.
      params: of `LosslessModel`.
      crops: uint8 `[B, H, W, 3]`.
      key: of the variations.
      vary: whether some crops become grey and some lose chroma; without, all are coded as they are.

    Returns:
      The terms (the loss is in bits a sample, there is no distortion) and the crops that were coded, in [0, 1].
    """
    count, height, width, _ = crops.shape
    grey = jnp.zeros(count, bool)
    if vary:
        grey_key, chroma_key = jax.random.split(key)
        grey = jax.random.uniform(grey_key, (count,)) < settings.grey_share
        chosen = jax.random.uniform(chroma_key, (count,)) < settings.subsampled_share
        crops = jnp.where(chosen[:, None, None, None], subsample_chroma(crops), crops)
    bits = cast(Array, LosslessModel(settings.model).apply({"params": params}, crops, grey, settings.scales))
    bpp = bits.sum(axis=(1, 2)) / (height * width)
    terms = RateDistortion(bpp / jnp.where(grey, 1, 3), bpp, jnp.zeros(count))
    return terms, crops.astype(jnp.float32) / 255


_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
"""Luma and chroma of ITU-R BT.601, full range."""


def subsample_chroma(x: Array) -> Array:
    """Reduce the chroma of pictures to half their size and enlarge it again, everything rounded to 8 bit.

    Args:
      x: uint8 `[B, H, W, 3]`, even sides.

    Returns:
      uint8, the same shape.
    """
    ycc = jnp.round(x.astype(jnp.float32) @ jnp.asarray(_TO_YCC.T))
    luma, chroma = ycc[..., :1], ycc[..., 1:]
    b, h, w, _ = chroma.shape
    small = jnp.round(chroma.reshape(b, h // 2, 2, w // 2, 2, 2).mean(axis=(2, 4)))
    wide = _double(_double(small, 1), 2)
    rgb = jnp.concatenate([luma, jnp.round(wide)], axis=-1) @ jnp.asarray(np.linalg.inv(_TO_YCC).T)
    return jnp.clip(jnp.round(rgb), 0, 255).astype(jnp.uint8)


def _double(x: Array, axis: int) -> Array:
    """Enlarge an axis by two, linearly between sample centres."""
    count = x.shape[axis]
    before = jnp.take(x, jnp.maximum(jnp.arange(count) - 1, 0), axis=axis)
    after = jnp.take(x, jnp.minimum(jnp.arange(count) + 1, count - 1), axis=axis)
    both = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
    return both.reshape(*x.shape[:axis], 2 * count, *x.shape[axis + 1 :])
