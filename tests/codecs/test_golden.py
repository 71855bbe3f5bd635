"""Files made when the shipped weights were released decode to the same symbols for ever.

`python tests/codecs/test_golden.py` makes them anew; that is right only with new weights or a new format version.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from jaxicm.codecs.image import ImageCodec
from jaxicm.codecs.open import decode_file

FOLDER = Path(__file__).parent / "golden"
SHIPPED = Path(__file__).parents[2] / "jaxicm/codecs/weights_released/fast.safetensors"
CASES = {"colour_q10": (10, (96, 136, 3)), "colour_q60": (60, (96, 136, 3)), "grey_q40": (40, (65, 33))}


def picture(shape: tuple[int, ...]) -> np.ndarray:
    """Waves, an edge and a ramp: integers only, the same everywhere."""
    row, column = np.mgrid[: shape[0], : shape[1]]
    waves = (row * row + 3 * column * row // 2) % 97 + (column // 20 % 2) * 80 + row // 2
    planes = [waves, waves + column % 60, 255 - waves]
    image = np.stack(planes, axis=-1) if len(shape) == 3 else waves
    return np.clip(image, 0, 255).astype(np.uint8)


def digest(values_q4: np.ndarray) -> str:
    return hashlib.sha256(values_q4.astype("<i2").tobytes()).hexdigest()


@pytest.fixture(scope="module")
def codec() -> ImageCodec:
    return ImageCodec.load(SHIPPED)


@pytest.mark.parametrize("name", CASES)
def test_a_golden_file_decodes_to_the_released_symbols(codec, name):
    expected = json.loads((FOLDER / "expected.json").read_text())[name]
    decoded = codec.decode_detail((FOLDER / f"{name}.jicm").read_bytes())
    assert digest(decoded.values_q4) == expected["symbols"]
    assert list(decoded.image.shape) == expected["shape"]
    error = np.mean((decoded.image.astype(float) - picture(CASES[name][1])) ** 2)
    # Pixels are floating point, so their quality is compared, not their bits.
    assert 10 * np.log10(255**2 / error) == pytest.approx(expected["psnr"], abs=0.01)


def test_the_shipped_weights_are_found_by_what_a_file_says(monkeypatch):
    monkeypatch.delenv("JAXICM_MODELS", raising=False)
    assert decode_file((FOLDER / "colour_q10.jicm").read_bytes()).shape == (96, 136, 3)


def make() -> None:
    """Write the golden files."""
    codec, expected = ImageCodec.load(SHIPPED), {}
    for name, (quality, shape) in CASES.items():
        image = picture(shape)
        data = codec.encode(image, quality=quality, plain=False)
        (FOLDER / f"{name}.jicm").write_bytes(data)
        decoded = codec.decode_detail(data)
        error = np.mean((decoded.image.astype(float) - image) ** 2)
        psnr = round(float(10 * np.log10(255**2 / error)), 4)
        expected[name] = {"symbols": digest(decoded.values_q4), "shape": list(shape), "psnr": psnr}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    make()
