"""Several processes for work that does not disturb each other's clock, stopped at once when the run is."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from jaxicm.errors import JaxicmError

T = TypeVar("T")
_stopping = False  # in a worker: the run has ended


class Workers:
    """Call functions in other processes, or in this one where one job is asked for.

    Args:
        jobs: processes, at least 1; with 1 there are none beside this.
    """

    def __init__(self, jobs: int):
        self._jobs = jobs
        self._others = set(multiprocessing.active_children())
        self._pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            # spawned, not forked: this process may hold threads of JAX
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def stream(self, function: Callable[..., T], items: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Call a function for every item and yield the results, as they come.

        Args:
            function: of a module, so that other processes find it.
            items: its arguments; taken only as fast as results are wanted.

        Yields:
            Results, in any order.

        Raises:
            JaxicmError: a process died.
        """
        if self._pool is None:
            for item in items:
                yield function(*item)
            return
        waiting: set[Future[T]] = set()
        try:
            for item in items:
                waiting.add(self._pool.submit(_guarded, function, item))
                while len(waiting) >= 2 * self._jobs:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise JaxicmError(
                "a worker process died, perhaps for lack of memory; give the command again with a smaller --jobs"
            ) from error


def _guarded(function: Callable[..., T], item: tuple[Any, ...]) -> T:
    if _stopping:
        raise SystemExit(1)
    return function(*item)


def _begin() -> None:
    """Prepare a worker: it ends with its parent, and only the parent answers the user's interruption."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # an exception, so that temporary files are removed and encoders that were started are stopped
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _stop(*_: object) -> None:
    global _stopping
    _stopping = True
    sys.exit(1)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(OSError):
            parent.join()
        os._exit(1)
