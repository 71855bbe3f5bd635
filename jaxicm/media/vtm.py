"""VVC through the reference software VTM, where the user has its programs: on PATH or in the folder `JAXICM_VTM`."""

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxicm.errors import MissingDependency
from jaxicm.media.measured_process import run_and_read
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream, Structure, check_clip, printed_qps, run_decoder
from jaxicm.media.yuv import PlanarFormat, Planes, cut, frames_to_bytes, pad

_SMALLEST = 16
_HOW = "build https://vcgit.hhi.fraunhofer.de/jvet/VVCSoftware_VTM and set JAXICM_VTM to its folder"


@dataclass(frozen=True)
class VtmCodec:
    """Encode and decode clips with EncoderAppStatic and DecoderAppStatic. Follows `VideoCodec`.

    A still picture is coded as the literature on learned codecs does: the intra configuration, one frame, 4:4:4.

    Attributes:
        parameters: more options of the encoder, written `--key=value`, which override those set here.
    """

    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The codec as printed."""
        return "VTM"

    @property
    def qps(self) -> tuple[int, int]:
        """Lowest and highest QP."""
        return (0, 63)

    @property
    def chromas(self) -> tuple[str, ...]:
        """The chroma formats that it takes."""
        return ("400", "420", "444")

    def missing(self) -> str | None:
        """Return None where both programs and the configuration are found, or one line that says what to do."""
        try:
            _program("EncoderAppStatic")
            _program("DecoderAppStatic")
            _configuration(INTRA)
        except MissingDependency as error:
            return str(error)
        return None

    def version(self) -> dict[str, str]:
        """Return the version that the encoder prints and the options of the encoder."""
        options = [_configuration(INTRA).name, *(f"--{key}={value}" for key, value in self.parameters.items())]
        return {"vtm": _version(_program("EncoderAppStatic")), "options": " ".join(options)}

    def encode(self, frames: Sequence[Planes], form: PlanarFormat, qp: int, structure: Structure = INTRA) -> Stream:
        """Encode a clip, as `VideoCodec.encode`."""
        check_clip(self, frames, form, qp)
        program, configuration = _program("EncoderAppStatic"), _configuration(structure)
        padded = form.padded(_SMALLEST)
        with tempfile.TemporaryDirectory(prefix="jaxicm-") as folder:
            source, target = Path(folder, "source.yuv"), Path(folder, "coded.bin")
            source.write_bytes(frames_to_bytes([pad(planes, form, padded) for planes in frames], padded))
            words = ["-i", source, "-c", configuration, "-q", str(int(qp)), "-o", os.devnull, "-b", target]
            words += ["-wdt", str(padded.width), "-hgt", str(padded.height)]
            words += ["-fr", str(structure.rate_hz if len(frames) > 1 else 1), "-f", str(len(frames))]
            words += [f"--InputChromaFormat={form.chroma}", f"--InputBitDepth={form.bits}", "--ConformanceWindowMode=1"]
            if len(frames) > 1:  # the intra configuration codes every eighth picture of a clip only
                words += ["--TemporalSubsampleRatio=1", f"--IntraPeriod={structure.period or -1}"]
            words += [f"--{key}={value}" for key, value in self.parameters.items()]
            cpu_s, printed = run_and_read([program, *words], "VTM encoder")
            return Stream(target.read_bytes(), cpu_s, printed_qps(printed, len(frames)))

    def decode(self, data: bytes, form: PlanarFormat) -> DecodedClip:
        """Decode a stream, as `VideoCodec.decode`. The decoded samples have the depth of `form`."""
        program, padded = _program("DecoderAppStatic"), form.padded(_SMALLEST)
        with tempfile.TemporaryDirectory(prefix="jaxicm-") as folder:
            source, target = Path(folder, "coded.bin"), Path(folder, "decoded.yuv")
            source.write_bytes(data)
            command = [program, "-b", source, "-o", target, "-d", str(form.bits)]
            frames, cpu_s = run_decoder(command, target, "VTM", form, padded)
        return DecodedClip([cut(planes, form) for planes in frames], cpu_s)


def _folders() -> list[Path]:
    chosen = os.environ.get("JAXICM_VTM")
    return [Path(chosen), Path(chosen, "bin"), Path(chosen, "cfg")] if chosen else []


def _program(name: str) -> str:
    for folder in _folders():
        if found := shutil.which(name, path=str(folder)):
            return found
    if found := shutil.which(name):
        return found
    raise MissingDependency(f"VTM needs {name}: {_HOW}")


def _configuration(structure: Structure) -> Path:
    kind = "intra" if structure.period == 1 else "lowdelay" if structure.low_delay else "randomaccess"
    beside = Path(_program("EncoderAppStatic")).resolve().parent
    for folder in (*_folders(), beside, beside.parent / "cfg"):
        if (folder / f"encoder_{kind}_vtm.cfg").is_file():
            return folder / f"encoder_{kind}_vtm.cfg"
    raise MissingDependency(f"VTM needs encoder_{kind}_vtm.cfg, which lies in the folder cfg of its sources: {_HOW}")


@functools.cache
def _version(program: str) -> str:
    done = subprocess.run([program], capture_output=True, text=True, errors="replace", timeout=60)
    found = re.search(r"Version \[?([\w.\-]+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"
