"""A program run as a process of its own, with the CPU seconds that the system counted for it."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from jaxicm.errors import InputError, JaxicmError


def run_measured(command: Sequence[str | Path], what: str) -> float:
    """Run a program to its end and return its seconds, as `run_and_read`."""
    return run_and_read(command, what)[0]


def run_and_read(command: Sequence[str | Path], what: str) -> tuple[float, str]:
    """Run a program to its end and read what it prints.

    An interruption of this process ends the program too.

    Args:
        command: program and arguments.
        what: the program's name in messages.

    Returns:
        Its CPU seconds, user and system, over all its threads (where the system does not count them, the wall seconds);
        and all that it printed.

    Raises:
        InputError: the program cannot be started.
        JaxicmError: it left with an error; the message holds the first line that it printed and that is no warning.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
            )
        except OSError as error:
            raise InputError(f"{what}: {command[0]} cannot be started ({error.strerror or error})") from error
        try:
            if hasattr(os, "wait4"):
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                seconds = usage.ru_utime + usage.ru_stime
            else:
                process.wait()
                seconds = time.perf_counter() - start
        except BaseException:
            process.kill()
            process.wait()
            raise
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    if process.returncode:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = next((line for line in lines if "warning" not in line.lower()), "it printed nothing")
        raise JaxicmError(f"{what} failed with exit code {process.returncode}: {reason}")
    return seconds, text
