"""Coded changes of the pixel model."""

import numpy as np
import pytest

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.entropy.pixel_update import STEP_MAX, UNCHANGED, adapted, head_size, pull_update, push_update
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.errors import CorruptFile

CONFIG = PixelConfig(taps=12, hidden=16, head=8, mixtures=2, biases=2, experts=3)


def drawn(channels: int, spread: float, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = adapted(CONFIG, channels)
    return {
        name: np.clip(np.round(rng.laplace(0, spread, shape)), -STEP_MAX, STEP_MAX).astype(np.int32)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 0.3, 4.0, 1000.0])
def test_updates_come_back(channels, spread):
    update, encoder = drawn(channels, spread), IntervalEncoder()
    head = push_update(encoder, update)
    assert len(head) == head_size(CONFIG, channels)
    assert spread or set(head) == {UNCHANGED}
    found = pull_update(IntervalDecoder(encoder.finish()), head, CONFIG, channels)
    assert found.keys() == update.keys()
    for name, steps in update.items():
        np.testing.assert_array_equal(found[name], steps)


def test_small_changes_cost_little():
    encoder = IntervalEncoder()
    push_update(encoder, drawn(3, 0.3))
    count = sum(np.prod(shape) for shape in adapted(CONFIG, 3).values())
    assert encoder.size_bits < 1.5 * count


def test_grey_pictures_change_only_what_they_use():
    names = set(adapted(CONFIG, 1))
    assert "b_u0" in names and "taps" in names
    assert not {"b_u1", "b_o2", "across1"} & names


def test_an_unknown_scale_is_refused():
    encoder = IntervalEncoder()
    head = push_update(encoder, drawn(1, 4.0))
    with pytest.raises(CorruptFile):
        pull_update(IntervalDecoder(encoder.finish()), b"\3" + head[1:], CONFIG, 1)
