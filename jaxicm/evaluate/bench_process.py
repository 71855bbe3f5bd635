"""What a new process needs to decode a picture: memory, and time from its start to its end."""

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from jaxicm.errors import JaxicmError

_PEAK_PROGRAM = """
import json, pathlib, resource, sys
from jaxicm.memory import keep_allocated_memory
keep_allocated_memory()
import jaxicm
codec = jaxicm.load(sys.argv[1])
codec.decode(pathlib.Path(sys.argv[2]).read_bytes())
try:
    # A child's ru_maxrss begins at its parent's size; this is its own.
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
except (OSError, StopIteration):
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
from jaxicm.evaluate.bench_device import device_memory
print(json.dumps([resident, device_memory()]))
"""


def peak_memory(model: str, data: bytes) -> tuple[int, int | None]:
    """Measure the largest memory of a new process that decodes a file.

    Args:
        model: name of the weights, or their file.
        data: a compressed file.

    Returns:
        Resident bytes, with all libraries and the weights; and bytes of the device's own memory, None if it has none or
        does not say.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jicm"
        path.write_bytes(data)
        resident, device = json.loads(_output([sys.executable, "-c", _PEAK_PROGRAM, model, str(path)]))
    return int(resident), device and int(device["peak_bytes"])


def start_seconds(model: str, data: bytes, repeats: int) -> list[float]:
    """Time whole processes of `jaxicm decode` from start to end, with a warm compilation cache.

    Args:
        model: name of the weights, or their file.
        data: a compressed file.
        repeats: after one process that fills the cache.

    Returns:
        Wall seconds of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "picture.jicm", Path(folder) / "picture.png"
        source.write_bytes(data)
        command = [sys.executable, "-m", "jaxicm.cli", "decode", str(source), str(out), "--model", model]
        run, seconds = partial(_output, command), []
        run()
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return seconds


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JaxicmError(f"a second process failed: {done.stderr.strip()[-400:]}; run `jaxicm decode` to see why")
    return done.stdout
