"""What adaptation to a picture is told and what it tells: efforts, objectives, gains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax import Array

from jaxicm.errors import OptionError
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
    """

    name: str
    function: Callable[[Any, Array, Array], Array]
    arrays: Any = None


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


def choose_objective(tune: str | Objective | None, usual: str) -> Objective:
    """Return an objective by name, or the usual one.

    Raises:
      OptionError: for an unknown name.
    """
    if isinstance(tune, Objective):
        return tune
    name = usual if tune is None else tune
    if name not in OBJECTIVES:
        raise OptionError(f"tune must be one of {', '.join(OBJECTIVES)}, got {name!r}")
    return OBJECTIVES[name]
