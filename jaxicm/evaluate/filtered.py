"""A conventional codec with a filter for each block behind it (system S1), as a codec under test.

Its name is that of the codec, a plus sign, and the filters: `vvc+filter_content`, `vvc+PATH.safetensors`, or `vvc+none`
for the same files without any; `:0` at the end chooses one filter for the whole picture, `:64` smaller blocks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jaxicm.errors import MissingDependency, OptionError
from jaxicm.evaluate.anchors import ANCHORS
from jaxicm.evaluate.subjects import DecodedPicture, Encoded
from jaxicm.media.ffmpeg import FfmpegCodec, default_codec
from jaxicm.media.stream_cache import CachedCodec
from jaxicm.media.video_codec import VideoCodec, check_clip
from jaxicm.media.yuv import PlanarFormat, to_planes

if TYPE_CHECKING:
    from jaxicm.codecs.filter_weights import PlaneFilterWeights

BASES = {
    "vvc": default_codec("vvc"),
    "vvc-faster": FfmpegCodec("vvc", "faster"),
    "hevc": default_codec("hevc"),
    "av1": default_codec("av1"),
}
NO_FILTER = "none"


class Filtered:
    """A conventional codec with filters; follows `subjects.Subject`.

    Its seconds are the CPU seconds of the codec's processes, of the day they ran where a stream was kept, and the wall
    seconds of the filters, warm: the parts "coder" and "synthesis".

    Args:
        base: a key of `BASES`.
        coder: of that codec.
        network: the filters; None for none.
        block: side of a block in luma samples, 0 for the whole picture.
    """

    kind: Literal["learned", "conventional"] = "learned"
    clock: Literal["wall", "cpu"] = "wall"
    decodes_together = False

    def __init__(self, base: str, coder: VideoCodec, network: "PlaneFilterWeights | None", block: int):
        from jaxicm.codecs.filtered_picture import DEFAULT_BLOCK

        filters = NO_FILTER if network is None else network.info.name
        ending = "" if network is None or block == DEFAULT_BLOCK else f":{block}"
        self.name = f"{base}+{filters}{ending}"
        variant = base.partition("-")[2]
        self.title = " ".join(filter(None, [coder.title, variant, "4:2:0 8 bit +", filters + ending]))
        self.default: tuple[float, ...] = ANCHORS.get(base, ANCHORS["vvc"]).default
        self.identity: dict[str, Any] = {"digest": NO_FILTER, "samples": "420 8 bit BT.709 full range"}
        self.identity |= coder.version()
        self.figures: dict[str, Any] = {}
        if network is not None:
            info = network.info
            self.identity |= {"digest": info.digest, "block": block}
            self.figures = {"parameters": info.parameters, "kmac_per_pixel": info.kmac_per_pixel, "steps": info.steps}
        self._coder, self._network, self._block = coder, network, block
        self._coder_name: Any = base.partition("-")[0]
        self._warm: set[tuple[int, ...]] = set()

    def check(self, setting: float) -> None:
        """Refuse what is no QP of the codec."""
        form = PlanarFormat(2, 2)
        check_clip(self._coder, [to_planes(np.zeros((2, 2), np.uint8), "420", 8)], form, setting)  # type: ignore[arg-type]

    def encode(self, pixels: np.ndarray, setting: float) -> Encoded:
        """Compress a picture; before the first of a size the filter is compiled."""
        from jaxicm.codecs.filtered_picture import encode_picture

        self._compile(pixels.shape[0], pixels.shape[1])
        data, facts = encode_picture(
            pixels, int(setting), coder=self._coder, name=self._coder_name, network=self._network, block=self._block
        )
        return Encoded(data, sum(facts.timings_s.values()), facts.timings_s)

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> DecodedPicture:
        """Decode a file, which knows its size itself."""
        from jaxicm.codecs.filtered_picture import decode_detail

        del height, width, grey
        found = decode_detail(data, coder=self._coder, network=self._network)
        return DecodedPicture(found.pixels, sum(found.timings_s.values()), found.timings_s)

    def decode_together(self, files: Sequence[bytes]) -> list[DecodedPicture]:
        """Is not offered."""
        raise NotImplementedError

    def _compile(self, height: int, width: int) -> None:
        if self._network is None or (height, width) in self._warm:
            return
        from jaxicm.codecs.plane_filter import PlaneFilterRunner
        from jaxicm.models.filter_set import member

        self._warm.add((height, width))
        form, config = PlanarFormat(height, width), self._network.config
        planes = to_planes(np.zeros((height, width), np.uint8), "420", 8)
        PlaneFilterRunner(config.filter).apply(member(self._network.params, config, 0), [planes], form, [32])


def is_filtered(name: str) -> bool:
    """Say whether a name is that of a conventional codec with filters, or without any (`vvc+none`)."""
    base, plus, filters = name.partition("+")
    return base in BASES and bool(plus and filters)


def load(name: str, kept: Path | None = None) -> Filtered:
    """Load a codec with filters.

    Args:
        name: one for which `is_filtered`.
        kept: folder of streams of the codec, coded once for many sets of filters; None keeps none.

    Raises:
        MissingDependency: the codec is not installed.
        InputError: there are no such filters.
        OptionError: there is no such size of blocks.
    """
    from jaxicm.codecs import filter_weights, zoo
    from jaxicm.codecs.block_choice import BLOCKS
    from jaxicm.codecs.filtered_picture import DEFAULT_BLOCK

    base, _, filters = name.partition("+")
    model, colon, ending = filters.rpartition(":")
    if not (colon and ending.isdecimal()):
        model, ending = filters, str(DEFAULT_BLOCK)
    if int(ending) not in BLOCKS:
        raise OptionError(f"{name}: the size of blocks must be one of {', '.join(map(str, BLOCKS))}, got {ending}")
    coder = BASES[base]
    if reason := coder.missing():
        raise MissingDependency(reason)
    network = None if model == NO_FILTER else filter_weights.read(zoo.find(model))
    return Filtered(base, coder if kept is None else CachedCodec(coder, kept), network, int(ending))
