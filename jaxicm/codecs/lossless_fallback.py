"""Lossless pictures without networks: raw samples, filtered rows, palettes and WebP, whichever is smallest.

Screens, drawings, flat and tiny pictures take fewer bytes so than through a model of photographs. A payload begins with
its mode, see `Mode`; shape and type of the samples are not in it. Sixteen-bit samples are little-endian. LZMA streams
are raw LZMA1 with lc 3, lp 0, pb 0 and an end marker; the dictionary is as large as the contents, see `_dictionary`.
"""

import enum
import io
import lzma
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from jaxicm.codecs import row_filters
from jaxicm.errors import CorruptFile
from jaxicm.media.loading import pillow_without_limits

PALETTE_MAX = 256
WEBP_SIDE_MAX = 16383
Buffer = bytes | memoryview

_EQUAL_SHARE = 0.25
"""Share of pixels equal to both neighbours from which a picture counts as drawn. Screens have 0.7 and
more; 38 of 416 photographs reach it too, those with a flat background, which costs only the time of a try."""
_GREY_LEVELS = 32
_SAMPLED_ROWS = 128
_LZMA_BESIDE_WEBP = 1 << 20
"""Bytes of samples up to which LZMA is tried where WebP is possible: above, it costs seconds and hardly ever wins."""
_PATIENCE = 1 << 23
"""Bytes up to which LZMA takes its time."""
_WEBP_EFFORTS = ((1 << 14, 6, 100), (1 << 20, 6, 75), (1 << 22, 4, 75), (1 << 60, 2, 50))
"""Pixels up to which a method and an effort (Pillow's quality) are used: below a second on one core up to 2^22."""


class Mode(enum.IntEnum):
    """How samples are written; the first byte of a payload."""

    RAW = 0  # the samples
    LZMA = 1  # LZMA of the samples, row after row
    FILTERED = 2  # LZMA of byte planes of filtered rows, see `row_filters`
    PALETTE = 3  # colours - 1 (byte), bits an index (byte), LZMA of the colours' differences and the packed indices
    WEBP = 4  # VP8L without its 5 bytes of header, opaque; grey as RGB
    WEBP_ALPHA = 5  # the same with alpha


def is_synthetic(samples: np.ndarray) -> bool:
    """Tell by a look at some rows whether `pack_simple` may beat a model of photographs: few colours or flat areas.

    Args:
      samples: uint8 or uint16 `[H, W]` or `[H, W, C]`.
    """
    cube = _cube(samples)
    height = len(cube)
    first = np.unique(np.linspace(0, max(height - 2, 0), _SAMPLED_ROWS).astype(int))
    above, here = cube[first], cube[np.minimum(first + 1, height - 1)]
    few = min(_GREY_LEVELS if cube.shape[2] == 1 else PALETTE_MAX, here[..., 0].size // 4)
    if len(_distinct(here, few)) <= few:
        return True
    equal = (here[:, 1:] == here[:, :-1]).all(2) & (here[:, 1:] == above[:, 1:]).all(2)
    return equal.size > 0 and float(equal.mean()) >= _EQUAL_SHARE


def pack_simple(samples: np.ndarray) -> bytes:
    """Write samples in the smallest of the modes.

    Args:
      samples: uint8 or uint16 `[H, W]` or `[H, W, C]`, C 1 to 4, not empty.

    Returns:
      A payload, at most one byte longer than the samples.
    """
    cube = _cube(samples)
    return min(_candidates(cube), key=len)


def unpack_simple(data: Buffer, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Read samples; inverse of `pack_simple`.

    Memory and work are bounded by the size of the picture, whatever the payload holds.

    Args:
      data: a payload.
      shape: of the samples.
      dtype: uint8 or uint16.

    Returns:
      The samples.

    Raises:
      CorruptFile: if the payload does not hold such samples.
    """
    if not len(data) or data[0] not in _READERS:
        raise CorruptFile(f"the payload has the unknown mode {data[:1].hex() or 'nothing'}; get an intact copy")
    cube = (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
    return _READERS[data[0]](data[1:], cube, np.dtype(dtype)).reshape(shape)


def mode_of(data: Buffer) -> str:
    """Return the name of a payload's mode, for messages: "raw", "lzma", "filtered", "palette" or "webp"."""
    return Mode(data[0]).name.lower().removesuffix("_alpha")


def _cube(samples: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(samples.reshape(*samples.shape[:2], -1))


def _little(samples: np.ndarray) -> bytes:
    return samples.astype(samples.dtype.newbyteorder("<"), copy=False).tobytes()


def _candidates(cube: np.ndarray) -> Iterator[bytes]:
    raw = _little(cube)
    yield bytes([Mode.RAW]) + raw
    palette = _pack_palette(cube)
    if palette is not None:
        yield palette
    webp = _pack_webp(cube)
    if webp is not None:
        yield webp
    if webp is None or cube.nbytes <= _LZMA_BESIDE_WEBP:
        yield bytes([Mode.LZMA]) + deflate(raw)
        yield bytes([Mode.FILTERED]) + deflate(row_filters.forward(cube))


# --- LZMA ---------------------------------------------------------------------------------------------------------


def _dictionary(size_bytes: int) -> int:
    """Return the size of the dictionary for contents: a power of two, 4 KiB to 8 MiB."""
    return 1 << min(max((size_bytes - 1).bit_length(), 12), 23)


def deflate(data: bytes) -> bytes:
    """Compress bytes with LZMA, without any head."""
    preset = 6 if len(data) <= _PATIENCE else 1
    chosen = {"id": lzma.FILTER_LZMA1, "preset": preset, "dict_size": _dictionary(len(data)), "lc": 3, "lp": 0, "pb": 0}
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=[chosen])


def inflate(data: Buffer, size_bytes: int) -> bytes:
    """Expand LZMA that must give `size_bytes`, never to more than one byte above."""
    chosen = {"id": lzma.FILTER_LZMA1, "dict_size": _dictionary(size_bytes), "lc": 3, "lp": 0, "pb": 0}
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chosen])
    try:
        found = decoder.decompress(data, size_bytes + 1)
        if len(found) == size_bytes and not decoder.eof:
            found += decoder.decompress(b"", 1)  # the end marker
    except (lzma.LZMAError, EOFError) as error:
        raise CorruptFile(f"the samples do not expand ({error}); get an intact copy of the file") from None
    if len(found) != size_bytes or not decoder.eof or decoder.unused_data:
        raise CorruptFile(
            f"the samples expand to {len(found)} bytes, expected {size_bytes} and an end; get another copy"
        )
    return found


def _samples(data: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _read_raw(body: Buffer, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    expected = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if len(body) != expected:
        raise CorruptFile(f"found {len(body)} bytes of samples, expected {expected}; get an intact copy of the file")
    return _samples(body, shape, dtype)


def _read_lzma(body: Buffer, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    return _samples(inflate(body, shape[0] * shape[1] * shape[2] * dtype.itemsize), shape, dtype)


def _read_filtered(body: Buffer, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    return row_filters.inverse(inflate(body, row_filters.size_bytes(shape, dtype)), shape, dtype)


# --- palettes -----------------------------------------------------------------------------------------------------


def _keys(cube: np.ndarray) -> np.ndarray:
    """Return the colour of each pixel as one number, uint64 of the shape without channels."""
    keys = np.zeros(cube.shape[:-1], np.uint64)
    for channel in range(cube.shape[-1]):
        keys = keys << np.uint64(8 * cube.itemsize) | cube[..., channel]
    return keys


def _distinct(rows: np.ndarray, limit: int) -> np.ndarray:
    """Return the distinct colours of `[N, W, C]` as keys, rising; as soon as they are more than `limit`, only some."""
    found = np.zeros(0, np.uint64)
    step = max(1, (1 << 20) // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        keys = _keys(rows[start : start + step]).ravel()
        changes = np.concatenate([keys[:1], keys[1:][keys[1:] != keys[:-1]]])
        found = np.union1d(found, changes)
        if len(found) > limit:
            break
    return found


def _pack_palette(cube: np.ndarray) -> bytes | None:
    height, width, channels = cube.shape
    few = cube[:: max(1, height // 64)]
    if len(_distinct(few, PALETTE_MAX)) > PALETTE_MAX:
        return None
    keys = _distinct(cube, PALETTE_MAX)
    # Indices as wide as the samples save nothing.
    if len(keys) > (16 if channels == 1 and cube.itemsize == 1 else PALETTE_MAX):
        return None
    shifts = np.uint64(8 * cube.itemsize) * np.arange(channels - 1, -1, -1, dtype=np.uint64)
    colours = (keys[:, None] >> shifts).astype(cube.dtype)
    head = bytes([Mode.PALETTE, len(keys) - 1])
    stored = _little(np.diff(colours, axis=0, prepend=np.zeros((1, channels), cube.dtype)))
    if len(keys) == 1:
        return head + bytes([0]) + stored
    step = max(1, (1 << 20) // width)
    blocks = (cube[start : start + step] for start in range(0, height, step))
    indices = np.concatenate([np.searchsorted(keys, _keys(block)).astype(np.uint8) for block in blocks])
    narrow = next(bits for bits in (1, 2, 4, 8) if len(keys) <= 1 << bits)
    widths = {narrow, 8} if cube.nbytes <= _LZMA_BESIDE_WEBP else {narrow}
    packed = (head + bytes([bits]) + deflate(stored + _pack_bits(indices, bits)) for bits in sorted(widths))
    return min(packed, key=len)


def _read_palette(body: Buffer, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    height, width, channels = shape
    if len(body) < 2 or body[1] not in (0, 1, 2, 4, 8) or (body[0] > 0) != (body[1] > 0):
        raise CorruptFile("the palette's size and the bits of an index do not fit; get an intact copy of the file")
    count, bits = body[0] + 1, body[1]
    table_bytes = count * channels * dtype.itemsize
    data = bytes(body[2:])
    if bits:
        data = inflate(data, table_bytes + height * _row_bytes(width, bits))
    elif len(data) != table_bytes:
        raise CorruptFile(f"found {len(data)} bytes of colours, expected {table_bytes}; get an intact copy of the file")
    colours = np.cumsum(_samples(data[:table_bytes], (count, channels), dtype), axis=0, dtype=dtype)
    if not bits:
        return np.broadcast_to(colours[0], shape).copy()
    indices = _unpack_bits(np.frombuffer(data, np.uint8, offset=table_bytes).reshape(height, -1), width, bits)
    if int(indices.max()) >= count:
        raise CorruptFile(f"found colour {int(indices.max())} of a palette of {count}; get an intact copy of the file")
    return colours[indices]


def _row_bytes(width: int, bits: int) -> int:
    return -(-width * bits // 8)


def _pack_bits(indices: np.ndarray, bits: int) -> bytes:
    """Pack `[H, W]`, each row from a whole byte on, the first index in the highest bits."""
    if bits == 8:
        return indices.tobytes()
    each = 8 // bits
    padded = np.pad(indices, ((0, 0), (0, -indices.shape[1] % each)))
    packed = np.zeros((len(padded), padded.shape[1] // each), np.uint8)
    for k in range(each):
        packed |= padded[:, k::each] << np.uint8(8 - bits * (k + 1))
    return packed.tobytes()


def _unpack_bits(packed: np.ndarray, width: int, bits: int) -> np.ndarray:
    each = 8 // bits
    indices = np.empty((len(packed), packed.shape[1] * each), np.uint8)
    for k in range(each):
        indices[:, k::each] = packed >> np.uint8(8 - bits * (k + 1)) & np.uint8((1 << bits) - 1)
    return indices[:, :width]


# --- WebP ---------------------------------------------------------------------------------------------------------


def _pack_webp(cube: np.ndarray) -> bytes | None:
    height, width, channels = cube.shape
    if cube.dtype != np.uint8 or max(height, width) > WEBP_SIDE_MAX:
        return None
    colour = cube if channels > 2 else np.concatenate([cube[..., :1]] * 3 + [cube[..., 1:]], axis=2)
    _, method, quality = next(effort for effort in _WEBP_EFFORTS if height * width <= effort[0])
    buffer = io.BytesIO()
    Image.fromarray(colour).save(buffer, "WEBP", lossless=True, exact=True, method=method, quality=quality)
    data = buffer.getvalue()
    length = int.from_bytes(data[16:20], "little")
    if data[12:16] != b"VP8L" or 20 + length + length % 2 != len(data):
        return None
    alpha = bool(data[24] >> 4 & 1)
    if data[20:25] != _vp8l_head(height, width, alpha):
        return None
    payload = bytes([Mode.WEBP_ALPHA if alpha else Mode.WEBP]) + data[25 : 20 + length]
    # An encoder with other ideas of colours where alpha is 0 would lose samples.
    return payload if np.array_equal(unpack_simple(payload, cube.shape, cube.dtype), cube) else None


def _vp8l_head(height: int, width: int, alpha: bool) -> bytes:
    """Return signature, sides, whether alpha is used, and version 0 (WebP lossless bitstream specification, 3)."""
    return b"\x2f" + ((width - 1) | (height - 1) << 14 | alpha << 28).to_bytes(4, "little")


def _read_webp(body: Buffer, shape: tuple[int, int, int], dtype: np.dtype, alpha: bool = False) -> np.ndarray:
    height, width, channels = shape
    if dtype != np.uint8 or max(height, width) > WEBP_SIDE_MAX or (alpha and channels in (1, 3)):
        raise CorruptFile(f"WebP cannot hold {width}x{height}, {channels} channels of {dtype}; get an intact copy")
    chunk = _vp8l_head(height, width, alpha) + body
    padded = chunk + bytes(len(chunk) % 2)
    data = b"RIFF" + (12 + len(padded)).to_bytes(4, "little") + b"WEBPVP8L" + len(chunk).to_bytes(4, "little") + padded
    try:
        with pillow_without_limits():
            found = np.asarray(Image.open(io.BytesIO(data), formats=["WEBP"]))
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises almost any type
        raise CorruptFile(f"the WebP stream is damaged ({' '.join(str(error).split())}); get an intact copy") from None
    if found.shape != (height, width, 3 + alpha):
        raise CorruptFile(f"WebP gave {found.shape}, expected {(height, width, 3 + alpha)}; get an intact copy")
    cube = np.empty(shape, np.uint8)
    colours = channels - (channels in (2, 4))
    cube[..., :colours] = found[..., :colours]
    if channels in (2, 4):
        cube[..., -1] = found[..., 3] if alpha else 255
    if colours == 1 and not ((found[..., 0] == found[..., 1]) & (found[..., 0] == found[..., 2])).all():
        raise CorruptFile("the WebP stream of a grey picture has colours; get an intact copy of the file")
    return cube


def _read_webp_alpha(body: Buffer, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    return _read_webp(body, shape, dtype, alpha=True)


_READERS: dict[int, Callable[[Buffer, tuple[int, int, int], np.dtype], np.ndarray]] = {
    Mode.RAW: _read_raw,
    Mode.LZMA: _read_lzma,
    Mode.FILTERED: _read_filtered,
    Mode.PALETTE: _read_palette,
    Mode.WEBP: _read_webp,
    Mode.WEBP_ALPHA: _read_webp_alpha,
}
