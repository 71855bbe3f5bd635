"""Fitted predictions: rounds, the solver on the host and in training, what a fit finds in a picture."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy import least_squares, rounds
from jaxicm.entropy.least_squares import WEIGHT_FRAC, FitConfig
from jaxicm.entropy.pixel_fit import PhaseFit
from jaxicm.entropy.pixel_grid import PixelGrid
from jaxicm.entropy.pixel_order import Order, phases, reach
from jaxicm.errors import ConfigError

CONFIG = FitConfig(block=8, windows=(1, 2))
WEIGHTS_CRC, NOISE_CRC = 180998332, 1001097327


def moments(unknowns: int, systems: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sums of products of 100 correlated pixels."""
    rng = np.random.default_rng(seed)
    mix = rng.integers(-3, 4, (systems, unknowns + 1, unknowns + 1))
    x = rng.integers(-20, 21, (systems, 100, unknowns + 1)) @ mix
    return np.einsum("nki,nkj->ijn", x, x).astype(np.float64), np.full(systems, 100.0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 4), (9, 17)])
def test_rounds_cover_every_pixel_once(shape):
    expected = rounds.round_of(*shape)
    for index, parts in enumerate(rounds.ROUND_PARTS):
        assert np.all(rounds.collect(expected, parts) == index)
        assert rounds.collect(expected, parts).size == np.sum(expected == index)
    completed = expected[::2, ::2]
    np.testing.assert_array_equal(rounds.collect(completed, rounds.COMPLETING) == 1, True)


def test_ranges_of_parts_join_to_the_whole():
    plane = np.arange(2 * 11 * 7).reshape(2, 11, 7)
    for parts in rounds.ROUND_PARTS:
        whole = rounds.collect(plane, parts)
        out = np.zeros_like(whole)
        for start in range(0, whole.shape[1], 5):
            stop = min(start + 5, whole.shape[1])
            for part, inside, at in rounds.pieces(parts, plane.shape, start, stop):
                out[:, start:stop][:, at] = rounds.collect_range(plane, part, inside)
        np.testing.assert_array_equal(out, whole)


def test_solve_agrees_with_a_textbook():
    sums, count = moments(9, 20)
    weights, noise = least_squares.solve(sums.copy(), count)
    for n in range(20):
        square, right = sums[:9, :9, n], sums[:9, 9, n]
        expected = np.linalg.solve(square + np.eye(9) * (np.trace(square) * least_squares.RIDGE / 9 + 1), right)
        np.testing.assert_allclose(weights[:, n], np.clip(expected * 2**WEIGHT_FRAC, -1023, 1023), atol=0.51)
        variance = max(sums[9, 9, n] - expected @ right, 0) / 100
        np.testing.assert_allclose(noise[n], 8 * np.log2(16 * variance + 1), atol=1.8)


def test_solve_is_the_same_on_every_machine():
    weights, noise = least_squares.solve(*moments(12, 50))
    assert zlib.crc32(weights.astype("<i4").tobytes()) == WEIGHTS_CRC
    assert zlib.crc32(noise.astype("<i4").tobytes()) == NOISE_CRC


def test_training_solves_the_same_equations():
    sums, count = moments(18, 30)
    weights, noise = least_squares.solve(sums.copy(), count)
    traced = jax.jit(least_squares.solve_traced)(jnp.asarray(sums, jnp.float32), jnp.asarray(count, jnp.float32))
    assert np.abs(weights - traced[0]).max() <= 1
    assert np.abs(noise - traced[1]).max() <= 1


def test_no_pixels_and_equal_pixels_give_no_weights():
    for sums in (np.zeros((6, 6, 3)), np.zeros((6, 6, 3)) + np.eye(6)[5, :, None, None] * np.eye(6)[5, None, :, None]):
        weights, _ = least_squares.solve(sums, np.zeros(3))
        assert not weights.any()


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Waves in all directions with little noise, int32 `[3, 44, 60]`, correlated channels."""
    rng = np.random.default_rng(1)
    i, j = np.mgrid[:44, :60]
    waves = sum(30 * np.sin(rng.uniform(0.5, 2) * i + rng.uniform(0.5, 2) * j + k) for k in range(3))
    return np.stack(
        [np.round(128 + waves + rng.normal(0, 1, i.shape)), np.round(waves / 2), np.round(-waves / 3)]
    ).astype(np.int32)


def grid_of(x: np.ndarray, phase: int) -> tuple[PixelGrid, np.ndarray]:
    """A grid before a phase, and what the phase will bring."""
    order = Order()
    found = phases(order, 12)
    grid = PixelGrid(*x.shape[1:], 3, (2, 2), reach(order, 12))
    grid.put((1, 1), x[:, 1::2, 1::2])
    for before in found[:phase]:
        i, j = before.position
        grid.put(before.position, x[:, i::2, j::2])
    i, j = found[phase].position
    return grid, x[:, i::2, j::2]


def fitted(fit: PhaseFit, samples: np.ndarray, index: int, channel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means in sixteenths `[W, n]`, noise, and the plain first guesses `[n]` of a round, as the coder joins them."""
    stride = 4 >> index
    prediction, noise, beside = fit.fit(index, channel)

    def collected(plane: np.ndarray) -> np.ndarray:
        return rounds.collect(plane[::stride, ::stride], rounds.COMPLETING)

    def guess(c: int) -> np.ndarray:
        return rounds.collect(least_squares.first_guess(fit._tap(stride), c), rounds.COMPLETING)

    for before in range(channel):
        prediction = prediction + beside[before] * (collected(samples[before]) - guess(before))
    return least_squares.fit_mean(prediction, guess(channel), 0), noise, guess(channel)


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_a_texture_is_learnt_from_the_rounds_before(texture, phase):
    grid, samples = grid_of(texture, phase)
    fit = PhaseFit(grid, phases(Order(), 12)[phase], samples, CONFIG)
    for channel in range(3):
        mean, noise, guess = fitted(fit, samples, 2, channel)
        x = rounds.collect(samples[channel], rounds.COMPLETING)
        error, plain = np.abs(mean / 16 - x).mean(axis=1), np.abs(guess - x).mean()
        assert np.all(error < 0.5 * plain)
        # The noise tells the errors' size, in sixteenths of an octave of quarters.
        assert np.all(np.abs(noise.mean(axis=1) / 16 - np.log2(4 * error)) < 1.5)


def test_a_fit_reads_nothing_that_is_not_decoded(texture):
    """The samples of the round itself and of later ones change nothing."""
    grid, samples = grid_of(texture, 1)
    rng = np.random.default_rng(0)
    for index in (1, 2):
        other = np.where(rounds.round_of(*samples.shape[1:]) >= index, rng.integers(0, 255, samples.shape), samples)
        found = [
            PhaseFit(grid, phases(Order(), 12)[1], x.astype(np.int32), CONFIG).fit(index, 0)[0]
            for x in (samples, other)
        ]
        np.testing.assert_array_equal(*found)


def test_training_fits_what_coding_fits(texture):
    grid, samples = grid_of(texture, 2)
    phase = phases(Order(), 12)[2]
    for channel in range(3):
        coded = PhaseFit(grid, phase, samples, CONFIG)
        guess = least_squares.first_guess(coded._tap(1), channel)
        inputs = least_squares.regressors(coded._tap(1), list(samples[:channel]), channel, CONFIG, np)
        variables = jnp.asarray(np.stack([*inputs, samples[channel] - guess], axis=-1)[None])
        prediction, noise = (np.moveaxis(np.asarray(x[0]), -1, 0) for x in least_squares.fit_crops(variables, CONFIG))
        mean = least_squares.fit_mean(prediction, guess, 0)
        for index in (1, 2):
            expected = fitted(coded, samples, index, channel)
            stride = 4 >> index
            for ours, theirs, share in ((mean, expected[0], 0.01), (noise, expected[1], 0.02)):
                found = rounds.collect(ours[:, ::stride, ::stride], rounds.COMPLETING)
                assert np.mean(np.abs(found - theirs) > 2) < share


@pytest.mark.parametrize(
    "change", [{"block": 6}, {"windows": (-1,)}, {"windows": (1,) * 5}, {"taps": (3, 8, 8)}, {"across": 40}]
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        FitConfig(**change)
