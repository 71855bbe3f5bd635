"""One picture compressed by several codecs to about one size: a table and a sheet of enlarged crops."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxicm.evaluate.anchors import find
from jaxicm.evaluate.anchors.size import at_size
from jaxicm.evaluate.metrics import ms_ssim, psnr

_MARGIN = 12
_LABEL_HEIGHT = 52
_PANEL = 384


@dataclass(frozen=True)
class Rendering:
    """Hold one codec's version of a picture.

    Attributes:
        name: as printed.
        size_bytes: of the file.
        bpp: bits per pixel.
        psnr: dB against the original.
        ms_ssim: in [0, 1].
        pixels: uint8, decoded.
    """

    name: str
    size_bytes: int
    bpp: float
    psnr: float
    ms_ssim: float
    pixels: np.ndarray


def rendering(name: str, original: np.ndarray, data: bytes, decoded: np.ndarray) -> Rendering:
    """Measure a decoded file against the original.

    Args:
        name: as printed.
        original: uint8 [H, W, 3] or [H, W].
        data: the compressed file.
        decoded: uint8, the shape of `original`.

    Returns:
        Its sizes and qualities.
    """
    pixels = original.shape[0] * original.shape[1]
    bpp = 8 * len(data) / pixels
    return Rendering(name, len(data), bpp, psnr(original, decoded), ms_ssim(original, decoded), decoded)


def anchor_at_size(original: np.ndarray, size_bytes: int, name: str) -> Rendering:
    """Compress a picture with a conventional codec to the smallest file that is not smaller than a given one.

    Args:
        original: uint8 [H, W, 3] or [H, W].
        size_bytes: the size to reach.
        name: a key of `ANCHORS`.

    Returns:
        The rendering, named with its setting.

    Raises:
        OptionError: unknown name.
        MissingDependency: the codec is not installed.
    """
    anchor = find(name)
    setting, data = at_size(anchor, original, size_bytes)
    decoded = anchor.decode(data, *original.shape[:2], grey=original.ndim == 2)
    return rendering(f"{anchor.title} ({anchor.unit} {setting:g})", original, data, decoded.pixels)


def detailed_crop(pixels: np.ndarray, side: int) -> tuple[slice, slice]:
    """Find the square with the most detail: the largest sum of absolute differences of neighbouring pixels.

    Args:
        pixels: uint8 [H, W, 3] or [H, W].
        side: of the square; cut to the picture's sides.

    Returns:
        Slices of rows and columns.
    """
    grey = pixels.astype(np.float64).reshape(*pixels.shape[:2], -1).mean(2)
    height, width = min(side, grey.shape[0]), min(side, grey.shape[1])
    detail = np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    total = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return slice(int(row), int(row) + height), slice(int(column), int(column) + width)


def draw_sheet(original: np.ndarray, renderings: Sequence[Rendering], crop_side: int = 128) -> np.ndarray:
    """Draw the same crop of the original and of each rendering side by side, enlarged and labelled.

    Args:
        original: uint8 [H, W, 3] or [H, W].
        renderings: decoded versions of it.
        crop_side: side of the crop in pixels of the picture.

    Returns:
        uint8 [h, w, 3].
    """
    rows, columns = detailed_crop(original, crop_side)
    zoom = max(1, _PANEL // max(rows.stop - rows.start, columns.stop - columns.start))
    panels = [("original", f"{original.shape[1]}x{original.shape[0]}", original)]
    for item in renderings:
        figures = f"{item.size_bytes:,} bytes  {item.bpp:.3f} bpp  {item.psnr:.2f} dB  {item.ms_ssim:.4f}"
        panels.append((item.name, figures, item.pixels))
    width = max(_PANEL, (columns.stop - columns.start) * zoom)
    height = (rows.stop - rows.start) * zoom
    size = (_MARGIN + len(panels) * (width + _MARGIN), height + _LABEL_HEIGHT + 2 * _MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    title, small = ImageFont.load_default(20), ImageFont.load_default(14)
    for index, (name, figures, pixels) in enumerate(panels):
        left = _MARGIN + index * (width + _MARGIN)
        draw.text((left, _MARGIN), name, fill="black", font=title)
        draw.text((left, _MARGIN + 28), figures, fill="black", font=small)
        crop = Image.fromarray(np.ascontiguousarray(pixels[rows, columns])).convert("RGB")
        # whole pixels are repeated: an interpolated enlargement would hide block edges
        enlarged = crop.resize((crop.width * zoom, crop.height * zoom), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (left, _MARGIN + _LABEL_HEIGHT))
    return np.asarray(sheet)
