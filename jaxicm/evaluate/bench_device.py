"""Throughput of every compiled part on `jax.devices()[0]`, next to what that device can do at most.

Arguments lie on the device before the clock starts; what it takes to bring them there and the results back is timed
apart. Parts run one call at a time (as long as the codec waits for each), several calls in flight (as it launches the
chunks of a step) and several calls' data in one call (what batching would bring).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.codecs import zoo
from jaxicm.codecs.image import ImageCodec
from jaxicm.evaluate.bench_clock import QUICK, THOROUGH, Effort, Reading, measure
from jaxicm.evaluate.bench_compile import compile_part, picture_compilations
from jaxicm.evaluate.bench_parts import STAGES, Part, Recording, recording
from jaxicm.evaluate.roofline import Roof, measure_roof, place

BATCHES, QUICK_BATCHES = (1, 2, 4, 8), (1, 4)
ROOF_BUDGET_S, QUICK_ROOF_BUDGET_S = 3.0, 1.0
_TRANSFER_BYTES = 1 << 26


def part_speeds(
    model: str,
    pixels: np.ndarray,
    *,
    quality: float = 50.0,
    batches: Sequence[int] | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the compiled parts that coding a picture calls.

    Args:
        model: name of the weights, or their file.
        pixels: uint8 picture.
        quality: 1 to 100.
        batches: numbers of calls to join, each at least 1; by default 1, 2, 4, 8 (quick: 1, 4).
        quick: fewer repeats.
        say: told what is measured next.

    Returns:
        JSON-able: "size" [H, W], "roof" (see `roofline.Roof.as_dict`), "parts" (a row each, see `_part_row`),
        "picture" (seconds of all calls, by way and stage), "compilations" (see `bench_compile`), "transfer" (bandwidth
        of a large array both ways) and "device_memory" (peak and limit, or None).
    """
    effort = QUICK if quick else THOROUGH
    path = zoo.find(model)
    say("compilations")
    counted = picture_compilations(path, pixels, quality)
    codec = ImageCodec.load(path)
    with recording(codec) as encoding:
        data = codec.encode(pixels, quality=quality, plain=False)
    with recording(codec) as decoding:
        codec.decode(data)
    parts = decoding.parts | encoding.parts
    parts = {name: parts[name] for stage in STAGES for name in parts if parts[name].stage == stage}
    # Compiling clears what is compiled, so all of it comes before the first clock.
    compiled = {name: compile_part(part) for name, part in parts.items()}
    budget_s = QUICK_ROOF_BUDGET_S if quick else ROOF_BUDGET_S
    say("the rates of matrix products and of copying")
    roof = measure_roof(budget_s)
    rows = []
    for name, part in parts.items():
        say(name)
        calls = {"encode": encoding.calls(name), "decode": decoding.calls(name)}
        sizes = batches or (QUICK_BATCHES if quick else BATCHES)
        rows.append(_part_row(part, calls, compiled[name], effort, sizes))
    # Again, because a machine is not equally fast all the time.
    say("the rates of matrix products and of copying, again")
    roof = roof.joined(measure_roof(budget_s))
    say("all parts together")
    megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
    return {
        "size": list(pixels.shape[:2]),
        "roof": roof.as_dict(),
        "parts": [row | _shares(row, roof) for row in rows],
        "picture": {
            "encode": _picture_rows(encoding, megapixels, effort),
            "decode": _picture_rows(decoding, megapixels, effort),
        },
        "compilations": counted,
        "transfer": _transfer_row([np.ones(_TRANSFER_BYTES // 4, np.float32)], jnp.copy, effort),
        "device_memory": device_memory(),
    }


def device_memory() -> dict[str, int] | None:
    """Return "peak_bytes" and "limit_bytes" of the device's memory in this process; None where JAX does not know."""
    stats = jax.devices()[0].memory_stats()
    if not stats or "peak_bytes_in_use" not in stats:
        return None
    return {"peak_bytes": int(stats["peak_bytes_in_use"]), "limit_bytes": int(stats.get("bytes_limit", 0))}


def _part_row(
    part: Part, calls: dict[str, int], compiled: dict[str, Any], effort: Effort, batches: Sequence[int]
) -> dict[str, Any]:
    """Measure one part.

    Returns:
        "name", "stage", "calls" of a picture by way; "macs" and "flop" of a call by our own count; "moved_bytes" (by
        XLA's count, or arguments and results) and "moved_bytes_source"; the fields of `Reading`; "gflop_per_s",
        "gb_per_s"; "transfer"; "compile" (see `compile_part`); "sweep".
    """
    reading = _measure_part(part, effort, donates=compiled["donates"])
    flop = 2 * part.macs
    moved, source = compiled["xla_bytes"], "xla"
    if not moved:
        leaves = jax.tree.leaves((part.arguments, part.call()))
        moved, source = float(sum(leaf.nbytes for leaf in leaves)), "arguments and results"
    return {
        "name": part.name,
        "stage": part.stage,
        "calls": calls,
        "macs": part.macs,
        "flop": flop,
        "moved_bytes": moved,
        "moved_bytes_source": source,
        **reading.as_dict(),
        "gflop_per_s": flop / reading.wall_s / 1e9,
        "gb_per_s": moved / reading.wall_s / 1e9,
        "transfer": _transfer_row(part.inputs(), lambda *_: part.call(), effort),
        "compile": compiled,
        "sweep": [_sweep_row(part, count, reading, effort, donates=compiled["donates"]) for count in batches],
    }


def _shares(row: dict[str, Any], roof: Roof) -> dict[str, Any]:
    """Place a part under the bounds: "roofline" by the wall clock, "roofline_cpu" by CPU seconds, None but on CPUs."""
    work = row["flop"], row["moved_bytes"]
    found: dict[str, Any] = {"roofline": asdict(place(*work, row["wall_s"], roof.bounds())), "roofline_cpu": None}
    if jax.devices()[0].platform == "cpu" and row["cpu_s"] > 0:
        found["roofline_cpu"] = asdict(place(*work, row["cpu_s"], roof.bounds(cpu=True)))
    return found


def _measure_part(part: Part, effort: Effort, *, donates: bool) -> Reading:
    if not donates:
        return measure(part.call, effort)

    def call(arguments: tuple[Any, ...]) -> Any:
        return part.function(*arguments, *part.static)

    return measure(call, effort, prepare=lambda: jax.tree.map(jnp.copy, part.arguments))


def _sweep_row(part: Part, count: int, single: Reading, effort: Effort, *, donates: bool) -> dict[str, Any]:
    """Time the work of several calls: in one call and as calls in flight; per call, None where it does not work."""
    if count == 1:
        return {"batch": 1, "one_call": single.as_dict(), "in_flight": single.as_dict()}
    row: dict[str, Any] = {"batch": count, "one_call": None, "in_flight": None}
    if not donates:
        in_flight = measure(lambda: [part.call() for _ in range(count)], effort)
        row["in_flight"] = in_flight.scaled(1 / count).as_dict()
    try:
        row["one_call"] = _measure_part(part.batched(count), effort, donates=donates).scaled(1 / count).as_dict()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):  # a batch that the device has no memory for stays None
            raise
    return row


def _transfer_row(inputs: list[np.ndarray], run: Callable[..., Any], effort: Effort) -> dict[str, Any]:
    """Time bringing arrays to the device and results back.

    Args:
        inputs: on the host.
        run: makes a fresh result from them, on the device: JAX keeps the host's copy of a result it has brought back.
        effort: how often.

    Returns:
        "to_device" and "to_host", each with "bytes", "wall_s" and "gb_per_s". A CPU device may share the memory of an
        array instead of copying it.
    """
    to_device = measure(partial(jax.device_put, inputs), effort)
    here = jax.device_put(inputs)
    to_host = measure(partial(jax.tree.map, np.asarray), effort, prepare=lambda: run(*here))
    sent, got = (sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) for tree in (inputs, run(*here)))
    return {
        name: {"bytes": size, "wall_s": reading.wall_s, "gb_per_s": size / reading.wall_s / 1e9}
        for name, size, reading in (("to_device", sent, to_device), ("to_host", got, to_host))
    }


def _picture_rows(recorded: Recording, megapixels: float, effort: Effort) -> list[dict[str, Any]]:
    """Time all calls of a picture, stage by stage, waiting where the codec waits, without its work on the host.

    Returns:
        Rows with "stage" (the last is "sum"), "calls", "steps" (after each of which the codec waits), the fields of
        `Reading`, "mp_per_s" and "mp_per_cpu_s".
    """
    rows = []
    for stage in STAGES:
        if not (steps := recorded.stage(stage)):
            continue

        def replay(steps: list[list[Part]] = steps) -> None:
            for step in steps:
                jax.block_until_ready([part.call() for part in step])

        reading = measure(replay, effort)
        calls = sum(map(len, steps))
        rows.append({"stage": stage, "calls": calls, "steps": len(steps), **reading.as_dict()})
    total: dict[str, Any] = {"stage": "sum"}
    for key in ("calls", "steps", "wall_s", "wall_min_s", "cpu_s"):
        total[key] = sum(row[key] for row in rows)
    rows.append(total)
    for row in rows:
        row |= {"mp_per_s": megapixels / row["wall_s"], "mp_per_cpu_s": megapixels / max(row["cpu_s"], 1e-9)}
    return rows
