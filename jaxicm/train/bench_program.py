"""What the compiled step needs: compilations, memory, operations, as far as the back end tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh


@dataclass
class Heard:
    """What was heard of a function's compilations.

    Attributes:
        compilations: so far, those that the cache on the disk answered included.
        from_disk: whether that cache held the first one.
    """

    compilations: int = 0
    from_disk: bool = False


@contextmanager
def compilations_of(function: str) -> Iterator[Heard]:
    """Count how often JAX compiles a function in this block.

    Args:
        function: its name; nothing else may be compiled in the block before it.

    Yields:
        The count, up to date at any time.
    """
    heard = Heard()

    def on_duration(event: str, duration_secs: float, **kwargs: str | int) -> None:
        del duration_secs
        if event == "/jax/core/compile/backend_compile_duration" and kwargs.get("fun_name") == f"jit({function})":
            heard.compilations += 1

    def on_event(event: str, **kwargs: str | int) -> None:
        del kwargs
        heard.from_disk = heard.from_disk or (event == "/jax/compilation_cache/cache_hits" and not heard.compilations)

    jax.monitoring.register_event_duration_secs_listener(on_duration)
    jax.monitoring.register_event_listener(on_event)
    try:
        yield heard
    finally:
        jax.monitoring.unregister_event_duration_listener(on_duration)
        jax.monitoring.unregister_event_listener(on_event)


def planned(compiled: Any) -> dict[str, Any]:
    """Ask the compiled step what it needs.

    Args:
        compiled: as `lower().compile()` of a jitted function returns it.

    Returns:
        "argument_bytes", "output_bytes", "temporary_bytes" and "xla_flop" of `bench_figures.Program`.
    """
    try:
        memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    except (NotImplementedError, jax.errors.JaxRuntimeError):
        memory, cost = None, {}
    sizes = {
        name: getattr(memory, key, None)
        for name, key in (
            ("argument_bytes", "argument_size_in_bytes"),
            ("output_bytes", "output_size_in_bytes"),
            ("temporary_bytes", "temp_size_in_bytes"),
        )
    }
    return sizes | {"xla_flop": cost.get("flops")}


def used_memory(mesh: Mesh) -> tuple[int | None, int | None]:
    """Ask the devices of this process for their memory.

    Args:
        mesh: of all devices.

    Returns:
        Bytes used at most so far on the fullest device and bytes that there are, None where the devices do not say.
    """
    found = [device.memory_stats() or {} for device in mesh.local_devices]
    peaks = [int(stats["peak_bytes_in_use"]) for stats in found if "peak_bytes_in_use" in stats]
    limits = [int(stats["bytes_limit"]) for stats in found if "bytes_limit" in stats]
    return max(peaks, default=None), min(limits, default=None)
