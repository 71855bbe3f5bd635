"""Coding orders: every entry once, and the published orders position by position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.entropy import progressive, schedule
from jaxicm.entropy.schedule import PRESETS, Part, Schedule, Step


@given(height=st.integers(1, 40), width=st.integers(1, 40), name=st.sampled_from(sorted(PRESETS)))
@settings(max_examples=150, deadline=None)
def test_each_entry_is_coded_exactly_once_at_any_size(height, width, name):
    order = PRESETS[name](12)
    for plan in (order, order.for_size(height, width)):
        assert (plan.masks(height, width).sum(axis=0) == 1).all()


@given(height=st.integers(1, 40), width=st.integers(1, 40), scale=st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_subsampling_keeps_the_odd_positions_again_and_again(height, width, scale):
    grid = np.arange(height * width).reshape(height, width)
    expected = grid
    for _ in range(scale):
        expected = expected[1::2, 1::2]
    assert np.array_equal(schedule.subsample(grid, scale), expected)
    assert expected.shape == (height >> scale, width >> scale)


@pytest.mark.parametrize(
    ("name", "channels", "evaluations", "steps"),
    [
        ("msp_base", 128, 27, 28),
        ("msp_extra", 128, 120, 121),
        ("checkerboard", 128, 2, 2),
        ("channel_groups", 320, 10, 10),
        ("hpcm", 320, 11, 11),
        ("jaxicm", 320, 28, 28),
    ],
)
def test_the_number_of_steps_is_the_published_one(name, channels, evaluations, steps):
    plan = PRESETS[name](channels)
    assert (plan.network_steps, len(plan.steps)) == (evaluations, steps)


def _first_coded(plan: Schedule, height: int, width: int) -> np.ndarray:
    """The step of each entry of a whole-picture loop, found one position at a time."""
    return plan.masks(height, width).argmax(axis=0)


def test_the_cell_of_msp_extra_is_coded_in_the_drawn_order():
    # Specification 2.5: 6 4 5 3 / 2 K 1 K; the last channel follows four seeds in each spatial step.
    plan = schedule.msp_extra(channels=5, scales=1)
    coded = _first_coded(plan, 2, 4)[..., 4]
    drawn = np.array([[6, 4, 5, 3], [2, 0, 1, 0]])
    assert np.array_equal(coded, 5 * drawn)
    assert np.array_equal(_first_coded(plan, 2, 4)[1, 2], [1, 2, 3, 4, 5])


def test_the_cell_of_msp_base_is_coded_in_the_drawn_order():
    coded = _first_coded(schedule.msp_base(channels=3, scales=2), 4, 4)[..., 2]
    fine = 9 + 3 * np.array([[1, 2], [3, 0]])
    expected = np.tile(fine, (2, 2))
    expected[1::2, 1::2] = 3 * np.array([[1, 2], [3, 0]])
    assert np.array_equal(coded, expected)


def test_checkerboard_and_groups_follow_their_papers():
    rows, columns = np.indices((5, 6))
    assert np.array_equal(_first_coded(schedule.checkerboard(3), 5, 6)[..., 1], (rows + columns) % 2)
    groups = _first_coded(schedule.channel_groups(200), 5, 6)[0, 0]
    assert np.array_equal(groups, np.repeat([0, 2, 4, 6, 8], [16, 16, 32, 64, 72]))


def test_hpcm_codes_one_sixteenth_three_sixteenths_and_the_rest():
    masks = PRESETS["hpcm"](16).masks(16, 16)
    assert masks.mean(axis=(1, 2, 3)).tolist() == [1 / 32] * 2 + [1 / 16] * 3 + [1 / 8] * 6
    # Every step codes the same share of every eighth of the channels, at other positions in neighbouring eighths.
    shares = masks.reshape(11, 16, 16, 8, 2).mean(axis=(1, 2, 4))
    assert (shares == shares[:, :1]).all()
    assert not (masks[..., 0] == masks[..., 2]).all(axis=(1, 2)).any()


def test_our_order_is_that_of_the_progressive_model():
    plan = PRESETS["jaxicm"](8)
    step = iter(plan.masks(8, 8))
    channel = np.arange(8) // 2
    row, column = np.indices((8, 8))
    coarse = (row % 4 == 3) & (column % 4 == 3)
    for group in range(4):
        assert np.array_equal(next(step), coarse[..., None] & (channel == group))
    for scale in (2, 1):
        for i, j in ((0, 0), (0, 1), (1, 0)):
            # Position p of the half-size grid lies at 2p + 1 of the finest one.
            r, c = (i * 2 + 1, j * 2 + 1) if scale == 2 else (i, j)
            place = (row % (2 * scale) == r) & (column % (2 * scale) == c)
            for group in range(4):
                assert np.array_equal(next(step), place[..., None] & (channel == group))
    assert len(plan.steps) == progressive.ProgressiveConfig(channels=8).steps


def test_small_latents_lose_the_scales_that_they_do_not_have():
    sizes = {16: 4, 15: 3, 8: 3, 7: 2, 2: 1, 1: 0}
    for side, scales in sizes.items():
        plan = PRESETS["msp_extra"](8).for_size(side, 40)
        assert plan.scales == scales
        assert plan.steps[0].prior
        assert plan.masks(side, 40)[0].any()
        assert plan.network_steps == 30 * scales


def test_a_hole_or_an_overlap_is_refused():
    half = Step(0, (Part((0, 2), (1, 2), ((0, 0),)),))
    with pytest.raises(ValueError, match="coded once"):
        Schedule("hole", 2, 0, (half,))
    with pytest.raises(ValueError, match="coded once"):
        Schedule("overlap", 2, 0, (half, schedule.whole(2, 0, prior=False)))
    with pytest.raises(ValueError, match="from scale"):
        Schedule("upwards", 2, 1, (half, schedule.whole(2, 1, prior=True)))
