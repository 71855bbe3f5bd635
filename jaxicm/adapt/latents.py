"""Latent overfitting: the encoder looks for the latent that costs least for this picture; decoder and syntax stay.

A latent is adapted in stages (`adapt.stage`). Each iteration computes the gradient of `bits + weight * distortion`
through a stand-in for rounding; every few iterations the true cost is measured, with the coder's rounding step by step,
the coder's tables and pixels rounded to 8 bits, and the best latent so far is kept, the start included. Since the
probability model is exact, what is measured here is what the file will hold.

"coordinate" is ours: forward values are the true ones, and every latent moves towards the value that would be best for
it if all others stayed as they are. With values v, latents y, the gradient g of the cost at v (without a latent's own
bits, which rounding weighs) and the curvature h, that value is v - g / h; so y moves by `-rate * (g / h + y - v)`.
Straight-through gradients lack the term y - v: they push a latent away from its own rounding error until it tips over,
and end with half of the symbols rounded at random. A handful of iterations gains most of what can be gained, since the
quantisation steps that a model has learned make h nearly the same everywhere (`stage.CURVATURE`). Where errors count
differently from place to place (`Problem.importance`), h and the choice of symbols follow.

Sources: Campos et al., "Content adaptive optimization for neural image compression", 2019; systems S4 (Zhang et al.,
arXiv 2210.04112) and S8 (Le et al., ICME 2021); see `adapt.stage` for the ways to stand for rounding.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxicm.adapt.rounding import AnyArray, coded, is_random, relaxed
from jaxicm.adapt.stage import CURVATURE, Method, Optimizer, Progress, Stage
from jaxicm.compilation import training_options
from jaxicm.entropy import gaussian
from jaxicm.entropy.surrogate import Rounding
from jaxicm.ops.quantize import levels_of
from jaxicm.ops.space import enlarge

Distortion = Callable[[Any, Array, Array], Array]
"""A differentiable measure: (its own arrays, pictures, decoded pictures `[B, H, W, 3]` in [0, 1]) to `[B]`."""


class Networks(Protocol):
    """Probability model and synthesis of a codec as pure functions; hashable, equal for equal configurations."""

    def code(
        self, arrays: Any, y: Array, rounding: Rounding, noise: Array | None, inside: Array, context_gradient: bool
    ) -> tuple[Array, Array]:
        """Quantise latents `[B, h, w, C]` step by step: values and bits `[B]`."""
        ...

    def decode(self, arrays: Any, values: Array) -> Array:
        """Compute pictures `[B, H, W, 3]`, nominally in [0, 1]."""
        ...


class Problem(NamedTuple):
    """Pictures of one shape and what counts; all of it may change without a new compilation.

    Attributes:
      arrays: of the networks, at the quality in use.
      x: uint8 `[B, H, W, 3]`.
      shown: bool `[B, H, W, 1]`, the pixels that count.
      inside: bool `[B, h, w, 1]`, the latent positions that exist.
      weight: bits that the distortion is worth, times pixels of `x`: lambda * 255**2.
      cost: bits of all symbols, `rounding.costs`.
      distortion: arrays of the measure.
      importance: float32 `[B, h, w, 1]` above 0, weights of the squared errors of the pixels that a latent position
        stands for; None where all count the same. For squared errors and "coordinate".
    """

    arrays: Any
    x: AnyArray
    shown: AnyArray
    inside: AnyArray
    weight: AnyArray
    cost: Array
    distortion: Any
    importance: AnyArray | None = None


class Outcome(NamedTuple):
    """The best latents found.

    Attributes:
      values: float32 `[B, h, w, C]`, quantised; coding them as a latent gives them back.
      cost: `[B]` true cost in bits.
      start: `[B]` that of the start.
      iterations: done in all.
    """

    values: np.ndarray
    cost: np.ndarray
    start: np.ndarray
    iterations: int


_compiled = partial(jax.jit, static_argnames="fixed", compiler_options=training_options() or None)
"""Gradients of convolutions as in training: a third faster on a CPU."""


class _Best(NamedTuple):
    cost: Array
    y: Array
    values: Array


class _Moving(NamedTuple):
    """What an iteration changes: latents, logarithms of the gains, the optimiser's state."""

    y: Array
    log_gain: Array
    state: Any


class _Fixed(NamedTuple):
    """What a compilation depends on beside shapes."""

    networks: Any
    distortion: Distortion
    method: Method = "coordinate"
    optimizer: Optimizer = "sgd"
    context_gradient: bool = True
    gains: bool = False


def adapt(
    y: np.ndarray,
    problem: Problem,
    networks: Networks,
    distortion: Distortion,
    stages: Sequence[Stage],
    *,
    seed: int = 0,
    limit_s: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Adapt latents to pictures.

    Args:
      y: float32 `[B, h, w, C]`, what the analysis found.
      problem: pictures and weights.
      networks: of the codec.
      distortion: the measure.
      stages: one after the other; each begins at the best latent so far.
      seed: of the noise.
      limit_s: seconds after which no more iterations begin; schedules are shortened to fit as soon as the time of an
        iteration is known. Compiling counts.
      progress: called after every check.

    Returns:
      The best latents by true cost; those of the start if nothing was better.
    """
    clock, tell = _Clock(stages, limit_s), progress or (lambda done, planned, share: None)
    tell(0, sum(stage.iterations for stage in stages), 1.0)  # the first programs may take half a minute to compile
    key, first = jax.random.key(seed), jnp.asarray(y)
    plain = _Fixed(networks, distortion)
    cost, values = _measure(first, problem, gaussian.offset_rows(), plain)
    start, best, done = np.asarray(cost), _Best(cost, first, values), 0
    for number, stage in enumerate(stages):
        fixed = _Fixed(networks, distortion, stage.method, stage.optimizer, stage.context_gradient, stage.gains)
        moving, offsets = _begin(best.y, stage), gaussian.offset_rows(stage.rounding_weight)
        step, stale, lowest = 0, 0, float(best.cost.sum())
        while step < (total := clock.total(number, step)):
            knobs = stage.knobs(step, stage.check_every, total)
            moving, best = _chunk(moving, best, problem, jax.random.fold_in(key, done), knobs, offsets, fixed)
            found = float(best.cost.sum())
            step, done = step + stage.check_every, done + stage.check_every
            clock.finished(number, stage.check_every)
            tell(done, clock.planned(number, step, done), found / max(float(start.sum()), 1e-9))
            stale, lowest = (stale + 1, lowest) if found >= lowest else (0, found)
            if stage.patience and stale >= stage.patience:
                break
    return Outcome(np.asarray(best.values), np.asarray(best.cost), start, done)


class _Clock:
    """Shortens stages to what a time limit allows, as far as the time of their iterations is known."""

    def __init__(self, stages: Sequence[Stage], limit_s: float | None):
        self._stages, self._since = stages, time.monotonic()
        self._end = None if limit_s is None else self._since + limit_s
        self._pace: dict[int, float] = {}

    def finished(self, number: int, iterations: int) -> None:
        """Note the end of some iterations of a stage."""
        now = time.monotonic()
        # The first time of a stage may contain its compilation.
        self._pace[number] = min(self._pace.get(number, math.inf), (now - self._since) / iterations)
        self._since = now

    def total(self, number: int, step: int) -> int:
        """Return how many iterations a stage may have, of which `step` are done."""
        stage = self._stages[number]
        if self._end is None:
            return stage.iterations
        left = self._end - time.monotonic()
        if left <= 0:
            return step
        if number not in self._pace:
            return stage.iterations
        later = sum(s.iterations for s in self._stages[number + 1 :])
        share = (stage.iterations - step) / max(stage.iterations - step + later, 1)
        checks = int(left * share / max(self._pace[number], 1e-9)) // stage.check_every
        return min(stage.iterations, step + checks * stage.check_every)

    def planned(self, number: int, step: int, done: int) -> int:
        """Return how many iterations there will be in all."""
        later = sum(s.iterations for s in self._stages[number + 1 :])
        return done + max(self.total(number, step) - step, 0) + later


def distortion_bits(x_hat: Array, problem: Problem, distortion: Distortion) -> Array:
    """Return what the distortion of decoded pictures `[B, H, W, 3]` is worth, in bits `[B]`."""
    x = jnp.asarray(problem.x).astype(jnp.float32) / 255.0
    x_hat = jnp.where(problem.shown, x_hat, x)
    count = x.shape[1] * x.shape[2]
    if problem.importance is not None:
        root = jnp.sqrt(enlarge(jnp.asarray(problem.importance), x.shape[1] // problem.importance.shape[1]))
        x, x_hat = root * x, root * x_hat
    return jnp.asarray(problem.weight) * count * distortion(problem.distortion, x, x_hat)


@_compiled
def _measure(y: Array, problem: Problem, offsets: AnyArray, fixed: _Fixed) -> tuple[Array, Array]:
    """Code latents as the coder does: true cost `[B]` and values."""
    rounding, weight = coded(problem.cost, offsets), _weight(problem, y)
    values, bits = fixed.networks.code(problem.arrays, y, rounding, weight, problem.inside, True)
    pixels = levels_of(fixed.networks.decode(problem.arrays, values)) / 255.0
    return bits + distortion_bits(pixels, problem, fixed.distortion), values


def _weight(problem: Problem, y: Array) -> Array | None:
    """Return the bits that a squared error of one step is worth, of the latent's shape; None where `offsets` say it."""
    if problem.importance is None:
        return None
    return jnp.broadcast_to(CURVATURE * problem.importance, y.shape)


def _rule(name: Optimizer) -> optax.GradientTransformation:
    """Return the rule without its rate, which depends on the time that is left."""
    rules = {
        "adam": lambda: optax.scale_by_adam(b2=0.99),
        "adamax": optax.scale_by_adamax,
        "rmsprop": optax.scale_by_rms,
        "momentum": lambda: optax.trace(0.9),
        "sgd": optax.identity,
    }
    return rules[name]()


def _begin(y: Array, stage: Stage) -> _Moving:
    log_gain = jnp.zeros(y.shape[-1])
    return _Moving(y, log_gain, _rule(stage.optimizer).init((y, log_gain)))


def _chunk(
    moving: _Moving,
    best: _Best,
    problem: Problem,
    key: Array,
    knobs: np.ndarray,
    offsets: np.ndarray,
    fixed: _Fixed,
) -> tuple[_Moving, _Best]:
    """Do an iteration for each row of `knobs`, measure, and keep what is better."""
    if jax.default_backend() == "cpu":
        # Inside a loop XLA's CPU back end runs everything on one thread; starting an iteration costs nothing there.
        for number, row in enumerate(knobs):
            moving = _iteration(moving, problem, jax.random.fold_in(key, number), row, offsets, fixed)
    else:
        moving = _iterations(moving, problem, key, knobs, offsets, fixed)
    y = moving.y * jnp.exp(moving.log_gain) if fixed.gains else moving.y
    cost, values = _measure(y, problem, offsets, _Fixed(fixed.networks, fixed.distortion))
    return moving, _better(_Best(cost, y, values), best)


@jax.jit
def _better(found: _Best, best: _Best) -> _Best:
    better = found.cost < best.cost
    return jax.tree.map(lambda a, b: jnp.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b), found, best)


def _iterate(
    moving: _Moving, problem: Problem, key: Array, knobs: AnyArray, offsets: AnyArray, fixed: _Fixed
) -> _Moving:
    learning_rate, temperature, done = knobs
    rounding = relaxed(fixed.method, problem.cost, offsets, temperature, done)
    gradient = _gradient(moving, problem, key, rounding, fixed)
    change, state = _rule(fixed.optimizer).update(gradient, moving.state)
    y, log_gain = (a - learning_rate * d for a, d in zip(moving[:2], cast(tuple[Array, Array], change), strict=True))
    return _Moving(y, log_gain, state)


_iteration = _compiled(_iterate)


@_compiled
def _iterations(
    moving: _Moving, problem: Problem, key: Array, knobs: AnyArray, offsets: AnyArray, fixed: _Fixed
) -> _Moving:
    def iterate(moving: _Moving, given: tuple[Array, Array]) -> tuple[_Moving, None]:
        number, row = given
        return _iterate(moving, problem, jax.random.fold_in(key, number), row, offsets, fixed), None

    return jax.lax.scan(iterate, moving, (jnp.arange(len(knobs)), jnp.asarray(knobs)))[0]


def _gradient(moving: _Moving, problem: Problem, key: Array, rounding: Rounding, fixed: _Fixed) -> tuple[Array, Array]:
    """Return the direction for latents and gains."""
    networks = fixed.networks
    y = moving.y * jnp.exp(moving.log_gain) if fixed.gains else moving.y
    if is_random(fixed.method):
        noise = jax.random.uniform(key, y.shape, minval=-0.5, maxval=0.5)
    else:
        noise = _weight(problem, y)

    def loss(y: Array) -> tuple[Array, Array]:
        values, bits = networks.code(problem.arrays, y, rounding, noise, problem.inside, fixed.context_gradient)
        x_hat = jnp.clip(networks.decode(problem.arrays, values), 0.0, 1.0)
        return (bits + distortion_bits(x_hat, problem, fixed.distortion)).sum(), values

    gradient, values = jax.grad(loss, has_aux=True)(y)
    if fixed.method == "coordinate":
        curvature = CURVATURE if problem.importance is None else CURVATURE * problem.importance
        gradient = gradient / curvature + (y - values)
    if not fixed.gains:
        return gradient, jnp.zeros_like(moving.log_gain)
    return gradient * jnp.exp(moving.log_gain), jnp.sum(gradient * y, axis=(0, 1, 2))
