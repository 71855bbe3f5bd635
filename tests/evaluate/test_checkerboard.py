"""The checkerboard index against its definition with a Fourier transform written out, and on known pictures."""

from pathlib import Path

import numpy as np
import pytest

from jaxicm.evaluate.checkerboard import CheckerboardObserver, checkerboard_index
from jaxicm.media.pictures import write_picture


def index_by_definition(x: np.ndarray, period: int) -> float:
    """Compute the index of a square grey picture, whose rows and columns are one piece each."""
    half, n = period // 2, len(x) - period
    taps = [0.5, *[1.0] * (period - 1), 0.5]
    residual = np.zeros((n, n))
    for r in range(n):
        for c in range(n):
            window = x[r : r + period + 1, c : c + period + 1]
            residual[r, c] = x[r + half, c + half] - taps @ window @ taps / period**2
    assert n % period == 0
    frequencies = np.arange(n // 2 + 1) / n
    transform = np.exp(-2j * np.pi * np.outer(np.arange(n), frequencies))
    power = (np.abs(residual @ transform) ** 2).mean(0) + (np.abs(residual.T @ transform) ** 2).mean(0)
    near = [np.abs(frequencies - k / period) * n <= round(0.02 * n) + 1e-9 for k in range(1, half + 1)]
    lines = [power[np.argmin(np.abs(frequencies - k / period))] for k in range(1, half + 1)]
    return float(np.mean([line / np.median(power[band]) for line, band in zip(lines, near, strict=True)]))


@pytest.mark.parametrize(("period", "side"), [(8, 136), (8, 72), (4, 100), (16, 144)])
def test_the_index_is_that_of_its_definition(period, side):
    rng = np.random.default_rng(period)
    x = rng.normal(128, 10, (side, side)).cumsum(1) % 256 + 6.0 * (np.arange(side) % period == 0)
    assert checkerboard_index(x, period) == pytest.approx(index_by_definition(x, period), rel=1e-9)


def test_a_line_stands_out_by_its_power_over_that_of_noise():
    # A cos(2 pi x / 8) over white noise of variance s^2: n A^2 / 4 + s^2 against s^2 in the rows, nothing in the
    # columns; both are averaged, and of four frequencies one has the line. Lines along y alone keep columns clean.
    n, amplitude, deviation = 512, 3.0, 5.0
    rng = np.random.default_rng(0)
    x = rng.normal(0, deviation, (n + 8, n + 8)) + amplitude * np.cos(2 * np.pi * np.arange(n + 8) / 8)
    expected = 1 + n * amplitude**2 / 4 / deviation**2 / 2 / 4
    assert checkerboard_index(x) == pytest.approx(expected, rel=0.05)


def test_rows_and_columns_of_an_oblong_picture_count_alike():
    rng = np.random.default_rng(2)
    x = rng.normal(128, 10, (72, 500, 3)) + 4.0 * (np.arange(500) % 8 < 4)[:, None]
    assert checkerboard_index(x) == pytest.approx(checkerboard_index(x.transpose(1, 0, 2)), rel=1e-9)


def test_a_grid_is_told_from_a_natural_picture(photograph):
    natural = photograph(200, 264)
    assert checkerboard_index(natural) == pytest.approx(1, abs=0.2)
    y, x = np.mgrid[0:200, 0:264]
    grid = ((x % 8 == 0) | (y % 8 == 0))[..., None]
    assert checkerboard_index(np.clip(natural + 6.0 * grid, 0, 255)) > 4
    assert checkerboard_index(np.clip(natural + 3.0 * ((x + y) % 2 == 0)[..., None], 0, 255)) > 4


def test_a_flat_picture_has_index_1():
    assert checkerboard_index(np.full((64, 64, 3), 90, np.uint8)) == 1
    assert checkerboard_index(np.zeros((40, 400), np.uint8)) == 1


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="even"):
        checkerboard_index(np.zeros((64, 64)), 7)
    with pytest.raises(ValueError, match="of 40 pixels"):
        checkerboard_index(np.zeros((39, 64)))


def test_as_an_observer_it_reports_decoded_pictures_and_originals(photograph, tmp_path: Path):
    originals = {f"{n}.png": photograph(64, 80, n) for n in range(2)} | {"small.png": photograph(30, 80)}
    for name, pixels in originals.items():
        write_picture(tmp_path / name, pixels)
    observer = CheckerboardObserver({name: tmp_path / name for name in originals})
    decoded = {
        name: np.clip(pixels + 9.0 * (np.arange(80) % 8 == 0)[:, None], 0, 255) for name, pixels in originals.items()
    }
    seen = {name: observer.observe(name, originals[name], decoded[name].astype(np.uint8)) for name in originals}
    assert seen["small.png"] == {"checkerboard": None}
    indices = [checkerboard_index(decoded[f"{n}.png"].astype(np.uint8)) for n in range(2)]
    assert observer.summarise(seen) == pytest.approx({"checkerboard": np.mean(indices)}, abs=1e-4)
    indices = [checkerboard_index(originals[f"{n}.png"]) for n in range(2)]
    assert observer.reference() == pytest.approx({"checkerboard": np.mean(indices)}, abs=1e-4)
    assert observer.summarise({"small.png": {"checkerboard": None}}) == {}
