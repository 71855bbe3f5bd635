"""Portable grey and pixel maps (Netpbm's PGM and PPM), also of more than 8 bits, which Pillow scales or rounds."""

import re

import numpy as np

_TOKEN = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+(\d+)"
_HEADER = re.compile(rb"P([2356])" + 3 * _TOKEN + rb"(?:#[^\r\n]*)?[ \t\r\n\v\f]")


def decode_deep_map(data: bytes) -> tuple[np.ndarray, int]:
    """Read the samples of a map as they are.

    Args:
        data: a file of magic number P2, P3, P5 or P6 with a maximum from 256 to 65535.

    Returns:
        uint16 [H, W] or [H, W, 3], and the maximum.

    Raises:
        ValueError: the file is damaged.
    """
    header = _HEADER.match(data)
    if header is None:
        raise ValueError("the header of the PGM or PPM file does not hold")
    kind = int(header[1])
    width, height, maximum = (int(header[index]) for index in (2, 3, 4))
    shape = (height, width, 3) if kind in (3, 6) else (height, width)
    count = int(np.prod(shape))
    body = data[header.end() :]
    if kind in (5, 6):
        if len(body) < 2 * count:
            raise ValueError(f"image file is truncated: {2 * count} bytes of samples expected, got {len(body)}")
        samples = np.frombuffer(body, ">u2", count).astype(np.uint16)
    else:
        numbers = re.sub(rb"#[^\r\n]*", b"", body).split()
        if len(numbers) < count:
            raise ValueError(f"image file is truncated: {count} samples expected, got {len(numbers)}")
        samples = np.array([int(number) for number in numbers[:count]]).astype(np.uint16)
    if samples.max() > maximum:
        raise ValueError(f"a sample is {samples.max()}, above the file's maximum of {maximum}")
    return samples.reshape(shape), maximum


def encode_map(samples: np.ndarray) -> bytes:
    """Make the bytes of a binary PGM or PPM file.

    Args:
        samples: uint8 or uint16, [H, W] or [H, W, 3].

    Returns:
        The file.
    """
    kind = b"P6" if samples.ndim == 3 else b"P5"
    header = b"%s\n%d %d\n%d\n" % (kind, samples.shape[1], samples.shape[0], np.iinfo(samples.dtype).max)
    return header + samples.astype(f">u{samples.itemsize}").tobytes()
