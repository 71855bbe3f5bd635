"""What `jaxicm bench` prints."""

from typing import Any

from jaxicm.cli.terminal import print_table


def print_summary(found: dict[str, Any]) -> None:
    """Print the machine, the versions, the model and whatever makes the figures doubtful.

    Args:
        found: what `jaxicm.evaluate.bench.bench` returned.
    """
    machine, model, versions = found["machine"], found["model"], found["versions"]
    print(
        f"{machine['cpus']} CPUs ({machine['processor']}, {machine['machine']}), load {machine['load']}, "
        f"device {machine['device']}"
    )
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    costs = ", ".join(f"{part} {cost:.2f}" for part, cost in model["kmac_per_pixel"].items())
    print(
        f"model {model['name']} ({model['digest'][:16]}): {model['parameters']:,} parameters, "
        f"{model['steps']} sequential steps, kMAC/pixel: {costs}"
    )
    other = found["other_work"]
    if other["disturbed"]:
        busy = "the load was high" if other["cpus_busy"] is None else f"others kept {other['cpus_busy']:.1f} busy"
        print(
            f"note: of {other['cpus']} CPUs {busy} meanwhile: wall times (and rates a second) mean little, compare "
            "CPU seconds"
        )
    for note in found["notes"]:
        print(f"note: {note}")


def print_whole_codec(found: dict[str, Any]) -> None:
    """Print pictures, second processes, the entropy coder and CompressAI.

    Args:
        found: what `jaxicm.evaluate.bench.bench` returned.
    """
    parts = ("analysis", "entropy", "coder", "synthesis", "file")
    rows = []
    for timed in found["pictures"]:
        for way in ("encode", "decode"):
            one = timed[way]
            cells = [f"{1000 * one['parts_s'][part]:.1f}" if part in one["parts_s"] else "" for part in parts]
            rows.append(
                (
                    f"{way} {timed['size'][1]}x{timed['size'][0]}, {timed['bpp']:.3f} bpp",
                    f"{one['mp_per_s']:.2f}",
                    f"{one['mp_per_cpu_s']:.2f}",
                    f"{1000 * one['wall_s']:.1f}",
                    *cells,
                )
            )
    headings = ("medians", "MP/s", "MP/CPU-s", "ms", *(f"{part} ms" for part in parts))
    print_table("Pictures, with files on the disk", headings, rows)
    small, large = (f"{timed['size'][1]}x{timed['size'][0]}" for timed in found["pictures"])
    for way, ratio in found["time_per_pixel"].items():
        print(f"{way} {large}: time a pixel {ratio['wall_s']:.2f} of that at {small} (CPU {ratio['cpu_s']:.2f})")
    if found["peak_bytes"] is not None:
        device = found["peak_device_bytes"]
        own = "" if device is None else f", of the device {device / 2**30:.2f} GiB"
        print(f"decode {large} in a new process: peak memory {found['peak_bytes'] / 2**30:.2f} GiB{own}")
    if found["start_s"]:
        start = sorted(found["start_s"])
        print(f"`jaxicm decode` of {small}, whole process, cache warm: {start[len(start) // 2]:.2f} s")
    _print_coder(found["coder"])
    if found["compressai"] is None:
        print("compressai is not installed: no comparison with it")
        return
    print_table(
        "CompressAI in the same run, random weights (speed does not depend on them)",
        ("model", "parameters", "encode MP/s", "decode MP/s"),
        [
            (row["model"], f"{row['parameters']:,}", *(f"{row[f'{way}_mp_per_s']:.3f}" for way in ("encode", "decode")))
            for row in found["compressai"]
        ],
    )


def _print_coder(coder: dict[str, Any]) -> None:
    print_table(
        f"rANS alone, {coder['bits_per_symbol']:.2f} bits a symbol",
        ("lanes", "encode Msym/CPU-s", "decode Msym/CPU-s", "overhead %"),
        [
            (
                str(row["lanes"]),
                f"{row['encode_msym_per_cpu_s']:.1f}",
                f"{row['decode_msym_per_cpu_s']:.1f}",
                f"{row['overhead_percent']:.2f}",
            )
            for row in coder["lanes"]
        ],
    )
    for row in coder["default"]:
        size, lanes, overhead = row["payload_bytes"], row["lanes"], row["overhead_percent"]
        print(f"default lanes for {size:,} bytes: {lanes}, {overhead:.2f} % overhead")


def print_parts(found: dict[str, Any], on_cpu: bool) -> None:
    """Print the compiled parts.

    Args:
        found: what `jaxicm.evaluate.bench_device.part_speeds` returned.
        on_cpu: whether the device is a CPU: then CPU seconds mean something, and transfers nothing.
    """
    _print_roof(found["roof"], on_cpu)
    _print_throughput(found, on_cpu)
    _print_picture(found, on_cpu)
    _print_sweep(found["parts"], on_cpu)
    _print_compilations(found)
    if on_cpu:
        print("transfers: none, the device is the host and shares its memory")
    else:
        _print_transfers(found)
    memory = found["device_memory"]
    if memory is not None:
        peak, limit = (memory[key] / 2**30 for key in ("peak_bytes", "limit_bytes"))
        print(f"device memory in this process: peak {peak:.2f} of {limit:.1f} GiB")


def _print_roof(roof: dict[str, Any], on_cpu: bool) -> None:
    def cells(rates: dict[str, Any], unit: str) -> str:
        own = f", {rates[f'{unit}_per_cpu_s']:.1f} a CPU second" if on_cpu else ""
        return f"{rates[f'{unit}_per_s']:.1f}{own}"

    print("\nThe device at most (the best that was measured, float32 as JAX multiplies it by default):")
    for dtype, rates in roof["matmul"].items():
        print(f"  {dtype} matrix product: GFLOP/s {cells(rates, 'gflop')}")
    print(f"  copy of {roof['copy']['array_bytes'] / 2**20:.0f} MiB: GB/s {cells(roof['copy'], 'gb')}")
    print(f"  a call that does nothing: {1e6 * roof['call_s']:.0f} us")


def _print_throughput(found: dict[str, Any], on_cpu: bool) -> None:
    clock = "roofline_cpu" if on_cpu else "roofline"
    rows = []
    for row in found["parts"]:
        placed = row[clock] or row["roofline"]
        check = row["compile"]["xla_flop"]
        rows.append(
            (
                row["name"],
                f"{row['calls']['encode']} / {row['calls']['decode']}",
                f"{1000 * row['wall_s']:.3f}",
                *([f"{1000 * row['cpu_s']:.3f}"] if on_cpu else []),
                f"{row['flop'] / 1e9:.3f}",
                "" if not check else f"{100 * check / row['flop']:.1f}",
                f"{row['gflop_per_s']:.1f}",
                f"{100 * placed['matmul_share']:.1f}",
                f"{row['gb_per_s']:.1f}",
                f"{100 * placed['copy_share']:.1f}",
                placed["limit"],
            )
        )
    height, width = found["size"]
    clock_name = "CPU seconds" if on_cpu else "wall seconds"
    print_table(
        f"Compiled parts of a {width}x{height} picture, one call at a time; shares of what is possible by {clock_name}",
        (
            "part",
            "calls enc / dec",
            "ms",
            *(["CPU-ms"] if on_cpu else []),
            "GFLOP",
            "XLA flop %",
            "GFLOP/s",
            "% of matmul",
            "GB/s",
            "% of copy",
            "limit",
        ),
        rows,
    )
    print("GFLOP: twice our multiply-adds; XLA's count of the same call in % of it. GB: XLA's count of bytes moved,")
    print("caches or not; above 100 % of copy the data stay in a cache. limit: the bound that allows the least speed.")


def _print_picture(found: dict[str, Any], on_cpu: bool) -> None:
    rows = [
        (
            f"{way}: {row['stage']}",
            row["calls"],
            row["steps"],
            f"{1000 * row['wall_s']:.1f}",
            f"{row['mp_per_s']:.2f}",
            *([f"{1000 * row['cpu_s']:.1f}", f"{row['mp_per_cpu_s']:.2f}"] if on_cpu else []),
        )
        for way in ("encode", "decode")
        for row in found["picture"][way]
    ]
    own = ("CPU-ms", "MP/CPU-s") if on_cpu else ()
    headings = ("whole picture, networks alone", "calls", "waits", "ms", "MP/s", *own)
    print_table("", headings, rows)


def _print_sweep(parts: list[dict[str, Any]], on_cpu: bool) -> None:
    clocks = [("ms", "wall_s"), *([("CPU-ms", "cpu_s")] if on_cpu else [])]
    ways = (("one call", "one_call"), ("in flight", "in_flight"))

    def cells(times: dict[str, Any] | None) -> list[str]:
        return ["no memory" if times is None else f"{1000 * times[clock]:.3f}" for _, clock in clocks]

    rows = [
        (row["name"], swept["batch"], *(cell for _, way in ways for cell in cells(swept[way])))
        for row in parts
        for swept in row["sweep"]
    ]
    headings = [f"{way}, {unit}" for way, _ in ways for unit, _ in clocks]
    title = "Batches: time for each call's work, several calls joined into one or launched without waiting"
    print_table(title, ("part", "batch", *headings), rows)


def _print_compilations(found: dict[str, Any]) -> None:
    def size(count: int | None) -> str:
        return "" if count is None else f"{count / 1e6:.2f}"

    rows = []
    for row in found["parts"]:
        one, memory = row["compile"], row["compile"]["memory_bytes"] or {}
        times = (f"{one[key]:.2f}" for key in ("trace_s", "lower_s", "compile_s", "compile_cpu_s"))
        sizes = (size(memory.get(key)) for key in ("arguments", "outputs", "temporary"))
        rows.append((row["name"], *times, *sizes))
    headings = ("trace s", "lower s", "compile s", "compile CPU-s", "arguments MB", "results MB", "temporary MB")
    print_table("Compiling from nothing (no cache), and the memory of a call", ("part", *headings), rows)
    counted, (height, width) = found["compilations"], found["size"]
    for way in ("encode", "decode"):
        functions = ", ".join(f"{name.strip('_')} {count}" for name, count in counted[way]["functions"].items())
        print(
            f"a new process that {way}s {width}x{height} compiles {counted[way]['count']} functions ({functions}) in "
            f"{counted[way]['seconds']:.2f} s"
        )
    print(f"coding the same size again compiles {counted['again']['count']}")
    if counted["unknown"]:
        print(f"note: compiled, but none of the parts above: {', '.join(counted['unknown'])}")


def _print_transfers(found: dict[str, Any]) -> None:
    rows = [("a large array", found["transfer"]), *((row["name"], row["transfer"]) for row in found["parts"])]
    columns = [(way, key) for way in ("to_device", "to_host") for key in ("bytes", "wall_s", "gb_per_s")]
    factors = {"bytes": 1e-6, "wall_s": 1e3, "gb_per_s": 1.0}
    names = {"bytes": "MB", "wall_s": "ms", "gb_per_s": "GB/s"}
    print_table(
        "Transfers of a call's inputs to the device and of its results to the host",
        ("part", *(f"{way.replace('_', ' ')} {names[key]}" for way, key in columns)),
        [(name, *(f"{factors[key] * moved[way][key]:.3f}" for way, key in columns)) for name, moved in rows],
    )
