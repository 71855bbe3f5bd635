"""The training loop.

A run is a folder: `config.json`, `log.jsonl`, `checkpoints/` and `validation/` with pictures. What a step does depends
on the configuration, the state and the number of the step alone, so a resumed run makes the same parameters as one that
was never stopped. Several processes (see `train.processes`) run this program together; the folder must be one that all
of them see.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxicm.errors import ConfigError, OutputError, TrainingError
from jaxicm.interruption import Interruption
from jaxicm.media.files import explain_write_failure
from jaxicm.train.checkpoints import Checkpoints
from jaxicm.train.config import CONFIG_FILE, TrainConfig, save_run_config
from jaxicm.train.corpus import Corpus, prepare_data
from jaxicm.train.feed import Feed, check_state
from jaxicm.train.freeze import write_point
from jaxicm.train.frozen import CompiledStep
from jaxicm.train.kernel_times import describe_profile
from jaxicm.train.log import RunLog
from jaxicm.train.machine import point_steps
from jaxicm.train.mesh import gather, make_mesh, place_batch, place_whole, state_sharding
from jaxicm.train.processes import agreed, is_writer, preempted
from jaxicm.train.start import start_parameters
from jaxicm.train.step import Data, TrainState, compile_step, start_state
from jaxicm.train.trace import FOLDER, Trace
from jaxicm.train.validation import Validation

_IN_FLIGHT = 2
"""Steps that may be queued on the device: enough that it never waits, few enough that a stop is quick."""


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
      ConfigError: the configuration, the pictures, the checkpoint or the folder do not serve.
      TrainingError: loss or gradient is not finite several times in a row.
      OutputError: the folder cannot be made.
    """
    begun = time.monotonic()
    mesh = make_mesh(config)
    if agreed([not resume and (run / CONFIG_FILE).is_file()])[0]:
        raise ConfigError(f"{run}: holds a run already; go on with --resume, or name another folder with --out")
    notes: list[str] = []
    corpus = prepare_data(config, notes.append)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run}: {explain_write_failure(error)}") from error
    log = RunLog(run, tensorboard=config.tensorboard, quiet=quiet, write=is_writer())
    checkpoints = Checkpoints(run, config.keep_checkpoints)
    feed = None
    try:
        for note in notes:
            log.note(note)
        state, layout, data_state = prepare_state(config, mesh, corpus, checkpoints if resume else None)
        check_state(data_state or None, corpus.state(int(state.step)))
        if not config.resident:
            first = int(state.step)
            processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
            feed = corpus.feed(first, **processes, warn=lambda note: log.note(note, first))
        if is_writer():
            save_run_config(run, config)
        if resume and not int(state.step):
            log.note("no checkpoint to resume from; the run starts at its beginning")
        _log_start(config, mesh, corpus, state, log)
        step = compile_step(config, mesh, layout)
        validation = Validation(config, mesh, corpus.held_out) if len(corpus.held_out) else None
        _run_steps(corpus, run, mesh, begun, state, step, _batches(mesh, corpus, feed), validation, checkpoints, log)
    finally:
        if feed is not None:
            feed.close()
        checkpoints.close()
        log.close()
    return run


def prepare_state(
    config: TrainConfig, mesh: Mesh, corpus: Corpus, checkpoints: Checkpoints | None
) -> tuple[TrainState, Any, dict[str, Any]]:
    """Make the state at which a run begins or goes on, laid out on the mesh.

    Args:
      config: of the run.
      mesh: of the devices.
      corpus: of training pictures, for the statistics.
      checkpoints: to resume from, or None.

    Returns:
      The state, its shapes, and the state of the feed in the checkpoint (empty without one).
    """
    state = start_state(config, start_parameters(config, corpus))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    state = place_whole(mesh, state, state_sharding(mesh, shapes))
    if checkpoints is not None and checkpoints.latest is not None:
        return (restored := checkpoints.restore(state))[0], shapes, restored[1]
    return state, shapes, {}


def _log_start(config: TrainConfig, mesh: Mesh, corpus: Corpus, state: TrainState, log: RunLog) -> None:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    pictures = {"pictures": corpus.pictures, "validation": len(corpus.held_out), "resident": config.resident}
    versions = {"jax": jax.__version__, "backend": jax.default_backend(), "devices": mesh.size}
    processes = {"processes": jax.process_count()} if jax.process_count() > 1 else {}
    log.event("start", int(state.step), {"parameters": parameters, **pictures, **versions, **processes})


def _batches(mesh: Mesh, corpus: Corpus, feed: Feed | None) -> Callable[[], Data]:
    if feed is None:
        pictures: Data = place_whole(mesh, corpus.stack())
        return lambda: pictures
    return lambda: place_batch(mesh, next(feed))


class _Clock:
    """When to save and when to stop, decided alike in all processes.

    Args:
      config: of the run.
      begun: `time.monotonic()` at the start of the run.
    """

    def __init__(self, config: TrainConfig, begun: float):
        self._config, self._begun = config, begun
        self._saved_at = time.monotonic()

    def saved(self) -> None:
        """Begin a new interval between checkpoints."""
        self._saved_at = time.monotonic()

    def decide(self, step: int) -> tuple[bool, bool]:
        """Say whether to save and whether to stop for the time limit after a step."""
        config, now = self._config, time.monotonic()
        due = bool(config.checkpoint_steps) and step % config.checkpoint_steps == 0
        if jax.process_count() > 1 and step % config.log_every:
            return due, False  # agreeing costs a message
        elapsed = bool(config.checkpoint_s) and now - self._saved_at >= config.checkpoint_s
        over = bool(config.stop_after_s) and now - self._begun >= config.stop_after_s
        elapsed, over = agreed([elapsed, over])
        return due or bool(elapsed), bool(over)


class _Length:
    """How many steps the run has: those of the configuration, or as many as its duration will allow.

    Attributes:
      steps: as foreseen now.

    Args:
      config: of the run.
      begun: `time.monotonic()` at the start of the run.
    """

    def __init__(self, config: TrainConfig, begun: float):
        self.steps, self._config, self._begun = config.steps, config, begun
        self._first: tuple[int, float] | None = None

    def foresee(self, step: int) -> None:
        """Look at the time after a step; the first look only notes it, for what came before was compiled as well."""
        if not self._config.duration_s:
            return
        now = time.monotonic()
        if self._first is None:
            self._first = step, now
            return
        left = self._begun + self._config.duration_s - now
        speed = (step - self._first[0]) / max(now - self._first[1], 1e-6)
        (more,) = agreed([max(left, 0.0) * speed])
        self.steps = min(self._config.steps, step + int(more))


def _run_steps(
    corpus: Corpus,
    run: Path,
    mesh: Mesh,
    begun: float,
    state: TrainState,
    step_function: CompiledStep,
    batches: Callable[[], Data],
    validation: Validation | None,
    checkpoints: Checkpoints,
    log: RunLog,
) -> None:
    config, step = corpus.config, int(state.step)
    first, points = step, point_steps(config.machine, config.steps)
    queue: deque[dict[str, jax.Array]] = deque()
    window: list[dict[str, np.ndarray]] = []
    logged_at, clock, length = time.monotonic(), _Clock(config, begun), _Length(config, begun)
    reason, trace = "done", Trace(run, first + 2 * config.log_every, config.profile_steps if is_writer() else 0)

    def save() -> None:
        saved = checkpoints.save(state, corpus.state(step))
        log.event("checkpoint", saved, {"time_s": round(time.monotonic() - begun, 1)})
        clock.saved()

    def finish(metrics: dict[str, jax.Array]) -> None:
        window.append({key: np.asarray(value) for key, value in metrics.items()})
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

    with Interruption(jax.process_count() == 1) as interruption, trace:
        if step == 0:
            validate()
        while step < length.steps:
            trace.before(step)
            state, metrics = step_function(state, batches(), length.steps)
            step += 1
            if trace.after(step, metrics):
                figures = describe_profile(run / FOLDER, config.profile_steps)
                log.event("profile", step, {"folder": str(run / FOLDER)} | figures)
            queue.append(metrics)
            while len(queue) > _IN_FLIGHT:
                finish(queue.popleft())
            if step % config.log_every == 0 or step == length.steps:
                while queue:
                    finish(queue.popleft())
                now = time.monotonic()
                speed = round(len(window) * config.batch / (now - logged_at), 2)
                log.event("train", step, summary(window) | {"crops_per_s": speed, "time_s": round(now - begun, 1)})
                window.clear()
                length.foresee(step)
            if step % config.validation.every == 0 and step < length.steps:
                validate()
            if step in points:
                averaged = gather(mesh, state.ema)
                if is_writer():
                    write_point(config, averaged, run, points[step], step)
                log.event("point", step, {"name": points[step]})
            due, over = clock.decide(step)
            if due:
                save()
            if not window and not queue:
                logged_at = time.monotonic()  # validation and checkpoints do not count as time of the steps
            if preempted(step):
                interruption.received = "SIGTERM"
            if interruption.received or over:
                reason = interruption.received or f"stop_after_s={config.stop_after_s:g}"
                break
        while queue:
            finish(queue.popleft())
        save()
        if interruption.received is None and step > first:
            validate()
    log.event("stop", step, {"reason": reason, "steps": step - first, "time_s": round(time.monotonic() - begun, 1)})


def summary(window: Sequence[dict[str, np.ndarray]]) -> dict[str, Any]:
    """Average the metrics of several steps; those of skipped steps do not count.

    Args:
      window: metrics of `train_step`, at least one step.

    Returns:
      Means of loss, bpp, gradient_norm and, of a codec for machines, machine; PSNR in dB of the mean squared error, the
      last learning rate, how many steps were skipped and, of several filters, the last usage.
    """
    counted = [metrics for metrics in window if not metrics["skipped"]]
    last = window[-1]
    result: dict[str, Any] = {"skipped": len(window) - len(counted), "learning_rate": float(last["learning_rate"])}
    if counted:
        mean = {key: float(np.mean([metrics[key] for metrics in counted])) for key in counted[0]}
        kept = ("loss", "bpp", "mse", "machine", "gradient_norm")
        result = {key: mean[key] for key in kept if key in mean} | result
        result["psnr"] = float(-10 * np.log10(max(mean["mse"], 1e-10)))
    if "usage" in last and last["usage"].size > 1:
        result["usage"] = [round(float(share), 3) for share in last["usage"]]
    return result
