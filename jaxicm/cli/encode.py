"""`jaxicm encode`: pictures in, small files out."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from jaxicm.cli.options import DecoderOption, JobsOption, TuneOption

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from jaxicm.cli.jobs import Job
    from jaxicm.cli.terminal import Terminal
    from jaxicm.cli.values import Target
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.codecs.lossless import LosslessCodec

FILE_SUFFIX = ".jicm"
DEFAULT_MODEL = "fast"
VIEWERS = ("people", "machine")
DEFAULT_LOSSLESS_MODEL = "lossless_fast"
DEFAULT_BACKGROUND = "white"


def encode(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="INPUT... OUTPUT", help="Pictures or folders, then a file or folder; - is a pipe."),
    ],
    quality: Annotated[float | None, typer.Option("--quality", "-q", help="1 to 100 (default 50).")] = None,
    bpp: Annotated[float | None, typer.Option("--bpp", help="Bits per pixel to reach.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="File size to reach: 40000, 40kB, 1.5MB, 64KiB.")] = None,
    psnr: Annotated[float | None, typer.Option("--psnr", help="PSNR in dB to reach.")] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every sample, also alpha and 16 bits; no target goes with it.")
    ] = False,
    effort: Annotated[
        int,
        typer.Option(
            "--effort", min=0, max=9, help="How long each file is adapted to its picture: 0 not at all, 9 longest."
        ),
    ] = 0,
    tune: TuneOption = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit", metavar="SECONDS", help="With --effort: longest time for adapting to one picture."
        ),
    ] = None,
    stages: Annotated[
        Path | None,
        typer.Option(
            "--stages",
            metavar="FILE",
            help="In place of --effort: Python file whose function config() returns the stages of the adaptation.",
        ),
    ] = None,
    viewer: Annotated[
        str,
        typer.Option(
            "--for", metavar="people|machine", help="Who looks at the picture: chooses the lossy weights and --tune."
        ),
    ] = "people",
    decoder: DecoderOption = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "--scale",
            metavar="PERCENT",
            help="Code a smaller picture, the decoder enlarges it again: pays at low rates, and for machines.",
        ),
    ] = None,
    keep_rgb: Annotated[
        bool,
        typer.Option(
            "--keep-rgb", help="With --lossless: do not look whether RGB came out of a JPEG or PhotoCD decoder."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help=f"Name from `jaxicm models`, or a weight file; by default {DEFAULT_MODEL},"
            f" with --lossless {DEFAULT_LOSSLESS_MODEL}. A lossless one implies --lossless. With --codec the filters.",
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec", metavar="vvc|hevc|av1", help="In place of a learned codec: one of ffmpeg, and a filter."
        ),
    ] = None,
    qp: Annotated[
        int | None, typer.Option("--qp", help="With --codec: larger for a smaller file (default 32).")
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="content|plain|none",
            help="With --codec: a filter of a set for each block (default if installed), a single one, or none.",
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option("--block", help="With --codec: side of a block (default 128); 0 for one filter a picture."),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", help="Folder for the outputs; all paths are inputs then.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Decode what was written and compare.")] = False,
    background: Annotated[
        str | None,
        typer.Option("--background", help=f"Colour behind transparent pictures (default {DEFAULT_BACKGROUND})."),
    ] = None,
    no_clobber: Annotated[bool, typer.Option("--no-clobber", "-n", help="Skip outputs that exist.")] = False,
    jobs_at_once: JobsOption = None,
) -> None:
    """Compress pictures to small files.

    PNG, JPEG, WebP, AVIF, TIFF and whatever else Pillow reads. Transparent pictures are blended on --background, 16 bit
    is rounded to 8; with --lossless both are kept. An existing output is replaced only when the new one is complete.

    Drawings, screens and flat pictures are kept without loss where that costs less.

    With --effort the encoder adapts each file to its picture, which makes it smaller or better at the same quality;
    decoding stays as fast. --tune, --time-limit and --stages belong to that, for files with loss.

    The file says who is to see it (--decoder): with the same bytes the weights may have a decoder for people and one
    for machines, and `jaxicm decode --decoder` may choose the other one.

    --for machine takes installed weights that were trained for detectors, or fast; adapting to detectors (--effort)
    needs the weights of task networks in the folder that JAXICM_TASKS names.

    With --codec the file holds the stream of a conventional codec, which `jaxicm extract` takes out, and which of
    several filters each block has; whatever does not pay is left out. Filters for machines (--for machine) are chosen
    by task networks (JAXICM_TASKS).
    """
    from jaxicm.cli.jobs import plan_jobs, run_jobs, workers_for
    from jaxicm.cli.model_kind import wants_lossless
    from jaxicm.cli.stages import choose_effort
    from jaxicm.cli.values import choose_target, parse_colour, parse_tune
    from jaxicm.codecs.image_file import FULL_SCALE
    from jaxicm.errors import OptionError
    from jaxicm.media.files import PICTURE_SUFFIXES

    given = {"--quality": quality, "--bpp": bpp, "--size": size, "--psnr": psnr, "--background": background}
    given |= {"--tune": tune, "--time-limit": time_limit, "--stages": stages}
    given |= {"--decoder": decoder, "--scale": scale}
    if viewer not in VIEWERS:
        raise OptionError(f"--for must be {' or '.join(VIEWERS)}, got {viewer!r}")
    if viewer != "people":
        given["--for"] = viewer
        if model is not None and codec is None:
            raise OptionError(
                f"--for {viewer} and --model exclude each other; `jaxicm models` says what weights are for"
            )
    conventional = {"--qp": qp, "--filter": filter_, "--block": block}
    if codec is not None:
        from jaxicm.cli.encode_conventional import conventional_work

        given |= {"--lossless": lossless or None, "--effort": effort or None, "--keep-rgb": keep_rgb or None}
        others = [name for name, value in given.items() if value is not None and name not in ("--background", "--for")]
        work = conventional_work(
            codec,
            qp=qp,
            filter_=filter_,
            model=model,
            viewer=viewer,
            block=block,
            background=parse_colour(background or DEFAULT_BACKGROUND),
            verify=verify,
            others=others,
        )
    elif any(value is not None for value in conventional.values()):
        name = next(name for name, value in conventional.items() if value is not None)
        raise OptionError(f"{name} goes with --codec; leave it out or add --codec vvc")
    elif wants_lossless(lossless, model, [name for name, value in given.items() if value is not None]):
        work = _lossless_work(model or DEFAULT_LOSSLESS_MODEL, verify, effort, keep_rgb)
    else:
        if keep_rgb:
            raise OptionError("--keep-rgb goes with --lossless; leave one out or add the other")
        how = choose_effort(effort, stages, tune=tune, time_limit_s=time_limit)
        chosen, objective = model or DEFAULT_MODEL, parse_tune(tune)
        if viewer == "machine":
            chosen, objective = _for_machines(objective, adapts=bool(how))
        options = {
            "effort": how,
            "tune": objective,
            "time_limit_s": time_limit,
            "scale": FULL_SCALE if scale is None else scale,
        }
        target, colour = choose_target(quality, bpp, size, psnr), parse_colour(background or DEFAULT_BACKGROUND)
        work = _lossy_work(chosen, decoder, target, colour, verify, options)
    jobs = plan_jobs(paths, out_dir, reads=PICTURE_SUFFIXES, writes={FILE_SUFFIX}, what="picture", suffix=FILE_SUFFIX)
    # What looks for the best file keeps all processors busy by itself.
    alone = bool(effort or stages or codec)
    workers = workers_for(jobs_at_once or (1 if alone else None))
    run_jobs(jobs, work, verb="encoding", no_clobber=no_clobber, workers=workers)


def _for_machines(objective: str | None, *, adapts: bool) -> tuple[str, str | None]:
    """Return weights and objective for machines: weights trained for them, or others that are adapted."""
    from jaxicm.cli.model_kind import find_machine_model
    from jaxicm.cli.terminal import Terminal
    from jaxicm.objectives.machine import MACHINE

    if found := find_machine_model():
        return found, objective
    how = "adapted to task networks" if adapts else "add --effort to adapt it to task networks"
    Terminal().note(f"no weights trained for machines are installed, {DEFAULT_MODEL} is taken: {how}")
    return DEFAULT_MODEL, (objective or MACHINE) if adapts else objective


def _lossy_work(
    model: str,
    decoder: str | None,
    target: "Target",
    background: tuple[int, int, int],
    verify: bool,
    options: dict[str, Any],
) -> "Callable[[Job, Terminal], str]":
    """Return what encodes one picture with loss."""
    from jaxicm.cli.terminal import cost_change
    from jaxicm.evaluate.metrics import psnr as measure_psnr
    from jaxicm.media.files import source_name, write_bytes
    from jaxicm.media.pictures import read_picture

    @functools.cache  # after the first picture has been read: bad input is told without waiting for JAX
    def codec() -> "ImageCodec":
        import jaxicm

        found = cast("ImageCodec", jaxicm.load(model))
        return found if decoder is None else found.for_viewer(decoder)

    def work(job: "Job", terminal: "Terminal") -> str:
        picture = read_picture(read_input(job), background=background, name=source_name(job.source))
        tell(job, picture.notes, terminal)
        start = time.perf_counter()
        icc, progress = kept_profile(picture.icc), terminal.show_adapting
        result = codec().encode_detail(picture.pixels, **target, **options, verify=verify, icc=icc, progress=progress)
        write_bytes(job.target, result.data)
        seconds = time.perf_counter() - start
        parts = [size_text(result.data, picture.pixels)]
        parts += ["without loss, which costs less"] if result.plain else [f"quality {result.quality:g}"]
        if result.adapted is not None:
            start, cost = result.adapted.start, result.adapted.cost
            parts.append(cost_change(cost / start if start else 1.0))
            if not result.adapted.iterations and options["time_limit_s"] is not None:
                text = "--time-limit ended before the first iteration; compiling counts, once for each size of pictures"
                terminal.note(f"{job.source}: {text}")
        if result.reconstruction is not None and not result.plain:
            parts.append(f"PSNR {measure_psnr(picture.pixels, result.reconstruction):.2f} dB")
        return result_line(job, parts, verify, picture.pixels, seconds)

    return work


def _lossless_work(model: str, verify: bool, effort: int, keep_rgb: bool) -> "Callable[[Job, Terminal], str]":
    """Return what encodes one picture without loss."""
    from jaxicm.media.exact_pictures import read_exact
    from jaxicm.media.files import source_name, write_bytes

    @functools.cache
    def codec() -> "LosslessCodec":
        import jaxicm

        return cast("LosslessCodec", jaxicm.load(model))

    def work(job: "Job", terminal: "Terminal") -> str:
        picture = read_exact(read_input(job), name=source_name(job.source))
        tell(job, picture.notes, terminal)
        start = time.perf_counter()
        icc, progress = kept_profile(picture.icc), terminal.show_fitting
        result = codec().encode_detail(
            picture.samples, effort=effort, keep_rgb=keep_rgb, verify=verify, icc=icc, progress=progress
        )
        write_bytes(job.target, result.data)
        seconds = time.perf_counter() - start
        parts = [size_text(result.data, picture.samples), f"{8 * len(result.data) / picture.samples.size:.4f} bpsp"]
        parts += [f"colours from {result.origin}"] if result.origin else []
        parts += [] if result.mode == "learned" else [f"mode {result.mode}"]
        return result_line(job, parts, verify, picture.samples, seconds)

    return work


def read_input(job: "Job") -> bytes:
    """Read an input.

    Raises:
        InputError: it cannot be read, or is compressed already.
    """
    from jaxicm.bits.container import MAGIC
    from jaxicm.errors import InputError
    from jaxicm.media.files import read_bytes

    data = read_bytes(job.source)
    if data.startswith(MAGIC):
        raise InputError(f"{job.source}: this is a compressed file already; `jaxicm decode` makes a picture of it")
    return data


def tell(job: "Job", notes: tuple[str, ...], terminal: "Terminal") -> None:
    """Print remarks about an input."""
    for note in notes:
        terminal.note(f"{job.source}: {note}")


def kept_profile(icc: bytes | None) -> bytes | None:
    """Return the profile that a file carries: none of sRGB."""
    from jaxicm.media.colour_profile import is_srgb

    return None if is_srgb(icc) else icc  # a file without a profile is sRGB


def size_text(data: bytes, samples: "np.ndarray") -> str:
    """Say how large a file is, in bytes and bits per pixel."""
    height, width = samples.shape[:2]
    return f"{len(data):,} bytes, {8 * len(data) / (height * width):.4f} bpp"


def result_line(job: "Job", parts: list[str], verified: bool, samples: "np.ndarray", seconds: float) -> str:
    """Return the line that is printed about a picture that was encoded."""
    height, width = samples.shape[:2]
    parts = parts + (["verified"] if verified else [])
    return f"{job.target}: {', '.join(parts)}, {width}x{height}, {seconds:.2f} s"
