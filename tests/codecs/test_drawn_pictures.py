"""The released `fast` on pictures that are no photographs: no shift of colour, no seams, no loss where that is cheaper.

`sheet()` draws them; they are also there to be looked at.
"""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import jaxicm
from jaxicm.models.image import lambda_of_quality

HEIGHT, WIDTH, STRIDE = 192, 256, 16
WORDS = ("networks", "bits", "of", "pictures", "for", "machines", "and", "people", "tables", "honest")


def flat() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), (118, 142, 96), np.uint8)


def gradient() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.rint(np.stack([x / WIDTH, y / HEIGHT, (x + y) / (WIDTH + HEIGHT)], -1) * 255).astype(np.uint8)


def sky() -> np.ndarray:
    y = np.mgrid[0:HEIGHT, 0:WIDTH][0]
    clean = np.stack([90 + y * 0.4, 140 + y * 0.3, 220 + y * 0.1], -1)
    return np.clip(np.rint(clean + np.random.default_rng(0).normal(0, 0.6, clean.shape)), 0, 255).astype(np.uint8)


def night() -> np.ndarray:
    rng, (y, x) = np.random.default_rng(1), np.mgrid[0:HEIGHT, 0:WIDTH]
    light = np.full((HEIGHT, WIDTH, 3), 7.0)
    for _ in range(25):
        column, row, size = rng.uniform(0, WIDTH), rng.uniform(HEIGHT * 0.4, HEIGHT), rng.uniform(2, 12)
        glow = np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * size**2))
        light += rng.uniform(40, 240) * glow[..., None] * rng.uniform(0.4, 1, 3)
    return np.clip(light + rng.normal(0, 2, light.shape), 0, 255).astype(np.uint8)


def noise() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def text() -> np.ndarray:
    rng, page = np.random.default_rng(3), Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, y = ImageDraw.Draw(page), 6
    while y < HEIGHT - 12:
        size = int(rng.integers(9, 18))
        pen.text((8, y), " ".join(rng.choice(WORDS, 12)), (20, 20, 20), ImageFont.load_default(size))
        y += size + 5
    return np.asarray(page)


def screen() -> np.ndarray:
    page = Image.new("RGB", (WIDTH, HEIGHT), (236, 239, 244))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    pen.rectangle((0, 0, WIDTH, 18), (40, 60, 110))
    for k, word in enumerate(WORDS[:7]):
        pen.rounded_rectangle((8, 26 + 23 * k, 90, 44 + 23 * k), 4, "white", (180, 190, 205))
        pen.text((16, 28 + 23 * k), word, (50, 50, 60), font)
        pen.text((104, 28 + 23 * k), " ".join(WORDS[k : k + 3]), (20 * k, 90, 160 - 20 * k), font)
    return np.asarray(page)


def cartoon() -> np.ndarray:
    rng, large = np.random.default_rng(4), Image.new("RGB", (4 * WIDTH, 4 * HEIGHT), (130, 190, 240))
    pen = ImageDraw.Draw(large)
    for _ in range(16):
        x, y, r = rng.integers(4 * WIDTH), rng.integers(4 * HEIGHT), rng.integers(80, 320)
        pen.ellipse((x - r, y - r, x + r, y + r), tuple(rng.integers(40, 255, 3).tolist()), (10, 10, 10), 12)
    return np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


DRAWN: tuple[Callable[[], np.ndarray], ...] = (flat, gradient, sky, night, noise, text, screen, cartoon)
SMOOTH, SIMPLE = (flat, gradient, sky), (flat, text, screen)


def sheet() -> dict[str, np.ndarray]:
    """Return all pictures by name, uint8 `[192, 256, 3]`."""
    return {draw.__name__: draw() for draw in DRAWN}


@pytest.fixture(scope="module")
def codec():
    return jaxicm.load("fast")


@pytest.mark.parametrize(("quality", "levels"), [(10, 2.5), (50, 1.0)])
@pytest.mark.parametrize("draw", DRAWN)
def test_the_colour_stays(codec, draw, quality, levels):
    picture = draw()
    shown = jaxicm.decode(codec.encode(picture, quality=quality))
    shift = shown.astype(float).mean((0, 1)) - picture.astype(float).mean((0, 1))
    assert np.abs(shift).max() < levels


@pytest.mark.parametrize("quality", [10, 50])
@pytest.mark.parametrize("draw", SMOOTH)
def test_smooth_pictures_show_no_seams(codec, draw, quality):
    picture = draw()
    error = jaxicm.decode(codec.encode(picture, quality=quality, plain=False)).astype(float) - picture
    assert np.abs(error).mean() < 3
    for axis in (0, 1):
        steps = np.abs(np.diff(error, axis=axis)).mean((1 - axis, 2))
        across = (np.arange(len(steps)) + 1) % STRIDE == 0
        assert steps[across].mean() - steps[~across].mean() < 1, "levels more at the edges of blocks than inside"


@pytest.mark.parametrize("draw", DRAWN)
def test_the_cheaper_of_both_ways_is_written(codec, draw):
    picture, quality = draw(), 40.0
    trade_off = float(lambda_of_quality(codec.config, quality))

    def cost(data: bytes) -> float:
        error = jaxicm.decode(data).astype(float) - picture
        return 8 * len(data) / (HEIGHT * WIDTH) + trade_off * float(np.square(error).mean())

    made, learned = codec.encode_detail(picture, quality=quality), codec.encode(picture, quality=quality, plain=False)
    assert made.plain or made.data == learned
    assert cost(made.data) <= cost(learned)
    assert made.plain == (draw in SIMPLE)
