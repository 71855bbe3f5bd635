"""Several processes that train one model, through `jax.distributed`: starting, agreeing, stopping together.

Every process runs the same program on its own devices. What depends on a clock or a signal is decided once for all:
processes that left their loops at different steps would wait for each other forever.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxicm.errors import ConfigError

MISSING_S = 300
"""Seconds that processes wait for the last one to start, unless JAXICM_JOIN_S says otherwise."""
_CURE = (
    "start as many as announced, with one coordinator address that all can reach, or name them with --coordinator"
    " --processes --process"
)


def start_processes(coordinator: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Join the processes of a run. Call it once, before anything else uses JAX.

    Args:
      coordinator: HOST:PORT of process 0; None where the machine tells (TPU pods, SLURM, Open MPI, Kubernetes).
      count: of processes; None likewise.
      index: of this process; None likewise.

    Raises:
      ConfigError: only some of the three are given, or the processes do not find each other.
    """
    given = (coordinator, count, index)
    if any(value is None for value in given) and any(value is not None for value in given):
        raise ConfigError("--coordinator, --processes and --process belong together; give all three, or --distributed")
    if count is not None and index is not None and not 0 <= index < count:
        raise ConfigError(f"--process {index}: expected 0 to {count - 1}, one number for each of --processes {count}")
    wait_s = float(os.environ.get("JAXICM_JOIN_S", MISSING_S))
    # After its own time-out JAX's service aborts the process with a page of C++; this speaks first.
    watch = threading.Timer(wait_s, _give_up, (wait_s,))
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(coordinator, count, index, initialization_timeout=int(wait_s) + 60)
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ConfigError(f"the processes of the run did not find each other ({reason}); {_CURE}") from error
    finally:
        watch.cancel()


def _give_up(wait_s: float) -> None:
    line = f"jaxicm: error: the processes of the run did not find each other within {wait_s:g} s; {_CURE}"
    print(line, file=sys.stderr, flush=True)
    os._exit(2)  # the main thread is inside the service and takes no exception


def is_writer() -> bool:
    """Say whether this process writes the files of the run, checkpoints apart, which all write together."""
    return jax.process_index() == 0


def agreed(values: Sequence[float]) -> list[float]:
    """Return the numbers of process 0 in every process; all must call it at the same point of the program."""
    if jax.process_count() == 1:
        return list(values)
    return [float(value) for value in multihost_utils.broadcast_one_to_all(np.asarray(values, np.float32))]


def preempted(step: int) -> bool:
    """Say whether all processes are to stop at this step because one of them received SIGTERM.

    Call it at every step. JAX's coordination service picks a step that no process has passed. In a run of one process
    it is never true: there `interruption.Interruption` takes the signal.
    """
    return jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(step)


def same_everywhere(name: str, text: str) -> None:
    """Check that every process was started with the same settings.

    Args:
      name: of what is compared, for the message.
      text: any text that must not differ.

    Raises:
      ConfigError: it differs from that of process 0.
    """
    if jax.process_count() == 1:
        return
    own = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    first = multihost_utils.broadcast_one_to_all(own)
    # Every process learns of any difference, so that all leave instead of waiting for the one that does.
    equal = multihost_utils.process_allgather(np.array_equal(own, first))
    if not np.all(equal):
        odd = [int(process) for process in np.flatnonzero(~np.asarray(equal).reshape(-1))]
        raise ConfigError(f"{name} of process {odd} differs from that of process 0; start all processes alike")
