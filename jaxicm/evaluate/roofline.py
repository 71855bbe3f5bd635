"""What this machine can do at most, measured, and how near a piece of work comes to it.

Three bounds are measured in the same process: the rate of matrix products (the best of several sizes), the rate of
copying memory, and the time of a call that does nothing. A piece of work can be no faster than the slowest of the three
demands: its operations at the first, its bytes at the second, its call at the third. Source of the first two: Williams,
Waterman, Patterson, "Roofline", 2009; the third bounds the many small steps of an entropy model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxicm.evaluate.bench_clock import Clocks, Effort, Reading, measure

DTYPES = ("float32", "bfloat16")
SMALLEST, LARGEST = 256, 16384
"""Sides of the square matrices that are tried, doubling while time allows."""
COPY_BYTES = {"cpu": 1 << 28}
"""Size of the copied array, far beyond the caches; on other devices 1 GiB."""


@dataclass(frozen=True)
class Bounds:
    """The machine's bounds by one clock.

    Attributes:
        flop_per_s: of float32 matrix products as JAX runs them by default (a GPU may use TF32).
        bytes_per_s: read and written by a copy.
        call_s: of a call that does nothing.
    """

    flop_per_s: float
    bytes_per_s: float
    call_s: float


@dataclass(frozen=True)
class Placement:
    """Where a piece of work lies under the bounds.

    Attributes:
        matmul_share: of the rate of matrix products.
        copy_share: of the rate of copying; above 1 where the data stay in a cache.
        roof_share: the time that the tightest bound allows over the time taken.
        limit: that bound: "compute", "memory" or "call".
    """

    matmul_share: float
    copy_share: float
    roof_share: float
    limit: str


def place(flop: float, moved_bytes: float, seconds: float, bounds: Bounds) -> Placement:
    """Compare a piece of work with the bounds.

    Args:
        flop: operations, two for each multiply-add.
        moved_bytes: between memory and processor.
        seconds: taken, > 0, by the clock of the bounds.
        bounds: of the machine.

    Returns:
        Shares, 1 being the bound.
    """
    floors = {
        "compute": flop / bounds.flop_per_s,
        "memory": moved_bytes / bounds.bytes_per_s,
        "call": bounds.call_s,
    }
    limit = max(floors, key=lambda name: floors[name])
    return Placement(floors["compute"] / seconds, floors["memory"] / seconds, floors[limit] / seconds, limit)


@dataclass(frozen=True)
class Roof:
    """What was measured of the machine's bounds. A bound is the best of all: the most that the machine can do.

    Attributes:
        products: by dtype, side and times of square matrix products.
        copies: bytes of an array and times of adding to it in place.
        calls: times of a call that does nothing.
    """

    products: dict[str, list[tuple[int, Reading]]]
    copies: list[tuple[int, Reading]]
    calls: list[Reading]

    def joined(self, other: "Roof") -> "Roof":
        """Return the measurements of both."""
        products = {dtype: [*self.products[dtype], *other.products[dtype]] for dtype in self.products}
        return Roof(products, [*self.copies, *other.copies], [*self.calls, *other.calls])

    def bounds(self, *, cpu: bool = False, dtype: str = "float32") -> Bounds:
        """Return the bounds in wall seconds or in CPU seconds."""
        return Bounds(
            max(2 * side**3 / _best(reading, cpu) for side, reading in self.products[dtype]),
            max(2 * size / _best(reading, cpu) for size, reading in self.copies),
            min(_best(reading, cpu) for reading in self.calls),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the bounds for JSON, and all matrix products; CPU seconds mean something on CPU devices only."""
        rates: dict[str, Any] = {}
        for dtype, products in self.products.items():
            rows = [{"side": side, **reading.as_dict()} for side, reading in products]
            wall, cpu = (self.bounds(cpu=cpu, dtype=dtype).flop_per_s / 1e9 for cpu in (False, True))
            rates[dtype] = {"gflop_per_s": wall, "gflop_per_cpu_s": cpu, "runs": rows}
        wall, cpu = self.bounds(), self.bounds(cpu=True)
        copy = {"gb_per_s": wall.bytes_per_s / 1e9, "gb_per_cpu_s": cpu.bytes_per_s / 1e9}
        return {"matmul": rates, "copy": {"array_bytes": self.copies[0][0], **copy}, "call_s": wall.call_s}


def _best(reading: Reading, cpu: bool) -> float:
    return max(reading.cpu_s if cpu else reading.wall_min_s, 1e-9)


def measure_roof(budget_s: float, *, largest: int = LARGEST, copy_bytes: int | None = None) -> Roof:
    """Measure the bounds of `jax.devices()[0]`.

    Args:
        budget_s: about how long to take for each of the three measurements.
        largest: side of the largest matrices.
        copy_bytes: of the copied array; by default it suits the device.

    Returns:
        The bounds.
    """
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0]
    products = {dtype: _products(dtype, budget_s / len(DTYPES), largest) for dtype in DTYPES}
    size = copy_bytes or COPY_BYTES.get(device.platform, 1 << 30)
    # Added to in place (XLA drops a copy that changes nothing, and a new array of this size would be timed page fault
    # by page fault on a CPU).
    add_one = jax.jit(lambda a: a + 1, donate_argnums=0)
    array = jnp.zeros(size // 4, jnp.float32)

    def copy() -> None:
        nonlocal array
        array = jax.block_until_ready(add_one(array))

    copied = measure(copy, Effort(10, budget_s))
    nothing, scalar = jax.jit(lambda a: a + 1), jnp.zeros((), jnp.float32)
    return Roof(products, [(size, copied)], [measure(lambda: nothing(scalar), Effort(200, budget_s))])


def _products(dtype: str, budget_s: float, largest: int) -> list[tuple[int, Reading]]:
    """Time products of doubling sizes while time allows; the next one takes eight times as long."""
    import jax
    import jax.numpy as jnp

    # Drawn, not constant: multiplying zeros takes less power, and a hot chip would look faster than it is.
    noise = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    clock = Clocks().wall
    begin, side = clock(), min(SMALLEST, largest)
    found: list[tuple[int, Reading]] = []
    while True:
        a, b = (jnp.asarray(np.resize(noise, (side, side))).astype(dtype) for _ in range(2))
        reading = measure(lambda a=a, b=b: multiply(a, b), Effort(20, budget_s / 4))
        found.append((side, reading))
        # A warm-up and the fewest repeats of the next size must fit.
        if 2 * side > largest or clock() - begin + 4 * 8 * reading.wall_s > budget_s:
            return found
        side *= 2
