"""`jaxicm bench`: speed, memory and start, measured here."""

from pathlib import Path
from typing import Annotated, Any

import typer


def bench(
    model: Annotated[str, typer.Option("--model", help="Name from `jaxicm models`, or a weight file.")] = "fast",
    picture: Annotated[Path | None, typer.Option("--picture", help="A picture; by default a package's sample.")] = None,
    quality: Annotated[float, typer.Option("--quality", "-q", help="1 to 100.")] = 50.0,
    quick: Annotated[bool, typer.Option("--quick", help="Few repeats, 1024x1024 as the large size.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")] = None,
) -> None:
    """Measure speed, memory and start.

    Encoding and decoding at 768x512 and 4096x4096 with files on the disk, the entropy coder alone, the memory of a
    process that decodes the large picture, and how long a new process takes. Medians after a warm-up; the picture is
    cut, or mirrored at its edges, to each size. Nothing else should run meanwhile.
    """
    import json

    from jaxicm.cli.demo import sample_picture
    from jaxicm.cli.values import choose_target
    from jaxicm.media.files import atomic_write
    from jaxicm.media.pictures import read_picture

    choose_target(quality, None, None, None)
    pixels = read_picture(picture if picture is not None else sample_picture()).pixels

    from jaxicm.evaluate.bench import bench as measure

    found = measure(model, pixels, quick=quick, quality=quality)
    print_report(found)
    if json_file is not None:
        atomic_write(json_file, json.dumps(found, indent=1).encode())


def print_report(found: dict[str, Any]) -> None:
    """Print what `jaxicm.evaluate.bench.bench` measured."""
    from jaxicm.cli.terminal import print_table

    machine, model = found["machine"], found["model"]
    print(
        f"{machine['cpus']} CPUs ({machine['machine']}), load {machine['load']}, device {machine['device']}, "
        f"jax {machine['jax']}, numpy {machine['numpy']}, Python {machine['python']}"
    )
    costs = ", ".join(f"{part} {cost:.2f}" for part, cost in model["kmac_per_pixel"].items())
    print(
        f"model {model['name']} ({model['digest'][:16]}): {model['parameters']:,} parameters, "
        f"{model['steps']} sequential steps, kMAC/pixel: {costs}"
    )
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
    print_table("", ("medians", "MP/s", "MP/CPU-s", "ms", *(f"{part} ms" for part in parts)), rows)
    small, large = (f"{timed['size'][1]}x{timed['size'][0]}" for timed in found["pictures"])
    for way, ratio in found["time_per_pixel"].items():
        print(f"{way} {large}: time a pixel {ratio['wall_s']:.2f} of that at {small} (CPU {ratio['cpu_s']:.2f})")
    print(f"decode {large} in a new process: peak memory {found['peak_bytes'] / 2**30:.2f} GiB")
    start = sorted(found["start_s"])
    print(f"`jaxicm decode` of {small}, whole process, cache warm: {start[len(start) // 2]:.2f} s")
    _print_coder(found["coder"])
    if found["compressai"] is None:
        print("compressai is not installed: no comparison with it")
    else:
        print_table(
            "CompressAI in the same run, random weights (speed does not depend on them)",
            ("model", "parameters", "encode MP/s", "decode MP/s"),
            [
                (
                    row["model"],
                    f"{row['parameters']:,}",
                    *(f"{row[f'{way}_mp_per_s']:.3f}" for way in ("encode", "decode")),
                )
                for row in found["compressai"]
            ],
        )


def _print_coder(coder: dict[str, Any]) -> None:
    from jaxicm.cli.terminal import print_table

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
