"""Checkpoints of a run: the whole state, written by orbax, from which a run goes on exactly."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from jaxicm.errors import ConfigError
from jaxicm.train.config import TrainConfig, load_run_config
from jaxicm.train.log import read_log
from jaxicm.train.step import TrainState

FOLDER = "checkpoints"
ITEMS = ("params", "ema", "optimizer", "counters")
"""Arrays that a checkpoint holds, each in a folder of its own."""
DATA = "data"
"""The state of the feed, plain data beside them."""


class Checkpoints:
    """The checkpoints of a run's folder.

    Parameters and their average are separate items under their own names, so that weights are read without the
    optimiser (see `load_parameters`). Files are written in the background while training goes on; a checkpoint counts
    only when it is complete, so a process that dies at any moment leaves the one before. With several processes each
    writes its own part of the arrays, and all must call `save` at the same steps.

    Args:
      run: folder of the run.
      keep: how many of the newest are kept.
    """

    def __init__(self, run: Path, keep: int = 2):
        # Leftovers of a process that was killed while it wrote are removed; they never counted.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager((run / FOLDER).absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """The newest step that was saved, whether its files are complete or still being written."""
        return self._manager.latest_step()

    def save(self, state: TrainState, data: dict[str, Any] | None = None) -> int:
        """Begin to write the state, unless its step has been saved already; waits for the one before.

        Args:
          state: arrays; the caller may reuse their memory at once.
          data: state of the feed, plain data.

        Returns:
          Its step.
        """
        step = int(state.step)
        if step != self.latest:
            # Elsewhere the background thread reads a copy on the host. On a CPU that copy is the array itself, which
            # the next step overwrites.
            kept = jax.tree.map(jnp.copy, state) if jax.default_backend() == "cpu" else state
            arguments = {name: ocp.args.StandardSave(tree) for name, tree in _items(kept).items()}
            plain = ocp.args.JsonSave(data or {})
            self._manager.save(step, args=ocp.args.Composite(**arguments, **{DATA: plain}), force=True)
        return step

    def restore(self, like: TrainState, step: int | None = None) -> tuple[TrainState, dict[str, Any]]:
        """Read a state.

        Args:
          like: arrays or shapes with layouts, which give the structure and the layout over devices. It may differ from
            the layout at saving.
          step: which; by default the newest.

        Returns:
          The state, and that of the feed.

        Raises:
          ConfigError: there is none, or its shapes differ from the configuration's.
        """
        step = self.latest if step is None else step
        if step is None:
            raise ConfigError(f"{self._manager.directory}: holds no checkpoint; start without --resume")
        try:
            items: dict[str, Any] = {
                name: ocp.args.StandardRestore(_abstract(tree)) for name, tree in _items(like).items()
            }
            found = self._manager.restore(step, args=ocp.args.Composite(**items, **{DATA: ocp.args.JsonRestore()}))
        except (ValueError, KeyError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"{self._manager.directory}: the checkpoint of step {step} does not fit the configuration ({reason});"
                " use the model and the optimiser that the run was started with"
            ) from error
        optimizer = jax.tree.unflatten(jax.tree.structure(like.optimizer), list(found["optimizer"].values()))
        counters = found["counters"]
        numbers = counters["step"], counters["skipped"], counters.get("usage")
        state = TrainState(found["params"], found["ema"], optimizer, *numbers)
        return state, found[DATA] or {}

    def close(self) -> None:
        """Wait until all files are complete, and release the manager's threads."""
        self._manager.close()


def _items(state: TrainState) -> dict[str, Any]:
    # The optimiser's state is a nest of optax's own types; numbered leaves keep those out of the files.
    leaves = {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(state.optimizer))}
    counters = {"step": state.step, "skipped": state.skipped}
    counters |= {} if state.usage is None else {"usage": state.usage}
    return {"params": state.params, "ema": state.ema, "optimizer": leaves, "counters": counters}


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)


def load_parameters(run: Path, *, average: bool = True, step: int | None = None) -> tuple[dict[str, Any], int]:
    """Read the parameters of a run, as a release does.

    Args:
      run: folder of the run.
      average: the running average, or else the parameters themselves.
      step: which; by default the newest.

    Returns:
      A nested dictionary of float32 numpy arrays, and the step.

    Raises:
      ConfigError: the folder holds no checkpoint.
    """
    folder = (run / FOLDER).absolute()
    if not folder.is_dir():
        raise ConfigError(f"{run}: holds no checkpoints; name the folder of a training run")
    item = "ema" if average else "params"
    handlers: dict[str, Any] = {name: ocp.StandardCheckpointHandler() for name in ITEMS}
    handlers[DATA] = ocp.JsonCheckpointHandler()  # not read, but orbax warns of what it does not know
    with ocp.CheckpointManager(folder, item_handlers=handlers) as manager:
        step = manager.latest_step() if step is None else step
        if step is None or step not in manager.all_steps():
            raise ConfigError(f"{folder}: holds no checkpoint{'' if step is None else f' of step {step}'}")
        shapes = manager.item_metadata(step)[item]
        host = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=host), _tree(shapes))
        found = manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(like)}))[item]
    return jax.tree.map(np.asarray, found), step


def load_averaged(run: Path, step: int | None = None) -> tuple[dict[str, Any], TrainConfig, dict[str, Any]]:
    """Read what a release needs of a run.

    Args:
      run: its folder.
      step: which checkpoint; by default the newest.

    Returns:
      The averaged parameters as numpy arrays, the configuration, and where they come from as plain data: name, steps,
      seconds of training in all parts of the run, pictures, versions. No path is among it.

    Raises:
      ConfigError: the folder is no run, or holds no checkpoint.
    """
    config = load_run_config(run)
    params, step = load_parameters(run, step=step)
    past = [event for event in read_log(run) if event["step"] <= step]
    begun = next((event for event in past if event["event"] == "start"), {})
    known = {key: begun[key] for key in ("pictures", "jax", "backend", "devices") if key in begun}
    seconds = sum(_part_seconds(past))
    settings = {"crop": config.crop, "batch": config.batch, "optimizer": config.optimizer.name, "seed": config.seed}
    return params, config, {"run": config.name, "steps": step, "seconds": round(seconds)} | settings | known


def _part_seconds(events: list[dict[str, Any]]) -> list[float]:
    """Return how long each part of a run took; one that was killed counts up to its last line with a time."""
    parts: list[float] = []
    for event in events:
        if event["event"] == "start":
            parts.append(0.0)
        elif parts and "time_s" in event:
            parts[-1] = event["time_s"]
    return parts


def _tree(metadata: Any) -> Any:
    return getattr(metadata, "tree", metadata)
