"""`jaxicm video eval`: filters behind a conventional codec measured on clips, and their BD-rates over no filter."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from jaxicm.adapt.filter_fits import WAYS
from jaxicm.cli.options import DEFAULT_FILTER

if TYPE_CHECKING:
    from jaxicm.evaluate.clip_run import ClipPoint


def evaluate(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Files that ffmpeg reads.")],
    qps: Annotated[str, typer.Option("--qps", help="Of the codec, separated by commas.")] = "22,27,32,37",
    filters: Annotated[
        str, typer.Option("--filters", help=f"Ways to compare, separated by commas: {', '.join(WAYS)}.")
    ] = "none,plain,bias,bias_last",
    codec: Annotated[str, typer.Option("--codec", help="vvc, hevc or av1, from ffmpeg.")] = "vvc",
    model: Annotated[str, typer.Option("--model", help="The filter: a name or a weight file.")] = DEFAULT_FILTER,
    period: Annotated[int, typer.Option("--period", help="Frames between intra pictures; 0: only the first.")] = 32,
    frames: Annotated[int, typer.Option("--frames", min=0, help="Frames at most; 0 for all.")] = 0,
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Of a fit.")] = 400,
    keep: Annotated[Path | None, typer.Option("--keep", help="Folder that keeps streams for the next time.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run file (.json); the same command goes on.")] = None,
) -> None:
    """Measure a filter on clips: whole files, decoded; BD-rate of luma and of YUV 6:1:1 over no filter."""
    from jaxicm.cli.terminal import Terminal
    from jaxicm.cli.values import parse_numbers
    from jaxicm.codecs import filter_weights, filtered_clip, zoo
    from jaxicm.errors import OptionError
    from jaxicm.evaluate.clip_run import ClipSettings, run
    from jaxicm.media.ffmpeg import default_codec
    from jaxicm.media.stream_cache import CachedCodec

    ways = tuple(word.strip() for word in filters.split(",") if word.strip())
    if unknown := set(ways) - set(WAYS):
        raise OptionError(f"--filters must be of {', '.join(WAYS)}, got {sorted(unknown)[0]!r}")
    if codec not in filtered_clip.CODERS:
        raise OptionError(f"--codec must be one of {', '.join(filtered_clip.CODERS)}, got {codec!r}")
    name: Any = codec
    values = tuple(int(qp) for qp in parse_numbers(qps, "--qps"))
    settings = ClipSettings(name, values, ways, frames, period, iterations)
    network = filter_weights.read(zoo.find(model)) if set(ways) - {"none"} else None
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(Terminal())
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jaxicm-")))
        coder = CachedCodec(default_codec(name), folder)
        points = run(clips, settings, coder, network, out, tell, terminal.show_adapting)
    print_rates(points, ways)


def tell(point: "ClipPoint") -> None:
    """Print a point as a line."""
    changes = f", {point.update_bytes} bytes of changes" if point.update_bytes else ""
    print(
        f"{point.clip} QP {point.qp} {point.way}: {point.file_bytes:,} bytes{changes}, Y {point.psnr_y:.3f} dB, YUV"
        f" {point.psnr_yuv:.3f} dB, {point.encode_s:.1f} s",
        flush=True,
    )


def print_rates(points: Sequence["ClipPoint"], ways: Sequence[str]) -> None:
    """Print BD-rates over no filter, of each clip and in the mean."""
    from jaxicm.cli.terminal import print_table
    from jaxicm.evaluate.clip_run import bd_rates

    rows = []
    for way in ways:
        rates = [bd_rates(points, way, quality) for quality in ("psnr_y", "psnr_yuv")]
        if way == "none" or not rates[0]:
            continue
        names = cast(list[Any], [*rates[0], "mean"])
        for each in rates:
            each["mean"] = sum(each.values()) / len(each)
        rows += [(f"{way}, {name}", *(f"{each[name]:+.2f} %" for each in rates)) for name in names]
    if rows:
        print_table("BD-rate over no filter, changes included", ("filter, clip", "PSNR Y", "PSNR YUV 6:1:1"), rows)
