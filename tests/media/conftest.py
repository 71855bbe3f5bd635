"""Picture files that Pillow does not write, made by hand from the specifications of PNG and TIFF."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def png_by_hand() -> Callable[..., bytes]:
    """Return a writer of PNGs (PNG specification, chunks IHDR, IDAT, IEND), by default of 16 bits."""

    def write(samples: np.ndarray, colour_type: int, bits: int = 16, chunks: dict[bytes, bytes] | None = None) -> bytes:
        """Write samples [H, W, C], below 8 bits packed by the caller, with further chunks before the pixels."""

        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        height, width = samples.shape[:2]
        width = width * 8 // bits if bits < 8 else width
        rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in samples)
        header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
        further = b"".join(chunk(kind, body) for kind, body in (chunks or {}).items())
        pixels = chunk(b"IDAT", zlib.compress(rows))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + further + pixels + chunk(b"IEND", b"")

    return write


@pytest.fixture(scope="session")
def tiff_by_hand() -> Callable[..., bytes]:
    """Return a writer of one-strip RGB TIFFs of 16 bits (TIFF 6.0, section 6), little-endian."""

    def write(
        strips: list[bytes], width: int, height: int, compression: int, further: list[tuple[int, int]] | None = None
    ) -> bytes:
        """Write strips, one for all colours or one for each, with further entries of a tag and a number each."""
        starts = np.cumsum([8] + [len(strip) for strip in strips]).tolist()
        end, count = starts.pop(), len(strips)
        lists = struct.pack(f"<3H{2 * count}I", 16, 16, 16, *starts, *map(len, strips))
        where, sizes = (end + 6, end + 6 + 4 * count) if count > 1 else (starts[0], len(strips[0]))
        entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, end), (259, 3, 1, compression), (262, 3, 1, 2)]
        entries += [(273, 4, count, where), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, count, sizes)]
        entries = sorted(entries + [(tag, 3, 1, number) for tag, number in further or ()])
        directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        head = b"II*\0" + struct.pack("<I", end + len(lists))
        return head + b"".join(strips) + lists + struct.pack("<H", len(entries)) + directory + b"\0" * 4

    return write
