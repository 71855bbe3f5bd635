"""VVC, HEVC and AV1 through an ffmpeg program: found, asked for its encoders, and run on frames of planes.

The package `imageio-ffmpeg` carries a program with all three. It is under the GPL, so it is only ever run as a process.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from jaxicm.errors import InputError, JaxicmError, MissingDependency, OptionError
from jaxicm.media.measured_process import run_and_read
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream, Structure, check_clip, printed_qps, run_decoder
from jaxicm.media.yuv import PlanarFormat, Planes, cut, frames_to_bytes, pad

CoderName = Literal["vvc", "hevc", "av1"]
PRESETS: dict[CoderName, str] = {"vvc": "medium", "hevc": "slower", "av1": "4"}
"""Of the encoders, unless another one is asked for."""
_SMALLEST = 16  # x265 and vvenc take no smaller frames
_PIXEL_FORMATS = {"400": "gray", "420": "yuv420p", "444": "yuv444p"}


@dataclass(frozen=True)
class _Kind:
    title: str
    encoder: str
    muxer: str
    qps: tuple[int, int]
    chromas: tuple[str, ...]
    presets: tuple[str, ...]


_KINDS = {
    "vvc": _Kind("VVC", "libvvenc", "vvc", (0, 63), ("420",), ("faster", "fast", "medium", "slow", "slower")),
    "hevc": _Kind(
        "HEVC",
        "libx265",
        "hevc",
        (0, 51),
        ("400", "420", "444"),
        ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"),
    ),
    "av1": _Kind("AV1", "libaom-av1", "obu", (0, 63), ("400", "420", "444"), tuple("012345678")),
}


@dataclass(frozen=True)
class FfmpegCodec:
    """Encode and decode clips in one thread of an ffmpeg process. Follows `jaxicm.media.video_codec.VideoCodec`.

    All encoders work at constant QP and for PSNR, not for the eye. x265 lowers the QP of intra pictures by 3; AV1's is
    its 6-bit quantizer scale, from which libaom derives the QP of each picture. libvvenc takes 10 bits only: 8-bit
    samples are multiplied by 4 before, divided and rounded after.

    Attributes:
        name: "vvc" (libvvenc), "hevc" (libx265) or "av1" (libaom).
        preset: of the encoder: a word, or for AV1 a digit, 0 the slowest.
        parameters: more parameters of the encoder library, which override those set here.
    """

    name: CoderName
    preset: str
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise OptionError(f"unknown codec {self.name!r}; choose from {', '.join(_KINDS)}")
        if self.preset not in self._kind.presets:
            raise OptionError(f"{self.title}: no preset {self.preset!r}; choose from {', '.join(self._kind.presets)}")

    @property
    def _kind(self) -> _Kind:
        return _KINDS[self.name]

    @property
    def title(self) -> str:
        """The codec as printed."""
        return self._kind.title

    @property
    def qps(self) -> tuple[int, int]:
        """Lowest and highest QP."""
        return self._kind.qps

    @property
    def chromas(self) -> tuple[str, ...]:
        """The chroma formats that it takes."""
        return self._kind.chromas

    def missing(self) -> str | None:
        """Return None where a program with the encoder is found, or one line that says how to install it."""
        try:
            self._program()
        except MissingDependency as error:
            return str(error)
        return None

    def version(self) -> dict[str, str]:
        """Return the program's version and the options of the encoder."""
        options = self._options(None, INTRA)
        return {"ffmpeg": program_version(self._program()), "options": " ".join(options)}

    def encode(self, frames: Sequence[Planes], form: PlanarFormat, qp: int, structure: Structure = INTRA) -> Stream:
        """Encode a clip, as `VideoCodec.encode`."""
        check_clip(self, frames, form, qp)
        coded_form = self._coded_form(form)
        padded = replace(coded_form, bits=form.bits)
        clip = [self._deepen(pad(planes, form, padded), form) for planes in frames]
        with tempfile.TemporaryDirectory(prefix="jaxicm-") as folder:
            source, target = Path(folder, "source.yuv"), Path(folder, "coded")
            source.write_bytes(frames_to_bytes(clip, coded_form))
            raw = ["-f", "rawvideo", "-pix_fmt", _pixel_format(coded_form)]
            raw += ["-s", f"{coded_form.width}x{coded_form.height}", "-r", str(structure.rate_hz), "-i", str(source)]
            options = [*self._options(qp, structure), "-f", self._kind.muxer]
            words = [*raw, *options, target]
            for _ in range(_ATTEMPTS):
                cpu_s, printed = self._run_encoder(words)
                if data := target.read_bytes():
                    return Stream(data, cpu_s, printed_qps(printed, len(frames)))
        raise JaxicmError(f"{self.title} encoder (ffmpeg): it wrote nothing, {_ATTEMPTS} times, and named no error")

    def _run_encoder(self, words: Sequence[str | Path]) -> tuple[float, str]:
        what = f"{self.title} encoder (ffmpeg)"
        if self.name == "vvc":
            try:
                return run_and_read([self._program(), *_FLAGS, "-v", "verbose", *words], what)
            except JaxicmError:  # the reason stands somewhere in pages of other text: once more, saying only that
                pass
        return run_and_read([self._program(), *_FLAGS, "-v", "error", *words], what)

    def decode(self, data: bytes, form: PlanarFormat) -> DecodedClip:
        """Decode a stream, as `VideoCodec.decode`."""
        program, coded_form = self._program(), self._coded_form(form)
        with tempfile.TemporaryDirectory(prefix="jaxicm-") as folder:
            source, target = Path(folder, "coded"), Path(folder, "decoded.yuv")
            source.write_bytes(data)
            inputs = ["-threads", "1", "-f", self._kind.muxer, "-i", str(source)]
            raw = ["-f", "rawvideo", "-fps_mode", "passthrough", "-pix_fmt", _pixel_format(coded_form)]
            command = [program, *_FLAGS, "-v", "error", *inputs, *raw, target]
            frames, cpu_s = run_decoder(command, target, self.title, form, coded_form)
        return DecodedClip([cut(self._flatten(planes, form), form) for planes in frames], cpu_s)

    def _program(self) -> str:
        return program_with(self._kind.encoder, self.title)

    def _coded_form(self, form: PlanarFormat) -> PlanarFormat:
        return replace(form.padded(_SMALLEST), bits=10 if self.name == "vvc" else form.bits)

    def _deepen(self, planes: Planes, form: PlanarFormat) -> Planes:
        if self.name == "vvc" and form.bits == 8:
            return tuple(plane.astype("<u2") << 2 for plane in planes)
        return planes

    def _flatten(self, planes: Planes, form: PlanarFormat) -> Planes:
        if self.name == "vvc" and form.bits == 8:
            return tuple(np.minimum((plane + 2) >> 2, 255).astype(np.uint8) for plane in planes)
        return planes

    def _options(self, qp: int | None, structure: Structure) -> list[str]:
        # without a QP: the options that all QPs share
        period, low_delay = structure.period, structure.low_delay
        quantiser: dict[str, str | int] = {} if qp is None else {"qp": int(qp)}
        if self.name == "vvc":
            # qpa=0: no adaptation to the eye, which costs PSNR
            parameters: dict[str, str | int] = {"IntraPeriod": period or -1}
            if low_delay and period != 1:
                parameters |= {"PicReordering": 0, "DecodingRefreshType": "none", "GOPSize": 8}
            elif period != 1:  # else the first picture shown is no intra picture
                parameters["POC0IDR"] = 1
            words = ["-preset", self.preset, *_pairs(quantiser), "-qpa", "0", "-threads", "1", "-vvenc-params"]
            return ["-c:v", "libvvenc", *words, _joined({**parameters, **self.parameters})]
        if self.name == "hevc":
            # info=0: no text of 1-2 kB in the stream, which would dominate low rates. pools=none: no wavefronts, which
            # cost bits, and no other threads
            parameters = {**quantiser, "keyint": period or -1, "info": 0, "log-level": "error"}
            parameters |= {"pools": "none", "frame-threads": 1}
            if period != 1:
                parameters |= {"min-keyint": max(period, 1), "scenecut": 0} | ({"bframes": 0} if low_delay else {})
            words = ["-preset", self.preset, "-tune", "psnr", "-threads", "1", "-x265-params"]
            return ["-c:v", "libx265", *words, _joined({**parameters, **self.parameters})]
        words = ["-cpu-used", self.preset, "-b:v", "0", "-tune", "psnr", "-threads", "1", "-row-mt", "0"]
        words += [] if qp is None else ["-crf", str(int(qp))]
        words += ["-g", str(period or 9999), "-keyint_min", str(period or 9999)]
        words += ["-lag-in-frames", "0"] if low_delay and period != 1 else []
        words += ["-aom-params", _joined(self.parameters)] if self.parameters else []
        return ["-c:v", "libaom-av1", *words]


_ATTEMPTS = 8
"""Of an encoder that leaves without an error and without a stream, as libvvenc does with one all-intra clip in twenty
(of single pictures never, of a thousand); the next attempt gives all of it."""
_FLAGS = ("-nostdin", "-hide_banner", "-y")


def default_codec(name: CoderName) -> FfmpegCodec:
    """Return a codec with its preset of `PRESETS`."""
    return FfmpegCodec(name, PRESETS[name])


def _pixel_format(form: PlanarFormat) -> str:
    return _PIXEL_FORMATS[form.chroma] + ("10le" if form.bits == 10 else "")


def _pairs(options: Mapping[str, str | int]) -> list[str]:
    return [word for key, value in options.items() for word in (f"-{key}", str(value))]


def _joined(parameters: Mapping[str, str | int]) -> str:
    return ":".join(f"{key}={value}" for key, value in parameters.items())


def programs() -> Iterator[str]:
    """Yield the paths of ffmpeg programs: `JAXICM_FFMPEG` alone where it is set, else `imageio-ffmpeg`'s, then PATH's.

    Raises:
        InputError: `JAXICM_FFMPEG` names no program.
    """
    chosen = os.environ.get("JAXICM_FFMPEG")
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise InputError(f"JAXICM_FFMPEG={chosen}: no such program; name an ffmpeg program or unset it")
        yield found
        return
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # not installed, or without a program for this machine
        pass
    found = shutil.which("ffmpeg")
    if found is not None:
        yield found


def program_with(encoder: str, title: str) -> str:
    """Return the first program that has an encoder.

    Args:
        encoder: ffmpeg's name of it, for instance "libvvenc".
        title: the codec's name in the message.

    Raises:
        MissingDependency: there is none.
        InputError: `JAXICM_FFMPEG` names no program.
    """
    for program in programs():
        if encoder in encoders(program):
            return program
    raise MissingDependency(f"{title} needs ffmpeg with {encoder}: pip install 'jaxicm[anchors]'")


@functools.cache
def encoders(program: str) -> frozenset[str]:
    """Return the names of the encoders that a program has."""
    lines = _ask(program, "-encoders").splitlines()
    return frozenset(words[1] for words in map(str.split, lines) if len(words) > 2 and len(words[0]) == 6)


@functools.cache
def program_version(program: str) -> str:
    """Return the version that a program prints, for instance "n9.0.2-17-g2a571b6068-20260930"."""
    words = _ask(program, "-version").split()
    return words[2] if words[:2] == ["ffmpeg", "version"] else "unknown"


def _ask(program: str, question: str) -> str:
    try:
        done = subprocess.run(
            [program, "-hide_banner", question], capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{program} {question} does not answer ({error}); is it an ffmpeg program?") from error
    return done.stdout
