"""A video codec on still pictures: colour conversion, one frame, conversion back."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxicm.errors import CorruptFile
from jaxicm.evaluate.anchors.interface import Anchor, Coded, Decoded
from jaxicm.media.video_codec import VideoCodec
from jaxicm.media.yuv import PlanarFormat, to_pixels, to_planes


@dataclass(frozen=True, kw_only=True)
class VideoAnchor(Anchor):
    """Describe a video codec as a codec of pictures; its setting is the QP, larger for a smaller file.

    The size of a picture in bits counts the stream alone; a stream of odd or very small sides holds the padded size, so
    the original's must be known. Colour conversion is not part of the CPU seconds.

    Attributes:
        codec: coder of clips.
        chroma: sampling of colour pictures.
        bits: of the samples given to the encoder.
    """

    codec: VideoCodec
    chroma: Literal["420", "444"] = "420"
    bits: Literal[8, 10] = 10

    def missing(self) -> str | None:
        return self.codec.missing()

    def version(self) -> dict[str, str]:
        return {**self.codec.version(), "samples": f"{self.chroma} {self.bits} bit BT.709 full range"}

    def encode(self, pixels: np.ndarray, setting: float) -> Coded:
        self.check(pixels, setting)
        form = self._form(pixels.shape[0], pixels.shape[1], grey=pixels.ndim == 2)
        stream = self.codec.encode([to_planes(pixels, form.chroma, form.bits)], form, int(setting))
        return Coded(stream.data, stream.cpu_s)

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> Decoded:
        clip = self.codec.decode(data, self._form(height, width, grey=grey))
        if len(clip.frames) != 1:
            raise CorruptFile(f"{self.title}: one picture expected, got {len(clip.frames)}")
        return Decoded(to_pixels(clip.frames[0], self.bits, grey=grey), clip.cpu_s)

    def _form(self, height: int, width: int, *, grey: bool) -> PlanarFormat:
        luma_alone = grey and "400" in self.codec.chromas
        return PlanarFormat(height, width, "400" if luma_alone else self.chroma, self.bits)
