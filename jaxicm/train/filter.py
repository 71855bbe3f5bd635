"""Training filters behind a codec: settings and the loss on crops of `train.coded_material`.

Several filters compete for the crops (system S1), or each is given its own. What counts is the squared error of planes,
or what the picture costs task networks.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jax.nn import one_hot

from jaxicm.errors import ConfigError
from jaxicm.models.filter_set import FilterSetConfig, apply_all
from jaxicm.objectives.competitive import Annealing, revive, soft_minimum
from jaxicm.objectives.distortion import RGB_TO_YUV
from jaxicm.objectives.rate_distortion import RateDistortion
from jaxicm.ops.space import enlarge
from jaxicm.train.machine import Look, MachineTraining, seen_terms

PLANE_WEIGHTS = (6 / 8, 1 / 8, 1 / 8)
"""Of luma and both chroma planes."""
USAGE_DECAY = 0.98
"""Of the running average of the share of the crops at which each filter is the best one."""
_LEAST_ERROR = (0.5 / 255) ** 2
"""Added to both errors of a ratio: crops that coding hardly changed have no say."""
_YUV_TO_RGB = np.linalg.inv(RGB_TO_YUV).astype(np.float32)


@dataclass(frozen=True)
class FilterTraining:
    """How filters are trained.

    Attributes:
      model: the networks.
      margin: luma samples at the edges of a crop that do not count: there the filter sees less than in a picture.
      assignment: which of several filters learns from a crop. "competitive": all, weighed by how well they do, at a
        falling temperature; "hard": the best one alone; "ranges": the one of the range in which the QP lies.
      annealing: of the competition, in units of the relative error that the loss is made of.
      ranges: QPs at which the range of the next filter begins, one fewer than there are filters.
    """

    model: FilterSetConfig = field(default_factory=FilterSetConfig)
    margin: int = 16
    assignment: Literal["competitive", "hard", "ranges"] = "competitive"
    annealing: Annealing = field(default_factory=Annealing)
    ranges: tuple[int, ...] = ()

    def __post_init__(self):
        if self.margin < 0 or self.margin % 2:
            raise ConfigError(f"filter.margin: found {self.margin}, must be even and not negative")
        wanted = self.model.count - 1 if self.assignment == "ranges" else 0
        if len(self.ranges) != wanted or list(self.ranges) != sorted(set(self.ranges)):
            raise ConfigError(f"filter.ranges: found {self.ranges}, must be {wanted} rising QPs for these filters")


def filter_loss(
    settings: FilterTraining,
    params: Any,
    crops: Array,
    *,
    done: Array | float | None = None,
    machine: MachineTraining | None = None,
    look: Look | None = None,
) -> tuple[RateDistortion, Array]:
    """Compute what error the filters leave, relative to that without one.

    Args:
      settings: of the training.
      params: of `models.filter_set`.
      crops: uint8 `[B, H, W, 7]`.
      done: share of the training that is done; None measures instead, with clipped and rounded planes and of each crop
        the best filter (with ranges, the one of its range).
      machine: for whom the filters are, if for task networks.
      look: of these networks.

    Returns:
      The terms (the error of a filter is the weighted mean over the planes of the ratio of squared errors, or for
      machines the ratio of their distortions, 1 for no filter; "mse" is that of luma of the best one; "machine" what it
      costs the networks; there is no rate), and the planes of the best filter in [0, 1], `[B, H, W, 3]`, chroma
      repeated.
    """
    decoded, original = _planes(crops[..., :3]), _planes(crops[..., 3:6])
    qp = crops[:, 0, 0, 6].astype(jnp.float32)
    filtered = apply_all(params, settings.model, *decoded, qp)
    if done is None:
        filtered = tuple(jnp.round(jnp.clip(plane, 0, 1) * 255) / 255 for plane in filtered)
    after, before = (_errors(planes, original, settings.margin) for planes in (filtered, decoded))
    if machine is None or look is None:
        ratios, seen = (after + _LEAST_ERROR) / (before + _LEAST_ERROR) @ jnp.asarray(PLANE_WEIGHTS), None
    else:
        ratios, seen = _machine_ratios(machine, look, (decoded, filtered, original), (before, after), settings.margin)
    if settings.assignment == "ranges":
        best = jnp.searchsorted(jnp.asarray(settings.ranges), qp, side="right")
    else:
        best = jnp.argmin(ratios, axis=0)
    chosen = jnp.take_along_axis(ratios, best[None], axis=0)[0]
    if done is None or settings.assignment != "competitive":
        loss = chosen
    else:
        loss = soft_minimum(ratios, settings.annealing.temperature(done))
    rows = jnp.arange(len(crops))
    shown = jnp.concatenate([filtered[0][best, rows], enlarge(filtered[1][best, rows], 2)], axis=-1)
    winners = one_hot(best, settings.model.count)
    costs = None if seen is None else seen[best, rows]
    return RateDistortion(loss, jnp.zeros(len(crops)), after[best, rows, 0], costs, winners), shown


def _machine_ratios(
    machine: MachineTraining,
    look: Look,
    planes: tuple[tuple[Array, ...], ...],
    squared: tuple[Array, Array],
    margin: int,
) -> tuple[Array, Array]:
    """Compare what filtered crops cost machines with what decoded ones do.

    Args:
      machine: whose distortion counts.
      look: of its networks.
      planes: decoded, filtered (by each filter) and original ones.
      squared: errors of decoded and filtered planes, `[B, 3]` and `[M, B, 3]`.
      margin: luma samples at the edges that the networks are not shown.

    Returns:
      The ratios and what filtered crops cost the networks, `[M, B]` each.
    """
    decoded, filtered, original = planes
    versions = [
        jnp.concatenate([plane[None], found]).reshape(-1, *plane.shape[1:])
        for plane, found in zip(decoded, filtered, strict=True)
    ]
    inner = slice(margin, original[0].shape[1] - margin), slice(margin, original[0].shape[2] - margin)
    x, x_hat = (_pictures(*some)[:, *inner] for some in (original, versions))
    seen = seen_terms(machine, look, x, x_hat).total.reshape(-1, len(x))
    errors = jnp.concatenate([squared[0][None], squared[1]]) @ jnp.asarray(PLANE_WEIGHTS)
    costs = machine.distortion.mse * errors + machine.distortion.exchange * seen
    least = _LEAST_ERROR * max(machine.distortion.mse, machine.distortion.exchange)
    return (costs[1:] + least) / (costs[0] + least), seen[1:]


def _pictures(luma: Array, chroma: Array) -> Array:
    """Return RGB as it is shown, chroma enlarged as in `media.yuv`."""
    shape = (len(luma), *luma.shape[1:3], 2)
    return jnp.concatenate([luma, jax.image.resize(chroma - 0.5, shape, "cubic")], axis=-1) @ _YUV_TO_RGB


def revived(settings: FilterTraining, params: Any, ema: Any, shares: Array, key: Array) -> tuple[Any, Any, Array]:
    """Make filters anew that hardly any crop is best with, as copies of the busiest one (see `revive`).

    Args:
      settings: of the training.
      params: of `models.filter_set`.
      ema: their average.
      shares: of the crops, `[M]`.
      key: of the noise, the same in both trees.

    Returns:
      Parameters, average and shares, as they were where filters have ranges or none is idle.
    """
    model = settings.model
    if model.count == 1 or settings.assignment == "ranges":
        return params, ema, shares

    def renew(tree: Any) -> tuple[Any, Array]:
        flat = flatten_dict(tree)
        own = {path: leaf for path, leaf in flat.items() if model.is_own(path)}
        renewed, used = revive(own, shares, settings.annealing, key)
        return unflatten_dict({**flat, **renewed}), used

    def both() -> tuple[Any, Any, Array]:
        (new, used), (average, _) = renew(params), renew(ema)
        return new, average, used

    idle = jnp.any(shares < settings.annealing.least_usage)
    return jax.lax.cond(idle, both, lambda: (params, ema, shares))


def _planes(samples: Array) -> tuple[Array, Array]:
    values = samples.astype(jnp.float32) / 255
    return values[..., :1], values[:, ::2, ::2, 1:]


def _errors(planes: tuple[Array, ...], original: tuple[Array, ...], margin: int) -> Array:
    """Return squared errors of luma and both chroma planes inside the margin, `[..., B, 3]`."""
    means = []
    for plane, wanted, edge in zip(planes, original, (margin, margin // 2), strict=True):
        inner = slice(edge, plane.shape[-3] - edge), slice(edge, plane.shape[-2] - edge)
        means.append(jnp.mean(jnp.square(plane - wanted)[..., *inner, :], axis=(-3, -2)))
    return jnp.concatenate(means, axis=-1)


def original_samples(crops: np.ndarray) -> np.ndarray:
    """Return the planes of the originals as they are shown beside filtered ones: uint8 `[B, H, W, 3]`."""
    return crops[..., 3:6]
