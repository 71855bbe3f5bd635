"""Medians by a clock that the test sets, and the account of other programs' work."""

import os

import jax.numpy as jnp
import pytest

from jaxicm.evaluate.bench_clock import Clocks, Effort, OtherWork, Reading, measure


class FakeClock:
    """A clock that an action moves."""

    def __init__(self):
        self.wall_s = self.cpu_s = 0.0
        self.clocks = Clocks(lambda: self.wall_s, lambda: self.cpu_s)

    def spend(self, wall_s: float, cpu_s: float = 0.0) -> None:
        self.wall_s += wall_s
        self.cpu_s += cpu_s


def test_the_median_leaves_the_warm_up_out_and_the_preparation_too():
    clock = FakeClock()
    walls, cpus = iter([50.0, 4.0, 1.0, 9.0, 2.0, 3.0]), iter([9.0, 0.4, 0.1, 0.2, 0.9, 0.3])
    prepared = []

    def prepare():
        clock.spend(1000.0, 1000.0)
        prepared.append(len(prepared))
        return prepared[-1]

    given = []

    def action(value):
        given.append(value)
        clock.spend(next(walls), next(cpus))

    reading = measure(action, Effort(5, 1e9), prepare=prepare, clocks=clock.clocks)
    assert (reading.wall_s, reading.wall_min_s, reading.repeats) == (3.0, 1.0, 5)
    assert reading.cpu_s == pytest.approx(0.38), "the mean of the last five"
    assert given == [0, 1, 2, 3, 4, 5], "each run gets what was prepared for it"


@pytest.mark.parametrize(("run_s", "expected"), [(10.0, 3), (1.0, 5), (0.1, 20)])
def test_it_stops_when_the_time_is_up_but_not_before_three_runs(run_s, expected):
    clock = FakeClock()
    reading = measure(lambda: clock.spend(run_s), Effort(20, 4.5), clocks=clock.clocks)
    assert reading.repeats == expected


def test_the_clock_stops_only_when_the_results_are_ready():
    """The wait is inside the clock: an array that is not ready blocks `measure`, whatever the tree it sits in."""
    waited = []

    class Result:
        def block_until_ready(self):
            waited.append(clock.wall_s)
            clock.spend(7.0)
            return self

    clock = FakeClock()
    reading = measure(lambda: {"a": [Result(), jnp.ones(2)]}, Effort(3, 1e9), clocks=clock.clocks)
    assert len(waited) == 4
    assert reading.wall_s == 7.0


def test_times_of_one_of_several_calls():
    assert Reading(8.0, 4.0, 2.0, 5).scaled(0.25) == Reading(2.0, 1.0, 0.5, 5)


def stat(busy: int, idle: int) -> str:
    """The text of /proc/stat of two processors; busy counts user, nice, system, irq, softirq and steal once each."""
    words = [busy, busy, busy, idle, idle, busy, busy, busy, 999, 999]
    return f"cpu  {' '.join(map(str, words))}\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n"


def test_other_programs_are_what_the_processors_did_without_this_process(tmp_path, monkeypatch):
    file, ticks = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    own, now = [10.0], [100.0]
    monkeypatch.setattr("jaxicm.evaluate.bench_clock._own_cpu_s", lambda: own[0])
    monkeypatch.setattr("jaxicm.evaluate.bench_clock.time.perf_counter", lambda: now[0])
    file.write_text(stat(0, 0))
    other = OtherWork(file)
    own[0], now[0] = 14.0, 110.0  # 4 CPU seconds of our own in 10 seconds
    file.write_text(stat(2 * ticks, 5 * ticks))  # 6 fields of 2 seconds each: 12 busy seconds, 8 of others
    assert other.report() == {"cpus_busy": 0.8, "cpus": 2, "disturbed": True}
    file.write_text(stat(ticks, 9 * ticks))  # 6 busy seconds, 2 of others: 0.2 of 2 processors
    assert other.report() == {"cpus_busy": 0.2, "cpus": 2, "disturbed": False}


def test_where_the_system_does_not_tell_the_load_decides(tmp_path, monkeypatch):
    other = OtherWork(tmp_path / "missing")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for load, disturbed in ((4.0, False), (9.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert other.report() == {"cpus_busy": None, "cpus": 4, "disturbed": disturbed}
