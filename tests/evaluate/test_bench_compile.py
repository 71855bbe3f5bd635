"""Compilations are counted as JAX reports them, and timed without any cache."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.codecs.image import ImageCodec
from jaxicm.compilation import use_compilation_cache
from jaxicm.evaluate.bench_compile import compilations, compile_part, picture_compilations, without_disk_cache
from jaxicm.evaluate.bench_parts import Part


def double(x):
    return x * 2


def triple(x):
    return x * 3


def test_each_shape_of_each_function_counts_once():
    with compilations() as found:
        first, second = jax.jit(double), jax.jit(triple)
        for rows in (3, 4, 3, 5):
            first(np.ones(rows, np.float32))
        second(np.ones(3, np.float32))
        first(np.ones(3, np.int32))
    jax.jit(triple)(np.ones(7, np.float32))  # after the block: not counted
    assert sorted(found.names) == ["double"] * 4 + ["triple"]
    assert found.summary()["functions"] == {"double": 4, "triple": 1}
    assert found.seconds > 0


def part_of(function) -> Part:
    return Part("f", "f", "analysis", function, (jnp.ones((8, 8)),), (0,), False)


def test_compiling_is_timed_anew_each_time_and_nothing_is_kept_on_the_disk():
    events: list[str] = []
    listener = lambda event, **_: events.append(event)  # noqa: E731
    use_compilation_cache()
    folder = Path(jax.config.values["jax_compilation_cache_dir"])
    part = part_of(jax.jit(lambda x: jnp.tanh(x @ x) + 17))
    kept = set(folder.rglob("*"))
    jax.monitoring.register_event_listener(listener)
    try:
        for _ in range(2):
            with compilations() as found:
                times = compile_part(part)
            assert len(found.names) == 1, "a function that is compiled already must be compiled again"
            assert min(times["trace_s"], times["lower_s"], times["compile_s"]) > 0
            # Fetching a compiled function from memory takes a hundredth of this.
            assert times["compile_s"] > 1e-3
    finally:
        jax.monitoring.unregister_event_listener(listener)
    assert not [event for event in events if "cache_hit" in event or "requests_use_cache" in event]
    assert set(folder.rglob("*")) == kept
    jax.clear_caches()
    part.call()
    assert set(folder.rglob("*")) > kept, "afterwards the cache works again"


def test_the_option_is_restored():
    before = jax.config.values["jax_enable_compilation_cache"]
    with without_disk_cache():
        assert jax.config.values["jax_enable_compilation_cache"] is False
    assert jax.config.values["jax_enable_compilation_cache"] is before


def test_what_a_call_needs_is_asked_of_the_compiled_function():
    found = compile_part(part_of(jax.jit(lambda x: x @ x)))
    assert found["memory_bytes"]["arguments"] == found["memory_bytes"]["outputs"] == 8 * 8 * 4
    assert found["xla_flop"] == 2 * 8**3
    assert found["xla_bytes"] == 3 * 8 * 8 * 4 or found["xla_bytes"] == 2 * 8 * 8 * 4
    assert compile_part(part_of(jax.jit(double, donate_argnums=0)))["donates"] is True


def test_a_picture_compiles_three_functions_each_way(tiny_weights, photograph):
    pixels = photograph(40, 56)
    found = picture_compilations(tiny_weights, pixels, 50.0)
    assert found["encode"]["functions"] == {"analysis": 1, "_trunk": 1, "_head": 1}
    assert found["decode"]["functions"] == {"synthesis": 1, "_trunk": 1, "_head": 1}
    assert found["encode"]["count"] == found["decode"]["count"] == 3
    assert found["again"]["count"] == 0
    assert found["unknown"] == []
    codec = ImageCodec.load(tiny_weights)
    assert codec.decode(codec.encode(pixels)).shape == pixels.shape
