"""The integer mixture against plain Python integers and against the logistic function in floating point."""

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.logistic import cdf_tables, inverse_scale_table, weight_table
from jaxicm.bits.mixture import Fine, Mixture, pull_symbols, push_symbols

TOTAL = 1 << 20
SIGMOID = [round(TOTAL / (1 + math.exp(-i / 32))) for i in range(-480, 481)]


def scalar_sum(components, x, total):
    """Sum of w * F for one symbol edge; components are (mean, scale, weight) triples."""
    weights = [math.floor(2 ** (w / 8) + 0.5) for _, _, w in components]
    reciprocal = total * 2**24 // sum(weights)
    weights = [w * reciprocal // 2**24 for w in weights]
    weights[0] += total - sum(weights)
    result = 0
    for (mean, scale, _), w in zip(components, weights, strict=True):
        argument = (16 * x - 8 - mean) * math.floor(2 ** (28 - scale / 8) + 0.5)
        step = min(max(argument >> 22, -480), 480)
        below, above = SIGMOID[step + 480], SIGMOID[min(step + 481, 960)]
        inside = argument - step * 2**22 if -480 <= argument >> 22 < 480 else 0
        result += w * (below * 2**22 + (above - below) * inside)
    return result


def scalar_cdf(components, low, high, x):
    n = high - low + 1
    if x <= low:
        return 0
    return TOTAL if x > high else (scalar_sum(components, x, TOTAL - n) >> 42) + x - low


def scalar_coarse(components, low, high, bucket):
    low, high = low >> 8, high >> 8
    if bucket <= low:
        return 0
    n = high - low + 1
    return TOTAL if bucket > high else (scalar_sum(components, bucket << 8, TOTAL - n) >> 42) + bucket - low


def scalar_fine(components, low, high, bucket, x):
    first, last = max(low, bucket << 8), min(high, (bucket << 8) + 255)
    if x <= first:
        return 0
    if x > last:
        return TOTAL
    n = last - first + 1
    start = 0 if first == low else scalar_sum(components, first, TOTAL)
    end = 1 << 62 if last == high else scalar_sum(components, last + 1, TOTAL)
    part, whole = scalar_sum(components, x, TOTAL) - start >> 20, end - start >> 20
    if not whole:
        part, whole = x - first, n
    return part * (TOTAL - n) // whole + x - first


@st.composite
def distributions(draw, widest=1 << 17):
    low = draw(st.integers(-70_000, 70_000))
    high = low + draw(st.sampled_from([0, 1, 2, 255, 510, 4095, 65_535, widest - 1, draw(st.integers(0, 3000))]))
    near = st.integers(16 * low - 500, 16 * high + 500)
    mean = st.one_of(near, st.integers(-(1 << 31), (1 << 31) - 1))
    component = st.tuples(mean, st.integers(0, 167), st.integers(0, 96))
    return draw(st.lists(component, min_size=1, max_size=16)), low, high


def repeated(components, low, high, count):
    mean, scale, weight = (np.repeat(np.array(field)[:, None], count, 1) for field in zip(*components, strict=True))
    return Mixture(mean, scale, weight, np.full(count, low, np.int32), np.full(count, high, np.int32))


def random_mixture(rng, count, components=3, low=0, high=255):
    """Mixtures of plausible scales whose components agree roughly, and symbols drawn from them."""
    low, high = np.broadcast_to(low, count).astype(np.int32), np.broadcast_to(high, count).astype(np.int32)
    top = 8 * math.log2(max(8, int((high - low).max(initial=0)))) + 8
    scale = rng.integers(20, int(top), count) + rng.integers(-8, 9, (components, count))
    centre = rng.uniform(low, high + 1)
    mean = 16 * (centre + rng.logistic(size=(components, count)) * 2 ** (scale / 8 - 5))
    weight = rng.integers(30, 97, (components, count))
    mixture = Mixture(mean.astype(np.int32), scale.astype(np.uint8), weight.astype(np.uint8), low, high)
    noise = rng.logistic(size=count) * 2 ** (scale[0] / 8 - 5)
    return mixture, np.clip(np.rint(mean[0] / 16 + noise), low, high).astype(np.int32)


def edges(mixture, symbols):
    start, frequency = mixture.interval(symbols)
    return [*start.tolist(), int(start[-1]) + int(frequency[-1])]


@settings(deadline=None, max_examples=150)
@given(distributions(), st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_intervals_are_those_of_plain_integers(distribution, places):
    components, low, high = distribution
    symbols = np.array([low + round(place * (high - low)) for place in places], np.int32)
    mixture = repeated(components, low, high, len(symbols))
    start, frequency = mixture.interval(symbols)
    assert start.tolist() == [scalar_cdf(components, low, high, x) for x in symbols.tolist()]
    assert (start + frequency).tolist() == [scalar_cdf(components, low, high, x + 1) for x in symbols.tolist()]


@settings(deadline=None, max_examples=150)
@given(distributions(), st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_intervals_of_two_stages_are_those_of_plain_integers(distribution, places):
    components, low, high = distribution
    symbols = np.array([low + round(place * (high - low)) for place in places], np.int32)
    mixture, bucket = repeated(components, low, high, len(symbols)), symbols >> 8
    start, frequency = mixture.coarse().interval(bucket)
    assert start.tolist() == [scalar_coarse(components, low, high, b) for b in bucket.tolist()]
    assert (start + frequency).tolist() == [scalar_coarse(components, low, high, b + 1) for b in bucket.tolist()]
    start, frequency = mixture.fine(bucket).interval(symbols)
    pairs = list(zip(bucket.tolist(), symbols.tolist(), strict=True))
    assert start.tolist() == [scalar_fine(components, low, high, b, x) for b, x in pairs]
    assert (start + frequency).tolist() == [scalar_fine(components, low, high, b, x + 1) for b, x in pairs]


@settings(deadline=None, max_examples=40)
@given(distributions(widest=1 << 13))
def test_every_symbol_has_a_slot_and_the_slots_are_filled(distribution):
    components, low, high = distribution
    symbols = np.arange(low, high + 1, dtype=np.int32)
    found = np.array(edges(repeated(components, low, high, len(symbols)), symbols))
    assert found[0] == 0 and found[-1] == TOTAL and np.diff(found).min() >= 1
    bucket = symbols >> 8
    fine = repeated(components, low, high, len(symbols)).fine(bucket)
    start, frequency = (array.astype(np.int64) for array in fine.interval(symbols))
    first = np.append(True, bucket[1:] != bucket[:-1])
    assert frequency.min() >= 1 and np.all(start[first] == 0)
    assert np.all(np.where(np.append(first[1:], True), TOTAL, np.append(start[1:], 0)) == start + frequency)


@settings(deadline=None, max_examples=100)
@given(distributions(), st.booleans(), st.data())
def test_the_search_inverts_the_interval_at_both_ends(distribution, two_stages, data):
    components, low, high = distribution
    width = 12
    symbols = np.array(data.draw(st.lists(st.integers(low, high), min_size=width, max_size=width)), np.int32)
    mixture = repeated(components, low, high, width)
    stages = ((mixture, symbols),)
    if two_stages:
        stages = ((mixture.coarse(), symbols >> 8), (mixture.fine(symbols >> 8), symbols))
    for model, values in stages:
        start, frequency = (array.astype(np.int64) for array in model.interval(values))
        part, out = model.part(0, width, 3), np.empty(4, np.int64)
        for slots in (start, start + frequency - 1, start + frequency // 2):
            for row, lanes in enumerate((slice(0, 4), slice(4, 8), slice(8, 12))):
                offset, found = part.search(row, slots[lanes].copy(), out)
                assert (out + model.first[lanes]).tolist() == values[lanes].tolist()
                assert found.tolist() == frequency[lanes].tolist()
                assert offset.tolist() == (slots - start)[lanes].tolist()


@pytest.mark.parametrize("uneven", [False, True])
def test_the_search_finds_the_owner_of_every_slot_of_wide_rows(uneven):
    rng = np.random.default_rng(3)
    high = rng.integers(0, 300, 5000) if uneven else 255
    mixture, _ = random_mixture(rng, 5000, high=high)
    slots, out = rng.integers(0, TOTAL, 5000), np.empty(5000, np.int64)
    offset, frequency = mixture.part(0, 5000).search(0, slots, out)
    start, expected = mixture.interval(out + mixture.first)
    assert np.array_equal(frequency, expected) and np.array_equal(slots - offset, start)
    assert np.all((offset >= 0) & (offset < frequency))


def test_probabilities_are_those_of_the_logistic_mixture():
    rng = np.random.default_rng(0)
    components, low, high = 5, -40, 215
    x = np.arange(low, high + 1)
    for _ in range(30):
        mean, scale = rng.integers(-1000, 4000, components), rng.integers(0, 90, components)
        weight = rng.integers(0, 97, components)
        found = np.diff(edges(repeated(list(zip(mean, scale, weight, strict=True)), low, high, len(x)), x))
        true_weight = np.floor(2 ** (weight / 8) + 0.5)
        z = (x[1:] - 0.5 - mean[:, None] / 16) / 2 ** (scale[:, None] / 8 - 5)
        cdf = true_weight / true_weight.sum() @ (1 / (1 + np.exp(-np.clip(z, -700, 700))))
        expected = np.diff(np.concatenate([[0], cdf, [1]])) * (1 - len(x) / TOTAL) + 1 / TOTAL
        assert np.abs(found / TOTAL - expected).max() < 1e-4


def test_two_stages_lose_nothing_and_one_stage_loses_its_floor():
    rng = np.random.default_rng(1)
    mixture, symbols = random_mixture(rng, 20_000, high=65_535)
    scale = 2 ** (mixture.scale / 8 - 5)
    weight = np.floor(2 ** (mixture.weight / 8) + 0.5)
    z = (np.stack([symbols, symbols + 1]) - 0.5 - mixture.mean[:, None] / 16) / scale[:, None]
    edge = (weight[:, None] / weight.sum(0) / (1 + np.exp(-np.clip(z, -700, 700)))).sum(0)
    edge[0, symbols == 0], edge[1, symbols == 65_535] = 0, 1
    ideal = -np.log2(np.maximum(edge[1] - edge[0], 2**-28)).sum()
    bucket = symbols >> 8
    two = mixture.coarse().cost_bits(bucket) + mixture.fine(bucket).cost_bits(symbols)
    assert mixture.is_wide
    assert abs(two / ideal - 1) < 0.002
    assert mixture.cost_bits(symbols) > two + 0.05 * len(symbols)


def test_the_tables_are_the_same_on_every_machine():
    intercept, slope = cdf_tables()
    value = np.cumsum(np.append(0, slope[:-1]))
    assert value.tolist() == SIGMOID
    assert intercept.tolist() == [v * 2**22 - s * (i << 22) for i, (v, s) in enumerate(zip(SIGMOID, slope.tolist()))]  # noqa: B905
    assert inverse_scale_table().tolist() == [math.floor(2 ** (28 - i / 8) + 0.5) for i in range(168)]
    assert weight_table().tolist() == [math.floor(2 ** (i / 8) + 0.5) for i in range(97)]
    tables = (intercept, slope, inverse_scale_table(), weight_table())
    assert [zlib.crc32(table.astype("<i8").tobytes()) for table in tables] == [
        605842003,
        1478924158,
        1276643689,
        3096384361,
    ]


BOUNDS = [(0, 0), (0, 1), (-1, 1), (0, 255), (-255, 255), (-32_768, 32_767), (-65_536, 65_535)]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
@pytest.mark.parametrize("components", [1, 3, 16])
def test_symbols_come_back(low, high, components):
    rng = np.random.default_rng(components)
    pushes = [random_mixture(rng, n, components, low, high) for n in (0, 1, 63, 64, 1000, 65)]
    encoder = IntervalEncoder()
    for mixture, symbols in pushes:
        push_symbols(encoder, mixture, symbols)
    decoder = IntervalDecoder(encoder.finish(64))
    for mixture, symbols in pushes:
        assert pull_symbols(decoder, mixture).tolist() == symbols.tolist()
    decoder.finish()


def test_bounds_may_differ_from_symbol_to_symbol():
    rng = np.random.default_rng(8)
    low = rng.integers(-600, 600, 3000)
    for widest in (300, 9000):
        mixture, symbols = random_mixture(rng, 3000, low=low, high=low + rng.integers(0, widest, 3000))
        encoder = IntervalEncoder()
        push_symbols(encoder, mixture, symbols)
        assert pull_symbols(IntervalDecoder(encoder.finish(16)), mixture).tolist() == symbols.tolist()


@pytest.mark.parametrize(("high", "golden"), [(255, (673, 4205405023)), (65_535, (664, 3179485596))])
def test_the_bytes_are_those_of_this_format(high, golden):
    """Parameters from a linear congruence, so that nothing but integers decides."""
    value, numbers = 1, []
    for _ in range(7 * 500):
        value = (value * 1_103_515_245 + 12_345) % 2**31
        numbers.append(value >> 8)
    numbers = np.array(numbers).reshape(7, 500)
    symbols = numbers[6] % (high + 1)
    mixture = Mixture(
        16 * symbols + numbers[:2] % 400 - 200, numbers[2:4] % 168, numbers[4:6] % 97,
        np.zeros(500, np.int32), np.full(500, high, np.int32),
    )  # fmt: skip
    encoder = IntervalEncoder()
    push_symbols(encoder, mixture, symbols)
    data = encoder.finish(16)
    assert pull_symbols(IntervalDecoder(data), mixture).tolist() == symbols.tolist()
    assert (len(data), zlib.crc32(data)) == golden


GOOD = {"mean": [[0, 5]], "scale": [[0, 167]], "weight": [[0, 96]], "low": [0, 0], "high": [3, 3]}
BAD = [
    ({"mean": [[0.5, 1.0]]}, "'mean' must hold integers"),
    ({"mean": [0, 5]}, "must be"),
    ({"mean": np.zeros((17, 2), int)}, "1 to 16 components"),
    ({"scale": [[0]]}, "'scale' must have shape"),
    ({"scale": [[0, 168]]}, "'scale' must be in"),
    ({"weight": [[-1, 0]]}, "'weight' must be in"),
    ({"mean": [[1 << 31, 0]]}, "'mean' must be in"),
    ({"high": [3, -1]}, "bounds must hold"),
    ({"high": [3, 1 << 17]}, "bounds must hold"),
    ({"low": [0, -(1 << 25)]}, "'low' must be in"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_parameters_are_refused(change, message):
    Mixture(**{name: np.array(value) for name, value in GOOD.items()})
    with pytest.raises(ValueError, match=message):
        Mixture(**{name: np.array(value) for name, value in (GOOD | change).items()})


def test_bad_symbols_and_buckets_are_refused():
    mixture = Mixture(**{name: np.array(value) for name, value in GOOD.items()})
    for symbols in ([0], [0, 4], [-1, 0], [0.5, 0.5]):
        with pytest.raises(ValueError, match="symbol"):
            mixture.interval(np.array(symbols))
    with pytest.raises(ValueError, match="bucket"):
        Fine(mixture, np.array([0, 1]))
