"""The journal of an ablation of latent overfitting: one line of JSON for every measurement.

It stands under the weights, the contents of the stages, the objective, the pixels and the quality. So the same command
goes on after an interruption, equal stages are measured once in whatever rows they stand, and changed ones anew. What a
journal cannot see is a change of jaxicm itself: take another folder then.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from jaxicm.errors import OutputError
from jaxicm.media.files import explain_write_failure

EQUAL_DB = 100.0
"""Stands for the infinite decibels of equal pictures."""


class Key(NamedTuple):
    """What a measurement belongs to.

    Attributes:
      model: digest of the weights.
      stages: digest of the contents of the stages.
      tune: objective.
      picture: digest of its pixels.
      quality: of the codec.
    """

    model: str
    stages: str
    tune: str | None
    picture: str
    quality: float


@dataclass(frozen=True)
class Point:
    """A picture at a quality.

    Attributes:
      bpp: bits per pixel of the file.
      psnr: of its decoded pixels in dB, at most `EQUAL_DB`.
      ms_ssim: of them, in [0, 1].
      cost: bits + lambda * distortion in the variant's objective, as a share of what they are without adaptation.
      iterations: done, over all windows of the picture.
      encode_s: wall seconds of the encoder, without compilation.
    """

    bpp: float
    psnr: float
    ms_ssim: float
    cost: float
    iterations: int
    encode_s: float


class Journal:
    """Finished measurements, in memory and as lines of a file.

    Attributes:
      path: of the file, which need not exist.
      points: by key.
    """

    def __init__(self, path: Path):
        self.path = path
        data = path.read_bytes() if path.exists() else b""
        self.points: dict[Key, Point] = {}
        for text in data.splitlines():
            # a line that is not whole is what an interruption left: it is measured anew
            with contextlib.suppress(ValueError, KeyError, TypeError):
                line = json.loads(text)
                self.points[Key(*line["key"])] = Point(**line["measured"])
        self._torn = bool(data) and not data.endswith(b"\n")

    def add(self, key: Key, point: Point, **notes: str) -> None:
        """Note a measurement; notes are for people who read the file."""
        line = json.dumps({**notes, "key": key, "measured": asdict(point)}, ensure_ascii=False) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(("\n" * self._torn + line).encode())
        except OSError as error:
            raise OutputError(f"{self.path}: {explain_write_failure(error)}") from error
        self._torn = False
        self.points[key] = point
