"""What pictures the lossy codec takes and what its files may say."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxicm.bits.container import Header, Section, SectionKind, pack
from jaxicm.errors import CorruptFile, InputError
from jaxicm.media.scaling import resize, scaled_size

CODEC_NAME = "image"
VIEWERS = {"": 0, "people": 1, "machine": 2}
"""Whose decoder a file asks for, and its number in bits 0 and 1 of the header's flags; 0 is the weights' own."""
FULL_SCALE = 100
"""Bits 2 to 8 of the flags are this less the scale at which the picture was coded, in per cent of its sides."""
_VIEWER_BITS = 2
SIDE_MAX = 16384
"""Largest width or height in pixels."""


def check_picture(image: np.ndarray) -> None:
    """Raise InputError unless `image` is uint8 `[H, W, 3]` or `[H, W]` with sides in 1..16384."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a picture must be a uint8 array, got {kind}; convert it (16 bit: divide by 257 and round)")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise InputError(f"a picture must have shape [H, W, 3] or [H, W], got {list(image.shape)}")
    if not all(1 <= side <= SIDE_MAX for side in image.shape[:2]):
        raise InputError(f"sides must be 1 to {SIDE_MAX} pixels, got {image.shape[1]}x{image.shape[0]}")


def check_header(header: Header) -> None:
    """Raise CorruptFile unless the header describes a picture that this codec can have made."""
    if header.codec != CODEC_NAME:
        raise CorruptFile(f"this is a file of the codec '{header.codec}', which lossy weights do not decode")
    if max(header.height, header.width) > SIDE_MAX or header.bit_depth != 8 or not _known(header.flags):
        raise CorruptFile(
            f"the header says {header.width}x{header.height}, {header.bit_depth} bits and flags {header.flags}; "
            f"expected sides up to {SIDE_MAX}, 8 bits and flags of a viewer and a scale; get an intact copy of the file"
        )


def _known(flags: int) -> bool:
    return flags % (1 << _VIEWER_BITS) < len(VIEWERS) and flags >> _VIEWER_BITS < FULL_SCALE


def flags_of(viewer: str, scale: int) -> int:
    """Return the header's flags for a viewer, a key of `VIEWERS`, and a scale in per cent."""
    return VIEWERS[viewer] | FULL_SCALE - scale << _VIEWER_BITS


def viewer_of(header: Header) -> str:
    """Return the viewer whose decoder a file asks for."""
    return list(VIEWERS)[header.flags % (1 << _VIEWER_BITS)]


def scale_of(header: Header) -> int:
    """Return the scale at which a picture was coded, in per cent of its sides."""
    return FULL_SCALE - (header.flags >> _VIEWER_BITS)


def latent_of(sections: Sequence[Section]) -> bytes:
    """Return the payload of a file's latent.

    Raises:
      CorruptFile: there is not exactly one.
    """
    payloads = [s.payload for s in sections if s.kind == SectionKind.LATENT]
    if len(payloads) != 1:
        raise CorruptFile(f"found {len(payloads)} latent sections, expected 1; get an intact copy of the file")
    return payloads[0]


def to_grey(rgb: np.ndarray) -> np.ndarray:
    """Average the three decoded channels of a grey picture, rounding to nearest."""
    total = rgb.astype(np.uint16).sum(axis=2)
    return ((2 * total + 3) // 6).astype(np.uint8)


def shown(pixels: np.ndarray, header: Header) -> np.ndarray:
    """Return decoded pixels uint8 `[h, w, 3]` as a file shows them: grey where it is, and of its size."""
    return resize(to_grey(pixels) if header.channels == 1 else pixels, header.height, header.width)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Repeat a grey picture's channel."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


class Source(NamedTuple):
    """What is encoded.

    Attributes:
      pixels: uint8 `[h, w, 3]` or `[h, w]` at the coded size.
      scale: of that size, in per cent of the sides.
      size: height and width at which the picture is shown.
      icc: colour profile to carry along.
    """

    pixels: np.ndarray
    scale: int
    size: tuple[int, int]
    icc: bytes | None

    @classmethod
    def of(cls, image: np.ndarray, scale: int, icc: bytes | None) -> "Source":
        """Make a picture as large as it is coded."""
        size = image.shape[0], image.shape[1]
        return cls(resize(image, *scaled_size(*size, scale)), scale, size, icc)

    def pack(self, payload: bytes, weights: bytes, quality_q4: int, viewer: str) -> bytes:
        """Make a file of the coded latent, with the first bytes of the weights' digest and a key of `VIEWERS`."""
        header = Header(
            codec=CODEC_NAME,
            weights=weights,
            height=self.size[0],
            width=self.size[1],
            channels=1 if self.pixels.ndim == 2 else 3,
            quality_q4=quality_q4,
            flags=flags_of(viewer, self.scale),
        )
        sections = [Section(SectionKind.LATENT, payload)]
        if self.icc is not None:
            sections.append(Section(SectionKind.ICC, self.icc))
        return pack(header, sections)
