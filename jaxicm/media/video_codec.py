"""What a video codec is here: frames of planes in, a stream out, and back. A still picture is a clip of one frame."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jaxicm.errors import CorruptFile, InputError, JaxicmError, OptionError
from jaxicm.media.measured_process import run_measured
from jaxicm.media.yuv import PlanarFormat, Planes, frames_from_bytes


@dataclass(frozen=True)
class Stream:
    """Hold a coded clip.

    Attributes:
        data: the whole elementary stream, its parameter sets included.
        cpu_s: CPU seconds of the encoder's process.
        qps: that the encoder gave the frames, in the order of display: some steps around the QP that it was told.
            None where it does not say.
    """

    data: bytes
    cpu_s: float
    qps: tuple[int, ...] | None = None


@dataclass(frozen=True)
class DecodedClip:
    """Hold a decoded clip.

    Attributes:
        frames: in the order of display.
        cpu_s: CPU seconds of the decoder's process.
    """

    frames: list[Planes]
    cpu_s: float


@dataclass(frozen=True)
class Structure:
    """Say which pictures of a clip are intra pictures and what the others refer to.

    Attributes:
        period: pictures from one intra picture to the next; 1 makes all of them intra, 0 only the first.
        low_delay: refer to earlier pictures only.
        rate_hz: pictures a second.
    """

    period: int = 1
    low_delay: bool = False
    rate_hz: int = 30

    def __post_init__(self) -> None:
        if self.period < 0 or self.rate_hz < 1:
            raise OptionError(f"period >= 0 and rate_hz >= 1 expected, got {self.period} and {self.rate_hz}")


INTRA = Structure()


class VideoCodec(Protocol):
    """Encode and decode clips; `jaxicm.media.ffmpeg.FfmpegCodec` and `jaxicm.media.vtm.VtmCodec` do."""

    @property
    def title(self) -> str:
        """The codec as printed."""
        ...

    @property
    def qps(self) -> tuple[int, int]:
        """Lowest and highest QP."""
        ...

    @property
    def chromas(self) -> tuple[str, ...]:
        """The chroma formats that it takes."""
        ...

    def missing(self) -> str | None:
        """Return None where the codec can run, or one line that says how to install it."""
        ...

    def version(self) -> dict[str, str]:
        """Return what fixes the bytes: version of the program and options of the encoder."""
        ...

    def encode(self, frames: Sequence[Planes], form: PlanarFormat, qp: int, structure: Structure = INTRA) -> Stream:
        """Encode a clip.

        Args:
            frames: at least one, planes of `form`.
            form: of the frames, of any size; odd and very small sides are padded by repetition of the edge.
            qp: within `qps`.
            structure: of the intra pictures and references.

        Returns:
            The stream and the CPU seconds.

        Raises:
            InputError: no frame, or frames of another format.
            OptionError: QP out of range, or a chroma format that the codec does not take.
            MissingDependency: the codec is not installed.
            JaxicmError: the encoder failed.
        """
        ...

    def decode(self, data: bytes, form: PlanarFormat) -> DecodedClip:
        """Decode a stream of `encode`.

        Args:
            data: the stream.
            form: as given to `encode`.

        Returns:
            The frames and the CPU seconds.

        Raises:
            CorruptFile: the stream does not hold whole frames of this format.
            MissingDependency: the codec is not installed.
        """
        ...


_FRAME = re.compile(r"\bPOC\s+(\d+)\s.*?-SLICE, QP\s+(-?\d+)")
"""What libvvenc and VTM print of a frame: its place in the order of display and its QP."""


def printed_qps(text: str, count: int) -> tuple[int, ...] | None:
    """Read the QPs of the frames from what an encoder of VVC printed.

    Args:
        text: all that it printed.
        count: of the frames.

    Returns:
        QPs in the order of display; None where they are not told, of each frame once.
    """
    found = [(int(place), int(qp)) for place, qp in _FRAME.findall(text)]
    if sorted(place for place, _ in found) != list(range(count)):
        return None
    return tuple(qp for _, qp in sorted(found))


def check_clip(codec: VideoCodec, frames: Sequence[Planes], form: PlanarFormat, qp: int) -> None:
    """Refuse what a codec does not take.

    Raises:
        InputError: no frame.
        OptionError: QP out of range or not whole, or a chroma format that the codec does not take.
    """
    if not frames:
        raise InputError(f"{codec.title}: a clip has at least one frame, got none")
    low, high = codec.qps
    if not low <= qp <= high or qp != int(qp):
        raise OptionError(f"{codec.title}: QP must be a whole number from {low} to {high}, got {qp:g}")
    if form.chroma not in codec.chromas:
        raise OptionError(
            f"{codec.title}: chroma {form.chroma} is not supported; choose from {', '.join(codec.chromas)}"
        )


def run_decoder(
    command: Sequence[str | Path], target: Path, title: str, form: PlanarFormat, coded_form: PlanarFormat
) -> tuple[list[Planes], float]:
    """Run the program of a decoder and read the frames that it wrote.

    Args:
        command: program and arguments.
        target: raw file that it writes.
        title: of the codec, for messages.
        form: of the clip, for messages.
        coded_form: of the frames in `target`.

    Returns:
        Frames of `coded_form`, at least one, and the CPU seconds.

    Raises:
        InputError: the program cannot be started.
        CorruptFile: it failed, or what it wrote is not whole frames.
    """
    try:
        cpu_s = run_measured(command, "decoder")
    except InputError:  # it cannot be started
        raise
    except JaxicmError as error:
        raise CorruptFile(f"{title}: the stream cannot be decoded ({error})") from error
    decoded = target.read_bytes() if target.exists() else b""
    if not decoded or len(decoded) % coded_form.frame_bytes:
        raise CorruptFile(
            f"{title}: the stream holds no whole frames of {form.width}x{form.height} pixels, {form.chroma}, "
            f"{form.bits} bit ({len(decoded):,} bytes decoded); it is damaged or of another size"
        )
    return frames_from_bytes(decoded, coded_form), cpu_s
