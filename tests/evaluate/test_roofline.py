"""The arithmetic of the bounds, by numbers worked out by hand."""

import json

import pytest

from jaxicm.evaluate.bench_clock import Reading
from jaxicm.evaluate.roofline import Bounds, Roof, measure_roof, place

BOUNDS = Bounds(flop_per_s=100e9, bytes_per_s=10e9, call_s=1e-5)


@pytest.mark.parametrize(
    ("flop", "moved_bytes", "seconds", "expected"),
    [
        # 20 ms of products and 5 ms of copying at best, done in 40 ms
        (2e9, 50e6, 0.04, (0.5, 0.125, 0.5, "compute")),
        # 1 ms of products, 8 ms of copying, done in 10 ms
        (1e8, 80e6, 0.01, (0.1, 0.8, 0.8, "memory")),
        # from a cache: faster than memory allows
        (1e8, 80e6, 0.004, (0.25, 2.0, 2.0, "memory")),
        # next to nothing, in 20 us where an empty call takes 10
        (1e3, 1e3, 2e-5, (5e-4, 5e-3, 0.5, "call")),
    ],
)
def test_a_piece_of_work_is_placed_under_its_tightest_bound(flop, moved_bytes, seconds, expected):
    placed = place(flop, moved_bytes, seconds, BOUNDS)
    shares = (placed.matmul_share, placed.copy_share, placed.roof_share)
    assert shares == pytest.approx(expected[:3])
    assert placed.limit == expected[3]


def reading(wall_min_s: float, cpu_s: float) -> Reading:
    return Reading(2 * wall_min_s, wall_min_s, cpu_s, 5)


def test_the_bounds_are_the_best_of_all_sizes_and_runs_by_each_clock():
    def roof(seconds: float) -> Roof:
        products = [(100, reading(1e-3, 2e-3)), (200, reading(4e-3 * seconds, 20e-3))]
        copies = [(1 << 20, reading(1e-3 * seconds, 1e-3))]
        return Roof({"float32": products, "bfloat16": products[:1]}, copies, [reading(1e-5 * seconds, 2e-5)])

    joined = roof(2.0).joined(roof(0.5))
    wall = joined.bounds()
    # 2 * 200**3 operations in 2 ms; 2 * 2**20 bytes in 0.5 ms
    assert wall.flop_per_s == pytest.approx(16e6 / 2e-3)
    assert wall.bytes_per_s == pytest.approx(2**21 / 0.5e-3)
    assert wall.call_s == pytest.approx(0.5e-5)
    # by CPU seconds the small one is better: 2e6 in 2 ms, against 16e6 in 20 ms
    assert joined.bounds(cpu=True).flop_per_s == pytest.approx(1e9)
    assert joined.bounds(dtype="bfloat16").flop_per_s == pytest.approx(2e9)
    listed = json.loads(json.dumps(joined.as_dict()))
    assert listed["matmul"]["float32"]["gflop_per_s"] == pytest.approx(8.0)
    assert [run["side"] for run in listed["matmul"]["float32"]["runs"]] == [100, 200, 100, 200]
    assert listed["copy"]["gb_per_s"] == pytest.approx(2**21 / 0.5e-3 / 1e9)


def test_this_machine_can_be_measured():
    roof = measure_roof(0.05, largest=64, copy_bytes=1 << 16)
    assert set(roof.products) == {"float32", "bfloat16"}
    assert [side for side, _ in roof.products["float32"]] == [64]
    bounds = roof.bounds()
    # Anything outside this means a wrong unit, or a result that was not waited for.
    assert 1e6 < bounds.flop_per_s < 1e16
    assert 1e6 < bounds.bytes_per_s < 1e15
    assert 0 < bounds.call_s < 1
