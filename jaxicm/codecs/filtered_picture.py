"""Still pictures of a conventional codec with one filter of a set behind each block: system S1.

A file holds the codec's own intra stream of 4:2:0 of 8 bits, which any of its decoders shows, and, where that pays, the
name of a set of filters and which of them each block has, 0 being none (`block_choice`). What pays is decided over the
whole picture by what the shown one costs (`block_costs`: its squared error, or for filters that were trained for task
networks what these make of it) plus lambda times the bits of the file, lambda being that of VVC's encoder at the QP.
Filters run over the whole picture, so that no block border is seen by any of them.

In the header `flags` is the codec's number (`filtered_clip.CODERS`), `quality_q4` is 16 (QP + 1) of the QP that the
encoder gave the picture (libvvenc's lies up to three steps below the one that it is told), and `weights` are
zeros where no filter is used. Sections: STREAM; MAP exactly where weights are named; ICC at will.

Source: "Competitive learning for achieving content-specific filters in video coding for machines", 2024 (arXiv
2406.12367); specification 3.1. The syntax, the blending of blocks and the decision are ours.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.codecs import block_choice, weights
from jaxicm.codecs.block_choice import BLOCKS
from jaxicm.codecs.filter_cost import lagrangian
from jaxicm.codecs.filter_weights import PlaneFilterWeights
from jaxicm.codecs.filtered_clip import CODERS, NO_WEIGHTS, named_weights
from jaxicm.codecs.image_file import SIDE_MAX, check_picture
from jaxicm.codecs.plane_filter import PlaneFilterRunner
from jaxicm.errors import CorruptFile, OptionError
from jaxicm.media.ffmpeg import CoderName, default_codec
from jaxicm.media.video_codec import VideoCodec
from jaxicm.media.yuv import PlanarFormat, Planes, to_pixels, to_planes
from jaxicm.models.filter_set import member

if TYPE_CHECKING:
    from jaxicm.codecs.block_costs import Costs

CODEC_NAME = "filtered_picture"
DEFAULT_BLOCK = 128


@dataclass(frozen=True)
class PictureFacts:
    """What a file holds.

    Attributes:
      stream_bytes, map_bytes, file_bytes: sizes; `map_bytes` is 0 where no filter pays.
      block: side of a block in luma samples; 0 where the whole picture has one index.
      indices: int `[rows, columns]`, 0 for no filter and k for the k-th of the set.
      costs: squared error of luma (and weighted chroma, in 8-bit steps), or what stands for it to machines, plus
        lambda times the bits of the file: with "none", with the best filter for the "picture", and chosen for "blocks";
        those that were measured.
      pixels: what a decoder shows, uint8 `[H, W, 3]` or `[H, W]`.
      timings_s: "coder", CPU seconds of the codec's processes; "synthesis", wall seconds of filters and choice.
    """

    stream_bytes: int
    map_bytes: int
    file_bytes: int
    block: int
    indices: np.ndarray
    costs: dict[str, float]
    pixels: np.ndarray
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def filtered(self) -> bool:
        """Whether a filter is used."""
        return self.map_bytes > 0


class DecodedFile(NamedTuple):
    """A decoded file.

    Attributes:
      pixels: uint8 `[H, W, 3]` or `[H, W]`.
      timings_s: as of `PictureFacts`.
    """

    pixels: np.ndarray
    timings_s: dict[str, float]


def encode_picture(
    pixels: np.ndarray,
    qp: int,
    *,
    coder: VideoCodec | None = None,
    name: CoderName = "vvc",
    network: PlaneFilterWeights | None = None,
    block: int = DEFAULT_BLOCK,
    icc: bytes | None = None,
) -> tuple[bytes, PictureFacts]:
    """Encode a picture.

    Args:
      pixels: uint8 `[H, W, 3]` (RGB) or `[H, W]` (grey), sides up to 16384.
      qp: of the codec.
      coder: encoder and decoder of the codec; by default that of ffmpeg.
      name: of the codec.
      network: set of filters; None for none.
      block: side of the blocks that have a filter each, in luma samples, one of `BLOCKS`; 0 looks only for one filter
        for the whole picture.
      icc: colour profile to carry along.

    Returns:
      The file and facts.

    Raises:
      InputError: no such picture; or filters for machines, and the task networks they are chosen by are not at hand.
      OptionError: a size of blocks or a QP that does not exist.
      MissingDependency: the codec is not installed.
    """
    from jaxicm.codecs.block_costs import judge_for  # task networks, which no decoder needs

    check_picture(pixels)
    if block not in BLOCKS:
        raise OptionError(f"a block has a side of {', '.join(map(str, BLOCKS))} (0: the picture), got {block}")
    form, grey = PlanarFormat(pixels.shape[0], pixels.shape[1], "420", 8), pixels.ndim == 2
    planes, coder = to_planes(pixels, "420", 8), coder or default_codec(name)
    stream = coder.encode([planes], form, qp)
    given = qp if stream.qps is None else max(stream.qps[0], 0)  # the header has none below 0
    decoded, decoder_s = _decoded(coder, stream.data, form)
    begin = time.perf_counter()
    header = Header(
        codec=CODEC_NAME,
        weights=NO_WEIGHTS,
        height=form.height,
        width=form.width,
        channels=1 if grey else 3,
        quality_q4=16 * (given + 1),
        flags=CODERS.index(name),
    )
    sections = [Section(SectionKind.STREAM, stream.data)]
    sections += [Section(SectionKind.ICC, icc)] if icc is not None else []
    wanted, versions = _visible(planes, grey), {0: _visible(decoded, grey)}
    judge = judge_for(network, wanted)
    judged = {0: judge(versions[0])}

    def tried(data: bytes, payload: bytes, indices: np.ndarray, side: int) -> _Tried:
        shown, used = block_choice.blend(versions, indices, side), np.unique(indices)
        seen = judged[int(used[0])] if used.size == 1 else judge(shown)
        return _Tried(seen(0).item() + lagrangian(qp) * 8 * len(data), data, payload, indices, side, shown)

    best = tried(pack(header, sections), b"", np.zeros((1, 1), np.int64), 0)
    costs = {"none": best.cost}
    if network is not None:
        numbers = range(1, network.config.count + 1)
        versions |= {k: _visible(v, grey) for k, v in _filtered(network, numbers, decoded, form, given).items()}
        judged |= {k: judge(versions[k]) for k in numbers}
        digest = bytes.fromhex(network.info.digest)[: weights.DIGEST_BYTES]
        named = replace(header, weights=digest)
        count = network.config.count + 1
        for way, indices, side in _choices([judged[k] for k in range(count)], block, lagrangian(qp)):
            payload = block_choice.write_map(indices, side, count)
            found = tried(pack(named, [*sections, Section(SectionKind.MAP, payload)]), payload, indices, side)
            costs[way] = min(costs.get(way, found.cost), found.cost)
            best = min(best, found, key=lambda one: one.cost)
    seconds = {"coder": stream.cpu_s + decoder_s, "synthesis": time.perf_counter() - begin}
    shown = to_pixels(best.shown, 8, grey=grey)
    sizes = len(stream.data), len(best.payload), len(best.data)
    return best.data, PictureFacts(*sizes, best.block, best.indices, costs, shown, seconds)


def decode_picture(
    data: bytes, *, coder: VideoCodec | None = None, network: PlaneFilterWeights | None = None, filtered: bool = True
) -> np.ndarray:
    """Decode a file.

    Args:
      data: the bytes of a file of `encode_picture`.
      coder: decoder of the codec; by default that of ffmpeg.
      network: the set of filters that the file names; by default it is looked for among those installed.
      filtered: apply the filters; without, what any decoder of the codec shows is returned.

    Returns:
      uint8 `[H, W, 3]`, or `[H, W]` of a grey picture.

    Raises:
      FileFormatError: a subclass says why the file cannot be decoded; UnknownWeights: the filters are not installed,
        or `network` holds others.
      MissingDependency: the codec is not installed.
    """
    return decode_detail(data, coder=coder, network=network, filtered=filtered).pixels


def decode_detail(
    data: bytes, *, coder: VideoCodec | None = None, network: PlaneFilterWeights | None = None, filtered: bool = True
) -> DecodedFile:
    """Decode a file as `decode_picture` does, and say how long that took."""
    header, found = _parse(data)
    form, grey = PlanarFormat(header.height, header.width, "420", 8), header.channels == 1
    indices, block = np.zeros((1, 1), np.int64), 0
    if SectionKind.MAP in found and filtered:  # all that can be wrong with it is told before the work begins
        network = named_weights(header.weights, network)
        count = network.config.count + 1
        indices, block = block_choice.read_map(found[SectionKind.MAP], form.height, form.width, count)
    coder = coder or default_codec(CODERS[header.flags])
    decoded, coder_s = _decoded(coder, found[SectionKind.STREAM], form)
    begin = time.perf_counter()
    versions = {0: _visible(decoded, grey)}
    numbers = [int(k) for k in np.unique(indices) if k]
    if numbers and network is not None:
        found_versions = _filtered(network, numbers, decoded, form, _qp(header))
        versions |= {k: _visible(version, grey) for k, version in found_versions.items()}
    shown = block_choice.blend(versions, indices, block)
    seconds = {"coder": coder_s, "synthesis": time.perf_counter() - begin}
    return DecodedFile(to_pixels(shown, 8, grey=grey), seconds)


def extract_stream(data: bytes) -> tuple[bytes, str]:
    """Return the conventional stream of a file, which any decoder of that codec shows, and the codec's name."""
    header, found = _parse(data)
    return found[SectionKind.STREAM], CODERS[header.flags]


def describe(data: bytes) -> dict[str, str | int]:
    """Say in words what a file holds, without its filters: codec, QP, filter and blocks."""
    header, found = _parse(data)
    rows: dict[str, str | int] = {"coder": CODERS[header.flags], "qp": _qp(header), "filter": "none"}
    if SectionKind.MAP in found:
        block = block_choice.block_of(found[SectionKind.MAP])
        rows |= {"filter": header.weights.hex(), "block": block or "the whole picture"}
    return rows


class _Tried(NamedTuple):
    cost: float
    data: bytes
    payload: bytes
    indices: np.ndarray
    block: int
    shown: Planes


def _choices(costs: "Sequence[Costs]", block: int, bit_worth: float) -> list[tuple[str, np.ndarray, int]]:
    """Return indices worth trying: the best filter for all, the best for each block, and with the bits counted."""
    best = 1 + int(np.argmin([cost(0).item() for cost in costs[1:]]))
    choices = [("picture", np.full((1, 1), best, np.int64), 0)]
    if block:
        each = np.stack([cost(block) for cost in costs])
        chosen = [each.argmin(axis=0), block_choice.choose(each, bit_worth)]
        choices += [("blocks", indices, block) for indices in chosen if np.unique(indices).size > 1]
    return choices


def _filtered(
    network: PlaneFilterWeights, numbers: Sequence[int], decoded: Planes, form: PlanarFormat, qp: float
) -> dict[int, Planes]:
    """Filter a whole picture with some filters of a set, counted from 1."""
    runner = PlaneFilterRunner(network.config.filter)

    def run(number: int) -> Planes:
        return runner.apply(member(network.params, network.config, number - 1), [decoded], form, [qp])[0]

    return {number: run(number) for number in numbers}


def _visible(planes: Planes, grey: bool) -> Planes:
    return planes[:1] if grey else planes


def _decoded(coder: VideoCodec, stream: bytes, form: PlanarFormat) -> tuple[Planes, float]:
    clip = coder.decode(stream, form)
    if len(clip.frames) != 1:
        raise CorruptFile(f"the stream holds {len(clip.frames)} pictures, expected one; get an intact copy of the file")
    return clip.frames[0], clip.cpu_s


def _qp(header: Header) -> int:
    return header.quality_q4 // 16 - 1


def _parse(data: bytes) -> tuple[Header, dict[SectionKind, bytes]]:
    header, sections = unpack(data)
    found = {section.kind: section.payload for section in sections}
    if header.codec != CODEC_NAME:
        raise CorruptFile(f"this is a file of the codec '{header.codec}', no filtered picture")
    if not {SectionKind.STREAM} <= found.keys() <= {SectionKind.STREAM, SectionKind.MAP, SectionKind.ICC}:
        raise CorruptFile(
            "a filtered picture needs a stream, perhaps a map and a profile; get an intact copy of the file"
        )
    if max(header.height, header.width) > SIDE_MAX or header.bit_depth != 8 or header.quality_q4 % 16:
        raise CorruptFile(
            f"the header says {header.width}x{header.height}, {header.bit_depth} bits and quality {header.quality_q4}; "
            f"expected sides up to {SIDE_MAX}, 8 bits and a whole QP; get an intact copy of the file"
        )
    if header.flags >= len(CODERS):
        raise CorruptFile("the file names an unknown conventional codec; update jaxicm or get an intact copy of it")
    if (SectionKind.MAP in found) != (header.weights != NO_WEIGHTS):
        raise CorruptFile("the file has a map of filters or names some, not both; get an intact copy of the file")
    return header, found
