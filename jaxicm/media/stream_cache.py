"""Streams of a video codec kept on the disk: training material and anchors are coded once.

A stream is found by what fixes its bytes: the codec's versions and options, frames, QP and structure. It is decoded
anew each time; its encoding time is that of the day it was made.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import InputError
from jaxicm.media.files import atomic_write
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream, Structure, VideoCodec
from jaxicm.media.yuv import PlanarFormat, Planes

SUFFIX = ".stream"


@dataclass(frozen=True)
class CachedCodec:
    """A codec whose streams are kept. Follows `jaxicm.media.video_codec.VideoCodec`.

    Attributes:
        codec: which encodes what is not kept yet, and decodes.
        folder: made when the first stream is kept.
    """

    codec: VideoCodec
    folder: Path

    @property
    def title(self) -> str:
        """The codec as printed."""
        return self.codec.title

    @property
    def qps(self) -> tuple[int, int]:
        """Lowest and highest QP."""
        return self.codec.qps

    @property
    def chromas(self) -> tuple[str, ...]:
        """The chroma formats that it takes."""
        return self.codec.chromas

    def missing(self) -> str | None:
        """As `VideoCodec.missing`."""
        return self.codec.missing()

    def version(self) -> dict[str, str]:
        """As `VideoCodec.version`."""
        return self.codec.version()

    def encode(self, frames: Sequence[Planes], form: PlanarFormat, qp: int, structure: Structure = INTRA) -> Stream:
        """Return the kept stream of a clip, or encode the clip and keep the stream.

        Raises:
            InputError: a kept stream is damaged, or as `VideoCodec.encode`.
            OutputError: the stream cannot be kept.
        """
        path = self.folder / f"{self._digest(frames, form, qp, structure)}{SUFFIX}"
        if path.is_file():
            data, facts = _read(path)
            qps = facts.get("qps")
            return Stream(data, float(facts["seconds"]), qps and tuple(map(int, qps)))
        stream = self.codec.encode(frames, form, qp, structure)
        keep(path, stream.data, stream.cpu_s, **({} if stream.qps is None else {"qps": list(stream.qps)}))
        return stream

    def decode(self, data: bytes, form: PlanarFormat) -> DecodedClip:
        """As `VideoCodec.decode`."""
        return self.codec.decode(data, form)

    def _digest(self, frames: Sequence[Planes], form: PlanarFormat, qp: int, structure: Structure) -> str:
        fixed = {"codec": self.codec.version(), "form": asdict(form), "qp": qp, "structure": asdict(structure)}
        sha = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode())
        for planes in frames:
            for plane in planes:
                sha.update(np.ascontiguousarray(plane).tobytes())
        return sha.hexdigest()


def keep(path: Path, data: bytes, seconds: float, **facts: Any) -> None:
    """Keep bytes that took time to make, their check sum beside them.

    Args:
        path: of the file; its folder is made.
        data: any bytes.
        seconds: that making them took.
        facts: more of what is known of them, in JSON's types.

    Raises:
        OutputError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    first_line = json.dumps({**facts, "seconds": seconds, "sha256": hashlib.sha256(data).hexdigest()})
    atomic_write(path, first_line.encode() + b"\n" + data)


def read_kept(path: Path) -> tuple[bytes, float]:
    """Return what `keep` was given: the bytes and the seconds.

    Raises:
        InputError: the file is damaged.
    """
    data, facts = _read(path)
    return data, float(facts["seconds"])


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    first_line, _, data = path.read_bytes().partition(b"\n")
    try:
        facts = json.loads(first_line)
        if hashlib.sha256(data).hexdigest() == facts["sha256"] and facts["seconds"] >= 0:
            return data, facts
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path}: this kept file is damaged; delete it, and it is made again")
