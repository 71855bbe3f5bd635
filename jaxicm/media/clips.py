"""Clips: read from whatever ffmpeg reads, written as YUV4MPEG2 (.y4m) or, losslessly, as FFV1 (.mkv).

Frames are kept as planes of 4:2:0 in the range and matrix that the file has: a filter or a codec of planes need not
know them, and `Clip.full_range` carries the range along. Audio and subtitles are left behind, and said so.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from jaxicm.errors import CorruptFile, InputError, JaxicmError, MissingDependency, OptionError
from jaxicm.media.ffmpeg import programs
from jaxicm.media.files import atomic_write, read_bytes
from jaxicm.media.measured_process import run_measured
from jaxicm.media.yuv import PlanarFormat, Planes, frames_from_bytes, frames_to_bytes

MAGIC = b"YUV4MPEG2 "
_FRAME = b"FRAME"
_LONGEST_HEADER = 4096
_CHROMA = {
    "420": ("420", 8), "420jpeg": ("420", 8), "420mpeg2": ("420", 8), "420paldv": ("420", 8), "420p10": ("420", 10),
}  # fmt: skip
LOSSLESS_SUFFIXES = (".y4m", ".mkv")
"""What clips are written as."""
SUFFIXES = (".y4m", ".mkv", ".mp4", ".mov", ".webm", ".avi")
"""By which files are known as clips where pictures could be meant as well."""


@dataclass(frozen=True)
class Clip:
    """A clip in memory.

    Attributes:
        frames: planes of `form`, in the order of display, at least one.
        form: 4:2:0 of 8 or 10 bits.
        rate: frames a second.
        full_range: luma from 0 to the peak; without, from 16 to 235 (of 8 bits), as most video.
        notes: remarks for the user.
    """

    frames: list[Planes]
    form: PlanarFormat
    rate: Fraction
    full_range: bool = False
    notes: tuple[str, ...] = ()


def read_clip(path: Path | str, limit: int = 0) -> Clip:
    """Read the first video stream of a file.

    Args:
        path: of the file.
        limit: frames at most; 0 reads all.

    Returns:
        The clip; of 10 bits where the file has more than 8.

    Raises:
        InputError: the file is missing, damaged or holds no video.
        MissingDependency: no ffmpeg program is installed, and the file is not .y4m.
    """
    if _is_y4m(path):
        return parse_y4m(read_bytes(path), str(path), limit)
    program = next(programs(), None)
    if program is None:
        raise MissingDependency("clips need ffmpeg: pip install 'jaxicm[anchors]'")
    described = _describe(program, path)
    bits = "10le" if _is_deep(described.video) else ""
    with tempfile.TemporaryDirectory(prefix="jaxicm-") as folder:
        target = Path(folder, "clip.y4m")
        words = ["-nostdin", "-hide_banner", "-y", "-v", "error", "-i", path, "-map", "0:v:0"]
        words += ["-fps_mode", "passthrough", *(("-frames:v", str(limit)) if limit else ())]
        words += ["-pix_fmt", f"yuv420p{bits}", "-strict", "-1", "-f", "yuv4mpegpipe", target]
        try:
            run_measured([program, *words], "ffmpeg")
        except JaxicmError as error:
            raise InputError(f"{path}: cannot be read as a clip ({error})") from error
        clip = parse_y4m(target.read_bytes(), str(path), limit)
    return Clip(clip.frames, clip.form, clip.rate, described.full_range, described.notes)


def _is_y4m(path: Path | str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the name") from error


@dataclass(frozen=True)
class _Described:
    video: str
    full_range: bool
    notes: tuple[str, ...]


def _is_deep(described: str) -> bool:
    """Say whether the pixel format, the word after the codec, has more than 8 bits: yuv420p10le, p010le, gbrp12be."""
    format_ = re.search(r"^[^,(]*(?:\([^)]*\)[^,(]*)*, (\w+)", described)
    name = format_[1] if format_ else ""
    return re.search(r"(?<!nv)(?:9|1[0-6]|48|64)(?:le|be)?$", name) is not None


def _describe(program: str, path: Path | str) -> _Described:
    """Ask ffmpeg what a file holds; it answers on its way to an error, for want of an output."""
    done = subprocess.run(
        [program, "-hide_banner", "-nostdin", "-i", str(path)], capture_output=True, text=True, errors="replace"
    )
    streams = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("Stream #")]
    videos = [line for line in streams if " Video: " in line and "(attached pic)" not in line]
    if not videos:
        reason = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise InputError(f"{path}: holds no video that ffmpeg reads ({reason[0].strip()})")
    others = {"audio": " Audio: ", "subtitles": " Subtitle: "}
    notes = [f"{word} left out" for word, kind in others.items() if any(kind in line for line in streams)]
    if len(videos) > 1:
        notes.append(f"the first of {len(videos)} video streams is taken")
    mean, base = (re.search(rf"([\d.]+)(k?) {unit}\b", videos[0]) for unit in ("fps", "tbr"))
    if mean and base and abs(float(mean[1]) / float(base[1]) - 1) > 0.01 and not mean[2] and not base[2]:
        notes.append(f"the frame rate varies: frames are kept, their times become even ({base[1]} a second)")
    return _Described(videos[0].split(" Video: ", 1)[1], "(pc" in videos[0] or "yuvj" in videos[0], tuple(notes))


def parse_y4m(data: bytes, name: str, limit: int = 0) -> Clip:
    """Parse a YUV4MPEG2 file.

    Args:
        data: of the file.
        name: of the file, in messages.
        limit: frames at most; 0 takes all.

    Raises:
        InputError: it is none, damaged, or of another chroma format than 4:2:0.
    """
    end = data.find(b"\n", 0, _LONGEST_HEADER)
    words = data[:end].decode("ascii", "replace").split(" ") if end > 0 and data.startswith(MAGIC) else []
    fields = {word[0]: word[1:] for word in words[1:] if word and word[0] != "X"}
    extra = [word[1:] for word in words[1:] if word.startswith("X")]
    try:
        chroma, bits = _CHROMA[fields.get("C", "420")]
        form = PlanarFormat(int(fields["H"]), int(fields["W"]), chroma, bits)  # type: ignore[arg-type]
        rate = Fraction(*map(int, fields.get("F", "25:1").split(":")))
        if rate <= 0:
            raise ValueError(f"rate {rate}")
    except (KeyError, ValueError, ZeroDivisionError, TypeError, InputError) as error:
        raise InputError(f"{name}: no YUV4MPEG2 file of 4:2:0 and 8 or 10 bits ({error}); convert it") from error
    position, frames = end + 1, []
    while position < len(data) and (not limit or len(frames) < limit):
        start = data.find(b"\n", position, position + _LONGEST_HEADER)
        if start < 0 or not data.startswith(_FRAME, position) or start + 1 + form.frame_bytes > len(data):
            raise InputError(f"{name}: damaged after {len(frames)} frames; get an intact copy of the file")
        frames += frames_from_bytes(data[start + 1 : start + 1 + form.frame_bytes], form)
        position = start + 1 + form.frame_bytes
    if not frames:
        raise InputError(f"{name}: holds no frame")
    return Clip(frames, form, rate, "COLORRANGE=FULL" in extra)


def y4m(frames: Sequence[Planes], form: PlanarFormat, rate: Fraction, *, full_range: bool = False) -> bytes:
    """Return the contents of a YUV4MPEG2 file.

    Args:
        frames: planes of `form`, 4:2:0.
        form: of the frames.
        rate: frames a second.
        full_range: of luma.
    """
    tag = "420jpeg" if form.bits == 8 else "420p10 XYSCSS=420P10"
    level = "FULL" if full_range else "LIMITED"
    head = f"YUV4MPEG2 W{form.width} H{form.height} F{rate.numerator}:{rate.denominator} Ip A1:1 C{tag}"
    parts = [f"{head} XCOLORRANGE={level}\n".encode()]
    for planes in frames:
        parts += [b"FRAME\n", frames_to_bytes([planes], form)]
    return b"".join(parts)


def write_clip(
    path: Path | str, frames: Sequence[Planes], form: PlanarFormat, rate: Fraction, *, full_range: bool = False
) -> None:
    """Write a clip without loss: .y4m as it is, .mkv as FFV1.

    Args:
        path: of the file to create or replace.
        frames, form, rate, full_range: as of `y4m`.

    Raises:
        OptionError: for another suffix.
        MissingDependency: no ffmpeg program is installed, for .mkv.
        OutputError: the file cannot be written.
    """
    data = y4m(frames, form, rate, full_range=full_range)
    match Path(path).suffix.lower():
        case ".y4m":
            atomic_write(path, data)
        case ".mkv":
            program = next(programs(), None)
            if program is None:
                raise MissingDependency(".mkv needs ffmpeg: pip install 'jaxicm[anchors]', or write .y4m")
            with tempfile.TemporaryDirectory(prefix="jaxicm-") as folder:
                source, target = Path(folder, "clip.y4m"), Path(folder, "clip.mkv")
                source.write_bytes(data)
                words = ["-nostdin", "-hide_banner", "-y", "-v", "error", "-i", source, "-c:v", "ffv1"]
                run_measured([program, *words, "-color_range", "pc" if full_range else "tv", target], "ffmpeg")
                if not target.is_file():
                    raise CorruptFile("ffmpeg: it wrote nothing and named no error")
                atomic_write(path, target.read_bytes())
        case suffix:
            raise OptionError(f"{path}: clips are written as .y4m or .mkv (lossless), not as {suffix or 'that'}")
