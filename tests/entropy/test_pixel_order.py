"""Orders of pixels: complete, causal, and one value each."""

import numpy as np
import pytest

from jaxicm.entropy.pixel_order import CELLS, Order, phases, pixel_schedule, reach
from jaxicm.entropy.schedule import effective_scales

ORDERS = [Order(cell, kind, seed) for cell in CELLS for kind, seed in (("fixed", 0), ("random", 1), ("random", 2))]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (13, 21)])
def test_every_pixel_is_coded_once(order, size):
    scales = effective_scales(4, *size)
    schedule = pixel_schedule(order, 3, scales)
    assert (schedule.masks(*size).sum(axis=0) == 1).all()


@pytest.mark.parametrize("order", ORDERS)
def test_a_tap_reads_only_what_was_coded_before(order):
    (rows, columns), _ = CELLS[order.cell]
    known = {(r, c) for r in range(1, rows, 2) for c in range(1, columns, 2)}
    for phase in phases(order, 24):
        assert len(set(phase.taps)) == 24
        for r, c in phase.taps:
            assert ((phase.position[0] + r) % rows, (phase.position[1] + c) % columns) in known
        known.add(phase.position)
    assert len(known) == rows * columns


def test_taps_come_nearest_first():
    for order in ORDERS:
        for phase in phases(order, 20):
            distances = [r * r + c * c for r, c in phase.taps]
            assert distances == sorted(distances)


def test_the_first_pixel_of_a_2x2_cell_sees_its_four_diagonal_neighbours():
    assert set(phases(Order(), 24)[0].taps[:4]) == {(-1, -1), (-1, 1), (1, -1), (1, 1)}
    assert set(phases(Order(), 24)[2].taps[:4]) == {(-1, 0), (1, 0), (0, -1), (0, 1)}


def test_a_random_order_is_another_one_and_always_the_same():
    first, again, other = (phases(Order("4x4", "random", seed), 12) for seed in (1, 1, 2))
    assert first == again
    assert [p.position for p in first] != [p.position for p in other]


def test_reach_covers_all_taps():
    for order in ORDERS:
        rows, columns = CELLS[order.cell][0]
        cells = reach(order, 24)
        for phase in phases(order, 24):
            for r, c in phase.taps:
                assert (
                    np.abs(np.floor_divide((phase.position[0] + r, phase.position[1] + c), (rows, columns))).max()
                    <= cells
                )
