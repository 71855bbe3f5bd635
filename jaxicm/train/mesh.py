"""Devices as a mesh of one axis, and where each array of a run lies on it."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxicm.errors import ConfigError

DATA = "data"
_SMALLEST_SHARDED = 1 << 14
"""Parameters with fewer entries are repeated: dividing them would cost more in messages than it saves."""


def make_mesh(devices: int, batch: int) -> Mesh:
    """Make the mesh over which batches are divided.

    Args:
        devices: how many to use; 0 is all.
        batch: crops of a step.

    Returns:
        A mesh with the axis "data".

    Raises:
        ConfigError: there are fewer devices, or the batch does not divide by them.
    """
    present = jax.device_count()
    count = devices or present
    if count > present:
        raise ConfigError(
            f"devices: found {present} ({jax.default_backend()}), expected {count}; set devices=0 for all"
        )
    if batch % count:
        raise ConfigError(
            f"batch: {batch} does not divide by {count} devices; set batch={-(-batch // count) * count} or devices=1"
        )
    return jax.make_mesh((count,), (DATA,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the layout of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the layout of arrays whose first axis is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def state_sharding(mesh: Mesh, state: Any, shard: bool) -> Any:
    """Choose the layout of each array of the training state.

    Args:
        mesh: of the devices.
        state: a tree of arrays or shapes.
        shard: divide large arrays along their longest divisible axis (optimiser state and averages included), instead
            of repeating them on every device.

    Returns:
        A tree of `NamedSharding` of the same structure.
    """

    def layout(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size % mesh.size == 0]
        if not shard or mesh.size == 1 or leaf.size < _SMALLEST_SHARDED or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(DATA if axis == longest else None for axis in range(leaf.ndim))))

    return jax.tree.map(layout, state)
