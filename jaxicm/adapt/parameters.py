"""Parameter overfitting: the encoder changes some parameters of a network for this content and sends the change.

Adam moves real-valued changes down the gradient of a loss on batches; then the changes are quantised, with the steps,
and for the leaves, that the true cost asks for; then Adam goes on at these steps, straight through the rounding. The
true cost is what the caller measures with changed parameters, plus the price of the update's bytes; of all that is
measured the best is kept, no update included. Measuring may be slow, so there are few trials: one step for all leaves;
leaves left out, in the order of their gain per byte in the loss of one batch; other steps for the dearest leaves.

Sources: system S9 (Lam et al., "Efficient adaptation of neural network filter for video compression", ACM MM 2020)
changes biases; Santamaria et al. (EUVIP 2022) multipliers. The search and the decision by rate and distortion are ours.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxicm.adapt import parameter_code as code
from jaxicm.adapt.parameter_code import Change, Factors, Kind, Steps, Update, select
from jaxicm.adapt.stage import Progress
from jaxicm.compilation import training_options
from jaxicm.errors import ConfigError
from jaxicm.ops.quantize import round_ste

Params = Mapping[str, Any]
Loss = Callable[[Any, Any], Array]
"""A differentiable measure: (parameters, batch) to a scalar."""
Kinds = dict[str, Kind]
"""How each leaf that may change does, by its name, in coding order."""

_FINISHING_RATE = 0.1
_ADAM_SHARE, _FINISHING_SHARE = 0.5, 0.9
"""Shares of the time limit at which the phases of Adam end."""
_SILENT = 2.0**30
"""A step at which every change is rounded to zero."""


@dataclass(frozen=True)
class ParameterFit:
    """How parameters are fitted.

    Attributes:
      kind: what changes. "delta" adds to every parameter and "multiplier" scales output channels. "both" scales the
        output channels of kernels and "low_rank" adds a product of two factors to them; both add to vectors.
      pattern: shell patterns of the names of leaves that may change; a name is a path joined by slashes.
      iterations: of Adam with real-valued changes.
      learning_rate: of Adam; constant.
      finishing: iterations with rounded changes, at a tenth of the rate.
      steps: step indices to choose from, rising; see `parameter_code.step_size`.
      rank: of "low_rank", at most; small kernels have less.
      check_every: iterations between two measurements of the true cost.
      patience: checks without gain after which a phase ends; 0 never.
      trials: most measurements of the true cost in each search, for leaves to leave out and for their steps.
    """

    kind: Literal["delta", "multiplier", "both", "low_rank"] = "delta"
    pattern: tuple[str, ...] = ("*/bias",)
    iterations: int = 400
    learning_rate: float = 1e-3
    finishing: int = 50
    steps: tuple[int, ...] = (4, 7, 10, 13, 16)
    rank: int = 1
    check_every: int = 50
    patience: int = 3
    trials: int = 24

    def __post_init__(self):
        inside = [index for index in range(code.MOST_STEP_INDEX + 1) if index in self.steps]
        for name, holds, rule in (
            ("kind", self.kind in ("delta", "multiplier", "both", "low_rank"), "is not a kind of change"),
            ("pattern", len(self.pattern) > 0 and not isinstance(self.pattern, str), "must be a tuple of patterns"),
            ("learning_rate", self.learning_rate > 0, "must be above 0"),
            ("steps", [] != inside == [*self.steps], f"must rise within [0, {code.MOST_STEP_INDEX}]"),
            ("rank", 1 <= self.rank <= code.MOST_RANK, f"must be in [1, {code.MOST_RANK}]"),
            ("check_every", self.check_every >= 1, "must be at least 1"),
            *((n, getattr(self, n) >= 0, "is negative") for n in ("iterations", "finishing", "patience", "trials")),
        ):
            if not holds:
                raise ConfigError(f"parameter fit: {name} = {getattr(self, name)!r}, {rule}")


class Fitted(NamedTuple):
    """The best update found.

    Attributes:
      update: what changes; empty if nothing is better than no update.
      data: its bytes; empty if it is.
      start: the true cost without an update.
      cost: the true cost with it, bytes included; below `start`, or equal if there is no update.
      iterations: done in all.
    """

    update: Update
    data: bytes
    start: float
    cost: float
    iterations: int


def fit_parameters(
    params: Params,
    settings: ParameterFit,
    loss: Loss,
    batches: Callable[[int], Any],
    price: float,
    validate: Callable[[dict[str, Any]], Any],
    *,
    limit_s: float | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit parameters to content.

    Args:
      params: nested dicts of arrays, what both sides have.
      settings: how.
      loss: differentiable, of parameters and a batch. The same function with the same shapes is compiled once.
      batches: gives the batch of an iteration, 0 and up; all of one shape.
      price: of a bit, in units of `validate`.
      validate: measures the true cost of parameters without the bytes of the update.
      limit_s: seconds after which no iteration or measurement begins but the first. Compiling counts.
      progress: called after every check.

    Returns:
      The best update by `validate(parameters) + price * 8 * len(data)`; an empty one if nothing was better.

    Raises:
      ConfigError: if the patterns match no leaf.
    """
    begin, names = time.monotonic(), select(params, settings.pattern)
    if not names:
        found = ", ".join([*code.leaves(params)][:5])
        raise ConfigError(f"parameter fit: no leaf matches {', '.join(settings.pattern)}; there are {found}, ...")
    shapes, tried = code.leaf_shapes(params, names), settings.steps
    kinds: Kinds = {name: _kind(settings.kind, shape) for name, shape in shapes.items()}
    search = _Search(params, kinds, price, validate, math.inf if limit_s is None else begin + limit_s)
    descent = _Descent(dict(params), kinds, loss, batches, settings, search, begin, limit_s, progress)
    descent.tell(settings.iterations + settings.finishing)

    factors = descent.run(code.start_factors(kinds, shapes, settings.rank), {}, _ADAM_SHARE)
    update = search.common_step(factors, tried)
    update = search.without_leaves(update, descent.order(update))
    update = search.move_steps(update, factors, tried, settings.trials)
    if update:
        descent.run(factors, {name: change.steps for name, change in update.items()}, _FINISHING_SHARE)
        search.without_leaves(search.best.update, descent.order(search.best.update))
    descent.tell(descent.done)
    best = search.best
    return Fitted(best.update, best.data, search.start, best.cost, descent.done)


def _kind(kind: str, shape: tuple[int, ...]) -> Kind:
    if kind == "multiplier" or (kind == "both" and len(shape) > 1):
        return "multiplier"
    return "low_rank" if kind == "low_rank" and code.most_rank(shape) else "delta"


class _Best(NamedTuple):
    update: dict[str, Change]
    data: bytes
    cost: float


class _Search:
    """Measures true costs and remembers the best update."""

    def __init__(self, params: Params, kinds: Kinds, price: float, validate: Callable, end: float):
        self._params, self._kinds, self._price, self._validate, self._end = dict(params), kinds, price, validate, end
        self._shapes, before = code.leaf_shapes(params, kinds), time.monotonic()
        self.start = float(validate(self._params))
        self._longest = time.monotonic() - before
        self.best, self._known = _Best({}, b"", self.start), {b"": self.start}

    def cost(self, update: dict[str, Change]) -> float:
        """Return the true cost of an update; infinite if there is no time to measure it, or it is not a number."""
        data = code.encode_update(update, self._shapes)
        if data not in self._known:
            before = time.monotonic()
            if before + self._longest > self._end:
                return math.inf
            found = float(self._validate(code.apply_update(self._params, update))) + self._price * 8 * len(data)
            self._longest = time.monotonic() - before
            self._known[data] = math.inf if math.isnan(found) else found
            if found < self.best.cost:
                self.best = _Best(update, data, found)
        return self._known[data]

    def size(self, name: str, update: Update) -> int:
        """Return the bytes of a leaf's change if it were alone."""
        return len(code.encode_update({name: update[name]}, self._shapes))

    def common_step(self, factors: Factors, steps: Sequence[int]) -> dict[str, Change]:
        """Return the update of least cost among those with one step for all leaves."""
        best, least = {}, math.inf
        for index in steps:
            update = code.quantised(factors, self._kinds, {name: (index,) * len(factors[name]) for name in self._kinds})
            found = self.cost(update)
            if update and found < least:
                best, least = update, found
        return best

    def without_leaves(self, update: dict[str, Change], order: Sequence[str]) -> dict[str, Change]:
        """Leave out leaves, one by one, where the cost does not rise."""
        least = self.cost(update)
        for name in order:
            less = {key: change for key, change in update.items() if key != name}
            found = self.cost(less)
            if found <= least < math.inf:
                update, least = less, found
        return update

    def move_steps(self, update: dict[str, Change], factors: Factors, steps: Sequence[int], trials: int) -> Update:
        """Move the steps of leaves to neighbours in the list where the cost falls, the largest changes first."""
        least = self.cost(update)
        for name in sorted(update, key=lambda name: -self.size(name, update)):
            place = steps.index(update[name].steps[0])
            for index in (*steps[max(place - 1, 0) : place], *steps[place + 1 : place + 2]):
                if not trials:
                    return update
                moved = code.quantised(factors, self._kinds, {name: (index,) * len(factors[name])})
                trial = {key: change for key, change in update.items() if key != name} | moved
                found, trials = self.cost(trial), trials - 1
                if found < least:
                    update, least = trial, found
                    break
        return update


@dataclass
class _Descent:
    """Runs Adam, and keeps the time and the number of iterations."""

    params: dict[str, Any]
    kinds: Kinds
    loss: Loss
    batches: Callable[[int], Any]
    settings: ParameterFit
    search: _Search
    begin: float
    limit_s: float | None
    progress: Progress | None
    done: int = 0

    def tell(self, total: int) -> None:
        """Report how far the fit is."""
        if self.progress:
            self.progress(self.done, total, self.search.best.cost / max(self.search.start, 1e-9))

    def run(self, factors: Factors, steps: Steps, share: float) -> Factors:
        """Iterate, with rounding if there are steps, and return the factors of least cost at a check."""
        settings, search, fixed = self.settings, self.search, _Fixed(self.loss, tuple(self.kinds.items()))
        count, later = (settings.finishing, 0) if steps else (settings.iterations, settings.finishing)
        rate = np.float32(settings.learning_rate * (_FINISHING_RATE if steps else 1.0))
        sizes, state = _step_arrays(factors, steps), optax.scale_by_adam().init(factors)
        moving, best, least, stale, step, choice = factors, None, math.inf, 0, 0, settings.steps
        while step < count and self._has_time(share):
            end = min(step + settings.check_every, count)
            while step < end and self._has_time(share):
                batch = self.batches(self.done)
                moving, state = _iteration(moving, state, self.params, sizes, batch, rate, fixed)
                if self.limit_s is not None:
                    jax.block_until_ready(moving)
                step, self.done = step + 1, self.done + 1
            if steps:
                found, now = moving, search.cost(code.quantised(moving, self.kinds, steps))
            else:
                found = code.balanced(moving)
                update = search.common_step(found, choice)
                now = search.cost(update)
                # A step that pays is kept, to spare measurements, until the last search.
                choice = next(iter(update.values())).steps[:1] if now < search.start else settings.steps
            best = found if best is None or now < least else best
            least, stale = (now, 0) if now < least else (least, stale + 1)
            self.tell(self.done + count - step + later)
            if settings.patience and stale >= settings.patience:
                break
        return factors if best is None else best

    def order(self, update: Update) -> list[str]:
        """Return the leaves that change, those first that gain least for their bytes in the loss of a batch."""
        if not update or not self._has_time(1.0):
            return []
        batch, fixed = self.batches(0), _Fixed(self.loss, tuple(self.kinds.items()))

        def loss_without(name: str | None) -> float:
            less = {key: change for key, change in update.items() if key != name}
            return float(_loss(code.apply_update(self.params, less), batch, fixed))

        whole = loss_without(None)
        gain = {name: (loss_without(name) - whole) / self.search.size(name, update) for name in update}
        return sorted(update, key=gain.__getitem__)[: self.settings.trials]

    def _has_time(self, share: float) -> bool:
        return self.limit_s is None or time.monotonic() - self.begin < share * self.limit_s


class _Fixed(NamedTuple):
    """What a compilation depends on beside shapes."""

    loss: Loss
    kinds: tuple[tuple[str, Kind], ...]


def _step_arrays(factors: Factors, steps: Steps) -> Factors:
    """Return quantisation steps: for leaves without a step one that silences them; none rounds if no leaf has any."""
    other = np.float32(_SILENT if steps else 0.0)
    known = {name: tuple(np.float32(code.step_size(index)) for index in steps[name]) for name in steps}
    return {name: known.get(name, (other,) * len(arrays)) for name, arrays in factors.items()}


_compiled = partial(jax.jit, static_argnames="fixed", compiler_options=training_options() or None)


@_compiled
def _iteration(
    factors: Factors, state: Any, params: Any, sizes: Factors, batch: Any, rate: Any, fixed: _Fixed
) -> tuple[Factors, Any]:
    gradient = jax.grad(lambda given: fixed.loss(_adapted(params, given, sizes, fixed.kinds), batch))(factors)
    change, state = optax.scale_by_adam().update(gradient, state)
    return jax.tree.map(lambda a, d: a - rate * d, factors, change), state


@_compiled
def _loss(params: Any, batch: Any, fixed: _Fixed) -> Array:
    return fixed.loss(params, batch)


def _adapted(params: Params, factors: Factors, sizes: Factors, kinds: Sequence[tuple[str, Kind]]) -> dict[str, Any]:
    """Do differentiably what `apply_update` does."""
    known, changed = code.leaves(params), {}
    for name, kind in kinds:
        leaf = jnp.asarray(known[name], jnp.float32)
        first, *second = (_rounded(a, size) for a, size in zip(factors[name], sizes[name], strict=True))
        if kind == "multiplier":
            changed[name] = leaf * (1.0 + first)
        else:
            changed[name] = leaf + (first @ second[0]).reshape(leaf.shape) if second else leaf + first
    return code.replace_leaves(params, changed)


def _rounded(value: Array, size: Array) -> Array:
    step = jnp.where(size > 0, size, 1.0)
    return jnp.where(size > 0, round_ste(value / step) * step, value)
