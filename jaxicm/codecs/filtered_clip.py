"""Clips of a conventional codec with a filter behind it that the encoder fits to the clip: system S9.

A file holds the codec's own stream, which any of its decoders plays, and, where they pay, the name of a filter, the QPs
that it is told of the frames, and changes of its parameters (biases in the paper). What pays is decided by the squared
error of the whole clip plus lambda times the bits. Where something is fitted, lambda is what the codec itself pays for
less error there, found by coding at a neighbouring QP: in random access seven to fourteen times the lambda of VVC's
encoder at the QP, for most frames have higher QPs and others are predicted from what a bit improves.

Source: Lam et al., "Efficient adaptation of neural network filter for video compression", ACM MM 2020 (arXiv
2007.14267); specification 3.9. The filter, the coding of the update and the decision are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, cast

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.adapt.parameter_code import apply_update, decode_update, leaf_shapes, select
from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.bits.varint import read_uvarint, write_uvarint
from jaxicm.codecs import filter_weights, weights, zoo
from jaxicm.codecs.filter_cost import CHROMA_WEIGHT, lagrangian, squared_error, worth_of_a_bit
from jaxicm.codecs.filter_weights import PlaneFilterWeights
from jaxicm.codecs.frame_qps import best_qps, decode_qps, encode_qps
from jaxicm.codecs.plane_filter import PlaneFilterRunner
from jaxicm.errors import CorruptFile, InputError, UnknownWeights
from jaxicm.media.clips import Clip
from jaxicm.media.ffmpeg import CoderName, default_codec
from jaxicm.media.video_codec import Structure, VideoCodec
from jaxicm.media.yuv import PlanarFormat, Planes
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig

if TYPE_CHECKING:
    from jaxicm.adapt.parameters import ParameterFit
    from jaxicm.adapt.stage import Progress

CODEC_NAME = "filtered"
CODERS: tuple[CoderName, ...] = ("vvc", "hevc", "av1")
"""Conventional codecs; the position is their number in the file."""
PATTERNS: tuple[tuple[str, ...], ...] = (
    ("*/bias",),
    ("*/kernel",),
    ("*/bias", "*/kernel"),
    ("last/*",),
    ("*/bias", "last/*"),
)
"""Leaves that an update may change; the position is the first byte of the section."""
NO_WEIGHTS = bytes(weights.DIGEST_BYTES)
_PATCH, _BATCH, _CHECKED_FRAMES = 128, 8, 3
_MOST_FRAMES = 1 << 20


@dataclass(frozen=True)
class ClipFacts:
    """What a file holds.

    Attributes:
      stream_bytes, update_bytes, file_bytes: sizes.
      filtered: whether the filter is used.
      costs: sum of squared errors of luma (and weighted chroma, in 8-bit steps) plus lambda times the bits of
        QPs and update: without the filter, with it, and with the update; those that were measured.
      bit_worth: that lambda.
    """

    stream_bytes: int
    update_bytes: int
    file_bytes: int
    filtered: bool
    costs: tuple[float, ...]
    bit_worth: float


def encode_clip(
    clip: Clip,
    qp: int,
    *,
    coder: VideoCodec | None = None,
    name: CoderName = "vvc",
    structure: Structure = Structure(period=32),  # noqa: B008 a frozen dataclass
    network: PlaneFilterWeights | None = None,
    fit: "ParameterFit | None" = None,
    limit_s: float | None = None,
    progress: "Progress | None" = None,
) -> tuple[bytes, ClipFacts]:
    """Encode a clip.

    Args:
      clip: 4:2:0.
      qp: of the codec.
      coder: encoder and decoder of the codec; by default that of ffmpeg.
      name: of the codec.
      structure: of the stream.
      network: filter; None for none.
      fit: how its parameters are fitted to the clip, with one of `PATTERNS`; None leaves them as they are.
      limit_s: seconds for the fit.
      progress: of the fit.

    Returns:
      The file and facts.

    Raises:
      MissingDependency: the codec is not installed.
      InputError: frames of another format.
    """
    if network is not None and network.config.count > 1:
        raise InputError(f"weights {network.info.name} are a set of filters for pictures; a clip takes a single one")
    coder = coder or default_codec(name)
    form, frames = clip.form, clip.frames
    coded = coder.encode(frames, form, qp, structure)
    stream, qps = coded.data, coded.qps or (qp,) * len(frames)
    decoded = coder.decode(stream, form).frames
    costs, update, told = [squared_error(frames, decoded, form)], b"", b""
    digest, worth = NO_WEIGHTS, lagrangian(qp)
    if network is not None:
        if fit is not None:
            worth = worth_of_a_bit(coder, clip, qp, structure, 8 * len(stream), costs[0])
        runner = PlaneFilterRunner(network.config.filter)
        qps, shown = best_qps(runner, network.params, frames, decoded, form, qps)
        told = encode_qps(qps, qp)
        costs.append(squared_error(frames, shown, form) + worth * 8 * len(told))
        if fit is not None:
            update = _fitted(network, runner, clip, decoded, qps, worth, fit, limit_s, progress)
            if update:
                params = _updated(network.params, update)
                found = squared_error(frames, runner.apply(params, decoded, form, qps), form)
                costs.append(found + worth * 8 * (len(told) + len(update)))
                if costs[2] >= costs[1]:
                    update = b""
        if min(costs[1:]) < costs[0]:
            digest = bytes.fromhex(network.info.digest)[: weights.DIGEST_BYTES]
        else:
            update = told = b""
    header = Header(
        codec=CODEC_NAME,
        weights=digest,
        height=form.height,
        width=form.width,
        bit_depth=form.bits,
        quality_q4=16 * (qp + 1),
        flags=int(clip.full_range),
    )
    rate = clip.rate
    facts = [bytes([CODERS.index(name)])]
    facts += [write_uvarint(value) for value in (len(frames), rate.numerator, rate.denominator)]
    sections = [Section(SectionKind.CLIP, b"".join([*facts, told])), Section(SectionKind.STREAM, stream)]
    if update:
        sections.append(Section(SectionKind.UPDATE, update))
    data = pack(header, sections)
    return data, ClipFacts(len(stream), len(update), len(data), digest != NO_WEIGHTS, tuple(costs), worth)


def decode_clip(
    data: bytes,
    *,
    coder: VideoCodec | None = None,
    network: PlaneFilterWeights | None = None,
    filtered: bool = True,
) -> Clip:
    """Decode a file.

    Args:
      data: the bytes of a file of `encode_clip`.
      coder: decoder of the codec; by default that of ffmpeg.
      network: the filter that the file names; by default it is looked for among those installed.
      filtered: apply the filter that the file names; without, what any decoder of the codec shows is returned.

    Raises:
      FileFormatError: a subclass says why the file cannot be decoded; UnknownWeights: the filter is not installed, or
        `network` is another one.
      MissingDependency: the codec is not installed.
    """
    header, found = _parse(data)
    form = PlanarFormat(header.height, header.width, "420", cast(Literal[8, 10], header.bit_depth))
    name, count, rate, coded_qps = _clip_facts(found[SectionKind.CLIP])
    coder = coder or default_codec(name)
    frames = coder.decode(found[SectionKind.STREAM], form).frames
    if len(frames) != count:
        raise CorruptFile(f"the stream holds {len(frames)} frames, expected {count}; get an intact copy of the file")
    if filtered and header.weights != NO_WEIGHTS:
        network = named_weights(header.weights, network)
        params: Mapping[str, Any] = network.params
        if SectionKind.UPDATE in found:
            params = _updated(params, found[SectionKind.UPDATE])
        qps = decode_qps(coded_qps, count, header.quality_q4 // 16 - 1)
        frames = PlaneFilterRunner(network.config.filter).apply(params, frames, form, qps)
    return Clip(frames, form, rate, bool(header.flags))


def named_weights(digest: bytes, network: PlaneFilterWeights | None) -> PlaneFilterWeights:
    """Return the filters that a file names.

    Args:
      digest: first bytes of their digest, in the file.
      network: to be checked; by default they are looked for among those installed.

    Raises:
      UnknownWeights: they are not installed, or `network` holds others.
      CorruptFile: what is installed under that name is no filter.
    """
    if network is None:
        try:
            return filter_weights.read(zoo.find_digest(digest))
        except InputError as error:
            raise CorruptFile(f"the file names weights that are no filter ({error}); get an intact copy") from error
    if not network.info.digest.startswith(digest.hex()):
        raise UnknownWeights(
            f"the file was made with weights {digest.hex()}, not with {network.info.name} "
            f"({network.info.digest[:16]}); give those that made it"
        )
    return network


def extract_stream(data: bytes) -> tuple[bytes, str]:
    """Return the conventional stream of a file, which any decoder of that codec plays, and the codec's name."""
    _, found = _parse(data)
    return found[SectionKind.STREAM], _clip_facts(found[SectionKind.CLIP])[0]


def _parse(data: bytes) -> tuple[Header, dict[SectionKind, bytes]]:
    header, sections = unpack(data)
    found = {section.kind: section.payload for section in sections}
    if header.codec != CODEC_NAME:
        raise CorruptFile(f"this is a file of the codec '{header.codec}', no filtered clip")
    known = {SectionKind.CLIP, SectionKind.STREAM, SectionKind.UPDATE}
    if not {SectionKind.CLIP, SectionKind.STREAM} <= found.keys() <= known or header.flags > 1:
        raise CorruptFile("a clip needs its facts and its stream and nothing else; get an intact copy of the file")
    if header.bit_depth not in (8, 10) or header.channels != 3 or header.quality_q4 % 16:
        raise CorruptFile("the header describes no clip of 8 or 10 bits; get an intact copy of the file")
    if SectionKind.UPDATE in found and header.weights == NO_WEIGHTS:
        raise CorruptFile("the file changes a filter and names none; get an intact copy of the file")
    return header, found


def _clip_facts(payload: bytes) -> tuple[CoderName, int, Fraction, bytes]:
    if not payload or payload[0] >= len(CODERS):
        raise CorruptFile("the file names an unknown conventional codec; update jaxicm or get an intact copy of it")
    values, position = [], 1
    for what in ("frames", "rate", "rate's denominator"):
        value, position = read_uvarint(payload, position, what)
        values.append(value)
    if not 1 <= values[0] <= _MOST_FRAMES or not values[1] or not values[2]:
        raise CorruptFile("the facts of the clip make no sense; get an intact copy of the file")
    return CODERS[payload[0]], values[0], Fraction(values[1], values[2]), payload[position:]


def _updated(params: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """Apply an update section: the number of a pattern and the update's own bytes."""
    if not payload or payload[0] >= len(PATTERNS):
        raise CorruptFile("the file changes unknown parts of its filter; update jaxicm or get an intact copy of it")
    shapes = leaf_shapes(params, select(params, PATTERNS[payload[0]]))
    return apply_update(params, decode_update(payload[1:], shapes))


def _fitted(
    network: PlaneFilterWeights,
    runner: PlaneFilterRunner,
    clip: Clip,
    decoded: Sequence[Planes],
    qps: Sequence[int],
    bit_worth: float,
    fit: "ParameterFit",
    limit_s: float | None,
    progress: "Progress | None",
) -> bytes:
    """Return the update section, empty where none pays on the frames that are looked at."""
    from jaxicm.adapt.parameters import fit_parameters  # imports optimisers, which decoding does not need

    if fit.pattern not in PATTERNS:
        known = "; ".join(", ".join(pattern) for pattern in PATTERNS)
        raise InputError(f"an update changes one of {known}, found {', '.join(fit.pattern)}")
    form, count = clip.form, len(decoded)
    looked = sorted({k * (count - 1) // max(_CHECKED_FRAMES - 1, 1) for k in range(_CHECKED_FRAMES)})
    some, wanted = [decoded[k] for k in looked], [clip.frames[k] for k in looked]

    def validate(params: Mapping[str, Any]) -> float:
        found = squared_error(wanted, runner.apply(params, some, form, [qps[k] for k in looked]), form)
        return found * count / len(looked)

    patches = _Patches(clip.frames, decoded, form, qps)
    loss = _loss_of(network.config.filter)
    fitted = fit_parameters(
        network.params,
        fit,
        loss,
        patches.batch,
        bit_worth,
        validate,
        limit_s=limit_s,
        progress=progress,
    )
    return bytes([PATTERNS.index(fit.pattern)]) + fitted.data if fitted.data else b""


class _Patches:
    """Random patches of a clip before and after coding, in [0, 1]."""

    def __init__(self, original: Sequence[Planes], decoded: Sequence[Planes], form: PlanarFormat, qps: Sequence[int]):
        self._pairs, self._form, self._qps = (original, decoded), form, np.asarray(qps, np.float32)

    def batch(self, number: int) -> tuple[np.ndarray, ...]:
        """Return the batch of an iteration: original and decoded luma and chroma, and QPs."""
        rng, peak = np.random.default_rng([9, number]), np.float32((1 << self._form.bits) - 1)
        rows: list[list[np.ndarray]] = []
        chosen = rng.integers(len(self._pairs[0]), size=_BATCH)
        for frame in chosen.tolist():
            sides = [max(side - _PATCH, 0) // 2 for side in self._form.shapes[0]]
            top, left = (2 * int(rng.integers(most + 1)) for most in sides)
            row = []
            for frames in self._pairs:
                luma, *chroma = frames[frame]
                row.append(_patch(luma[..., None], top, left, _PATCH))
                row.append(_patch(np.stack(chroma, axis=-1), top // 2, left // 2, _PATCH // 2))
            rows.append(row)
        return (*(np.stack(part) / peak for part in zip(*rows, strict=True)), self._qps[chosen])


def _patch(plane: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    part = plane[top : top + side, left : left + side]
    missing = side - part.shape[0], side - part.shape[1]
    return np.pad(part, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else part


@lru_cache(maxsize=8)
def _loss_of(config: PlaneFilterConfig) -> Any:
    return partial(_patch_loss, config)


def _patch_loss(config: PlaneFilterConfig, params: Any, batch: tuple[Array, ...]) -> Array:
    """Return the squared error of filtered patches over that of unfiltered ones, their edges left out."""
    luma, chroma, coded_luma, coded_chroma, qp = batch
    shown = cast(tuple[Array, Array], PlaneFilter(config).apply({"params": params}, coded_luma, coded_chroma, qp))
    edge = config.reach

    def error(planes: tuple[Array, Array]) -> Array:
        inner = slice(edge, _PATCH - edge), slice(edge // 2, (_PATCH - edge) // 2)
        parts = [
            jnp.square(a - b)[:, part, part].sum() for a, b, part in zip(planes, (luma, chroma), inner, strict=True)
        ]
        return parts[0] + CHROMA_WEIGHT * parts[1]

    return error(shown) / (error((coded_luma, coded_chroma)) + 1e-6)
