"""Plain files of the lossy codec: pictures that cost less without any loss than through networks.

A model of photographs spends bits on flat areas, lines and few colours and blurs them too. Where a picture looks drawn,
the encoder also writes it by the simple lossless modes (`codecs.lossless_fallback`), and keeps that file where it has
fewer bytes, or where what it has more costs less than the error of the other one: bits + lambda * 255**2 * MSE, which
the networks were trained for, decides. A plain file is one of the lossless codec and needs no weights.
"""

from collections.abc import Callable, Mapping

import numpy as np

from jaxicm.codecs.image_result import NO_VALUES, EncodeResult
from jaxicm.codecs.lossless import may_be_simple, simple_file
from jaxicm.errors import TargetError
from jaxicm.stopwatch import Stopwatch


def plain_result(image: np.ndarray, icc: bytes | None) -> EncodeResult | None:
    """Write a picture without loss if it looks as if that might pay.

    Args:
      image: uint8 `[H, W, 3]` or `[H, W]`.
      icc: colour profile to carry along.

    Returns:
      The file, the quality 100 and no symbols; None for a picture that looks photographed.
    """
    if not may_be_simple(image):
        return None
    watch = Stopwatch()
    with watch.part("simple"):
        data = simple_file(image, icc)
    return EncodeResult(data, 100.0, image, watch.seconds, 8.0 * len(data), NO_VALUES, plain=True)


def choose(
    plain: EncodeResult | None,
    learned: Callable[[], EncodeResult],
    target: Mapping[str, float],
    bit_worth: Callable[[EncodeResult], float | None],
) -> EncodeResult:
    """Return the plain file or the learned one, whichever serves a target better.

    Args:
      plain: None where there is none.
      learned: makes the other one, with what the decoder shows.
      target: at most one of "quality", "bpp", "size_bytes" and "psnr", as of `ImageCodec.encode_detail`.
      bit_worth: of a learned result: squared error of a sample, in 8-bit steps, that a bit a pixel is worth; None where
        it was made for another distortion, so that only bytes count.

    Raises:
      TargetError: neither reaches the target.
    """
    if plain is None or plain.reconstruction is None:
        return learned()
    image = plain.reconstruction
    pixels = image.shape[0] * image.shape[1]
    if "bpp" in target or "size_bytes" in target:
        limit = target["bpp"] * pixels / 8 if "bpp" in target else target["size_bytes"]
        return plain if len(plain.data) <= limit else learned()
    try:
        other = learned()
    except TargetError:  # a PSNR that no quality has
        return plain
    more = len(plain.data) - len(other.data)
    if more <= 0:
        return plain
    worth = None if "psnr" in target else bit_worth(other)
    if worth is None or other.reconstruction is None:
        return other
    error = float(np.square(image.astype(np.float64) - other.reconstruction).mean())
    return plain if worth * 8 * more / pixels < error else other
