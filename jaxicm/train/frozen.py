"""The frozen task networks of a run for machines: on the devices, and beside the compiled step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxicm.train.annotations import Labelled
from jaxicm.train.config import TrainConfig
from jaxicm.train.machine import Look, epoch_at, load_networks
from jaxicm.train.mesh import place_whole


class WithNetworks:
    """A jitted function whose last argument is known: the parameters of task networks, too large for constants.

    Args:
      function: jitted.
      networks: on the devices.
    """

    def __init__(self, function: Any, networks: Sequence[Any]):
        self._function, self._networks = function, networks
        self.__name__: str = function.__name__

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments, self._networks)

    def lower(self, *arguments: Any) -> Any:
        """Lower the function for arguments."""
        return self._function.lower(*arguments, self._networks)


class CompiledStep(WithNetworks):
    """A jitted training step; how long the run is may change from call to call without compiling again.

    Args:
      function: jitted, of state, data, steps and networks.
      networks: on the devices.
      steps: of the run.
    """

    def __init__(self, function: Any, networks: Sequence[Any], steps: int):
        super().__init__(function, networks)
        self._steps = steps

    def __call__(self, state: Any, data: Any, steps: float | None = None) -> Any:
        return super().__call__(state, data, np.float32(self._steps if steps is None else steps))

    def lower(self, *arguments: Any) -> Any:
        """Lower the function for a state and data."""
        return super().lower(*arguments, np.float32(self._steps))


def placed_networks(config: TrainConfig, mesh: Mesh) -> list[Any]:
    """Load the task networks of a codec for machines onto all devices; none for other codecs.

    Raises:
      InputError, MissingDependency: as `train.machine.load_networks`.
    """
    return [] if config.machine is None else place_whole(mesh, load_networks(config.machine))


def machine_look(
    config: TrainConfig, networks: Sequence[Any], data: Any, step: Array | int, steps: Array | float
) -> Look | None:
    """Return what the loss of a codec for machines needs, None for other codecs.

    Args:
      config: of the run.
      networks: parameters of the task networks.
      data: of the step.
      step: its number.
      steps: of the run.
    """
    if config.machine is None:
        return None
    targets = data.targets if isinstance(data, Labelled) else None
    return Look(networks, targets, epoch_at(config.machine, steps, step))
