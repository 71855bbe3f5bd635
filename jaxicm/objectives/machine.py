"""What a picture is worth to a machine: distances of features and losses of frozen task networks.

Without labels the features of the original and of the decoded picture are compared ("proxy"), or what a network finds
in the original is the label for the decoded one ("own"); with labels the training losses of the networks on the decoded
picture are taken ("task"). Sources: Le et al., "Image coding for machines" and
"Learned image coding for machines: a content-adaptive approach", 2021 (arXiv 2108.09993 and 2108.09992).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.tasks.functions import TaskFunctions
from jaxicm.tasks.targets import Targets

MACHINE = "machine"
"""What weights trained with a `MachineDistortion` say that they were trained for."""
_EPSILON = 1e-6


@dataclass(frozen=True)
class MachineDistortion:
    """The distortion of a codec for machines, in units of a squared error of values in [0, 1].

    Attributes:
      networks: task networks that look at decoded pictures, names of `tasks.zoo` or `FILE.py:FUNCTION`.
      proxy: weight of each network's distance of features; one number serves all.
      own: weight of each network's losses whose labels are its own findings in the original, likewise.
      task: weight of each network's training losses with given labels, likewise.
      levels: of the features that are compared; none means those that each network names.
      exchange: squared error that a distance or a loss of 1 is worth.
      mse: weight of the squared error itself.
    """

    networks: tuple[str, ...] = ("yolox_nano", "mask_rcnn", "squeezenet")
    proxy: tuple[float, ...] = (1.0,)
    own: tuple[float, ...] = (0.0,)
    task: tuple[float, ...] = (0.0,)
    levels: tuple[str, ...] = ()
    exchange: float = 0.001
    mse: float = 0.1

    def __post_init__(self):
        if not self.networks:
            raise ConfigError("networks: none; name at least one task network")
        for key in ("proxy", "own", "task"):
            weights = getattr(self, key)
            if len(weights) not in (1, len(self.networks)) or min(weights, default=-1.0) < 0:
                raise ConfigError(
                    f"{key}: found {weights}, must be one weight, or one for each of {', '.join(self.networks)}, and"
                    " none below 0"
                )
        if self.exchange <= 0 or self.mse < 0:
            raise ConfigError(f"exchange must be above 0 and mse not below, found {self.exchange} and {self.mse}")

    @property
    def labelled(self) -> bool:
        """Whether the losses with labels count."""
        return any(self.task)

    def weights(self, kind: str) -> tuple[float, ...]:
        """Return the weight of each network, of "proxy", "own" or "task"."""
        given: tuple[float, ...] = getattr(self, kind)
        return given * len(self.networks) if len(given) == 1 else given

    def compared(self, network: TaskFunctions, features: Mapping[str, Any]) -> Sequence[str]:
        """Return the levels of a network's features that a distance compares."""
        return [level for level in self.levels if level in features] or network.levels


class MachineTerms(NamedTuple):
    """Weighted sums over the networks, one of each decoded picture."""

    proxy: Array
    own: Array
    task: Array

    @property
    def total(self) -> Array:
        """The sum of all."""
        return self.proxy + self.own + self.task


def feature_distance(original: Mapping[str, Array], decoded: Mapping[str, Array], levels: Sequence[str]) -> Array:
    """Compare features: squared error over the energy of the original's, the mean over levels.

    Args:
        original: `[B, h, w, C]` or `[B, n, C]` by level.
        decoded: the same of the decoded pictures.
        levels: that count, at least one.

    Returns:
        `[B]`: 0 for equal features, 1 where nothing is left of them.
    """

    def relative(level: str) -> Array:
        axes = tuple(range(1, original[level].ndim))
        energy = jnp.sum(jnp.square(original[level]), axes)
        return jnp.sum(jnp.square(original[level] - decoded[level]), axes) / (energy + _EPSILON)

    return jnp.stack([relative(level) for level in levels]).mean(axis=0)


def machine_terms(
    distortion: MachineDistortion,
    networks: Sequence[TaskFunctions],
    parameters: Sequence[Any],
    scales: Sequence[float],
    x: Array,
    x_hat: Array,
    targets: Targets | None = None,
) -> MachineTerms:
    """Compute what decoded pictures cost the networks.

    Args:
        distortion: which weighs them.
        networks: their functions.
        parameters: of each network.
        scales: pixels of each network's canvas a pixel of the picture.
        x: pictures `[B, H, W, 3]`, RGB in [0, 1].
        x_hat: decoded pictures, the same shape; or `[K B, H, W, 3]`, K versions of all of them one after the other.
        targets: objects of the decoded pictures; without, the losses with labels are left out.

    Returns:
        All kinds, in the units of the networks, of each decoded picture.
    """
    proxy = own = task = jnp.zeros(x_hat.shape[0])
    versions = x_hat.shape[0] // x.shape[0]
    original = jax.lax.stop_gradient(x)
    kinds = zip(*(distortion.weights(kind) for kind in ("proxy", "own", "task")), strict=True)
    for network, params, scale, (proxied, owned, tasked) in zip(networks, parameters, scales, kinds, strict=True):
        labels = targets if tasked else None
        if not (proxied or owned or labels is not None):
            continue
        seen = network.outputs(params, x_hat, scale, labels)
        if labels is not None:
            known = 1.0 if labels.known is None else jnp.asarray(labels.known, jnp.float32)
            task += tasked * known * sum(seen.losses.values(), jnp.zeros(()))
        if not (proxied or owned):
            continue
        wanted = jax.lax.stop_gradient(network.outputs(params, original, scale, None).features)
        wanted = {level: jnp.concatenate([values] * versions) for level, values in wanted.items()}
        if proxied:
            levels = distortion.compared(network, wanted)
            proxy += proxied * feature_distance(wanted, seen.features, levels)
        if owned:
            own += owned * sum(network.own_losses(params, wanted, seen.features).values(), jnp.zeros(()))
    return MachineTerms(proxy, own, task)
