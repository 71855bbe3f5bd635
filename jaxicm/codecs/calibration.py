"""Calibrate the coder's tables of released weights on pictures: a new weight file, one to two per cent fewer bits."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.bits.calibration import LARGEST, calibrated_tables
from jaxicm.codecs import weights
from jaxicm.codecs.image import ImageCodec
from jaxicm.entropy import gaussian
from jaxicm.errors import InputError

QUALITIES = (5.0, 20.0, 40.0, 60.0, 80.0, 95.0)
_NOT_OF_THE_FILE = ("name", "digest", "size_bytes")


def count_symbols(codec: ImageCodec, pictures: Iterable[np.ndarray], qualities: Sequence[float]) -> np.ndarray:
    """Count the symbols that pictures are coded with under each table.

    Args:
      codec: with the progressive model.
      pictures: uint8 `[H, W, 3]`.
      qualities: at which each is coded.

    Returns:
      int64 `[64, 2 * LARGEST + 1]`; symbols beyond that are left out.
    """
    width = 2 * LARGEST + 1
    counts = np.zeros(gaussian.SCALE_COUNT * width, np.int64)
    for picture in pictures:
        for quality in qualities:
            quantized = codec.quantize(picture, quality)
            symbols, index = np.concatenate(quantized.symbols), np.concatenate(quantized.indices).astype(np.int64)
            counted = (index > 0) & (np.abs(symbols) <= LARGEST)
            place = index[counted] * width + symbols[counted] + LARGEST
            counts += np.bincount(place, minlength=len(counts))
    return counts.reshape(gaussian.SCALE_COUNT, width)


def calibrate(
    path: Path,
    out: Path,
    pictures: Iterable[np.ndarray],
    qualities: Sequence[float] = QUALITIES,
    *,
    seen: str = "",
    curve: list[dict[str, float]] | None = None,
) -> str:
    """Write a weight file anew with tables of what pictures are coded with. Files of the old one need the old one.

    Args:
      path: weights with the progressive model.
      out: weight file to write.
      pictures: uint8 `[H, W, 3]`, of training, not of a test.
      qualities: at which they are coded.
      seen: what they are, for the provenance.
      curve: measured points of the new file, to note in it.

    Returns:
      The digest of the new file.

    Raises:
      InputError: the weights have another probability model, or are none.
    """
    arrays, info = weights.read(path)
    if info.is_lossless or info.is_filter or info.decoder_of or info.config.get("recurrent") is not None:
        raise InputError(f"{path}: only lossy weights with the progressive model have tables to calibrate")
    counts = count_symbols(ImageCodec(arrays, info), pictures, qualities)
    tables = calibrated_tables(counts, gaussian.scale_table())
    kept = {name: array for name, array in arrays.items() if not name.startswith("tables/")}
    fields: dict[str, Any] = {
        field.name: getattr(info, field.name)
        for field in dataclasses.fields(info)
        if field.name not in _NOT_OF_THE_FILE
    }
    fields["provenance"] = {**info.provenance, "calibrated_on": seen}
    fields["curve"] = curve or []
    return weights.write(out, kept | weights.tables_to_arrays(tables), fields)
