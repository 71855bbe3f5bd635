"""The steps of the progressive coder: complete, of a fixed number, and a function of what was decoded alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.entropy import progressive_coder
from jaxicm.entropy.progressive import SLOTS, ProgressiveConfig
from jaxicm.entropy.progressive_frozen import FrozenProgressive
from jaxicm.errors import ConfigError, ExactnessError


@pytest.fixture(scope="module")
def frozen(tiny_parameters, tiny_config) -> FrozenProgressive:
    return FrozenProgressive.freeze(tiny_parameters["entropy"], tiny_config.entropy)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_every_entry_is_coded_exactly_once(frozen, height, width, seed):
    channels = frozen.config.channels
    numbers = np.arange(height * width * channels).reshape(height, width, channels)
    target = np.random.default_rng(seed).integers(-30, 31, numbers.shape)
    coder, order = frozen.coder(800, height, width), []
    for step in coder:
        mean, index = step.predict()
        assert mean.shape == index.shape
        order.append(step.select(numbers))
        step.fill(np.rint(step.select(target) - mean / 16).astype(np.int32))
    assert sorted(np.concatenate(order)) == list(range(numbers.size))
    # What is filled in lies within half a step of the target, so it went where it belongs.
    assert np.abs(coder.values_q4 / 16 - target).max() <= 0.5


def run(frozen: FrozenProgressive, height: int, width: int) -> tuple[int, int]:
    coder, steps = frozen.coder(160, height, width), 0
    for step in coder:
        _, index = step.predict()
        step.fill(np.zeros(len(index), np.int32))
        steps += 1
    return steps, coder.network_calls


def test_steps_and_network_calls_do_not_depend_on_the_size(frozen):
    small = run(frozen, 2, 3)
    assert small == (frozen.config.steps, frozen.config.steps + len(SLOTS))
    # A picture of one megapixel has 64x64 positions.
    for size in ((1, 1), (1, 50), (31, 33), (64, 64)):
        assert run(frozen, *size) == small
    assert ProgressiveConfig().steps == 28


def test_a_prediction_does_not_depend_on_what_is_decoded_later(frozen):
    """Two latents that agree in the first steps get the same predictions up to the first difference."""
    rng = np.random.default_rng(3)
    first = [rng.integers(-5, 6, 100_000).astype(np.int32) for _ in range(frozen.config.steps)]
    for change in range(frozen.config.steps):
        predictions = []
        for shift in (0, 1):
            seen = []
            for k, step in enumerate(frozen.coder(800, 9, 11)):
                mean, index = step.predict()
                seen.append((mean.copy(), index.copy()))
                step.fill(first[k][: len(mean)] + (shift if k >= change else 0))
            predictions.append(seen)
        for k in range(change + 1):
            np.testing.assert_array_equal(predictions[0][k], predictions[1][k])
        rest = range(change + 1, frozen.config.steps)
        assert not rest or any((predictions[0][k][0] != predictions[1][k][0]).any() for k in rest), change


def test_chunks_of_an_accelerator_give_the_same_predictions(frozen, monkeypatch):
    def predictions() -> list[np.ndarray]:
        rng, seen = np.random.default_rng(5), []
        for step in frozen.coder(640, 50, 45):
            seen += [part.copy() for part in step.predict()]
            step.fill(rng.integers(-4, 5, len(seen[-1])).astype(np.int32))
        return seen

    here = predictions()
    monkeypatch.setattr(progressive_coder, "CHUNKS", {"cpu": progressive_coder.ACCELERATOR_CHUNKS})
    for mine, other in zip(here, predictions(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_symbol_of_any_size_gives_a_value_in_range(frozen):
    coder = frozen.coder(800, 5, 5)
    for k, step in enumerate(coder):
        mean, _ = step.predict()
        step.fill(np.full(len(mean), (-(2**31), 2**31 - 1)[k % 2], np.int32))
    assert set(np.unique(coder.values_q4)) == {-16383, 16383}


def test_frozen_parameters_come_back_from_arrays(frozen):
    arrays = frozen.to_arrays()
    again = FrozenProgressive.from_arrays(arrays, frozen.config)
    assert {a.dtype.kind for a in arrays.values()} == {"i"}
    assert run(again, 5, 7) == run(frozen, 5, 7)
    for name, array in again.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name])


def test_the_worst_case_is_proved_below_the_limit_of_float32(frozen):
    proof = frozen.proof()
    assert {"w1", "w2", "u0", "o0", "u1", "o1", "taps_mu", "taps_log"} <= set(proof)
    assert max(proof.values()) < 1


def test_a_model_whose_sums_could_overflow_is_not_frozen(tiny_parameters, tiny_config):
    broken = dict(tiny_parameters["entropy"])
    broken["bo"] = np.full_like(broken["bo"], 1e9)
    with pytest.raises(ExactnessError, match="entropy/o"):
        FrozenProgressive.freeze(broken, tiny_config.entropy)


def test_channels_must_divide_into_groups():
    with pytest.raises(ConfigError, match="10 and 4"):
        ProgressiveConfig(channels=10, groups=4)
