"""`jaxicm encode`: pictures in, small files out."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jaxicm.codecs.image import ImageCodec

FILE_SUFFIX = ".jicm"
DEFAULT_MODEL = "fast"


def encode(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="INPUT... OUTPUT", help="Pictures or folders, then a file or folder; - is a pipe."),
    ],
    quality: Annotated[float | None, typer.Option("--quality", "-q", help="1 to 100 (default 50).")] = None,
    bpp: Annotated[float | None, typer.Option("--bpp", help="Bits per pixel to reach.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="File size to reach: 40000, 40kB, 1.5MB, 64KiB.")] = None,
    psnr: Annotated[float | None, typer.Option("--psnr", help="PSNR in dB to reach.")] = None,
    model: Annotated[str, typer.Option("--model", help="Name from `jaxicm models`, or a weight file.")] = DEFAULT_MODEL,
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", help="Folder for the outputs; all paths are inputs then.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Decode what was written and compare.")] = False,
    background: Annotated[str, typer.Option("--background", help="Colour behind transparent pictures.")] = "white",
    no_clobber: Annotated[bool, typer.Option("--no-clobber", "-n", help="Skip outputs that exist.")] = False,
) -> None:
    """Compress pictures to small files.

    PNG, JPEG, WebP, AVIF, TIFF and whatever else Pillow reads. Transparent pictures are blended on --background, 16 bit
    is rounded to 8. An existing output is replaced only when the new one is complete.
    """
    from jaxicm.bits.container import MAGIC
    from jaxicm.cli.jobs import Job, plan_jobs, run_jobs
    from jaxicm.cli.terminal import Terminal
    from jaxicm.cli.values import choose_target, parse_colour
    from jaxicm.errors import InputError
    from jaxicm.evaluate.metrics import psnr as measure_psnr
    from jaxicm.media.colour_profile import is_srgb
    from jaxicm.media.files import PICTURE_SUFFIXES, read_bytes, source_name, write_bytes
    from jaxicm.media.pictures import read_picture

    target = choose_target(quality, bpp, size, psnr)
    colour = parse_colour(background)
    jobs = plan_jobs(paths, out_dir, reads=PICTURE_SUFFIXES, writes={FILE_SUFFIX}, what="picture", suffix=FILE_SUFFIX)

    @functools.cache  # after the first picture has been read: bad input is told without waiting for JAX
    def codec() -> "ImageCodec":
        import jaxicm

        return jaxicm.load(model)

    def work(job: Job, terminal: Terminal) -> str:
        data = read_bytes(job.source)
        if data.startswith(MAGIC):
            raise InputError(f"{job.source}: this is a compressed file already; `jaxicm decode` makes a picture of it")
        picture = read_picture(data, background=colour, name=source_name(job.source))
        for note in picture.notes:
            terminal.note(f"{job.source}: {note}")
        start = time.perf_counter()
        icc = None if is_srgb(picture.icc) else picture.icc  # a file without a profile is sRGB
        result = codec().encode_detail(picture.pixels, **target, verify=verify, icc=icc)
        write_bytes(job.target, result.data)
        seconds = time.perf_counter() - start
        height, width = picture.pixels.shape[:2]
        parts = [f"{len(result.data):,} bytes", f"{8 * len(result.data) / (height * width):.4f} bpp"]
        parts.append(f"quality {result.quality:g}")
        if result.reconstruction is not None:
            parts.append(f"PSNR {measure_psnr(picture.pixels, result.reconstruction):.2f} dB")
        parts += ["verified"] if verify else []
        return f"{job.target}: {', '.join(parts)}, {width}x{height}, {seconds:.2f} s"

    run_jobs(jobs, work, verb="encoding", no_clobber=no_clobber)
