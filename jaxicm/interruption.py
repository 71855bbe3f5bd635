"""A request to stop (SIGTERM, Ctrl-C) that a loop can act on at a good moment."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Inside this context the first SIGTERM or Ctrl-C is only remembered; the second Ctrl-C interrupts at once.

    Args:
      watch: False leaves signals as they are; `received` can then still be set by hand.

    Attributes:
      received: the name of the signal, or None.
    """

    def __init__(self, watch: bool = True) -> None:
        self.received: str | None = None
        self._watch = watch
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        # Python allows handlers in the main thread only; elsewhere signals do what they did.
        if self._watch and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
