"""Devices as a mesh, and where each array of a run lies on it.

The mesh has two axes. Batches are divided over both; large parameters are divided over "shard" and repeated over
"replica". One shard is plain data parallelism, one replica is fully sharded (FSDP, ZeRO-3), anything between is both:
parameters divided inside a host, say, and repeated over hosts. The compiler inserts the messages.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxicm.errors import ConfigError
from jaxicm.train.config import TrainConfig

REPLICA, SHARD = "replica", "shard"
BATCH = (REPLICA, SHARD)
"""Axes over which a batch is divided."""
_SMALLEST_SHARDED = 1 << 14
"""Parameters with fewer entries are repeated: dividing them would cost more in messages than it saves."""


def make_mesh(config: TrainConfig) -> Mesh:
    """Make the mesh of a run.

    Args:
        config: `devices`, `parameter_shards`, `batch` and `accumulate` count.

    Returns:
        A mesh with the axes "replica" and "shard". Devices of one process lie together, so that each process holds a
        contiguous part of every batch.

    Raises:
        ConfigError: there are fewer devices, or the shards or the batch do not divide.
    """
    present = jax.device_count()
    count = config.devices or present
    if count > present:
        raise ConfigError(
            f"devices: found {present} ({jax.default_backend()}), expected {count}; set devices=0 for all"
        )
    if count != present and jax.process_count() > 1:
        raise ConfigError(f"devices: {count} of {present}, but a run of several processes uses all; set devices=0")
    shards = config.parameter_shards or count
    if count % shards:
        fitting = " ".join(str(number) for number in range(1, count + 1) if count % number == 0)
        raise ConfigError(
            f"parameter_shards: {shards} does not divide the {count} devices; set one of {fitting}, or 0 for all"
        )
    if config.batch % (count * config.accumulate):
        parts = f"{count} devices" + (f" x {config.accumulate} parts (accumulate)" if config.accumulate > 1 else "")
        least = count * config.accumulate
        raise ConfigError(
            f"batch: {config.batch} does not divide by {parts}; set batch={-(-config.batch // least) * least}"
            f"{' or accumulate=1' if config.accumulate > 1 else ''} or devices=1"
        )
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))[:count]
    grid = np.array(devices).reshape(count // shards, shards)
    return Mesh(grid, (REPLICA, SHARD), axis_types=(AxisType.Auto, AxisType.Auto))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the layout of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the layout of arrays whose first axis is divided over all devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def place_batch(mesh: Mesh, local: Any) -> Any:
    """Put this process's part of a batch on its devices.

    Args:
        mesh: of the devices.
        local: array or tree of arrays `[B / processes, ...]`, the rows that follow those of the process before.

    Returns:
        The global arrays `[B, ...]`, divided over all devices.
    """
    if jax.process_count() == 1:
        return jax.device_put(local, batch_sharding(mesh))
    place = partial(jax.make_array_from_process_local_data, batch_sharding(mesh))
    return jax.tree.map(place, local)


def place_whole(mesh: Mesh, tree: Any, layout: Any = None) -> Any:
    """Put arrays that every process holds whole on the devices.

    Args:
        mesh: of the devices.
        tree: of arrays, the same in every process.
        layout: tree of `NamedSharding`; by default every device gets all.

    Returns:
        Global arrays.
    """
    layout = jax.tree.map(lambda _: replicated(mesh), tree) if layout is None else layout
    if jax.process_count() == 1:
        return jax.device_put(tree, layout)

    def place(leaf: Any, where: NamedSharding) -> jax.Array:
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, where, lambda index: host[index])

    return jax.tree.map(place, tree, layout)


def gather(mesh: Mesh, tree: Any) -> Any:
    """Bring arrays, divided in whatever way, to every process as numpy arrays; all processes take part."""
    return jax.tree.map(np.asarray, jax.jit(lambda leaves: leaves, out_shardings=replicated(mesh))(tree))


def state_sharding(mesh: Mesh, state: Any) -> Any:
    """Choose the layout of each array of the training state.

    Large arrays are divided over "shard" along their longest divisible axis, the optimiser's moments and the averages
    like the parameters.

    Args:
        mesh: of the devices.
        state: a tree of arrays or shapes.

    Returns:
        A tree of `NamedSharding` of the same structure.
    """
    shards = mesh.shape[SHARD]

    def layout(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size % shards == 0]
        if shards == 1 or leaf.size < _SMALLEST_SHARDED or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(SHARD if axis == longest else None for axis in range(leaf.ndim))))

    return jax.tree.map(layout, state)
