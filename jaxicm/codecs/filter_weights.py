"""Released weights of filters behind conventional codecs."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxicm.codecs import weights
from jaxicm.codecs.weights import ModelInfo
from jaxicm.configuration import from_dict, to_dict
from jaxicm.errors import InputError
from jaxicm.models.complexity import count_parameters
from jaxicm.models.filter_set import FilterSetConfig
from jaxicm.objectives.machine import MACHINE, MachineDistortion

_KEY = "filter"


class PlaneFilterWeights(NamedTuple):
    """One or several filters of planes.

    Attributes:
      config: of the networks.
      params: of `models.filter_set`, numpy float32.
      info: what is known about the weights.
    """

    config: FilterSetConfig
    params: dict[str, Any]
    info: ModelInfo


def write(
    path: Path,
    params: dict[str, Any],
    config: FilterSetConfig,
    *,
    profile: str,
    trained_on: str,
    provenance: dict[str, Any],
    machine: MachineDistortion | None = None,
) -> str:
    """Write a weight file, in half precision.

    Args:
      path: of the file, `.safetensors`.
      params: of `models.filter_set`.
      config: of the networks.
      profile: its name.
      trained_on: one line.
      provenance: plain data.
      machine: the distortion that they were trained for, if for task networks.

    Returns:
      The digest.
    """
    arrays = {f"{_KEY}/{key}": value.astype(np.float16) for key, value in weights.flatten(params).items()}
    description = {
        "profile": profile,
        "parameters": count_parameters(params),
        "kmac_per_pixel": {"decode": round(config.filter.macs_per_pixel / 1000, 2)},
        "steps": 0,
        "trained_on": trained_on,
        "curve": [],
        "config": {_KEY: to_dict(config)},
        "provenance": provenance,
        "trained_for": "yuv",
    }
    if machine is not None:
        description |= {"trained_for": MACHINE, "machine": to_dict(machine)}
    return weights.write(path, arrays, description)


def read(path: Path) -> PlaneFilterWeights:
    """Read a weight file.

    Raises:
      InputError: it is missing, or holds no filter.
      CorruptFile: its contents do not have the digest that it states.
    """
    arrays, info = weights.read(path)
    if not info.is_filter:
        raise InputError(f"weights {info.name} are no filter; `jaxicm models` says what they are")
    params = weights.unflatten({key: value.astype(np.float32) for key, value in weights.part(arrays, _KEY).items()})
    return PlaneFilterWeights(from_dict(FilterSetConfig, info.config[_KEY]), params, info)
