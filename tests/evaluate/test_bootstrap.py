"""Bootstrap intervals against the normal interval of a mean, and their refusals."""

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.bootstrap import interval_of, selections


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(30, 2, 400)
    interval = interval_of(selections(400, resamples=4000) @ values / 400)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)
    assert (interval.level, interval.resamples, interval.refused) == (0.95, 4000, 0)


def test_what_belongs_to_a_picture_is_drawn_together():
    rng = np.random.default_rng(1)
    anchor = rng.normal(30, 5, 50)
    test = anchor + 1 + rng.normal(0, 0.01, 50)
    drawn = selections(50, resamples=200)
    interval = interval_of(drawn @ test / 50 - drawn @ anchor / 50)
    assert interval.high - interval.low < 0.02


def test_the_same_seed_draws_the_same_pictures():
    one, same, other = (selections(10, resamples=1000, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one[1:], other[1:])
    assert one.shape == (1001, 10)
    assert (one[0] == 1).all()
    assert (one.sum(1) == 10).all()
    assert one.min() == 0
    # every picture is drawn once on average, with the variance 1 - 1 / 10 of a multinomial distribution
    assert one[1:].mean(0) == pytest.approx(np.ones(10), abs=0.15)
    assert one[1:].var() == pytest.approx(0.9, abs=0.05)


def test_a_few_selections_without_a_value_are_counted_and_many_are_refused():
    values = np.ones(101)
    values[[3, 7, 50, 51, 100]] = np.nan, np.inf, -np.inf, np.nan, np.nan
    interval = interval_of(values)
    assert (interval.low, interval.high, interval.resamples, interval.refused) == (1, 1, 100, 5)
    values[60] = np.nan
    with pytest.raises(InputError, match=r"6 of 100 selections of pictures have no value, for an interval 5% at most"):
        interval_of(values)


def test_a_figure_that_all_pictures_do_not_have_is_refused():
    with pytest.raises(InputError, match="all pictures together have no value"):
        interval_of(np.array([np.nan, *np.ones(100)]))


def test_one_picture_has_no_interval():
    with pytest.raises(InputError, match="2 or more pictures, got 1"):
        selections(1)
