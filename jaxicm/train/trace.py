"""A profile of a few steps of a run: where an accelerator's time goes, as Perfetto or TensorBoard show it."""

from pathlib import Path

import jax

FOLDER = "profile"
"""Of the profile in the folder of a run."""


class Trace:
    """Profiles some steps of a run, once; a context, at whose end a profile that was begun ends too.

    Args:
        run: folder of the run.
        first: step before which the profile begins.
        steps: how many are profiled; 0 profiles none.
    """

    def __init__(self, run: Path, first: int, steps: int):
        self._folder, self._first, self._last = run / FOLDER, first, first + steps
        self._running = False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def before(self, step: int) -> None:
        """Begin when this step is the first one."""
        if step == self._first < self._last:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # calls of Python would be most of the file
            jax.profiler.start_trace(self._folder, profiler_options=options)
            self._running = True

    def after(self, step: int, metrics: dict[str, jax.Array]) -> bool:
        """End when this step, which makes `metrics`, is the last one; say whether it was."""
        if not self._running or step < self._last:
            return False
        jax.block_until_ready(metrics)
        self._end()
        return True

    def _end(self) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
