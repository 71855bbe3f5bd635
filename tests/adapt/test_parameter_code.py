"""The bytes of parameter updates: round trips, damaged bytes, and arithmetic by other means."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.adapt.parameter_code import (
    MOST_RANK,
    MOST_SYMBOL,
    Change,
    apply_update,
    decode_update,
    encode_update,
    factor_shapes,
    leaf_shapes,
    leaves,
    most_rank,
    replace_leaves,
    step_size,
)
from jaxicm.errors import CorruptFile

SHAPES = {
    "a/bias": (5,),
    "a/kernel": (3, 1, 2, 5),
    "b/scale": (),
    "c/bias": (4,),
    "c/kernel": (4, 3),
    "d/empty": (0,),
}
SMALL = st.integers(-2, 2) | st.integers(-40, 40) | st.integers(-MOST_SYMBOL, MOST_SYMBOL)


@st.composite
def updates(draw):
    update = {}
    for name, shape in SHAPES.items():
        if draw(st.booleans()):
            kind = draw(st.sampled_from(["delta", "multiplier", *["low_rank"] * (most_rank(shape) > 0)]))
            parts = factor_shapes(kind, shape, draw(st.integers(1, max(most_rank(shape), 1))))
            sizes = [int(np.prod(part)) for part in parts]
            symbols = [draw(st.lists(SMALL, min_size=size, max_size=size)) for size in sizes]
            arrays = tuple(np.array(s, np.int32).reshape(part) for s, part in zip(symbols, parts, strict=True))
            update[name] = Change(kind, arrays, tuple(draw(st.integers(0, 31)) for _ in parts))
    return update


def plain(update):
    return {
        name: (change.kind, change.steps, [symbols.tolist() for symbols in change.symbols])
        for name, change in update.items()
        if not change.is_nothing
    }


def biases(count=10, size=32, spread=1.5, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {f"layer_{n}/bias": (size,) for n in range(count)}
    return shapes, {
        name: Change("delta", (np.rint(rng.normal(0, spread, size)).astype(np.int32),), (9,)) for name in shapes
    }


@given(updates())
def test_updates_come_back(update):
    data = encode_update(update, SHAPES)
    found = decode_update(data, SHAPES)
    assert plain(found) == plain(update)
    assert list(found) == [name for name in SHAPES if name in found]
    assert all(symbols.dtype == np.int32 for change in found.values() for symbols in change.symbols)


@given(updates(), st.data())
def test_damaged_updates_are_an_error_or_another_update(update, data):
    good = encode_update(update, SHAPES)
    bad = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if bad:
            bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decodes_only_to_what_is_written_so(bytes(bad))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_an_error_or_an_update(data):
    decodes_only_to_what_is_written_so(data)


def decodes_only_to_what_is_written_so(data):
    try:
        update = decode_update(data, SHAPES)
    except CorruptFile:
        return
    assert encode_update(update, SHAPES) == data


def test_each_lost_byte_and_each_flipped_bit_is_harmless():
    shapes, update = biases(3, 8)
    data, wrong = encode_update(update, shapes), 0
    damaged = [data[:end] for end in range(len(data))] + [data + b"\1"]
    damaged += [(int.from_bytes(data, "big") ^ 1 << b).to_bytes(len(data), "big") for b in range(8 * len(data))]
    for bad in damaged:
        try:
            wrong += plain(decode_update(bad, shapes)) == plain(update)
        except CorruptFile:
            continue
    assert not wrong


def test_an_update_that_changes_nothing_has_no_bytes():
    shapes, update = biases(50)
    nothing = {name: Change("delta", (np.zeros(32, np.int32),), (9,)) for name in update}
    assert encode_update({}, shapes) == encode_update(nothing, shapes) == encode_update({}, {}) == b""
    assert decode_update(b"", shapes) == decode_update(b"", {}) == {}


def test_an_update_takes_little_more_than_its_entropy():
    shapes, update = biases(10, 64)
    symbols = np.concatenate([change.symbols[0] for change in update.values()])
    shares = np.unique(symbols, return_counts=True)[1] / len(symbols)
    entropy = -(shares * np.log2(shares)).sum() * len(symbols)
    assert 8 * len(encode_update(update, shapes)) < 1.05 * entropy + 100


def test_steps_that_return_are_cheap():
    shapes, update = biases(12, 1)
    sizes = []
    for steps in ([9] * 12, list(range(5, 29, 2))):
        changes = zip(update.items(), steps, strict=True)
        one = {n: Change("delta", (np.ones(1, np.int32),), (s,)) for (n, _), s in changes}
        sizes.append(len(encode_update(one, shapes)))
    assert sizes[0] + 3 < sizes[1]


@pytest.mark.parametrize("index", range(32))
def test_steps_are_powers_of_the_root_of_two(index):
    assert step_size(index) == pytest.approx(2.0 ** (-2 - index / 2), rel=1e-15)
    if index % 2 == 0:
        assert step_size(index) == 2.0 ** (-2 - index // 2)


def tree(seed=0):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    return {
        layer: {leaf: arrays[f"{layer}/{leaf}"] for leaf in names}
        for layer, names in {
            "a": ["bias", "kernel"],
            "b": ["scale"],
            "c": ["kernel", "bias"],
            "d": ["empty"],
        }.items()
    }


def exact(value):
    return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(value)


def rounded(value):
    """Round fractions to float32; exact where a double holds them, which small examples see to."""
    return np.vectorize(float, otypes=[np.float64])(value).astype(np.float32)


def test_deltas_and_multipliers_round_each_operation_once():
    params, rng = tree(), np.random.default_rng(1)
    q, m = rng.integers(-9, 9, 5).astype(np.int32), rng.integers(-9, 9, 3).astype(np.int32)
    out = apply_update(params, {"a/bias": Change("delta", (q,), (7,)), "c/kernel": Change("multiplier", (m,), (8,))})
    step, other = Fraction(float(np.float32(2.0**-5.5))), Fraction(1, 64)
    difference = exact(rounded(exact(q) * step))
    np.testing.assert_array_equal(out["a"]["bias"], rounded(exact(params["a"]["bias"]) + difference))
    factor = exact(rounded(1 + exact(m) * other))
    np.testing.assert_array_equal(out["c"]["kernel"], rounded(exact(params["c"]["kernel"]) * factor))
    assert out["a"]["kernel"] is params["a"]["kernel"]
    assert out["a"]["bias"].dtype == out["c"]["kernel"].dtype == np.float32


def test_low_rank_changes_do_not_depend_on_the_order_of_sums():
    params, rng = tree(), np.random.default_rng(2)
    u = rng.integers(-MOST_SYMBOL, MOST_SYMBOL, (6, 5)).astype(np.int32)
    v = rng.integers(-MOST_SYMBOL, MOST_SYMBOL, (5, 5)).astype(np.int32)
    out = apply_update(params, {"a/kernel": Change("low_rank", (u, v), (31, 28))})["a"]["kernel"]
    products = u.astype(object) @ v.astype(object)
    scale = 2.0**-16 * (0.5**0.5 * 2.0**-17)
    expected = np.array([[float(p) * scale for p in row] for row in products]).astype(np.float32)
    np.testing.assert_array_equal(out, params["a"]["kernel"] + expected.reshape(3, 1, 2, 5))


def test_hostile_changes_of_the_largest_kind_raise_nothing():
    params = {"a": {"bias": np.full(2, 3e38, np.float32)}}
    change = Change("multiplier", (np.full(2, MOST_SYMBOL, np.int32),), (0,))
    assert np.isinf(apply_update(params, {"a/bias": change})["a"]["bias"]).all()


def test_leaves_have_their_paths_for_names():
    params = tree()
    assert set(leaves(params)) == set(SHAPES)
    assert list(leaf_shapes(params, SHAPES).items()) == list(SHAPES.items())
    again = replace_leaves(params, {"c/bias": 3})
    assert again["c"]["bias"] == 3
    assert again["c"]["kernel"] is params["c"]["kernel"]
    assert isinstance(params["c"]["bias"], np.ndarray)


def test_changes_that_do_not_fit_are_refused():
    ints = np.ones((5,), np.int32)
    with pytest.raises(ValueError, match="may change"):
        encode_update({"z": Change("delta", (ints,), (0,))}, SHAPES)
    with pytest.raises(ValueError, match=r"\(4,\)"):
        encode_update({"c/bias": Change("delta", (ints,), (0,))}, SHAPES)
    with pytest.raises(ValueError, match="does not have"):
        apply_update(tree(), {"z": Change("delta", (ints,), (0,))})
    with pytest.raises(ValueError, match="shapes"):
        apply_update(tree(), {"c/kernel": Change("multiplier", (ints,), (0,))})
    for name, rank in (("a/bias", 1), ("c/kernel", 4), ("c/kernel", 0)):
        factors = np.ones((4, rank), np.int32), np.ones((rank, 3), np.int32)
        with pytest.raises(ValueError, match="rank"):
            encode_update({name: Change("low_rank", factors, (0, 0))}, SHAPES)
    with pytest.raises(ValueError, match="step index"):
        Change("delta", (ints,), (32,))
    with pytest.raises(ValueError, match=str(MOST_SYMBOL)):
        Change("delta", (ints * (MOST_SYMBOL + 1),), (0,))
    with pytest.raises(ValueError, match="2 of each"):
        Change("low_rank", (ints,), (0,))


def test_ranks_are_bounded():
    assert most_rank((3, 3, 64, 32)) == MOST_RANK
    assert most_rank((4, 3)) == 3
    assert most_rank((1, 1, 2, 5)) == 2
    assert most_rank((5,)) == most_rank(()) == 0
