"""Tables of counted symbols: right for what was counted, Gaussians where nothing was."""

import numpy as np

from jaxicm.bits.calibration import LARGEST, calibrated_tables
from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.tables import gaussian_tables

SCALES = np.array([0.2, 1.0, 4.0, 30.0, 200.0])


def counted(symbols: np.ndarray, table: int) -> np.ndarray:
    counts = np.zeros((len(SCALES), 2 * LARGEST + 1), np.int64)
    counts[table] = np.bincount(symbols[np.abs(symbols) <= LARGEST] + LARGEST, minlength=2 * LARGEST + 1)
    return counts


def test_without_counts_tables_are_the_gaussians():
    plain = gaussian_tables(SCALES)
    found = calibrated_tables(np.zeros((len(SCALES), 2 * LARGEST + 1), np.int64), SCALES)
    for name, array in plain.to_arrays().items():
        np.testing.assert_array_equal(found.to_arrays()[name], array)


def test_other_distributions_cost_nearly_their_entropy():
    rng = np.random.default_rng(0)
    train, test = (np.rint(rng.laplace(0, 0.9, 60_000)).astype(np.int32) for _ in range(2))
    index = np.full(len(test), 1)
    found, plain = calibrated_tables(counted(train, 1), SCALES), gaussian_tables(SCALES)
    share = np.bincount(test - test.min()) / len(test)
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
    cost = found.costs(test, index).mean()
    assert cost < 1.005 * entropy
    assert cost < 0.98 * plain.costs(test, index).mean()
    # Nothing was counted with the other tables.
    np.testing.assert_array_equal(found.costs(test, index + 1), plain.costs(test, index + 1))


def test_any_symbol_is_coded_whatever_was_counted():
    rng = np.random.default_rng(1)
    tables = calibrated_tables(counted(np.zeros(10**6, np.int32), 2), SCALES)
    symbols = np.concatenate([rng.integers(-300, 301, 500), [2**31 - 1, -(2**31)]]).astype(np.int32)
    index = rng.integers(0, len(SCALES), len(symbols))
    encoder = Encoder(tables)
    encoder.push(symbols, index)
    decoder = Decoder(encoder.finish(), tables)
    np.testing.assert_array_equal(decoder.pull(index), symbols)
    decoder.finish()
    assert tables.cost_bits(np.zeros(1000, np.int32), np.full(1000, 2)) < 5
