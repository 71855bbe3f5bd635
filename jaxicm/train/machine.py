"""Training a codec for machines: its settings, and the frozen task networks through which the loss looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from jax import Array

from jaxicm.errors import ConfigError
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN
from jaxicm.objectives.distortion import distortion
from jaxicm.objectives.machine import MachineDistortion, MachineTerms, machine_terms
from jaxicm.objectives.rate_distortion import RateDistortion, weigh
from jaxicm.objectives.weighting import BREAKS, LAST_EPOCH, OPERATING_POINTS, LossWeights, strategy_weights
from jaxicm.tasks import zoo
from jaxicm.tasks.functions import TaskFunctions
from jaxicm.tasks.targets import Targets

_SIGNED_SQUARED = 4.0
"""Squared error of values in [-1, 1] over that of values in [0, 1]."""


@dataclass(frozen=True)
class MachineTraining:
    """How a codec is trained for machines.

    Attributes:
      distortion: what counts as one; `data.annotations` name the labels, if it has weights for them.
      picture: height and width of the whole pictures that the crops are of, in pixels: they say how large the networks
        see a crop.
      weighting: "point", our own: every crop has the trade-off lambda of the quality that was drawn for it; or a
        strategy of `objectives.weighting`, whose weights go by the epoch. With these, `exchange` and `mse` of the
        distortion are without effect.
      epoch_steps: steps of an epoch; 0 makes the run last for all epochs up to the last operating point.
      point: epoch whose weights the constant strategies have; 0 takes it from each crop's quality.
      breaks: epochs at which the strategies change.
    """

    distortion: MachineDistortion = field(default_factory=MachineDistortion)
    picture: tuple[int, ...] = (480, 640)
    weighting: Literal["point", "lws", "constant", "pretrained", "task_only"] = "point"
    epoch_steps: int = 0
    point: float = 0.0
    breaks: tuple[float, ...] = BREAKS

    def __post_init__(self):
        for key, holds, rule in (
            ("picture", len(self.picture) == 2 and min(self.picture) >= 32, "must be height and width, 32 or more"),
            ("epoch_steps", self.epoch_steps >= 0, "must not be negative (0 spreads the epochs over the run)"),
            ("point", self.point >= 0, "must not be negative (0 goes by the quality)"),
            (
                "breaks",
                len(self.breaks) == 4 and list(self.breaks) == sorted(self.breaks),
                "must be four rising epochs",
            ),
        ):
            if not holds:
                raise ConfigError(f"machine.{key}: found {getattr(self, key)!r}, {rule}")


class Look(NamedTuple):
    """What the loss for machines needs besides the pictures.

    Attributes:
      parameters: of each network.
      targets: objects of the crops, or None.
      epoch: of the run, see `epoch_at`.
    """

    parameters: Sequence[Any]
    targets: Targets | None
    epoch: Array | float


def epoch_at(machine: MachineTraining, steps: Array | float, step: Array | int) -> Array | float:
    """Return the epoch of a step of a run of so many steps."""
    return step / (machine.epoch_steps or steps / LAST_EPOCH)


def load_networks(machine: MachineTraining) -> list[Any]:
    """Load the parameters of the networks of a run.

    Raises:
      InputError: a name is unknown or its weights are not at hand.
      MissingDependency: reading them needs a package that is not installed.
    """
    return [zoo.load_functions(name)[1] for name in machine.distortion.networks]


def network_functions(machine: MachineTraining) -> list[TaskFunctions]:
    """Return the functions of the networks of a run."""
    return [zoo.functions(name) for name in machine.distortion.networks]


def without_labels(machine: MachineTraining) -> MachineTraining:
    """Return the settings for pictures without labels: distances of features where nothing else is left."""
    distortion = machine.distortion
    if any((*distortion.proxy, *distortion.own)):
        return machine
    return replace(machine, distortion=replace(distortion, proxy=(1.0,)))


def point_steps(machine: MachineTraining | None, steps: int) -> dict[int, str]:
    """Return the steps whose parameters are operating points of their own, and the names of these points.

    Args:
      machine: settings, None for other codecs.
      steps: of the whole run.
    """
    if machine is None or machine.weighting != "lws":
        return {}
    each = machine.epoch_steps or steps / LAST_EPOCH
    return {round(epoch * each): f"qp{qp}" for epoch, qp in OPERATING_POINTS.items()}


def seen_terms(machine: MachineTraining, look: Look, x: Array, x_hat: Array) -> MachineTerms:
    """Compute what decoded crops cost the networks of a run; see `objectives.machine.machine_terms`.

    Args:
      machine: settings.
      look: parameters of the networks, objects of the crops.
      x: crops `[B, H, W, 3]` in [0, 1].
      x_hat: decoded crops, the same shape or `[K B, H, W, 3]`.
    """
    networks = network_functions(machine)
    scales = [network.scale(machine.picture[0], machine.picture[1]) for network in networks]
    return machine_terms(machine.distortion, networks, look.parameters, scales, x, x_hat, look.targets)


def machine_loss(
    machine: MachineTraining,
    look: Look,
    x: Array,
    x_hat: Array,
    bits: Array,
    quality: Array,
    trade_off: Array,
    weight_exponent: float,
) -> RateDistortion:
    """Compute the loss of crops for machines.

    Args:
      machine: settings.
      look: parameters of the networks, objects of the crops, the epoch.
      x: crops `[B, H, W, 3]` in [0, 1].
      x_hat: decoded crops, the same shape.
      bits: `[B]`.
      quality: `[B]` in [1, 100].
      trade_off: `[B]` lambda of the quality.
      weight_exponent: see `objectives.rate_distortion.weigh`.

    Returns:
      The terms of each crop.
    """
    bpp, mse = bits / (x.shape[1] * x.shape[2]), distortion(x, x_hat)
    seen = seen_terms(machine, look, x, x_hat).total
    if machine.weighting == "point":
        measured = machine.distortion.mse * mse + machine.distortion.exchange * seen
        return RateDistortion(weigh(bpp, measured, trade_off, weight_exponent), bpp, mse, seen)
    weights = _weights_at(machine, look.epoch, quality)
    loss = weights.rate * bpp + weights.mse * _SIGNED_SQUARED * mse + weights.task * seen
    return RateDistortion(loss, bpp, mse, seen)


def _weights_at(machine: MachineTraining, epoch: Array | float, quality: Array) -> LossWeights:
    assert machine.weighting != "point", "the quality's own trade-off has no epochs"
    share = (quality - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN)
    point = machine.point or LAST_EPOCH + (min(OPERATING_POINTS) - LAST_EPOCH) * share
    return strategy_weights(machine.weighting, epoch, point=point, breaks=machine.breaks)
