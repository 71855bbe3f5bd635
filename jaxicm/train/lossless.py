"""Training the lossless codec: its settings, its variations of the crops, its loss."""

from dataclasses import dataclass, field
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.models.lossless import CHROMA_ZERO, LosslessConfig, LosslessModel
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
      ycc_share: share of the crops that are coded as luma and chroma, most with chroma of half the resolution: pictures
        that once came out of a decoder of JPEG or PhotoCD (see `codecs.origin`). Not with `masked`.
      filtered_share: share of the crops that are softened or sharpened first, as scanners and cameras do.
    """

    model: LosslessConfig = field(default_factory=LosslessConfig)
    scales: int = 3
    grey_share: float = 0.1
    subsampled_share: float = 0.4
    ycc_share: float = 0.4
    filtered_share: float = 0.4

    def __post_init__(self):
        for key in ("grey_share", "subsampled_share", "ycc_share", "filtered_share"):
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
      vary: whether some crops become grey, lose chroma, or are filtered; without, all are coded as they are.

    Returns:
      The terms (the loss is in bits a sample, there is no distortion) and the crops that were coded, in [0, 1].
    """
    count, height, width, _ = crops.shape
    grey, ycc = jnp.zeros(count, bool), None
    if vary:
        grey_key, chroma_key, filter_key, strength_key, ycc_key, kind_key = jax.random.split(key, 6)
        grey = jax.random.uniform(grey_key, (count,)) < settings.grey_share
        chosen = jax.random.uniform(chroma_key, (count,)) < settings.subsampled_share
        crops = jnp.where(chosen[:, None, None, None], subsample_chroma(crops), crops)
        chosen = jax.random.uniform(filter_key, (count,)) < settings.filtered_share
        strength = jax.random.uniform(strength_key, (2, count), minval=SHARPEST, maxval=SOFTEST)
        crops = jnp.where(chosen[:, None, None, None], filtered(crops, strength), crops)
        if settings.ycc_share and settings.model.masked is None:
            ycc = jax.random.uniform(ycc_key, (count,)) < settings.ycc_share
            crops = jnp.where(ycc[:, None, None, None], to_ycc(crops, kind_key), crops)
    bits = cast(Array, LosslessModel(settings.model).apply({"params": params}, crops, grey, settings.scales, ycc))
    bpp = bits.sum(axis=(1, 2)) / (height * width)
    terms = RateDistortion(bpp / jnp.where(grey, 1, 3), bpp, jnp.zeros(count))
    return terms, crops.astype(jnp.float32) / 255


SHARPEST, SOFTEST = -0.08, 0.15
"""Range of the outer taps of the filters [a, 1 - 2a, a] that vary the crops."""


def filtered(x: Array, strength: Array) -> Array:
    """Soften or sharpen pictures by three taps along each axis.

    Args:
      x: uint8 `[B, H, W, 3]`.
      strength: `[2, B]`, the outer taps along rows and columns; the three sum to 1.

    Returns:
      uint8, the same shape.
    """
    y = x.astype(jnp.float32)
    for axis, outer in zip((1, 2), strength, strict=True):
        width = [(0, 0)] * y.ndim
        width[axis] = (1, 1)
        padded, size = jnp.pad(y, width, mode="edge"), y.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, k, k + size, axis=axis) for k in (0, 2))
        y = y + outer[:, None, None, None] * (before + after - 2 * y)
    return jnp.clip(jnp.round(y), 0, 255).astype(jnp.uint8)


PHOTO_CD_SCALES = (1 / 1.3584, 1.772 / 2.2179, 1.402 / 1.8215)
"""PhotoCD's luma and chroma relative to those of ITU-R BT.601."""


def to_ycc(x: Array, key: Array) -> Array:
    """Convert RGB pictures to luma and chroma as decoders have them before they return RGB.

    Args:
      x: uint8 `[B, H, W, 3]`, even sides.
      key: of the choice of scales (JPEG's or PhotoCD's) and of how chroma is enlarged from half the size: not at all,
        repeated, linearly between centres (JPEG), linearly between samples at odd rows and columns (PhotoCD, mirrored).

    Returns:
      uint8, the same shape; chroma plus 128.
    """
    scale_key, kind_key = jax.random.split(key)
    small_scale = jax.random.bernoulli(scale_key, shape=(len(x), 1))
    scales = jnp.where(small_scale, jnp.asarray(PHOTO_CD_SCALES), 1.0)[:, None, None]
    ycc = jnp.round(x.astype(jnp.float32) @ jnp.asarray(_TO_YCC.T) * scales)
    full = ycc[..., 1:]
    b, h, w, _ = full.shape
    half = jnp.round(full.reshape(b, h // 2, 2, w // 2, 2, 2).mean(axis=(2, 4)))
    enlarged = (
        full,
        half.repeat(2, axis=1).repeat(2, axis=2),
        jnp.round(_double(_double(half, 1), 2)),
        _between(_between(half, 1), 2),
    )
    kind = jax.random.randint(kind_key, (b, 1, 1, 1), 0, len(enlarged))
    chroma = sum(jnp.where(kind == k, found, 0) for k, found in enumerate(enlarged))
    return jnp.clip(jnp.concatenate([ycc[..., :1], chroma + CHROMA_ZERO], axis=-1), 0, 255).astype(jnp.uint8)


def _between(x: Array, axis: int) -> Array:
    """Enlarge an axis by two: a sample at odd places, the rounded mean of its neighbours at even ones."""
    count = x.shape[axis]
    before = jnp.take(x, jnp.maximum(jnp.arange(count) - 1, 0), axis=axis)
    both = jnp.stack([jnp.floor((x + before + 1) / 2), x], axis=axis + 1)
    return both.reshape(*x.shape[:axis], 2 * count, *x.shape[axis + 1 :])


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
