"""Reading the clocks honestly: medians of finished work, after a warm-up, and what else the machine did meanwhile.

JAX returns before the device has done its work, so the clock stops only when every result is ready. The first run is
left out: it compiles, and fills caches and memory pools. What an action uses up is prepared anew before each run, with
the clock stopped.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

FEWEST = 3
"""Runs that a median needs, however long they take."""
BUSY_SHARE = 0.15
"""Share of all processors that other programs may use before wall times are called doubtful."""


@dataclass(frozen=True)
class Clocks:
    """Where times come from; tests bring their own.

    Attributes:
        wall: seconds.
        cpu: CPU seconds of all threads of this process.
    """

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Effort:
    """How long to go on measuring one thing.

    Attributes:
        repeats: at most, after the warm-up; at least 1.
        budget_s: after which it ends, but not before `FEWEST` runs.
    """

    repeats: int
    budget_s: float


THOROUGH, QUICK = Effort(30, 1.0), Effort(5, 0.2)


@dataclass(frozen=True)
class Reading:
    """Times of one run.

    Attributes:
        wall_s: median.
        wall_min_s: shortest, which other work on the machine disturbs least.
        cpu_s: mean of the CPU seconds of all threads (those that wait by spinning count too). The mean, because the
            kernel may book a thread's time to a later run.
        repeats: runs that were timed.
    """

    wall_s: float
    wall_min_s: float
    cpu_s: float
    repeats: int

    def scaled(self, factor: float) -> "Reading":
        """Return the times times `factor`, as for one of several calls that were timed together."""
        return Reading(self.wall_s * factor, self.wall_min_s * factor, self.cpu_s * factor, self.repeats)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def measure(
    action: Callable[..., Any],
    effort: Effort,
    *,
    prepare: Callable[[], Any] | None = None,
    clocks: Clocks | None = None,
) -> Reading:
    """Time an action until its results are ready.

    Args:
        action: to run; it takes what `prepare` returns, if that is given. Arrays in its result are waited for.
        effort: how often.
        prepare: makes what one run uses up (donated buffers, arrays whose copy on the host JAX would keep), untimed;
            its arrays are waited for before the clock starts.
        clocks: to read.

    Returns:
        Times over the runs after the first.
    """
    import jax

    clocks = clocks or Clocks()
    walls: list[float] = []
    cpus: list[float] = []
    begin = clocks.wall()
    for run in range(1 + effort.repeats):
        given = () if prepare is None else (jax.block_until_ready(prepare()),)
        wall, cpu = clocks.wall(), clocks.cpu()
        result = jax.block_until_ready(action(*given))
        walls.append(clocks.wall() - wall)
        cpus.append(clocks.cpu() - cpu)
        del result, given
        if run == 0:
            begin = clocks.wall()
        elif run >= FEWEST and clocks.wall() - begin >= effort.budget_s:
            break
    walls, cpus = walls[1:], cpus[1:]
    return Reading(float(np.median(walls)), min(walls), float(np.mean(cpus)), len(walls))


class OtherWork:
    """How much of the machine's processors other programs use, from now on (Linux; elsewhere unknown)."""

    def __init__(self, stat: Path = Path("/proc/stat")):
        self._stat, self._start = stat, time.perf_counter()
        self._busy, self._own = self._read(), _own_cpu_s()

    def _read(self) -> tuple[float, int] | None:
        """CPU seconds that all processors were busy, and how many there are."""
        try:
            lines = self._stat.read_text().splitlines()
            # user nice system idle iowait irq softirq steal; guests are in user and nice already
            ticks = [int(word) for word in lines[0].split()[1:9]]
            unit = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError, AttributeError):
            return None
        count = sum(line.startswith("cpu") for line in lines) - 1
        return (sum(ticks) - sum(ticks[3:5])) / unit, count

    def report(self) -> dict[str, Any]:
        """Describe the other work since the start.

        Returns:
            "cpus_busy": processors that others kept busy on average, None where it is not known; "cpus": of the
            machine; "disturbed": whether wall times are doubtful, by that or, where it is not known, by the load.
        """
        now, elapsed = self._read(), time.perf_counter() - self._start
        if now is None or self._busy is None or elapsed <= 0:
            count = os.cpu_count() or 1
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            return {"cpus_busy": None, "cpus": count, "disturbed": load > count * (1 + BUSY_SHARE)}
        others = max(0.0, now[0] - self._busy[0] - (_own_cpu_s() - self._own)) / elapsed
        return {"cpus_busy": round(others, 2), "cpus": now[1], "disturbed": others > BUSY_SHARE * now[1]}


def _own_cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
