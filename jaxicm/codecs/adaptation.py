"""What adaptation to a picture is told and what it tells: efforts, objectives, gains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax import Array

from jaxicm.objectives.distortion import distortion

MIXTURE = 0.5
"""Share of MS-SSIM in "mixed"."""


class Objective(NamedTuple):
    """A distortion to adapt to.

    Attributes:
      name: for the user.
      function: differentiable, of its arrays and of pictures `[B, H, W, 3]` in [0, 1], original and decoded; returns
        `[B]` in units of a squared error. A module-level function: each new object is compiled anew.
      arrays: whatever it needs, for instance the weights of a task network.
      seen: of a distortion that is slow to compute, what says where errors matter, likewise a function. Then the method
        "coordinate" follows squared errors weighted by that (`codecs.importance`), and the distortion itself only
        chooses between the files with and without adaptation.
    """

    name: str
    function: Callable[[Any, Array, Array], Array]
    arrays: Any = None
    seen: Callable[[Any, Array, Array], Array] | None = None


def _mse(arrays: None, x: Array, x_hat: Array) -> Array:
    del arrays
    return distortion(x, x_hat)


def _ms_ssim(arrays: None, x: Array, x_hat: Array) -> Array:
    del arrays
    return distortion(x, x_hat, "ms-ssim")


def _mixed(arrays: None, x: Array, x_hat: Array) -> Array:
    return (1 - MIXTURE) * _mse(arrays, x, x_hat) + MIXTURE * _ms_ssim(arrays, x, x_hat)


def _yuv(arrays: None, x: Array, x_hat: Array) -> Array:
    del arrays
    return distortion(x, x_hat, "yuv")


OBJECTIVES = {
    name: Objective(name, function)
    for name, function in {"mse": _mse, "ms-ssim": _ms_ssim, "mixed": _mixed, "yuv": _yuv}.items()
}
"""Distortions by name."""


@dataclass(frozen=True)
class Adapted:
    """What adaptation gained.

    Attributes:
      start: bits per pixel + lambda * distortion of the file without it.
      cost: that of the file that was taken.
      iterations: done.
      distortion: name of the objective.
    """

    start: float
    cost: float
    iterations: int
    distortion: str


def choose_objective(
    tune: str | Objective | None, trained_for: str, machine: Mapping[str, Any] | None, size: tuple[int, ...]
) -> Objective:
    """Return an objective by name, or the one that weights were trained for.

    Args:
      tune: a key of `OBJECTIVES`; "machine" or task networks, see `machine_objective.parse_machine`; an objective; None
        for the weights' own.
      trained_for: as the weight file says.
      machine: of a codec for machines, settings of its distortion.
      size: height and width of the picture in pixels.

    Raises:
      OptionError: for an unknown name.
      InputError: the weights of a task network are not at hand.
      MissingDependency: reading them needs a package that is not installed.
    """
    if isinstance(tune, Objective):
        return tune
    name = trained_for if tune is None else tune
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    from jaxicm.codecs.machine_objective import machine_objective, parse_machine  # task networks: slow to import

    return machine_objective(parse_machine(name, machine), *size[:2])
