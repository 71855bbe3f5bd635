"""`jaxicm bench devices` and `jaxicm bench throughput`: other devices, and several pictures at a time."""

from pathlib import Path
from typing import Annotated

import typer

_QUALITIES = "5,25,50,75,95"
_PICTURE = (1080, 1920)


def bench_devices(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures or folders.")],
    models: Annotated[
        str, typer.Option("--model", help="Lossy weights: names or files, separated by commas.")
    ] = "fast",
    qualities: Annotated[str, typer.Option("--qualities", help="1 to 100, separated by commas.")] = _QUALITIES,
    platform: Annotated[str, typer.Option("--platform", help="Device of the second process: cpu, cuda, tpu.")] = "cpu",
    xla_flags: Annotated[
        str, typer.Option("--xla-flags", help="Of the second process: --xla_cpu_max_isa=SSE4_2 makes it an old CPU.")
    ] = "",
    at_once: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Pictures at a time in this process.")] = 1,
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="float32|tensorfloat32|bfloat16", help="Of products in this process."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")] = None,
) -> None:
    """Check that files decode to the same symbols on another device.

    Pictures are encoded on this process's device and in a second process on another; each decodes what the other wrote.
    Symbols must be the same, pixels may differ by one level. The exit code is 1 if a symbol differs.
    """
    import dataclasses
    import json
    import os

    from jaxicm.cli.model_kind import refuse_lossless
    from jaxicm.cli.terminal import Terminal, print_table
    from jaxicm.cli.values import choose_target, parse_numbers
    from jaxicm.errors import OptionError
    from jaxicm.media.files import atomic_write, find_pictures

    names = [name.strip() for name in models.split(",") if name.strip()]
    for name in names:
        refuse_lossless(name, "jaxicm bench devices")
    if precision not in (None, "float32", "tensorfloat32", "bfloat16"):
        raise OptionError(f"--precision must be float32, tensorfloat32 or bfloat16, got {precision!r}")
    chosen = parse_numbers(qualities, "--qualities")
    for quality in chosen:
        choose_target(quality, None, None, None)
    paths = tuple(str(path) for path in find_pictures(pictures))
    # Both processes share a device where there is one: neither may take all its memory at its start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    import jax

    from jaxicm.evaluate.device_check import DeviceCheck, check_devices

    if precision is not None:
        jax.config.update("jax_default_matmul_precision", precision)
    rows, terminal = [], Terminal()
    for name in terminal.track(names, "checking", len(names)):
        for found in check_devices(DeviceCheck(name, paths, chosen, platform, xla_flags, at_once)):
            rows.append({"model": name, **dataclasses.asdict(found)})
    print_table(
        f"{len(paths)} pictures, qualities {', '.join(f'{q:g}' for q in chosen)}, {at_once} at a time",
        ("model", "written on", "read on", "files", "symbols", "differing", "pixels off", "by at most"),
        [
            (
                row["model"],
                row["writer"],
                row["reader"],
                row["files"],
                f"{row['symbols']:,}",
                f"{row['differing']:,}",
                f"{row['pixels_off']:,}",
                row["largest"],
            )
            for row in rows
        ],
    )
    if json_file is not None:
        atomic_write(json_file, json.dumps(rows, indent=1).encode())
    if any(row["differing"] for row in rows):
        raise typer.Exit(1)


def bench_throughput(
    model: Annotated[str, typer.Option("--model", help="Name from `jaxicm models`, or a weight file.")] = "fast",
    picture: Annotated[Path | None, typer.Option("--picture", help="A picture; by default a package's sample.")] = None,
    size: Annotated[str, typer.Option("--size", help="Width x height that it is cut or mirrored to.")] = (
        f"{_PICTURE[1]}x{_PICTURE[0]}"
    ),
    quality: Annotated[float, typer.Option("--quality", "-q", help="1 to 100.")] = 50.0,
    at_once: Annotated[str, typer.Option("--at-once", help="Pictures at a time, separated by commas.")] = "1,8",
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")] = None,
) -> None:
    """Measure pictures a second, encoding and decoding, with one or several at a time.

    Files stay in memory. Several pictures at a time go through the networks together, their symbols through as many
    processes. The parts are times by the clock, of a batch over its pictures; two batches are under way at a time.
    """
    import json
    from typing import cast

    from rich.console import Console

    from jaxicm.cli.demo import sample_picture
    from jaxicm.cli.model_kind import refuse_lossless
    from jaxicm.cli.terminal import print_table
    from jaxicm.cli.values import MOST_CALLS, choose_target, parse_counts, parse_shape
    from jaxicm.media.files import atomic_write
    from jaxicm.media.pictures import read_picture

    choose_target(quality, None, None, None)
    refuse_lossless(model, "jaxicm bench throughput")
    counts, (height, width) = parse_counts(at_once, "--at-once", MOST_CALLS), parse_shape(size)
    pixels = read_picture(picture if picture is not None else sample_picture()).pixels

    import jaxicm
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.evaluate.bench import machine
    from jaxicm.evaluate.bench_picture import fill
    from jaxicm.evaluate.bench_throughput import throughput

    codec, where = cast(ImageCodec, jaxicm.load(model)), machine()
    with Console(stderr=True).status("starting") as status:  # shown on a terminal only
        rows = throughput(
            codec,
            fill(pixels, height, width),
            quality=quality,
            at_once=counts,
            say=lambda what: status.update(f"measuring {what}"),
        )
    print_table(
        f"{model}, {width}x{height}, quality {quality:g}; {where['device']}, {where['cpus']} CPUs "
        f"({where['processor']}), load {where['load']}",
        ("way", "at a time", "pictures/s", "MP/s", "ms a picture in each part"),
        [
            (
                row["way"],
                row["at_once"],
                f"{row['pictures_per_s']:.2f}",
                f"{row['mp_per_s']:.2f}",
                ", ".join(f"{name} {1e3 * seconds:.0f}" for name, seconds in row["parts"].items()),
            )
            for row in rows
        ],
    )
    if json_file is not None:
        atomic_write(json_file, json.dumps({"machine": where, "rows": rows}, indent=1).encode())
