"""The file format: a header and typed sections, each guarded by a checksum.

Layout, all integers unsigned, `varint` as in :mod:`jaxicm.bits.varint`:

    magic         6 bytes   8A 4A 49 43 0D 0A: not ASCII, and the line end shows a transfer in text mode
    version       1 byte    format version, 1
    codec         1 byte    which codec wrote the file, see `CODECS`
    weights       8 bytes   first 8 bytes of the SHA-256 of the weights
    height        varint    1 to 2^20
    width         varint    1 to 2^20, height * width at most 2^30
    layout        1 byte    bit 0: colour (0: one grey channel, 1: three channels); bits 1 to 3: bit depth - 8, or 7 for
                            16 bits; bits 4 to 6: colour space, see `COLOURS`; bit 7: the field `flags` follows
    quality_q4    varint    quality in sixteenths, 16 to 1600
    flags         varint    only if bit 7 of layout is set: 1 to 2^32 - 1, its meaning belongs to the codec
    check         2 bytes   low half of the CRC-32 of all bytes before it, little-endian
    sections, at least one, each:
      kind        1 byte    see `SectionKind`, each at most once; bit 7: this is the last section
      length      varint    bytes of the payload
      payload
      crc32       4 bytes   CRC-32 of header, kind, length and payload, little-endian

Nothing may follow the last section. The bytes for the same contents change only with the format version.
"""

import enum
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CorruptFile, ForeignFile, NewerVersion, TruncatedFile
from .varint import read_uvarint, write_uvarint

MAGIC = b"\x8aJIC\r\n"
FORMAT_VERSION = 1
CODECS = {"image": 1, "lossless": 2, "filtered": 3, "filtered_picture": 4}
"""Codec names and their numbers in the file."""
COLOURS = {"srgb": 0}
"""Colour spaces and their numbers in the file."""
DEPTHS = (8, 9, 10, 11, 12, 13, 14, 16)
"""Bits of a sample; the position is their number in the file."""
MAX_SIDE = 1 << 20
MAX_PIXELS = 1 << 30
MAX_FLAGS = (1 << 32) - 1
MAX_SECTIONS = 16

_LAST_SECTION = 128
_FLAGS_FOLLOW = 128
_DIGEST_BYTES = 8


class SectionKind(enum.IntEnum):
    """What a section holds."""

    LATENT = 1  # the entropy-coded symbols of the picture
    ALPHA = 2  # the alpha channel
    ICC = 3  # the colour profile
    EXIF = 4  # the metadata of the camera
    STREAM = 5  # an elementary stream of a conventional codec
    CLIP = 6  # which codec, how many frames, their rate
    UPDATE = 7  # changes of a network's parameters
    MAP = 8  # which filter each block of a picture has


_KINDS = frozenset(SectionKind)


@dataclass(frozen=True)
class Header:
    """Describe a file; every field has a range and is checked.

    Attributes:
      codec: name of the codec, a key of `CODECS`.
      weights: first 8 bytes of the digest of the weights.
      height: pixels, 1 to 2^20.
      width: pixels, 1 to 2^20; height * width at most 2^30.
      channels: 1 (grey) or 3.
      bit_depth: bits of a sample, 8 to 14 or 16.
      quality_q4: quality in sixteenths, 16 to 1600.
      colour: colour space, a key of `COLOURS`.
      flags: 0 to 2^32 - 1, for the codec, for instance how a picture was tiled.
    """

    codec: str
    weights: bytes
    height: int
    width: int
    channels: int = 3
    bit_depth: int = 8
    quality_q4: int = 16 * 50
    colour: str = "srgb"
    flags: int = 0

    def __post_init__(self) -> None:
        def require(condition: bool, name: str, expected: str) -> None:
            if not condition:
                raise ValueError(f"header field '{name}' must be {expected}, got {getattr(self, name)!r}")

        require(self.codec in CODECS, "codec", f"one of {', '.join(CODECS)}")
        require(len(self.weights) == _DIGEST_BYTES, "weights", f"{_DIGEST_BYTES} bytes")
        require(1 <= self.height <= MAX_SIDE, "height", f"in [1, {MAX_SIDE}]")
        require(1 <= self.width <= MAX_SIDE, "width", f"in [1, {MAX_SIDE}]")
        require(self.height * self.width <= MAX_PIXELS, "height", f"at most {MAX_PIXELS} pixels / width {self.width}")
        require(self.channels in (1, 3), "channels", "1 or 3")
        require(self.bit_depth in DEPTHS, "bit_depth", f"one of {', '.join(map(str, DEPTHS))}")
        require(16 <= self.quality_q4 <= 1600, "quality_q4", "in [16, 1600]")
        require(self.colour in COLOURS, "colour", f"one of {', '.join(COLOURS)}")
        require(0 <= self.flags <= MAX_FLAGS, "flags", f"in [0, {MAX_FLAGS}]")


@dataclass(frozen=True)
class Section:
    """Hold one typed part of a file."""

    kind: SectionKind
    payload: bytes


def pack(header: Header, sections: Sequence[Section]) -> bytes:
    """Write a file.

    Args:
      header: the header.
      sections: 1 to 16 sections, each kind at most once.

    Returns:
      The bytes of the file, 32 more than the payload for one section below 16 KiB and sides of 128 to 16383.

    Raises:
      ValueError: if a kind occurs twice or there is no section.
    """
    if not 1 <= len(sections) <= MAX_SECTIONS or len({section.kind for section in sections}) != len(sections):
        raise ValueError(f"a file has 1 to {MAX_SECTIONS} sections of different kinds, got {len(sections)}")
    head = b"".join(data for _, _, data in _header_fields(header))
    checksum = zlib.crc32(head)
    parts = [head, (checksum & 0xFFFF).to_bytes(2, "little")]
    for i, section in enumerate(sections):
        last = _LAST_SECTION if i == len(sections) - 1 else 0
        body = bytes([SectionKind(section.kind) | last]) + write_uvarint(len(section.payload)) + section.payload
        parts += [body, zlib.crc32(body, checksum).to_bytes(4, "little")]
    return b"".join(parts)


def unpack(data: bytes | memoryview) -> tuple[Header, list[Section]]:
    """Read a file; inverse of `pack`.

    Args:
      data: the whole file.

    Returns:
      The header and the sections in the order of the file.

    Raises:
      ForeignFile: if the file does not begin as one of ours.
      NewerVersion: if it has a later format version.
      TruncatedFile: if it ends too early.
      CorruptFile: if a checksum or range does not hold, or bytes follow the last section.
    """
    data = memoryview(data).cast("B")
    header, position, checksum = _read_header(data)
    sections: list[Section] = []
    last = False
    while not last:
        start = position
        if position >= len(data):
            raise TruncatedFile("the file ends before its last section; get a complete copy of it")
        number, last = data[position] & ~_LAST_SECTION, bool(data[position] & _LAST_SECTION)
        length, position = read_uvarint(data, position + 1, "section length")
        stop = position + length
        if stop + 4 > len(data):
            raise TruncatedFile(
                f"found {len(data)} bytes, expected at least {stop + 4}; get a complete copy of the file"
            )
        if zlib.crc32(data[start:stop], checksum) != int.from_bytes(data[stop : stop + 4], "little"):
            raise CorruptFile(
                f"section {len(sections) + 1} does not match its checksum; get an intact copy of the file"
            )
        if number not in _KINDS or any(section.kind == number for section in sections):
            raise CorruptFile(
                f"section {len(sections) + 1} has the unknown or repeated kind {number}; get an intact copy"
            )
        sections.append(Section(SectionKind(number), bytes(data[position:stop])))
        position = stop + 4
    if position < len(data):
        raise CorruptFile(f"{len(data) - position} bytes follow the end of the file's contents; remove them")
    return header, sections


def describe(data: bytes | memoryview) -> dict[str, object]:
    """List every field and section of a file, without any network; the result can be written as JSON.

    Args:
      data: the whole file.

    Returns:
      `size_bytes`; `header`, a list of {name, value, bytes (as hexadecimal digits), size_bytes} in the order of the
      file; `sections`, a list of {kind, payload_bytes, size_bytes, crc32}.

    Raises:
      FileFormatError: as `unpack` does.
    """
    header, sections = unpack(data)
    fields = _header_fields(header)
    position = sum(len(raw) for _, _, raw in fields)
    check = bytes(data[position : position + 2])
    listed = []
    position += 2
    for section in sections:
        size = 1 + len(write_uvarint(len(section.payload))) + len(section.payload) + 4
        position += size
        crc = int.from_bytes(data[position - 4 : position], "little")
        listed.append(
            {
                "kind": section.kind.name,
                "payload_bytes": len(section.payload),
                "size_bytes": size,
                "crc32": f"{crc:08x}",
            }
        )
    rows = [*fields, ("check", check.hex(), check)]
    return {
        "size_bytes": len(data),
        "header": [
            {"name": name, "value": value, "bytes": raw.hex(), "size_bytes": len(raw)} for name, value, raw in rows
        ],
        "sections": listed,
    }


def _header_fields(header: Header) -> list[tuple[str, object, bytes]]:
    """Return (name, value, bytes) of each field before the check, in the order of the file."""
    layout = (header.channels == 3) | DEPTHS.index(header.bit_depth) << 1 | COLOURS[header.colour] << 4
    meaning = {"channels": header.channels, "bit_depth": header.bit_depth, "colour": header.colour}
    fields: list[tuple[str, object, bytes]] = [
        ("magic", "jaxicm", MAGIC),
        ("version", FORMAT_VERSION, bytes([FORMAT_VERSION])),
        ("codec", header.codec, bytes([CODECS[header.codec]])),
        ("weights", header.weights.hex(), header.weights),
        ("height", header.height, write_uvarint(header.height)),
        ("width", header.width, write_uvarint(header.width)),
        ("layout", meaning, bytes([layout | (_FLAGS_FOLLOW if header.flags else 0)])),
        ("quality_q4", header.quality_q4, write_uvarint(header.quality_q4)),
    ]
    return [*fields, ("flags", header.flags, write_uvarint(header.flags))] if header.flags else fields


def _read_header(data: memoryview) -> tuple[Header, int, int]:
    """Return the header, the position after it and its CRC-32."""
    _check_magic(bytes(data[: len(MAGIC) + 1]))
    position = len(MAGIC) + 2 + _DIGEST_BYTES
    if len(data) < position:
        raise TruncatedFile("the file ends inside its header; get a complete copy of it")
    codec, weights = data[len(MAGIC) + 1], bytes(data[position - _DIGEST_BYTES : position])
    height, position = read_uvarint(data, position, "height")
    width, position = read_uvarint(data, position, "width")
    layout, position = data[position] if position < len(data) else 0, position + 1
    quality_q4, position = read_uvarint(data, position, "quality_q4")
    flags, position = read_uvarint(data, position, "flags") if layout & _FLAGS_FOLLOW else (0, position)
    if len(data) < position + 2:
        raise TruncatedFile("the file ends inside its header; get a complete copy of it")
    checksum = zlib.crc32(data[:position])
    if checksum & 0xFFFF != int.from_bytes(data[position : position + 2], "little"):
        raise CorruptFile("the header does not match its checksum; get an intact copy of the file")
    codecs, colours = {v: k for k, v in CODECS.items()}, {v: k for k, v in COLOURS.items()}
    channels, bit_depth, colour = (
        3 if layout & 1 else 1,
        DEPTHS[layout >> 1 & 7],
        colours.get(layout >> 4 & 7, "unknown"),
    )
    if layout & _FLAGS_FOLLOW and not flags:
        raise CorruptFile("header field 'flags' is written but zero; get an intact copy of the file")
    try:
        header = Header(
            codecs.get(codec, "unknown"), weights, height, width, channels, bit_depth, quality_q4, colour, flags
        )
    except ValueError as error:
        raise CorruptFile(f"{error}; get an intact copy of the file") from None
    return header, position + 2, checksum


def _check_magic(start: bytes) -> None:
    """Check magic and version, `start` being at most 7 bytes."""
    if not start:
        raise TruncatedFile("the file is empty; get a complete copy of it")
    if not start.startswith(MAGIC):
        if MAGIC.startswith(start):
            raise TruncatedFile("the file ends inside its header; get a complete copy of it")
        if start[:4] in (MAGIC[:4], b"\x0aJIC"):
            raise CorruptFile("the file was changed by a transfer in text mode; copy it again in binary mode")
        raise ForeignFile(f"this is not a jaxicm file: it begins with {start[:6].hex()}, expected {MAGIC.hex()}")
    if len(start) <= len(MAGIC):
        raise TruncatedFile("the file ends inside its header; get a complete copy of it")
    version = start[len(MAGIC)]
    if version > FORMAT_VERSION:
        raise NewerVersion(f"the file has format version {version}, this program reads {FORMAT_VERSION}; update jaxicm")
    if version < 1:
        raise CorruptFile("the file has format version 0, which does not exist; get an intact copy of it")
