"""Bootstrap intervals against the normal interval of a mean, and their refusals."""

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.bootstrap import bootstrap


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(30, 2, 400)
    interval = bootstrap(lambda chosen: values[chosen].mean(), 400, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.value == values.mean()
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)
    assert (interval.level, interval.resamples, interval.refused) == (0.95, 4000, 0)


def test_what_belongs_to_a_picture_is_drawn_together():
    rng = np.random.default_rng(1)
    anchor = rng.normal(30, 5, 50)
    test = anchor + 1 + rng.normal(0, 0.01, 50)
    interval = bootstrap(lambda chosen: (test[chosen] - anchor[chosen]).mean(), 50, resamples=200)
    assert interval.high - interval.low < 0.02


def test_the_same_seed_draws_the_same_pictures():
    drawn: list[list[int]] = []

    def note(chosen: np.ndarray) -> float:
        drawn.append(chosen.tolist())
        return 0.0

    for seed in (3, 3, 4):
        bootstrap(note, 10, resamples=5, seed=seed)
    assert drawn[:6] == drawn[6:12] != drawn[12:]
    assert drawn[0] == list(range(10))
    assert all(len(chosen) == 10 and set(chosen) <= set(range(10)) for chosen in drawn)


def test_a_few_selections_without_a_value_are_counted_and_many_are_refused():
    def without_first(limit: int):
        calls = iter(range(10**6))

        def statistic(chosen: np.ndarray) -> float:
            call = next(calls)
            if 0 < call <= limit:
                if call % 2:
                    raise InputError("no common quality")
                return float("nan")
            return 1.0

        return statistic

    assert bootstrap(without_first(5), 4, resamples=100).refused == 5
    with pytest.raises(InputError, match=r"6 of 100 selections of pictures have no value, at most 5%"):
        bootstrap(without_first(6), 4, resamples=100)


def test_one_picture_has_no_interval():
    with pytest.raises(InputError, match="2 or more pictures, got 1"):
        bootstrap(lambda chosen: 0.0, 1)
