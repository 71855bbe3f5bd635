"""The training loop.

A run is a folder: `config.json`, `log.jsonl`, `checkpoints/` and `validation/` with pictures. What a step does depends
on the configuration, the state and the number of the step alone, so a resumed run makes the same parameters as one that
was never stopped.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxicm.compilation import use_compilation_cache
from jaxicm.configuration import apply_overrides
from jaxicm.errors import ConfigError, OutputError, TrainingError
from jaxicm.interruption import Interruption
from jaxicm.media.files import explain_write_failure
from jaxicm.memory import keep_allocated_memory
from jaxicm.train.checkpoints import Checkpoints
from jaxicm.train.config import CONFIG_FILE, TrainConfig, load_config, load_run_config, save_run_config
from jaxicm.train.data import CropSource, central_crops, load_pictures, make_source, select_files
from jaxicm.train.log import RunLog
from jaxicm.train.mesh import batch_sharding, make_mesh, replicated, state_sharding
from jaxicm.train.start import start_parameters
from jaxicm.train.step import Data, TrainState, compile_step, start_state
from jaxicm.train.validation import Validation

_IN_FLIGHT = 2
"""Steps that may be queued on the device: enough that it never waits, few enough that a stop is quick."""


def train(
    config_path: Path, overrides: Sequence[str], out: Path | None, data: Sequence[Path], resume: bool, resident: bool
) -> Path:
    """Run a configuration file, or go on with its run: what `jaxicm train` does.

    Args:
      config_path: a file of `configs/`.
      overrides: `key=value` words. A resumed run keeps its own settings; only these change.
      out: folder of the run; by default `runs/NAME`.
      data: folders of training pictures, in place of the configuration's.
      resume: go on from the newest checkpoint.
      resident: keep the pictures in device memory.

    Returns:
      The folder of the run.

    Raises:
      ConfigError: the configuration, the pictures or the folder do not serve.
      TrainingError: loss or gradient is not finite several times in a row.
    """
    config = load_config(config_path, overrides)
    run = out or Path("runs") / config.name
    if resume and (run / CONFIG_FILE).is_file():
        kept = load_run_config(run)
        config = apply_overrides(kept, overrides)
        if config.model != kept.model:
            raise ConfigError(f"{run}: a resumed run cannot change its model; train in another folder with init={run}")
    if data:
        folders = tuple(map(str, data))
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, folders=folders))
    if resident:
        config = dataclasses.replace(config, resident=True)
    return train_run(config, run, resume=resume)


def train_run(config: TrainConfig, run: Path, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train to the end, or until a signal or the time limit; the state is saved in either case.

    Args:
      config: of the run.
      run: its folder; made if it is missing.
      resume: go on from the newest checkpoint, if there is one.
      quiet: print nothing.

    Returns:
      `run`.

    Raises:
      ConfigError, TrainingError: as `train`.
      OutputError: the folder cannot be made.
    """
    begun = time.monotonic()
    if jax.default_backend() == "cpu":
        keep_allocated_memory()
    use_compilation_cache()
    mesh = make_mesh(config.devices, config.batch)
    if not resume and (run / CONFIG_FILE).is_file():
        raise ConfigError(f"{run}: holds a run already; go on with --resume, or name another folder with --out")
    notes: list[str] = []
    source, held_out = prepare_data(config, notes.append)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run}: {explain_write_failure(error)}") from error
    log = RunLog(run, tensorboard=config.tensorboard, quiet=quiet)
    checkpoints = Checkpoints(run, config.keep_checkpoints)
    try:
        for note in notes:
            log.note(note)
        state, layout = prepare_state(config, mesh, source, checkpoints if resume else None)
        save_run_config(run, config)
        if resume and not int(state.step):
            log.note("no checkpoint to resume from; the run starts at its beginning")
        parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        pictures = {"pictures": source.originals, "validation": len(held_out), "resident": config.resident}
        versions = {"jax": jax.__version__, "backend": jax.default_backend(), "devices": mesh.size}
        log.event("start", int(state.step), {"parameters": parameters, **pictures, **versions})
        step = compile_step(config, mesh, layout)
        validation = Validation(config, mesh, held_out) if len(held_out) else None
        _run_steps(config, run, begun, state, step, _feed(config, mesh, source), validation, checkpoints, log)
    finally:
        checkpoints.close()
        log.close()
    return run


def prepare_data(config: TrainConfig, warn: Callable[[str], None]) -> tuple[CropSource, np.ndarray]:
    """Read the pictures of a run.

    Args:
      config: of the run.
      warn: takes remarks, for instance on broken pictures.

    Returns:
      The source of training crops, and the held-out crops uint8 `[N, side, side, 3]`; the files of these are never
      trained on.

    Raises:
      ConfigError: there is nothing to train on.
    """
    data, held = config.data, config.validation
    held_files = select_files(held.folders or data.folders, held.include, held.exclude)
    if not held.folders:
        held_files = [path for path in held_files if path.suffix != ".npy"]  # patterns do not divide an array
    if not data.folders:
        raise ConfigError("no training pictures: name a folder of pictures with --data FOLDER")
    kept_out = {path.resolve() for path in held_files}
    files = [path for path in select_files(data.folders, data.include, data.exclude) if path.resolve() not in kept_out]
    if not files:
        raise ConfigError(
            f"no training pictures in {', '.join(data.folders)}: {len(held_files)} are held out for validation, the"
            f" patterns {' '.join(data.include)} select no other; name a folder of pictures with --data FOLDER"
        )
    source = make_source(
        load_pictures(files, warn),
        crop=config.crop,
        seed=config.seed,
        scales=data.scales,
        flip=data.flip,
        transpose=data.transpose,
        warn=warn,
    )
    crops = central_crops(load_pictures(held_files, warn), held.crop)
    if held.include and not len(crops):
        warn(f"no validation: no picture fits {' '.join(held.include)} with sides of {held.crop} or more")
    return source, crops


def prepare_state(
    config: TrainConfig, mesh: Mesh, source: CropSource, checkpoints: Checkpoints | None
) -> tuple[TrainState, Any]:
    """Make the state at which a run begins or goes on, laid out on the mesh.

    Args:
      config: of the run.
      mesh: of the devices.
      source: of training crops, for the statistics.
      checkpoints: to resume from, or None.

    Returns:
      The state, and its shapes.
    """
    state = start_state(config, start_parameters(config, source))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    state = jax.device_put(state, state_sharding(mesh, shapes, config.shard_parameters))
    if checkpoints is not None and checkpoints.latest is not None:
        state = checkpoints.restore(state)
    return state, shapes


def _feed(config: TrainConfig, mesh: Mesh, source: CropSource) -> Callable[[int], Data]:
    if config.resident:
        pictures: Data = jax.device_put(source.stack(), replicated(mesh))
        return lambda step: pictures
    layout = batch_sharding(mesh)
    return lambda step: jax.device_put(source.batch(step, config.batch), layout)


def _run_steps(
    config: TrainConfig,
    run: Path,
    begun: float,
    state: TrainState,
    step_function: Callable[[TrainState, Data], tuple[TrainState, dict[str, jax.Array]]],
    feed: Callable[[int], Data],
    validation: Validation | None,
    checkpoints: Checkpoints,
    log: RunLog,
) -> None:
    step = first = int(state.step)
    queue: deque[dict[str, jax.Array]] = deque()
    window: list[dict[str, float]] = []
    saved_at = logged_at = time.monotonic()
    reason = "done"

    def save() -> None:
        log.event("checkpoint", checkpoints.save(state), {"time_s": round(time.monotonic() - begun, 1)})

    def finish(metrics: dict[str, jax.Array]) -> None:
        window.append({key: float(value) for key, value in metrics.items()})
        if window[-1]["skipped"] >= config.max_skipped:
            at = step - len(queue)
            last = "there is no checkpoint" if checkpoints.latest is None else f"last checkpoint {checkpoints.latest}"
            log.event("stop", at, {"reason": "not finite"})
            raise TrainingError(
                f"{run}: the loss or its gradient was not finite {config.max_skipped} times in a row up to step {at};"
                f" {last}; lower optimizer.learning_rate and go on with --resume"
            )

    def validate() -> None:
        if validation is not None:
            log.event("validation", step, validation.measure(state.ema))
            validation.write_pictures(state.ema, run, step)

    with Interruption() as interruption:
        if step == 0:
            validate()
        while step < config.steps:
            state, metrics = step_function(state, feed(step))
            step += 1
            queue.append(metrics)
            while len(queue) > _IN_FLIGHT:
                finish(queue.popleft())
            if step % config.log_every == 0 or step == config.steps:
                while queue:
                    finish(queue.popleft())
                now = time.monotonic()
                speed = round(len(window) * config.batch / (now - logged_at), 2)
                log.event("train", step, summary(window) | {"crops_per_s": speed, "time_s": round(now - begun, 1)})
                window.clear()
            if step % config.validation.every == 0 and step < config.steps:
                validate()
            now = time.monotonic()
            due = config.checkpoint_steps and step % config.checkpoint_steps == 0
            if due or (config.checkpoint_s and now - saved_at >= config.checkpoint_s):
                save()
                saved_at = time.monotonic()
            if not window and not queue:
                logged_at = time.monotonic()  # validation and checkpoints do not count as time of the steps
            if interruption.received or (config.stop_after_s and now - begun >= config.stop_after_s):
                reason = interruption.received or f"stop_after_s={config.stop_after_s:g}"
                break
        while queue:
            finish(queue.popleft())
        save()
        if interruption.received is None and step > first:
            validate()
    log.event("stop", step, {"reason": reason, "steps": step - first, "time_s": round(time.monotonic() - begun, 1)})


def summary(window: Sequence[dict[str, float]]) -> dict[str, float]:
    """Average the metrics of several steps; those of skipped steps do not count.

    Args:
      window: metrics of `train_step`, at least one step.

    Returns:
      Means of loss, bpp and gradient_norm, PSNR in dB of the mean squared error, the last learning rate, and how many
      steps were skipped.
    """
    counted = [metrics for metrics in window if not metrics["skipped"]]
    result: dict[str, float] = {"skipped": len(window) - len(counted), "learning_rate": window[-1]["learning_rate"]}
    if counted:
        mean = {key: float(np.mean([metrics[key] for metrics in counted])) for key in counted[0]}
        result = {key: mean[key] for key in ("loss", "bpp", "mse", "gradient_norm")} | result
        result["psnr"] = float(-10 * np.log10(max(mean["mse"], 1e-10)))
    return result
