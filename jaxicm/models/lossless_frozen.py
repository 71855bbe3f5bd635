"""The frozen pixel model of a lossless codec, whichever network its configuration names."""

from collections.abc import Mapping

import numpy as np

from jaxicm.entropy.masked_coder import FrozenMasked
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.models.lossless import LosslessConfig

FrozenModel = FrozenPixels | FrozenMasked
"""Both have `proof`, `to_arrays`, `macs_per_pixel` and `coder`."""


def freeze_model(params: Mapping, config: LosslessConfig) -> FrozenModel:
    """Turn trained parameters of `LosslessModel` into the integers that training used, and prove the bounds.

    Raises:
      ExactnessError: if a sum could leave the exact range.
    """
    if config.masked is not None:
        return FrozenMasked.freeze(params["pixels"], config.masked)
    return FrozenPixels.freeze(params["pixels"], config.pixels)


def model_from_arrays(arrays: Mapping[str, np.ndarray], config: LosslessConfig) -> FrozenModel:
    """Rebuild a frozen model from its `to_arrays`.

    Raises:
      CorruptFile: if an array is missing or does not fit the config.
    """
    if config.masked is not None:
        return FrozenMasked.from_arrays(arrays, config.masked)
    return FrozenPixels.from_arrays(arrays, config.pixels)
