"""The bytes of a parameter update: which parameters of a network change for this content, and by how much.

Both sides hold the network and know which of its leaves may change; the update is sent relative to them. Every leaf has
a flag; a leaf that changes has the kind of its change, the index of its quantisation step, and its integers, all under
adaptive binary contexts (`bits.binary`). The decoder's parameters must be the encoder's to the last bit, since what is
computed with them may steer an entropy decoder; so `apply_update` uses only operations that IEEE 754 fixes.

Sources: bias updates and their code follow system S9 (Lam et al., "Efficient adaptation of neural network filter for
video compression", ACM MM 2020), the contexts DeepCABAC (Wiedemann et al. 2020); multipliers follow Santamaria et
al., EUVIP 2022. Ours are the contexts of the step index, which make a step that returns cheap, and the low-rank kind.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from jaxicm.bits.binary import BinaryCoder, BinaryDecoder, BinaryEncoder, Context, IntegerContexts
from jaxicm.errors import CorruptFile

Kind = Literal["delta", "multiplier", "low_rank"]
"""Integers q and steps s make leaf + q s; leaf * (1 + q s), a q for each output channel; leaf + (q_u s_u) (q_v s_v)."""
Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of all leaves that may change, in the order in which they are coded."""

STEP_INDEX_BITS = 5
MOST_STEP_INDEX = (1 << STEP_INDEX_BITS) - 1
MOST_SYMBOL = 1 << 23
"""Largest magnitude: float32 holds it exactly, and float64 the sums of products of two."""
MOST_RANK = 8
_RANDOM_SPREAD = 0.1
"""Of the first factor of a low-rank change at the start; the second begins at zero."""
_BUCKETS = 3
_GREATER = 3


@dataclass(frozen=True, eq=False)
class Change:
    """The quantised change of a leaf.

    Attributes:
      kind: how the integers act.
      symbols: integers within `MOST_SYMBOL`, of the shapes that `factor_shapes` says; two arrays for "low_rank", else
        one.
      steps: index of the quantisation step of each array, 0 to `MOST_STEP_INDEX`, see `step_size`.
    """

    kind: Kind
    symbols: tuple[np.ndarray, ...]
    steps: tuple[int, ...]

    def __post_init__(self):
        count = 2 if self.kind == "low_rank" else 1
        if len(self.symbols) != count or len(self.steps) != count:
            found = f"{len(self.symbols)} arrays and {len(self.steps)} steps"
            raise ValueError(f"a change of kind {self.kind} has {count} of each, got {found}")
        if not all(0 <= index <= MOST_STEP_INDEX for index in self.steps):
            raise ValueError(f"a step index must be in [0, {MOST_STEP_INDEX}], got {self.steps}")
        if any(np.abs(symbols.astype(np.int64)).max(initial=0) > MOST_SYMBOL for symbols in self.symbols):
            raise ValueError(f"the integers of a change must be within {MOST_SYMBOL}")

    @property
    def is_nothing(self) -> bool:
        """Whether the leaf stays as it is."""
        return not all(symbols.any() for symbols in self.symbols)


Update = Mapping[str, Change]
"""Changes by the names of leaves; the others stay."""
Factors = Mapping[str, tuple[Any, ...]]
"""Real-valued changes by the names of leaves, arrays as in `Change`."""
Steps = Mapping[str, tuple[int, ...]]
"""Step indices by the names of the leaves that change."""


def step_size(index: int) -> float:
    """Return the quantisation step of an index, 2^(-2 - index / 2); the same double on every machine."""
    return math.ldexp(math.sqrt(0.5) if index % 2 else 1.0, -2 - index // 2)


def factor_shapes(kind: Kind, shape: tuple[int, ...], rank: int = 1) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a change's arrays.

    Args:
      kind: of the change.
      shape: of the leaf, output channels last; the kind "low_rank" needs two axes or more.
      rank: of "low_rank", at least 1.

    Returns:
      The leaf's shape for "delta", its last axis for "multiplier", and for "low_rank", with all axes but the last as
      rows, `[rows, rank]` and `[rank, columns]`.
    """
    if kind == "delta":
        return (shape,)
    if kind == "multiplier":
        return (shape[-1:],)
    return (math.prod(shape[:-1]), rank), (rank, shape[-1])


def most_rank(shape: tuple[int, ...]) -> int:
    """Return the largest rank of a "low_rank" change of a leaf; 0 where there is none."""
    return min(MOST_RANK, math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else 0


def leaves(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the arrays of nested dicts under their paths, joined by slashes."""
    out: dict[str, Any] = {}
    for key, value in params.items():
        out |= leaves(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def select(params: Mapping[str, Any], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the leaves that may change, in an order that both sides know.

    Args:
      params: nested dicts of arrays.
      patterns: shell patterns of names, such as "*/bias".

    Returns:
      Paths joined by slashes, sorted, numbers within them by value; whatever the order of the dicts is.
    """
    names = (name for name in leaves(params) if any(fnmatchcase(name, pattern) for pattern in patterns))
    return tuple(sorted(names, key=lambda name: re.sub(r"\d+", lambda digits: digits[0].zfill(9), name)))


def leaf_shapes(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of some leaves, in the order of their names."""
    known = leaves(params)
    return {name: tuple(np.shape(known[name])) for name in names}


def replace_leaves(params: Mapping[str, Any], changed: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts with some arrays replaced, by the names that `leaves` gives them."""
    return {
        key: replace_leaves(value, changed, f"{prefix}{key}/")
        if isinstance(value, Mapping)
        else changed.get(f"{prefix}{key}", value)
        for key, value in params.items()
    }


def start_factors(kinds: Mapping[str, Kind], shapes: Shapes, rank: int) -> dict[str, tuple[np.ndarray, ...]]:
    """Return factors that change nothing yet; the first one of a low-rank change, of `rank` at most, is random."""
    random, factors = np.random.default_rng(0), {}
    for name, kind in kinds.items():
        parts = factor_shapes(kind, shapes[name], min(rank, most_rank(shapes[name])))
        spreads = (_RANDOM_SPREAD, 0.0) if kind == "low_rank" else (0.0,)
        factors[name] = tuple(random.normal(0.0, s, p).astype(np.float32) for s, p in zip(spreads, parts, strict=True))
    return factors


def balanced(factors: Factors) -> dict[str, tuple[np.ndarray, ...]]:
    """Give both factors of a product the same spread: then the same step costs both the same accuracy."""
    out = {}
    for name, arrays in factors.items():
        arrays = tuple(np.asarray(a) for a in arrays)
        if len(arrays) == 2:
            u, v = np.square(arrays[0]).mean(axis=0), np.square(arrays[1]).mean(axis=1)
            used = (u > 0) & (v > 0)
            ratio = (np.where(used, v, 1.0) / np.where(used, u, 1.0)).astype(np.float32) ** np.float32(0.25)
            arrays = arrays[0] * ratio, arrays[1] / ratio[:, None]
        out[name] = arrays
    return out


def quantised(factors: Factors, kinds: Mapping[str, Kind], steps: Steps) -> dict[str, Change]:
    """Round real-valued changes to multiples of their steps; what has no step or becomes zero is left out."""
    update = {}
    for name in steps:
        pairs = zip(factors[name], steps[name], strict=True)
        scaled = (np.nan_to_num(np.asarray(a) / step_size(index)) for a, index in pairs)
        symbols = tuple(np.clip(np.rint(a), -MOST_SYMBOL, MOST_SYMBOL).astype(np.int32) for a in scaled)
        change = Change(kinds[name], symbols, steps[name])
        if not change.is_nothing:
            update[name] = change
    return update


def apply_update(params: Mapping[str, Any], update: Update) -> dict[str, Any]:
    """Change parameters, with the same result to the last bit on every machine.

    Args:
      params: nested dicts of arrays.
      update: what changes.

    Returns:
      New nested dicts; leaves that change are numpy float32, the others are the arrays that were given.

    Raises:
      ValueError: if the update names a leaf that is not there, or does not fit its shape.
    """
    known, changed = leaves(params), {}
    for name, change in update.items():
        if name not in known:
            raise ValueError(f"the update changes {name!r}, which the network does not have")
        leaf = np.asarray(known[name], np.float32)
        _check_fit(name, change, leaf.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # a hostile update may leave the range of float32
            changed[name] = _changed(leaf, change)
    return replace_leaves(params, changed)


def _changed(leaf: np.ndarray, change: Change) -> np.ndarray:
    steps = [step_size(index) for index in change.steps]
    if change.kind == "low_rank":
        # Exact in float64, so that the order of the sums does not matter; each product is below 2^46.
        u, v = (symbols.astype(np.float64) for symbols in change.symbols)
        difference = ((u @ v) * (steps[0] * steps[1])).astype(np.float32)
        return leaf + difference.reshape(leaf.shape)
    difference = change.symbols[0].astype(np.float32) * np.float32(steps[0])
    return np.asarray(leaf + difference if change.kind == "delta" else leaf * (np.float32(1.0) + difference))


def encode_update(update: Update, shapes: Shapes) -> bytes:
    """Write an update.

    Args:
      update: what changes; changes that are nothing are left out.
      shapes: of all leaves that may change.

    Returns:
      The bytes, the shortest that say it; none if nothing changes.

    Raises:
      ValueError: if the update names a leaf that may not change, or does not fit its shape.
    """
    for name, change in update.items():
        if name not in shapes:
            raise ValueError(
                f"the update changes {name!r}, which is not among the {len(shapes)} leaves that may change"
            )
        _check_fit(name, change, shapes[name])
    coder = BinaryEncoder()
    _code_update(coder, {name: change for name, change in update.items() if not change.is_nothing}, shapes)
    return coder.finish()


def decode_update(data: bytes | memoryview, shapes: Shapes) -> dict[str, Change]:
    """Read an update that `encode_update` wrote.

    Args:
      data: the bytes, none more or less.
      shapes: as they were when it was written.

    Returns:
      The update, its names in the order of `shapes`, integers as int32.

    Raises:
      CorruptFile: if no update is written so.
    """
    coder = BinaryDecoder(data)
    update = _code_update(coder, {}, shapes)
    coder.finish()
    return update


def _check_fit(name: str, change: Change, shape: tuple[int, ...]) -> None:
    found = tuple(symbols.shape for symbols in change.symbols)
    rank = change.symbols[0].shape[-1] if change.kind == "low_rank" and change.symbols[0].ndim else 0
    if change.kind == "low_rank" and not 1 <= rank <= most_rank(shape):
        raise ValueError(f"a change of {name!r} {shape} can have a rank in [1, {most_rank(shape)}], got {rank}")
    expected = factor_shapes(change.kind, shape, rank)
    if found != expected:
        raise ValueError(f"a change of kind {change.kind} of {name!r} needs arrays of shapes {expected}, got {found}")


class _Contexts:
    def __init__(self):
        self.present = [Context() for _ in range(2)]
        self.is_delta = [Context() for _ in range(2)]
        self.is_multiplier = Context()
        self.rank = [Context() for _ in range(MOST_RANK)]
        self.step = [Context() for _ in range(1 << STEP_INDEX_BITS)]
        self.integers = IntegerContexts(2 * _BUCKETS, _GREATER)


def _code_update(coder: BinaryCoder, update: Update, shapes: Shapes) -> dict[str, Change]:
    """Write an update or, with an empty one, read it."""
    contexts, present, found = _Contexts(), False, {}
    for number, (name, shape) in enumerate(shapes.items()):
        present = coder.code(name in update, contexts.present[present])
        if present:
            bucket = _BUCKETS * number // len(shapes)
            found[name] = _code_change(coder, update.get(name), shape, bucket, contexts)
    return found


def _code_change(
    coder: BinaryCoder, change: Change | None, shape: tuple[int, ...], bucket: int, contexts: _Contexts
) -> Change:
    limit = most_rank(shape)
    kind: Kind = change.kind if change else "delta"
    if coder.code(kind == "delta", contexts.is_delta[len(shape) > 1]):
        kind = "delta"
    elif limit and not coder.code(kind == "multiplier", contexts.is_multiplier):
        kind = "low_rank"
    else:
        kind = "multiplier"
    given, rank = change.symbols if change else None, 1
    if kind == "low_rank":
        most = given[0].shape[1] if given else 0
        while rank < limit and coder.code(rank < most, contexts.rank[rank]):
            rank += 1
    symbols, steps = [], []
    for number, part in enumerate(factor_shapes(kind, shape, rank)):
        steps.append(_code_step(coder, change.steps[number] if change else 0, contexts.step))
        values = given[number] if given else np.zeros(part, np.int32)
        symbols.append(_code_symbols(coder, values, bucket, contexts.integers))
    found = Change(kind, tuple(symbols), tuple(steps))
    if found.is_nothing:
        raise CorruptFile("the update of a parameter changes nothing; get an intact copy of the file")
    return found


def _code_step(coder: BinaryCoder, index: int, contexts: list[Context]) -> int:
    """Code the bits of a step index, the highest first, each under the bits before it."""
    node = 1
    for place in reversed(range(STEP_INDEX_BITS)):
        node = node << 1 | coder.code(index >> place & 1 == 1, contexts[node])
    return node - (1 << STEP_INDEX_BITS)


def _code_symbols(coder: BinaryCoder, values: np.ndarray, bucket: int, integers: IntegerContexts) -> np.ndarray:
    previous, greater, found = 0, 0, []
    for value in values.reshape(-1).tolist():
        previous = integers.code(coder, value, 2 * bucket + (previous != 0), min(greater, _GREATER - 1))
        greater += abs(previous) > 1
        if abs(previous) > MOST_SYMBOL:
            raise CorruptFile(f"a change of {previous} steps is beyond {MOST_SYMBOL}; get an intact copy of the file")
        found.append(previous)
    return np.array(found, np.int32).reshape(values.shape)
