"""Coded files of conventional codecs kept on the disk, so that VVC codes a picture once for many runs.

A file is found by what fixes its bytes: the codec's versions and options, the setting and the pixels. It is decoded
anew each time; its encoding time is that of the day it was made.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.evaluate.picture_set import digest_of
from jaxicm.evaluate.subjects import Encoded, Subject
from jaxicm.media.stream_cache import keep, read_kept

SUFFIX = ".coded"


class CodedFiles:
    """A folder of coded files.

    Args:
        folder: made when the first file is kept.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def encode(self, subject: Subject, pixels: np.ndarray, setting: float) -> Encoded:
        """Return the kept file of a picture, or code the picture and keep the file.

        Args:
            subject: a conventional codec; the time of a learned one is the point of measuring it, so it always runs.
            pixels: uint8 [H, W, 3] or [H, W].
            setting: of the codec.

        Returns:
            The file and the seconds its encoding took.

        Raises:
            InputError: a kept file is damaged.
            OutputError: the file cannot be kept.
        """
        if subject.kind != "conventional":
            return subject.encode(pixels, setting)
        path = self._folder / subject.name / f"{_digest(subject.identity, pixels, setting)}{SUFFIX}"
        if path.is_file():
            return Encoded(*read_kept(path))
        encoded = subject.encode(pixels, setting)
        keep(path, encoded.data, encoded.seconds)
        return encoded


def _digest(identity: dict[str, Any], pixels: np.ndarray, setting: float) -> str:
    fixed = json.dumps([identity, float(setting), digest_of(pixels)], sort_keys=True)
    return hashlib.sha256(fixed.encode()).hexdigest()
