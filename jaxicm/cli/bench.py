"""`jaxicm bench`: speed, memory and start, measured here; its subcommands stand in files of their own."""

from pathlib import Path
from typing import Annotated

import typer

from jaxicm.cli.bench_devices import bench_devices, bench_throughput
from jaxicm.cli.bench_train import bench_train

app = typer.Typer(rich_markup_mode=None)
app.command("train")(bench_train)
app.command("devices")(bench_devices)
app.command("throughput")(bench_throughput)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    model: Annotated[str, typer.Option("--model", help="Name from `jaxicm models`, or a weight file.")] = "fast",
    picture: Annotated[Path | None, typer.Option("--picture", help="A picture; by default a package's sample.")] = None,
    quality: Annotated[float, typer.Option("--quality", "-q", help="1 to 100.")] = 50.0,
    parts: Annotated[bool, typer.Option("--parts", help="The compiled parts only.")] = False,
    size: Annotated[str, typer.Option("--size", help="Width x height of the picture for the parts.")] = "768x512",
    batch: Annotated[
        str | None, typer.Option("--batch", help="Calls of a part to join; 1,2,4,8, with --quick 1,4.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few repeats, 1024x1024 as the large size.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")] = None,
) -> None:
    """Measure speed, memory and start.

    Encoding and decoding at 768x512 and 4096x4096 with files on the disk, the entropy coder alone, the memory of a
    process that decodes the large picture, and how long a new process takes. Then every compiled part of the codec on
    the device: throughput against the measured rates of matrix products and of copying, batches, transfers, memory,
    compile time and the number of compilations. Medians after a warm-up; the picture is cut, or mirrored at its edges,
    to each size. Nothing else should run meanwhile; if something does, the report says so.

    `jaxicm bench train` measures training, `throughput` several pictures at a time; `devices` checks that files decode
    to the same symbols elsewhere.
    """
    if context.invoked_subcommand is not None:
        return
    import json
    import os
    import shlex

    from jaxicm.cli.bench_report import print_parts, print_summary, print_whole_codec
    from jaxicm.cli.demo import sample_picture
    from jaxicm.cli.model_kind import refuse_lossless
    from jaxicm.cli.values import MOST_CALLS, choose_target, parse_counts, parse_shape
    from jaxicm.media.files import atomic_write
    from jaxicm.media.pictures import read_picture

    choose_target(quality, None, None, None)
    refuse_lossless(model, "jaxicm bench")
    height, width = parse_shape(size)
    batches = None if batch is None else parse_counts(batch, "--batch", MOST_CALLS)
    pixels = read_picture(picture if picture is not None else sample_picture()).pixels
    # Second processes share the device: neither may take all its memory at its start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    words = ["jaxicm", "bench", "--model", model, "--quality", f"{quality:g}", "--size", size]
    words += ["--batch", batch] if batch else []
    words += ["--picture", str(picture)] if picture else []
    words += ["--parts"] * parts + ["--quick"] * quick

    from rich.console import Console

    from jaxicm.evaluate.bench import bench as measure

    with Console(stderr=True).status("starting") as status:  # shown on a terminal only
        found = measure(
            model,
            pixels,
            quick=quick,
            quality=quality,
            parts_only=parts,
            size=(height, width),
            batches=batches,
            command=shlex.join(words),
            say=lambda what: status.update(f"measuring {what}"),
        )
    print_summary(found)
    if not parts:
        print_whole_codec(found)
    print_parts(found["parts"], found["machine"]["platform"] == "cpu")
    if json_file is not None:
        atomic_write(json_file, json.dumps(found, indent=1).encode())
