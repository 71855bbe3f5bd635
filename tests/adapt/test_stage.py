"""Settings of adaptation: what is refused, and how rates and temperatures fall."""

from itertools import pairwise

import numpy as np
import pytest

from jaxicm.adapt.effort import EFFORT_MAX, EFFORTS
from jaxicm.adapt.stage import Stage
from jaxicm.errors import ConfigError


@pytest.mark.parametrize(
    "settings",
    [
        {"iterations": 15},
        {"iterations": -10},
        {"learning_rate": 0.0},
        {"patience": -1},
        {"rounding_weight": 0.0},
        {"first_temperature": 0.1, "last_temperature": 0.2},
        {"hold": 1.0},
        {"method": "coordinate", "gains": True},
        {"check_every": 0},
    ],
)
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="stage: "):
        Stage(**settings)


def test_the_rate_falls_to_zero_and_the_temperature_after_its_hold():
    knobs = Stage(iterations=100, learning_rate=0.1, hold=0.3, first_temperature=0.5, last_temperature=0.05).knobs(
        0, 101, 100
    )
    rate, temperature, done = knobs.T
    assert rate[0] == pytest.approx(0.1)
    assert rate[50] == pytest.approx(0.05)
    assert rate[100] == pytest.approx(0.0, abs=1e-6)
    assert (temperature[:31] == np.float32(0.5)).all()
    assert temperature[65] == pytest.approx(0.5 * 0.1**0.5, rel=1e-5)
    assert temperature[100] == pytest.approx(0.05)
    np.testing.assert_allclose(done, np.arange(101) / 100)


def test_soft_rounding_cools_linearly_and_constant_rates_stay():
    stage = Stage(method="soft", schedule="constant", first_temperature=0.3, last_temperature=0.1, learning_rate=0.2)
    rate, temperature, _ = stage.knobs(50, 1, 100)[0]
    assert rate == pytest.approx(0.2)
    assert temperature == pytest.approx(0.2)


def test_every_effort_does_more_than_the_one_before():
    totals = [sum(stage.iterations for stage in stages) for stages in EFFORTS]
    assert len(EFFORTS) == EFFORT_MAX + 1
    assert totals[0] == 0
    assert all(a < b for a, b in pairwise(totals))
