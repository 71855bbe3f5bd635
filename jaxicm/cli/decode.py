"""`jaxicm decode`: compressed files in, pictures and clips out."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxicm.cli.options import DecoderOption, JobsOption

if TYPE_CHECKING:
    import numpy as np


def decode(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... OUTPUT", help="Files or folders, then a picture, clip or folder; - is a pipe."
        ),
    ],
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", help="Folder for the outputs; all paths are inputs then.")
    ] = None,
    suffix: Annotated[
        str, typer.Option("--suffix", help="Format of pictures or clips where the output is a folder.")
    ] = ".png",
    model: Annotated[
        str | None, typer.Option("--model", help="Weight file, for files made with weights outside the zoo.")
    ] = None,
    decoder: DecoderOption = None,
    no_clobber: Annotated[bool, typer.Option("--no-clobber", "-n", help="Skip outputs that exist.")] = False,
    jobs_at_once: JobsOption = None,
) -> None:
    """Decode compressed files to pictures.

    The suffix of the output chooses the format (PNG, TIFF, WebP, BMP and PPM without loss; JPEG and AVIF with); -
    writes PNG. Alpha and 16 bits of files made with --lossless are kept, or refused by a format that cannot hold them.
    An existing output is replaced only when the new one is complete.

    Files of `jaxicm video encode` become clips, .y4m or .mkv, without further loss.
    """
    from jaxicm.cli.decode_ahead import decoding_ahead
    from jaxicm.cli.encode import FILE_SUFFIX
    from jaxicm.cli.jobs import Job, plan_jobs, run_jobs, workers_for
    from jaxicm.cli.terminal import Terminal
    from jaxicm.cli.video import decode_to_clip
    from jaxicm.errors import OptionError
    from jaxicm.media.clips import LOSSLESS_SUFFIXES
    from jaxicm.media.exact_pictures import write_exact
    from jaxicm.media.files import read_bytes
    from jaxicm.media.pictures import FORMATS, LOSSY_FORMATS, picture_format, write_picture

    suffix = suffix if suffix.startswith(".") else f".{suffix}"
    writes = {*FORMATS, *LOSSLESS_SUFFIXES}
    jobs = plan_jobs(paths, out_dir, reads={FILE_SUFFIX}, writes=writes, what="compressed file", suffix=suffix)
    clips = {job for job in jobs if Path(job.target).suffix.lower() in LOSSLESS_SUFFIXES}
    formats = {job: picture_format(job.target) for job in jobs if job not in clips}  # unknown ones are told before work

    def work(job: Job, terminal: Terminal) -> str:
        data = read_bytes(job.source)
        if holds_clip(data, job.target, job in clips):
            if decoder is not None:
                raise OptionError(f"{job.source} holds a clip, which takes no --decoder; leave it out")
            return decode_to_clip(data, Path(job.target), model)
        start = time.perf_counter()
        found = ahead.take(job.source) if ahead is not None else None
        if found is None:
            pixels, icc, lossless = decode_bytes(data, model, decoder)
        else:
            pixels, icc, lossless = found.image, profile_of(data), False
        (write_exact if lossless else write_picture)(job.target, pixels, icc=icc)
        seconds = time.perf_counter() - start
        if formats[job] in LOSSY_FORMATS:
            terminal.note(f"{job.target}: {formats[job]} loses quality once more; PNG keeps what was decoded")
        return f"{job.target}: {pixels.shape[1]}x{pixels.shape[0]}, {seconds:.2f} s"

    pictures = [job.source for job in jobs if job not in clips and not (no_clobber and Path(job.target).exists())]
    workers = 1 if clips else workers_for(jobs_at_once)
    with decoding_ahead(pictures if decoder is None and workers > 1 else [], model) as ahead:
        run_jobs(jobs, work, verb="decoding", no_clobber=no_clobber, workers=workers)


def holds_clip(data: bytes, target: str, as_clip: bool) -> bool:
    """Say whether a file holds a clip.

    Args:
        data: the file.
        target: where its contents are to go.
        as_clip: the target is a clip.

    Raises:
        FileFormatError: it is damaged or none of ours.
        InputError: it holds a clip and the target is a picture, or the other way round.
    """
    from jaxicm.bits.container import unpack
    from jaxicm.errors import InputError
    from jaxicm.media.clips import LOSSLESS_SUFFIXES

    is_clip = unpack(data)[0].codec == "filtered"
    if is_clip and not as_clip:
        raise InputError(f"this file holds a clip, {target} is none; name {' or '.join(LOSSLESS_SUFFIXES)} as output")
    if as_clip and not is_clip:
        raise InputError(f"this file holds a picture, {target} is a clip; name .png or another picture as output")
    return is_clip


def decode_bytes(data: bytes, model: str | None, decoder: str | None = None) -> "tuple[np.ndarray, bytes | None, bool]":
    """Decode one file.

    Args:
        data: the file.
        model: name or weight file to use; None finds the weights by the digest in the file.
        decoder: for whom, "people" or "machine"; None for whom the file says.

    Returns:
        The samples, uint8 [H, W, 3] or [H, W], of a lossless file as they went in, uint8 or uint16, perhaps with alpha;
        the ICC profile or None; and whether the file is lossless.
    """
    import jaxicm
    from jaxicm.bits import container
    from jaxicm.errors import OptionError

    header, _ = container.unpack(data)  # a damaged file is told before JAX starts
    if decoder is not None and header.codec == "lossless":
        raise OptionError("--decoder is for files with loss; a lossless file holds every sample, leave it out")
    if decoder is not None and header.codec == "filtered_picture":
        raise OptionError("--decoder is for files of learned codecs; this one is a conventional codec's, leave it out")
    wanted = {} if decoder is None else {"decoder": decoder}
    if model is None:
        pixels = jaxicm.decode(data, **wanted)
    elif header.codec == "filtered_picture":
        from jaxicm.codecs import filter_weights, filtered_picture, zoo

        pixels = filtered_picture.decode_picture(data, network=filter_weights.read(zoo.find(model)))
    else:
        pixels = jaxicm.load(model).decode(data, **wanted)
    return pixels, profile_of(data), header.codec == "lossless"


def profile_of(data: bytes) -> bytes | None:
    """Return the colour profile that a file carries along."""
    from jaxicm.bits.container import SectionKind, unpack

    icc = [section.payload for section in unpack(data)[1] if section.kind == SectionKind.ICC]
    return bytes(icc[0]) if icc else None
