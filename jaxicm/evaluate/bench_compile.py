"""How long compiling takes, what a compiled function needs, and how many compilations a picture causes.

JAX keeps compiled functions in memory and on the disk, and traced and lowered ones in memory as well: a second
`lower().compile()` takes microseconds and says nothing. Here all of them are cleared or bypassed first. Compilations
are counted through JAX's own monitoring events.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from jaxicm.codecs.image import ImageCodec
from jaxicm.evaluate.bench_parts import SITES, Part

_COMPILED = "/jax/core/compile/backend_compile_duration"
_STAGES = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration", _COMPILED)
_MEMORY = {
    "arguments": "argument_size_in_bytes",
    "outputs": "output_size_in_bytes",
    "temporary": "temp_size_in_bytes",
    "code": "generated_code_size_in_bytes",
}


@contextmanager
def without_disk_cache() -> Iterator[None]:
    """Compile anew whatever is compiled in this block, and keep nothing of it on the disk."""
    option = "jax_enable_compilation_cache"
    before = jax.config.values[option]
    # Without the reset the option is read once a process and then ignored.
    jax.config.update(option, False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update(option, before)
        compilation_cache.reset_cache()


@dataclass
class Compilations:
    """What JAX compiled during a block.

    Attributes:
        names: of the functions, one entry a compilation.
        seconds: of tracing, lowering and compiling them.
    """

    names: list[str]
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return "count", "seconds" and "functions" (name -> count) for JSON."""
        return {"count": len(self.names), "seconds": self.seconds, "functions": dict(Counter(self.names))}


@contextmanager
def compilations() -> Iterator[Compilations]:
    """Count the compilations in this block, those that the disk cache answers included.

    Yields:
        The counts, up to date at any time.
    """
    found = Compilations([])

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event in _STAGES:
            found.seconds += duration_secs
        if event == _COMPILED:
            name = str(kwargs.get("fun_name", "unknown"))
            found.names.append(name.removeprefix("jit(").removesuffix(")"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def picture_compilations(path: Path, pixels: np.ndarray, quality: float) -> dict[str, Any]:
    """Count what a new process would compile to encode a picture, and to decode it.

    Args:
        path: of the weights.
        pixels: uint8 picture.
        quality: 1 to 100.

    Returns:
        "encode" and "decode" (as `Compilations.summary`), "again" (encoding and decoding it a second time) and
        "unknown": functions that are none of the codec's parts.
    """
    found: dict[str, Any] = {}
    with without_disk_cache():
        jax.clear_caches()
        codec = ImageCodec.load(path)
        with compilations() as encode:
            data = codec.encode(pixels, quality=quality, plain=False)
        jax.clear_caches()
        codec = ImageCodec.load(path)
        with compilations() as decode:
            codec.decode(data)
        codec.encode(pixels, quality=quality, plain=False)
        with compilations() as again:
            codec.decode(codec.encode(pixels, quality=quality, plain=False))
    for name, counted in (("encode", encode), ("decode", decode), ("again", again)):
        found[name] = counted.summary()
    found["unknown"] = sorted({*encode.names, *decode.names} - set(SITES))
    return found


def compile_part(part: Part) -> dict[str, Any]:
    """Compile a part from nothing, and ask the compiled function what it needs.

    Clears all functions that this process has compiled.

    Args:
        part: to compile.

    Returns:
        "trace_s", "lower_s", "compile_s", "compile_cpu_s"; "memory_bytes" ("arguments", "outputs", "temporary",
        "code") or None where the back end does not say; "xla_flop" and "xla_bytes" of a call by XLA's own count, or
        None; "donates": whether a call uses up its arguments.
    """
    with without_disk_cache():
        jax.clear_caches()
        clock = time.perf_counter
        marks = [clock()]
        traced = part.function.trace(*part.arguments, *part.static)  # type: ignore[attr-defined]
        marks.append(clock())
        lowered = traced.lower()
        marks.append(clock())
        cpu = time.process_time()
        compiled = lowered.compile()
        marks.append(clock())
        cpu = time.process_time() - cpu
    trace_s, lower_s, compile_s = np.diff(marks).tolist()
    times = {"trace_s": trace_s, "lower_s": lower_s, "compile_s": compile_s, "compile_cpu_s": cpu}
    donates = any(leaf.donated for leaf in jax.tree.leaves(compiled.args_info))
    return times | {"memory_bytes": _memory(compiled), "donates": donates} | _cost(compiled)


def _memory(compiled: Any) -> dict[str, int] | None:
    try:
        analysis = compiled.memory_analysis()
        return {name: int(getattr(analysis, key)) for name, key in _MEMORY.items()}
    except (AttributeError, NotImplementedError, jax.errors.JaxRuntimeError):
        return None


def _cost(compiled: Any) -> dict[str, float | None]:
    try:
        cost = compiled.cost_analysis() or {}
    except (NotImplementedError, jax.errors.JaxRuntimeError):
        cost = {}
    cost = cost[0] if isinstance(cost, list) else cost  # one entry a program in some versions
    return {"xla_flop": cost.get("flops"), "xla_bytes": cost.get("bytes accessed")}
