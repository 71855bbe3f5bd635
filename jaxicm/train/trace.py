"""A profile of a few steps of a run: where an accelerator's time goes, as Perfetto or TensorBoard show it."""

from collections import Counter
from pathlib import Path

import jax

FOLDER = "profile"
"""Of the profile in the folder of a run."""


class Trace:
    """Profiles some steps of a run, once.

    Args:
        run: folder of the run.
        first: step before which the profile begins.
        steps: how many are profiled; 0 profiles none.
    """

    def __init__(self, run: Path, first: int, steps: int):
        self._folder, self._first, self._last = run / FOLDER, first, first + steps
        self._running = False

    def before(self, step: int) -> None:
        """Begin when this step is the first one."""
        if step == self._first < self._last:
            jax.profiler.start_trace(self._folder)
            self._running = True

    def after(self, step: int, metrics: dict[str, jax.Array]) -> bool:
        """End when this step, which makes `metrics`, is the last one; say whether it was."""
        if not self._running or step < self._last:
            return False
        jax.block_until_ready(metrics)
        self.close()
        return True

    def close(self) -> None:
        """End a profile that was begun; the run may stop in the midst of it."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()


def busiest(folder: Path, count: int = 30) -> list[tuple[str, int, float]]:
    """Sum up a profile by the names of what ran on the accelerators.

    Args:
        folder: of the profile, as a run writes it.
        count: of names, the longest ones.

    Returns:
        Name, times and milliseconds in all; names that differ only in the number at their end count as one.

    Raises:
        OSError: the folder holds no profile.
    """
    files = sorted(folder.rglob("*.xplane.pb"))
    if not files:
        raise FileNotFoundError(f"{folder}: holds no profile (*.xplane.pb)")
    times: Counter[str] = Counter()
    milliseconds: Counter[str] = Counter()
    for plane in jax.profiler.ProfileData.from_file(str(files[-1])).planes:
        if not plane.name.startswith("/device:"):
            continue
        for line in plane.lines:
            if line.name.startswith(("Stream", "XLA Ops")):
                for event in line.events:
                    name = event.name.rstrip("0123456789").rstrip("._")
                    times[name] += 1
                    milliseconds[name] += event.duration_ns / 1e6
    return [(name, times[name], milliseconds[name]) for name, _ in milliseconds.most_common(count)]
