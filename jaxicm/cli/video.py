"""`jaxicm video` and `jaxicm extract`: clips in, small files out, and back; the conventional stream inside a file."""

import time
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from jaxicm.adapt.filter_fits import DEFAULT_FIT, FILTER_FITS, WAYS
from jaxicm.cli.options import DEFAULT_FILTER
from jaxicm.cli.video_evaluation import evaluate

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Compress clips with a filtered codec, and back.")

app.command("eval")(evaluate)


@app.command("encode")
def encode(
    source: Annotated[Path, typer.Argument(metavar="CLIP", help="MP4, MKV, Y4M or whatever else ffmpeg reads.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="File to write, .jicm.")],
    qp: Annotated[int, typer.Option("--qp", help="Of the codec: larger for a smaller file.")] = 32,
    codec: Annotated[str, typer.Option("--codec", help="vvc, hevc or av1, from ffmpeg.")] = "vvc",
    preset: Annotated[str | None, typer.Option("--preset", help="Of the codec's encoder.")] = None,
    period: Annotated[int, typer.Option("--period", help="Frames between intra pictures; 0: only the first.")] = 32,
    filter_: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="|".join(WAYS),
            help="Filter the decoded clip: as it was trained (plain), or with these parts fitted to the clip.",
        ),
    ] = DEFAULT_FIT,
    model: Annotated[str, typer.Option("--model", help="The filter: a name or a weight file.")] = DEFAULT_FILTER,
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Of the fit.")] = 400,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", help="Longest time for the fit.")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=0, help="Frames at most; 0 for all.")] = 0,
) -> None:
    """Compress a clip.

    The file holds the codec's own stream, a filter's name, and what was fitted; whatever does not pay is left out.
    """
    from jaxicm.cli.terminal import Terminal
    from jaxicm.codecs import filter_weights, filtered_clip, zoo
    from jaxicm.errors import OptionError
    from jaxicm.media.clips import read_clip
    from jaxicm.media.ffmpeg import PRESETS, FfmpegCodec
    from jaxicm.media.files import atomic_write
    from jaxicm.media.video_codec import Structure

    if filter_ not in WAYS:
        raise OptionError(f"--filter must be one of {', '.join(WAYS)}, got {filter_!r}")
    if time_limit is not None and not time_limit > 0:
        raise OptionError(f"--time-limit must be above 0 seconds, got {time_limit:g}")
    if codec not in filtered_clip.CODERS:
        raise OptionError(f"--codec must be one of {', '.join(filtered_clip.CODERS)}, got {codec!r}")
    way, begin = FILTER_FITS.get(filter_), time.perf_counter()
    coder = FfmpegCodec(cast(Any, codec), preset or PRESETS[cast(Any, codec)])
    structure = Structure(period=period)
    network = None if filter_ == "none" else filter_weights.read(zoo.find(model))
    fit = None
    if way is not None:
        from jaxicm.adapt.parameters import ParameterFit

        fit = ParameterFit(kind=way.kind, pattern=way.pattern, iterations=iterations)
    clip = read_clip(source, frames)
    with Terminal() as terminal:
        for note in clip.notes:
            terminal.note(f"{source}: {note}")
        data, facts = filtered_clip.encode_clip(
            clip,
            qp,
            coder=coder,
            name=cast(Any, codec),
            structure=structure,
            network=network,
            fit=fit,
            limit_s=time_limit,
            progress=terminal.show_adapting,
        )
    atomic_write(target, data)
    count, rate = len(clip.frames), 8 * len(data) / 1000 / (len(clip.frames) / clip.rate)
    parts = [f"{len(data):,} bytes", f"{count} frames, {float(rate):.1f} kbit/s"]
    if network is not None:
        gain = 1 - min(facts.costs) / max(facts.costs[0], 1e-9)
        update = f" and {facts.update_bytes} bytes of changes" if facts.update_bytes else ""
        parts.append(f"filter{update}: squared error -{100 * gain:.1f} %" if facts.filtered else "no filter: none pays")
    print(f"{target}: {', '.join(parts)}, {time.perf_counter() - begin:.1f} s")


@app.command("decode")
def decode(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `jaxicm video encode`.")],
    target: Annotated[Path, typer.Argument(metavar="CLIP", help="Clip to write without loss, .y4m or .mkv.")],
    unfiltered: Annotated[bool, typer.Option("--unfiltered", help="Show what any decoder of the codec shows.")] = False,
) -> None:
    """Decode a clip."""
    from jaxicm.errors import OptionError
    from jaxicm.media.clips import LOSSLESS_SUFFIXES
    from jaxicm.media.files import read_bytes

    if target.suffix.lower() not in LOSSLESS_SUFFIXES:
        raise OptionError(f"{target}: clips are written as {' or '.join(LOSSLESS_SUFFIXES)} (lossless)")
    print(decode_to_clip(read_bytes(source), target, filtered=not unfiltered))


def decode_to_clip(data: bytes, target: Path, model: str | None = None, *, filtered: bool = True) -> str:
    """Decode a file of `jaxicm video encode` and write the clip.

    Args:
        data: the file.
        target: of a suffix of `media.clips.LOSSLESS_SUFFIXES`.
        model: name or weight file of the filter; None finds it by the digest in the file.
        filtered: apply the filter that the file names.

    Returns:
        The line to print.
    """
    from jaxicm.codecs import filter_weights, zoo
    from jaxicm.codecs.filtered_clip import decode_clip
    from jaxicm.media.clips import write_clip

    begin = time.perf_counter()
    network = None if model is None else filter_weights.read(zoo.find(model))
    clip = decode_clip(data, network=network, filtered=filtered)
    write_clip(target, clip.frames, clip.form, clip.rate, full_range=clip.full_range)
    seconds = time.perf_counter() - begin
    return f"{target}: {len(clip.frames)} frames of {clip.form.width}x{clip.form.height}, {seconds:.1f} s"


def extract(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of `jaxicm video encode` or `jaxicm encode --codec`.")
    ],
    target: Annotated[Path, typer.Argument(metavar="STREAM", help="Elementary stream to write: .vvc, .hevc, .obu.")],
) -> None:
    """Write the conventional stream of a file, which any decoder of that codec plays (without the filter)."""
    from jaxicm.bits.container import unpack
    from jaxicm.cli.jobs import naming
    from jaxicm.codecs import filtered_clip, filtered_picture
    from jaxicm.errors import InputError
    from jaxicm.media.files import atomic_write, read_bytes

    data = read_bytes(source)
    with naming(str(source)):
        codec = unpack(data)[0].codec
        if codec == filtered_picture.CODEC_NAME:
            stream, name = filtered_picture.extract_stream(data)
        elif codec == filtered_clip.CODEC_NAME:
            stream, name = filtered_clip.extract_stream(data)
        else:
            raise InputError("this file holds no stream of a conventional codec; `jaxicm decode` makes a picture of it")
    atomic_write(target, stream)
    print(f"{target}: {len(stream):,} bytes of {name.upper()}")
