"""Several processes for work that does not disturb each other's clock, stopped at once when the run is."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from typing import Any, TypeVar

from jaxicm.errors import JaxicmError

T = TypeVar("T")
_PATIENCE_S = 0.3
_busy = False  # in a worker: a function is running, not the machinery around it
_stopping = False  # in a worker: the run has ended


class Workers:
    """Call functions in other processes, or in this one where one job is asked for.

    Args:
        jobs: processes, at least 1; with 1 there are none beside this.
        stopped: asked every now and then; once it says yes, `stream` raises `KeyboardInterrupt`.
    """

    def __init__(self, jobs: int, stopped: Callable[[], object] = lambda: False):
        self._jobs, self._stopped = jobs, stopped
        self._pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            # spawned, not forked: this process may hold threads of JAX
            context = multiprocessing.get_context("spawn")
            # closed to stop the workers; the system closes it when this process is killed
            heard, self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(heard,))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None:
            self._lifeline.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._lifeline.close()

    def stream(self, function: Callable[..., T], items: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Call a function for every item and yield the results, as they come.

        Args:
            function: of a module, so that other processes find it.
            items: its arguments; taken only as fast as results are wanted.

        Yields:
            Results, in any order.

        Raises:
            JaxicmError: a process died.
            KeyboardInterrupt: the run was stopped.
        """
        if self._pool is None:
            for item in items:
                yield function(*item)
                self._check()
            return
        waiting: set[Future[T]] = set()
        try:
            for item in items:
                with _interruptions_later():
                    waiting.add(self._pool.submit(_guarded, function, item))
                while len(waiting) >= 2 * self._jobs:
                    yield from self._collect(waiting)
            while waiting:
                yield from self._collect(waiting)
        except BrokenProcessPool as error:
            raise JaxicmError(
                "a worker process died, perhaps for lack of memory; give the command again with a smaller --jobs"
            ) from error

    def _collect(self, waiting: set[Future[T]]) -> Iterator[T]:
        done, _ = wait(waiting, timeout=_PATIENCE_S, return_when=FIRST_COMPLETED)
        for future in done:
            waiting.remove(future)
            yield future.result()
        self._check()

    def _check(self) -> None:
        if self._stopped():
            raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptions_later() -> Iterator[None]:
    """Keep the user's interruption waiting; a process started meanwhile never gets one, this one gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(lifeline: Connection) -> None:
    """Prepare a worker: only the parent answers the user's interruption, and its word or its end stop the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, _abandon)
    threading.Thread(target=_listen, args=(lifeline,), daemon=True).start()


def _guarded(function: Callable[..., T], item: tuple[Any, ...]) -> T:
    global _busy
    try:
        _busy = True
        if _stopping:
            raise SystemExit(1)
        return function(*item)
    finally:
        _busy = False


def _listen(lifeline: Connection) -> None:
    """Wait for the end of the run; give the function that is running up, and follow the parent when it is gone."""
    global _stopping
    wait_for_any([lifeline])
    _stopping = True
    if hasattr(signal, "SIGUSR1"):
        # to the thread that runs it, so that a wait for an encoder ends
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _abandon(*_: object) -> None:
    # an exception, so that temporary files are removed and encoders that were started are stopped; not in the middle
    # of a message to the parent, which would wait for its rest
    if _busy:
        raise SystemExit(1)
