"""A folder of weight files as one codec: the operating points of a run, each trained for a rate of its own.

The papers' codecs for machines are such (system S6): the setting is the QP of VVC that a point stands for.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxicm.bits.container import unpack
from jaxicm.errors import InputError, OptionError
from jaxicm.evaluate.subjects import Learned

if TYPE_CHECKING:
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.codecs.image_result import EncodeResult

QUALITY = 50.0
"""At which every point codes: a model of a single rate takes no notice, one of all rates is trained at it."""
_NAME = re.compile(r"qp(\d+)\.safetensors")


def point_files(folder: Path) -> dict[float, Path]:
    """Return the weight files of a folder of operating points by QP, rising; none if it is no such folder."""
    if not folder.is_dir():
        return {}
    found = {float(match[1]): path for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    return dict(sorted(found.items()))


class OperatingPoints(Learned):
    """Codecs of single rates behind one setting.

    Args:
        folder: for the name.
        codecs: by QP, at least one.
    """

    def __init__(self, folder: Path, codecs: "Mapping[float, ImageCodec]"):
        first = next(iter(codecs.values()))
        super().__init__(first)
        self._codecs = dict(codecs)
        self._by_digest = {codec.info.digest[:16]: codec for codec in codecs.values()}
        self.name = folder.parent.name if folder.name == "points" else folder.name
        self.title = f"jaxicm {self.name}, {len(codecs)} operating points"
        digests = [codec.info.digest for codec in codecs.values()]
        self.identity = {"digest": hashlib.sha256("".join(digests).encode()).hexdigest()}
        self.default = tuple(codecs)

    @classmethod
    def load(cls, folder: Path) -> "OperatingPoints":
        """Load all points of a folder.

        Raises:
            InputError: it holds none.
        """
        from jaxicm.codecs.image import ImageCodec

        files = point_files(folder)
        if not files:
            raise InputError(f"{folder}: holds no operating points (qp22.safetensors and so on)")
        return cls(folder, {qp: ImageCodec.load(path) for qp, path in files.items()})

    def check(self, setting: float) -> None:
        """Refuse a QP that there is no point for."""
        if setting not in self._codecs:
            points = ", ".join(f"{qp:g}" for qp in self._codecs)
            raise OptionError(f"{self.title}: the settings are {points}, got {setting:g}")

    def _encode(self, pixels: np.ndarray, setting: float, **options: Any) -> "EncodeResult":
        return self._codecs[setting].encode_detail(pixels, quality=QUALITY, **options)

    def _decode(self, data: bytes) -> tuple[np.ndarray, dict[str, float]]:
        result = self._by_digest[unpack(data)[0].weights.hex()].decode_detail(data)
        return result.image, dict(result.timings_s)
