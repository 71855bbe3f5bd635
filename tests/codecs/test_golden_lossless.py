"""Lossless files made when the shipped weights were released decode to the same samples for ever.

`python tests/codecs/test_golden_lossless.py` makes them anew; that is right only with new weights or a new format
version.
"""

from pathlib import Path

import numpy as np
import pytest

from jaxicm.codecs.lossless import LosslessCodec
from jaxicm.ops.chroma import ENLARGINGS
from jaxicm.ops.ycc import PHOTO_CD

FOLDER = Path(__file__).parent / "golden"
SHIPPED = Path(__file__).parents[2] / "jaxicm/codecs/weights_released/lossless_fast.safetensors"


def waves(height: int, width: int) -> np.ndarray:
    """Waves, an edge and a ramp: integers only, the same everywhere; `[H, W]`."""
    row, column = np.mgrid[:height, :width]
    return (row * row + 3 * column * row // 2) % 97 + (column // 20 % 2) * 80 + row // 2


def grain(height: int, width: int) -> np.ndarray:
    """Noise in [0, 31], `[H, W]`."""
    row, column = np.mgrid[:height, :width].astype(np.uint32)
    mixed = (row * np.uint32(73856093) ^ column * np.uint32(19349663)) * np.uint32(83492791)
    return (mixed >> np.uint32(20) & np.uint32(31)).astype(np.int64)


def colour() -> np.ndarray:
    x = waves(70, 90)
    return np.clip(np.stack([x, x + np.arange(90) % 60, 255 - x], axis=-1), 0, 255).astype(np.uint8)


def converted() -> np.ndarray:
    """A picture that was PhotoCD once, with chroma of half the resolution."""
    luma = (waves(64, 96) // 2 + 30)[..., None]
    half = np.stack([waves(32, 48) % 23 - 11, waves(32, 48) % 17 - 8]).astype(np.int32)
    chroma = np.moveaxis(ENLARGINGS[2].enlarge(half), 0, -1)
    return PHOTO_CD.to_rgb(np.concatenate([luma, chroma], axis=-1)).astype(np.uint8)


def deep() -> np.ndarray:
    row, column = np.mgrid[:64, :80]
    return (row * 400 + column * column * 3 + 40 * grain(64, 80) + grain(80, 64).T).astype(np.uint16)


def fitted() -> np.ndarray:
    row, column = np.mgrid[:144, :160]
    return (row + column // 2 + row * column // 300 % 40 + grain(144, 160) // 3 + grain(160, 144).T // 3).astype(
        np.uint8
    )


CASES = {
    "lossless_colour": (colour, {}),
    "lossless_converted": (converted, {}),
    "lossless_deep": (deep, {}),
    "lossless_fitted": (fitted, {"effort": 6}),
}


@pytest.fixture(scope="module")
def codec() -> LosslessCodec:
    return LosslessCodec.load(SHIPPED)


@pytest.mark.parametrize("name", CASES)
def test_a_golden_file_decodes_to_its_samples(codec, name):
    np.testing.assert_array_equal(codec.decode((FOLDER / f"{name}.jicm").read_bytes()), CASES[name][0]())


def make() -> None:
    """Write the golden files."""
    codec = LosslessCodec.load(SHIPPED)
    for name, (draw, options) in CASES.items():
        result = codec.encode_detail(draw(), verify=True, **options)
        assert result.mode == "learned", name
        assert (name == "lossless_converted") == (result.origin is not None)
        if options:
            assert len(result.data) < len(codec.encode(draw()))
        (FOLDER / f"{name}.jicm").write_bytes(result.data)


if __name__ == "__main__":
    make()
