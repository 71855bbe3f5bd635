"""Entropy coders in processes of their own: numpy's short calls hold Python's lock, so threads gain nothing there.

A process imports numpy and this package, no JAX. Requests and answers are pickled through its pipes, one after the
other; every process has a thread here that writes and reads them, so no caller waits for a full pipe.
"""

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..errors import JaxicmError
from .rans import Decoder
from .steps import encode_steps, pull_step
from .tables import Tables


class Coders:
    """What a process does: coding with one set of tables, and any number of streams that are being decoded."""

    def __init__(self, tables: Tables):
        self._tables = tables
        self._decoders: dict[int, Decoder] = {}

    def start(self, stream: int, payload: bytes) -> None:
        """Begin to decode a stream, which gets a number."""
        self._decoders[stream] = Decoder(payload, self._tables)

    def pull(self, stream: int, indices: np.ndarray) -> np.ndarray:
        """Decode a step of a stream, as `pull_step`."""
        return pull_step(self._decoders[stream], indices)

    def finish(self, stream: int) -> None:
        """Check that a stream ends here."""
        self._decoders[stream].finish()

    def forget(self, stream: int) -> None:
        """Leave a stream, whether or not it was decoded to its end."""
        self._decoders.pop(stream, None)

    def encode(self, steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[bytes, float]:
        """Encode the symbols and table indices of all steps; return the stream and its ideal length in bits."""
        return encode_steps(self._tables, steps)


class CoderProcesses:
    """Calls of `Coders` in several processes.

    Args:
      tables: of all streams.
      count: processes, at least 1.
    """

    def __init__(self, tables: Tables, count: int):
        self._processes = [_Process(tables) for _ in range(count)]
        self._streams = itertools.count()

    def __enter__(self) -> "CoderProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()

    def stream(self) -> "Stream":
        """Return a new stream; streams are spread over the processes."""
        number = next(self._streams)
        return Stream(number, self._processes[number % len(self._processes)])


class Stream:
    """A stream in another process. Every method begins its work and returns a future; errors are those of `Coders`."""

    def __init__(self, number: int, process: "_Process"):
        self._number, self._process = number, process

    def start(self, payload: bytes) -> "Future[None]":
        """Begin to decode a payload."""
        return self._process.call("start", self._number, payload)

    def pull(self, indices: np.ndarray) -> "Future[np.ndarray]":
        """Decode a step."""
        return self._process.call("pull", self._number, indices)

    def finish(self) -> "Future[None]":
        """Check that the stream ends here."""
        return self._process.call("finish", self._number)

    def forget(self) -> "Future[None]":
        """Leave the stream."""
        return self._process.call("forget", self._number)

    def encode(self, steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> "Future[tuple[bytes, float]]":
        """Encode all steps."""
        return self._process.call("encode", steps)


class _Process:
    def __init__(self, tables: Tables):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # as this one finds the package
            start_new_session=True,  # the user's interruption is for this process
        )
        self._thread = ThreadPoolExecutor(1)
        self.call("__init__", tables)

    def call(self, method: str, *arguments: Any) -> "Future[Any]":
        return self._thread.submit(self._call, method, arguments)

    def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        try:
            pickle.dump((method, arguments), requests, pickle.HIGHEST_PROTOCOL)
            requests.flush()
            answer = pickle.load(answers)
        except (EOFError, OSError) as error:
            raise JaxicmError("a coder process died, perhaps for lack of memory; code fewer at once") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):  # of a process that died in the middle of a request
            self._process.stdin.close()  # the process ends where its requests do
        self._process.stdout.close()
        self._process.wait()


def serve() -> None:
    """Answer requests from standard input until it ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    coders = Coders.__new__(Coders)
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = getattr(coders, method)(*arguments)
        except Exception as error:
            answer = error
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    serve()
