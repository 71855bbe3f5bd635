"""What a figure depends on beside the code: versions of libraries and the machine."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jaxicm import __version__
from jaxicm.processors import usable_cpus


def versions(packages: tuple[str, ...] = ("jax", "jaxlib", "numpy", "pillow", "scipy")) -> dict[str, str]:
    """Return the versions of Python, jaxicm and the packages that are installed, without importing them."""
    found = {"jaxicm": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine(*, accelerator: bool) -> dict[str, Any]:
    """Describe the machine.

    Args:
        accelerator: name the device that JAX computes on, which imports JAX.

    Returns:
        "cpus" (that this process may use), "processor", "architecture", "system", "device" (None without JAX).
    """
    device = None
    if accelerator:
        import jax

        device = jax.devices()[0].device_kind
    return {
        "cpus": usable_cpus(),
        "processor": processor(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "device": device,
    }


def processor() -> str:
    """Return the marketing name of the processor, or what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
