"""How fast the training step is here, and where its time goes.

The step runs as in a run: compiled over the mesh, its state donated, launched without waiting. A figure is the median
over groups of steps; the clock stops when the last step of a group has ended. Forward pass, gradient and whole step are
timed in turns, so that a machine that is slower for a while is so for all of them; the parts are differences of these:
what each adds to the step once XLA has fused what it can.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from jaxicm.compilation import training_options
from jaxicm.entropy.phases import PHASES
from jaxicm.entropy.surrogate import ROUNDED, Surrogate
from jaxicm.models.complexity import count_macs, count_parameters
from jaxicm.models.image import ImageModel
from jaxicm.train.bench_figures import Program, Split, StepBenchmark
from jaxicm.train.bench_program import compilations_of, planned, used_memory
from jaxicm.train.bench_supply import Supply, single_feed
from jaxicm.train.config import TrainConfig
from jaxicm.train.corpus import Corpus
from jaxicm.train.frozen import WithNetworks, machine_look, placed_networks
from jaxicm.train.mesh import batch_sharding, make_mesh, place_batch, place_whole, replicated, state_sharding
from jaxicm.train.processes import agreed
from jaxicm.train.start import random_parameters
from jaxicm.train.step import (
    Data,
    TrainState,
    compile_step,
    compute_gradient,
    draw_crops,
    draw_qualities,
    start_state,
    surrogate_at,
)

_IN_FLIGHT = 2
"""Steps that may be queued while their inputs or results take memory, as in the training loop."""
_MOST_STEPS = 100


@dataclass(frozen=True)
class Rounds:
    """How long to measure.

    Attributes:
        groups: of steps, each timed as a whole; the figures are medians over them.
        group_s: how long a group should take, in seconds.
        steps: of a group; 0 chooses them by `group_s`.
    """

    groups: int = 5
    group_s: float = 2.0
    steps: int = 0

    def steps_for(self, step_s: float) -> int:
        """Return the steps of a group where one takes `step_s` seconds."""
        return self.steps or int(np.clip(round(self.group_s / max(step_s, 1e-6)), 1, _MOST_STEPS))


THOROUGH, QUICK = Rounds(), Rounds(groups=3, group_s=0.5)


def forward_macs(config: TrainConfig) -> int:
    """Count the multiply-adds of the forward pass of one crop, as training runs it.

    Of phases that are sampled, one at a step, as many are counted as are run.
    """
    model = ImageModel(config.model)
    x = jax.ShapeDtypeStruct((1, config.crop, config.crop, 3), jnp.float32)
    quality, key = jax.ShapeDtypeStruct((1,), jnp.float32), jax.random.key(0)
    params = jax.eval_shape(lambda: model.init(key, jnp.zeros(x.shape), jnp.ones(1), method="declare"))

    def count(surrogate: Surrogate) -> int:
        return count_macs(lambda p, x, quality: model.apply(p, x, quality, key, surrogate), params, x, quality)

    every = count(ROUNDED)
    if config.objective.phases == "all" or config.model.recurrent is not None:
        return every
    without = count(Surrogate(sample_phases=True))  # `count_macs` does not look into branches
    return without + (every - without) // len(PHASES)


def measure_step(
    corpus: Corpus,
    rounds: Rounds = THOROUGH,
    *,
    split: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> StepBenchmark:
    """Measure the training step on this process's devices, from random parameters.

    Args:
        corpus: of the crops, with the configuration of the run.
        rounds: how long to measure.
        split: also measure where the time goes, which compiles two more functions.
        say: told what is done next.

    Returns:
        The figures.

    Raises:
        ConfigError: the mesh cannot be made (too few devices, a batch that does not divide by them).
    """
    config, mesh = corpus.config, make_mesh(corpus.config)
    say("the step: compiling")
    state = start_state(config, random_parameters(config))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    state = place_whole(mesh, state, state_sharding(mesh, shapes))
    data = place_whole(mesh, corpus.stack()) if config.resident else place_batch(mesh, next(single_feed(corpus)))
    step: Any = compile_step(config, mesh, shapes)
    with compilations_of(step.__name__) as heard:
        begin = time.perf_counter()
        compiled = step.lower(state, data).compile()
        compile_s, from_disk = time.perf_counter() - begin, heard.from_disk
        stepping = _Stepping(step, state, data)
        del state
        say("the step: timing")
        stepping.run(1)
        # Agreed, because processes that did different numbers of steps would wait for each other forever.
        steps = rounds.steps_for(*agreed([_seconds(stepping.run, 1)]))
        peak = used_memory(mesh)
        if split:
            parts, seconds = _split(corpus, mesh, stepping, rounds, steps, say)
        else:
            parts, seconds = None, [_seconds(stepping.run, steps) for _ in range(rounds.groups)]
    return StepBenchmark(
        batch=config.batch,
        crop=config.crop,
        precision=config.precision,
        devices=mesh.size,
        platform=mesh.devices.flat[0].platform,
        device_kind=mesh.devices.flat[0].device_kind,
        parameters=count_parameters(shapes.params),
        forward_macs=forward_macs(config),
        step_s=float(np.median(seconds)),
        group_s=tuple(seconds),
        steps=steps,
        program=Program(compile_s, from_disk, heard.compilations, **planned(compiled)),
        split=parts,
        peak_bytes=peak[0],
        limit_bytes=peak[1],
    )


class _Stepping:
    """The training state, which each step replaces, and the data of the steps."""

    def __init__(self, step: Callable[[TrainState, Data], tuple[TrainState, Any]], state: TrainState, data: Data):
        self.step, self.state, self.data = step, state, data

    def run(self, steps: int) -> Any:
        """Launch steps on the same data; returns what to wait for."""
        metrics = None
        for _ in range(steps):
            self.state, metrics = self.step(self.state, self.data)
        return self.state, metrics

    def run_fed(self, steps: int, batches: Callable[[], Data]) -> Any:
        """Launch steps, each on data of its own."""
        queue: deque[Any] = deque()
        for _ in range(steps):
            self.state, metrics = self.step(self.state, batches())
            queue.append(metrics)
            if len(queue) > _IN_FLIGHT:
                jax.block_until_ready(queue.popleft())
        return self.state, list(queue)


def _seconds(run: Callable[[int], Any], steps: int) -> float:
    """Time a group of steps, and return the seconds of one."""
    begin = time.perf_counter()
    jax.block_until_ready(run(steps))
    return (time.perf_counter() - begin) / steps


def _split(
    corpus: Corpus,
    mesh: Mesh,
    stepping: _Stepping,
    rounds: Rounds,
    steps: int,
    say: Callable[[str], None],
) -> tuple[Split, list[float]]:
    """Time the parts and the step in turns.

    Returns:
        The parts, and the seconds of a step in each group.
    """
    say("forward and backward pass: compiling")
    forward, gradient = _passes(corpus.config, mesh, stepping.state)

    def repeat(function: Callable[[TrainState, Data], Any]) -> Callable[[int], Any]:
        def run(steps: int) -> Any:
            queue: deque[Any] = deque()
            for _ in range(steps):
                queue.append(function(stepping.state, stepping.data))
                if len(queue) > _IN_FLIGHT:
                    jax.block_until_ready(queue.popleft())  # queued gradients would fill the memory
            return list(queue)  # JAX does not look into a deque

        return run

    runs = {"forward": repeat(forward), "gradient": repeat(gradient), "step": stepping.run}
    for run in runs.values():
        jax.block_until_ready(run(1))
    found: dict[str, list[float]] = {name: [] for name in (*runs, "fed", "batch", "transfer")}
    say("the parts of the step: timing")
    with Supply(corpus, mesh) as supply:
        for _ in range(rounds.groups):
            for name, run in runs.items():
                found[name].append(_seconds(run, steps))
            batches = supply.begin(stepping.data)
            found["fed"].append(_seconds(lambda steps, batches=batches: stepping.run_fed(steps, batches), steps))
            batch_s, transfer_s = supply.seconds()
            found["batch"].append(batch_s)
            found["transfer"].append(transfer_s)
    medians = {name: float(np.median(seconds)) for name, seconds in found.items()}
    parts = Split(
        forward_s=medians["forward"],
        backward_s=medians["gradient"] - medians["forward"],
        optimizer_s=medians["step"] - medians["gradient"],
        batch_s=medians["batch"],
        transfer_s=medians["transfer"],
        fed_s=medians["fed"],
    )
    return parts, found["step"]


def _passes(config: TrainConfig, mesh: Mesh, state: TrainState) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile the forward pass alone, and with the gradient, of a state and data laid out as in the step."""

    def gradient(state: TrainState, data: Data, networks: Sequence[Any]) -> tuple[dict[str, Array], Any]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        several = mesh if mesh.size > 1 else None
        crops, quality = draw_crops(config, data, key, several), draw_qualities(config, key)
        surrogate = surrogate_at(config, state.step / config.steps)
        look = machine_look(config, networks, data, state.step, config.steps)
        return compute_gradient(config, state.params, crops, quality, key, surrogate, several, look)

    def forward(state: TrainState, data: Data, networks: Sequence[Any]) -> dict[str, Array]:
        # The same program, whose gradient nobody wants: XLA leaves out what only it needs.
        return gradient(state, data, networks)[0]

    layout = state_sharding(mesh, state)
    data = (replicated(mesh), replicated(mesh)) if config.resident else batch_sharding(mesh)
    whole, networks = replicated(mesh), placed_networks(config, mesh)
    compile_pass = partial(jax.jit, in_shardings=(layout, data, whole), compiler_options=training_options() or None)
    passes = compile_pass(forward, out_shardings=whole), compile_pass(gradient, out_shardings=(whole, layout.params))
    return WithNetworks(passes[0], networks), WithNetworks(passes[1], networks)
