"""Task networks as the objective of an adaptation: system S8, content-adaptive coding for machines.

Le et al., "Learned image coding for machines: a content-adaptive approach", ICME 2021 (arXiv 2108.09992). Networks look
at the windows in which a picture is adapted; the distance of a window counts as much as its area.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import jax
from jax import Array

from jaxicm.codecs.adaptation import OBJECTIVES, Objective
from jaxicm.configuration import from_dict
from jaxicm.errors import OptionError
from jaxicm.objectives.distortion import distortion as measure
from jaxicm.objectives.machine import MACHINE, MachineDistortion, machine_terms
from jaxicm.tasks import zoo

_SCALES_AN_OCTAVE = 4
_SCALE = 0.65
"""One of the scales that are compiled: a canvas of 416 pixels for pictures of 640."""


def parse_machine(name: str, trained: Mapping[str, Any] | None) -> MachineDistortion:
    """Return the distortion that a user names.

    Args:
      name: "machine", the one that the weights were trained for (by default that of `MachineDistortion`); or task
        networks separated by commas, each perhaps with "/labels".
      trained: settings of the distortion that the weights were trained for.

    Raises:
      OptionError: a name is no objective.
    """
    usual = MachineDistortion() if trained is None else from_dict(MachineDistortion, trained)
    if name == MACHINE:
        return replace(usual, task=(0.0,))
    named = zoo.split_names(name)
    unknown = [network for network, _ in named if not zoo.is_trainable(network)]
    if unknown:
        known = ", ".join((*OBJECTIVES, MACHINE, *zoo.TRAINABLE))
        raise OptionError(f"tune: there is no objective {unknown[0]!r}; there are {known}, or FILE.py:FUNCTION")
    return MachineDistortion(
        networks=tuple(network for network, _ in named),
        proxy=tuple(float(not labelled) for _, labelled in named),
        own=tuple(float(labelled) for _, labelled in named),
        exchange=usual.exchange,
        mse=usual.mse,
    )


def machine_objective(distortion: MachineDistortion, height: int, width: int) -> Objective:
    """Make an objective for a picture; equal settings give the same function, so that it is compiled once.

    Labels are those that the networks find themselves in the original: nobody has others at hand who encodes.

    Args:
      distortion: what counts.
      height, width: of the whole picture in pixels.

    Raises:
      InputError: a network is unknown or its weights are not at hand.
      MissingDependency: reading them needs a package that is not installed.
    """
    networks = [zoo.functions(name) for name in distortion.networks]
    scales = tuple(usual_scale(network.scale(height, width)) for network in networks)
    arrays = tuple(parameters(name) for name in distortion.networks)
    function, seen = _function(distortion, scales), _function(replace(distortion, mse=0.0), scales)
    return Objective(MACHINE, function, arrays, seen)


def usual_scale(scale: float) -> float:
    """Round a scale to one of few, so that pictures of all sizes share what is compiled."""
    steps = round(math.log2(scale / _SCALE) * _SCALES_AN_OCTAVE)
    return _SCALE * 2 ** (steps / _SCALES_AN_OCTAVE)


@lru_cache(maxsize=8)
def parameters(name: str) -> Any:
    """Return the parameters of a task network on the device.

    Raises:
      InputError, MissingDependency: as `machine_objective`.
    """
    return jax.device_put(zoo.load_functions(name)[1])


@lru_cache(maxsize=32)
def _function(distortion: MachineDistortion, scales: tuple[float, ...]) -> Any:
    return partial(_distance, distortion, scales)


def _distance(distortion: MachineDistortion, scales: tuple[float, ...], arrays: Any, x: Array, x_hat: Array) -> Array:
    networks = [zoo.functions(name) for name in distortion.networks]
    terms = machine_terms(distortion, networks, arrays, scales, x, x_hat)
    return distortion.mse * measure(x, x_hat) + distortion.exchange * terms.total
