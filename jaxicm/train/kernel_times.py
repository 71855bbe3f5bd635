"""What an accelerator did in the steps of a profile: its kernels, their times, and how long it was busy."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxicm.media.files import atomic_write

TABLE = "kernels.tsv"
"""In the folder of a profile."""
_CONVOLUTION = re.compile(r"conv|fprop|dgrad|wgrad|cudnn|implicit", re.IGNORECASE)
_PRODUCT = re.compile(r"gemm|cublas|cutlass|nvjet|triton_dot|\bdot", re.IGNORECASE)


class Kernel(NamedTuple):
    """All launches of a kernel by one operation of the program: names, how many, and their nanoseconds together."""

    name: str
    operation: str
    count: int
    time_ns: float

    @property
    def kind(self) -> str:
        """ "convolution", "product" or "other", as far as the names tell."""
        for name in (self.name, self.operation):
            if _CONVOLUTION.search(name):
                return "convolution"
            if _PRODUCT.search(name):
                return "product"
        return "other"


def kernel_times(folder: Path) -> tuple[list[Kernel], float]:
    """Read the newest profile in a folder.

    Args:
        folder: that `jax.profiler.start_trace` was given.

    Returns:
        The kernels of the first accelerator, those that took longest first, and nanoseconds in which at least one ran.
        Both are empty where only a CPU was profiled.
    """
    files = sorted(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    planes = jax.profiler.ProfileData.from_file(str(files[-1])).planes if files else ()
    events = next((found for plane in planes if (found := _kernel_events(plane))), [])
    totals: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        stats = {str(key): value for key, value in event.stats}
        totals[event.name, str(stats.get("tf_op") or stats.get("hlo_op") or "")].append(event.duration_ns)
    kernels = [Kernel(*names, len(times), sum(times)) for names, times in totals.items()]
    spans = [(event.start_ns, event.start_ns + event.duration_ns) for event in events]
    return sorted(kernels, key=lambda kernel: -kernel.time_ns), covered(spans)


def _kernel_events(plane: Any) -> list[Any]:
    if not plane.name.startswith("/device:"):
        return []
    # A GPU's plane has a line for every stream, a TPU's one of operations.
    lines = [line for line in plane.lines if line.name.startswith("Stream") or line.name == "XLA Ops"]
    return [event for line in lines for event in line.events]


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals.

    >>> covered([(0, 2), (5, 6), (1, 3)])
    4.0
    """
    ordered = np.array(sorted(spans), np.float64).reshape(-1, 2)
    reached = np.maximum.accumulate(np.concatenate([ordered[:1, 0], ordered[:, 1]]))[:-1]
    return float(np.maximum(ordered[:, 1] - np.maximum(ordered[:, 0], reached), 0).sum())


def describe_profile(folder: Path, steps: int) -> dict[str, Any]:
    """Write the table of kernels beside a profile and return its figures, those of a step.

    Args:
        folder: of the profile.
        steps: that it holds.

    Returns:
        "kernels", "busy_ms", and the milliseconds of "convolution", "product" and "other" kernels; nothing where no
        accelerator was profiled.
    """
    kernels, busy_ns = kernel_times(folder)
    if not kernels:
        return {}
    atomic_write(folder / TABLE, table(kernels, steps).encode())
    figures = {"kernels": round(sum(kernel.count for kernel in kernels) / steps), "busy_ms": busy_ns / steps / 1e6}
    for kind in ("convolution", "product", "other"):
        figures[f"{kind}_ms"] = sum(kernel.time_ns for kernel in kernels if kernel.kind == kind) / steps / 1e6
    return {name: round(value, 3) for name, value in figures.items()}


def table(kernels: Sequence[Kernel], steps: int) -> str:
    """Return a line for every kernel: microseconds and launches a step, kind, kernel, operation."""
    lines = ["us\tlaunches\tkind\tkernel\toperation"]
    for kernel in kernels:
        each = f"{kernel.time_ns / steps / 1e3:.2f}\t{kernel.count / steps:g}"
        lines.append(f"{each}\t{kernel.kind}\t{kernel.name}\t{kernel.operation}")
    return "\n".join(lines) + "\n"
