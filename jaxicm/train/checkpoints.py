"""Checkpoints of a run: the whole state, written by orbax, from which a run goes on exactly."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxicm.errors import ConfigError
from jaxicm.train.config import TrainConfig, load_run_config
from jaxicm.train.log import read_log
from jaxicm.train.step import TrainState

FOLDER = "checkpoints"
ITEMS = ("params", "ema", "optimizer", "counters")
"""What a checkpoint holds, each in a folder of its own."""


class Checkpoints:
    """The checkpoints of a run's folder.

    Parameters and their average are separate items under their own names, so that weights are read without the
    optimiser (see `load_parameters`). Writing waits until the files are complete: the step donates its buffers, and a
    signal may end the process right after.

    Args:
      run: folder of the run.
      keep: how many of the newest are kept.
    """

    def __init__(self, run: Path, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager((run / FOLDER).absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """The newest step that was saved."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> int:
        """Write the state, unless its step has been saved already.

        Returns:
          Its step.
        """
        step = int(state.step)
        if step != self.latest:
            arguments = {name: ocp.args.StandardSave(tree) for name, tree in _items(state).items()}
            self._manager.save(step, args=ocp.args.Composite(**arguments), force=True)
        return step

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """Read a state.

        Args:
          like: arrays of the same shapes, which give the structure and the layout over devices.
          step: which; by default the newest.

        Returns:
          The state.

        Raises:
          ConfigError: there is none, or its shapes differ from the configuration's.
        """
        step = self.latest if step is None else step
        if step is None:
            raise ConfigError(f"{self._manager.directory}: holds no checkpoint; start without --resume")
        try:
            items = {name: ocp.args.StandardRestore(_abstract(tree)) for name, tree in _items(like).items()}
            found = self._manager.restore(step, args=ocp.args.Composite(**items))
        except (ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"{self._manager.directory}: the checkpoint of step {step} does not fit the configuration ({reason});"
                " use the model and the optimiser that the run was started with"
            ) from error
        optimizer = jax.tree.unflatten(jax.tree.structure(like.optimizer), list(found["optimizer"].values()))
        counters = found["counters"]
        return TrainState(found["params"], found["ema"], optimizer, counters["step"], counters["skipped"])

    def close(self) -> None:
        """Release the manager's threads."""
        self._manager.close()


def _items(state: TrainState) -> dict[str, Any]:
    # The optimiser's state is a nest of optax's own types; numbered leaves keep those out of the files.
    leaves = {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(state.optimizer))}
    counters = {"step": state.step, "skipped": state.skipped}
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
    handlers = {name: ocp.StandardCheckpointHandler() for name in ITEMS}
    with ocp.CheckpointManager(folder, item_handlers=handlers) as manager:
        step = manager.latest_step() if step is None else step
        if step is None or step not in manager.all_steps():
            raise ConfigError(f"{folder}: holds no checkpoint{'' if step is None else f' of step {step}'}")
        shapes = manager.item_metadata(step)[item]
        host = jax.sharding.SingleDeviceSharding(jax.devices()[0])
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
    seconds = sum(event["time_s"] for event in past if event["event"] == "stop")
    settings = {"crop": config.crop, "batch": config.batch, "optimizer": config.optimizer.name, "seed": config.seed}
    return params, config, {"run": config.name, "steps": step, "seconds": round(seconds)} | settings | known


def _tree(metadata: Any) -> Any:
    return getattr(metadata, "tree", metadata)
