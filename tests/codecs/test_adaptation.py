"""Latent overfitting of the image codec: what is measured is what the file holds, and no file gets worse."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxicm
from jaxicm.adapt import latents
from jaxicm.adapt.stage import Stage
from jaxicm.bits.container import unpack
from jaxicm.codecs import latent_adapter
from jaxicm.codecs.adaptation import MIXTURE, OBJECTIVES, Objective
from jaxicm.errors import OptionError
from jaxicm.media.fidelity import psnr
from jaxicm.models.image import lambda_of_quality

SEARCH = (
    Stage(method="coordinate", iterations=4, learning_rate=0.3, optimizer="sgd", check_every=2, context_gradient=False),
)
SMALL_WINDOWS = ((128, 128), (320, 320))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(latent_adapter, "WINDOWS", SMALL_WINDOWS)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (50, 37)])
def test_the_measured_cost_is_that_of_the_file(tiny_codec, photograph, monkeypatch, height, width):
    image, seen = photograph(height, width), {}
    real = latents.adapt

    def spy(y, problem, *rest, **options):
        seen["out"], seen["problem"] = real(y, problem, *rest, **options), problem
        return seen["out"]

    monkeypatch.setattr(latent_adapter, "adapt", spy)
    result = tiny_codec.encode_detail(image, quality=40, effort=SEARCH, verify=True)
    assert result.adapted is not None
    assert result.adapted.cost < result.adapted.start, "a random codec can be adapted easily"
    rows, columns, _ = result.values_q4.shape
    np.testing.assert_array_equal(result.values_q4, np.round(16 * seen["out"].values[0, :rows, :columns]))
    weight = float(lambda_of_quality(tiny_codec.config, 40.0)) * 255.0**2
    error = result.reconstruction.astype(float) - image
    expected = result.estimated_bits + weight * np.square(error / 255).sum() / 3
    assert float(seen["out"].cost[0]) == pytest.approx(expected, rel=1e-5)
    stated = (8 * len(result.data) + weight * np.square(error / 255).sum() / 3) / (height * width)
    assert result.adapted.cost == pytest.approx(stated, rel=1e-5)


def test_header_and_syntax_stay_the_same(tiny_codec, photograph):
    image = photograph(64, 64)
    plain, adapted = (tiny_codec.encode(image, quality=40, effort=effort) for effort in (0, SEARCH))
    assert plain != adapted
    assert unpack(plain)[0] == unpack(adapted)[0]
    assert [s.kind for s in unpack(plain)[1]] == [s.kind for s in unpack(adapted)[1]]


def test_a_file_that_would_get_worse_is_coded_as_without_adaptation(tiny_codec, photograph, monkeypatch):
    image = photograph(64, 64)
    spoilt = np.random.default_rng(0).normal(0, 3, (4, 4, 16)).astype(np.float32)
    monkeypatch.setattr(tiny_codec._adapter, "adapt", lambda *a, **k: (spoilt, 7))
    result = tiny_codec.encode_detail(image, quality=40, effort=1)
    assert result.data == tiny_codec.encode(image, quality=40)
    assert result.adapted.cost == result.adapted.start
    assert result.adapted.iterations == 7
    assert psnr(image, result.reconstruction) == psnr(image, jaxicm.decode(result.data))


@pytest.mark.slow
def test_annealing_lowers_the_cost(tiny_codec, photograph):
    image = photograph(64, 64)
    annealed = Stage(method="sga", iterations=40, check_every=10, learning_rate=0.05, context_gradient=False)
    result = tiny_codec.encode_detail(image, quality=40, effort=(annealed,), verify=True)
    assert result.adapted.cost < 0.995 * result.adapted.start


@pytest.mark.slow
def test_pictures_of_several_windows_gain_and_seams_are_whole(tiny_codec, photograph):
    image = photograph(150, 470)
    windows = tiny_codec._adapter._plan(10, 30)
    assert len(windows) > 1
    assert all(span.start % 4 == 0 for window in windows for span in window), "roles of positions repeat every fourth"
    covered = np.zeros((10, 30), int)
    for row, column in windows:
        covered[row.first : row.last, column.first : column.last] += 1
    assert (covered == 1).all()
    result = tiny_codec.encode_detail(image, quality=40, effort=SEARCH, verify=True)
    assert result.adapted.cost < result.adapted.start
    assert result.adapted.iterations == 4 * len(windows)


@pytest.mark.slow
def test_windows_in_batches_give_the_same_file(tiny_codec, photograph, monkeypatch):
    image = photograph(150, 470)
    alone = tiny_codec.encode_detail(image, quality=40, effort=SEARCH)
    monkeypatch.setattr(latent_adapter.jax, "default_backend", lambda: "gpu")  # batches of 8, iterations in one program
    together = tiny_codec.encode_detail(image, quality=40, effort=SEARCH)
    assert together.adapted.cost == pytest.approx(alone.adapted.cost, rel=1e-3)
    assert (together.values_q4 != alone.values_q4).mean() < 0.01


def test_grey_pictures_and_profiles_go_through(tiny_codec, photograph):
    grey = photograph(64, 64)[..., 0]
    result = tiny_codec.encode_detail(grey, quality=40, effort=SEARCH, icc=b"profile", verify=True)
    assert result.reconstruction.shape == (64, 64)
    assert result.adapted.cost <= result.adapted.start


@pytest.mark.parametrize("target", [{"bpp": 1.5}, {"size_bytes": 900}, {"psnr": 24.0}])
def test_targets_hold_with_adaptation(tiny_codec, photograph, target):
    image = photograph(64, 64)
    result = tiny_codec.encode_detail(image, **target, effort=SEARCH)
    if "psnr" in target:
        assert psnr(image, jaxicm.decode(result.data)) >= 24.0
    elif "bpp" in target:
        assert 8 * len(result.data) <= 1.5 * 64 * 64
    else:
        assert len(result.data) <= 900


@pytest.mark.slow
def test_the_caller_may_bring_an_objective_with_arrays_of_its_own(tiny_codec, photograph):
    image = photograph(64, 64)
    green = Objective("green", weigh_channels, np.array([0.1, 2.8, 0.1], np.float32))
    result = tiny_codec.encode_detail(image, quality=40, effort=SEARCH * 4, tune=green)
    plain = tiny_codec.encode_detail(image, quality=40, effort=SEARCH * 4)
    errors = [np.square(r.reconstruction.astype(float) - image).mean(axis=(0, 1)) for r in (result, plain)]
    assert result.adapted.distortion == "green"
    assert errors[0][1] / errors[0].sum() < 0.97 * errors[1][1] / errors[1].sum()


def weigh_channels(weights, x, x_hat):
    return (weights * (x - x_hat) ** 2).mean(axis=(1, 2, 3))


@pytest.mark.slow
def test_the_named_objectives_gain_in_their_own_terms(tiny_codec, photograph):
    for name in OBJECTIVES:
        result = tiny_codec.encode_detail(photograph(64, 64), quality=40, effort=SEARCH * 2, tune=name)
        assert result.adapted.distortion == name
        assert result.adapted.cost < result.adapted.start


def test_mixed_lies_between_its_parts(photograph):
    x = photograph(24, 24)[None].astype(np.float32) / 255
    y = np.clip(x + np.random.default_rng(0).normal(0, 0.05, x.shape).astype(np.float32), 0, 1)
    mse, structure, mixed = (float(OBJECTIVES[n].function(None, x, y)[0]) for n in ("mse", "ms-ssim", "mixed"))
    assert mixed == pytest.approx((1 - MIXTURE) * mse + MIXTURE * structure)


@pytest.mark.parametrize(
    "options", [{"effort": 10}, {"effort": -1}, {"effort": 2.5}, {"tune": "beauty"}, {"time_limit_s": 0.0}]
)
def test_wrong_options_are_refused(tiny_codec, photograph, options):
    with pytest.raises(OptionError):
        tiny_codec.encode(photograph(64, 64), **({"effort": 1} | options))


def test_an_adapted_file_decodes_in_another_process(tiny_codec, photograph, tmp_path):
    result = tiny_codec.encode_detail(photograph(70, 90), quality=40, effort=SEARCH)
    (tmp_path / "a.jicm").write_bytes(result.data)
    code = "import sys, numpy, jaxicm\nnumpy.save(sys.argv[2], jaxicm.decode(open(sys.argv[1], 'rb').read()))\n"
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.jicm", tmp_path / "a.npy"], check=True)
    assert np.abs(np.load(tmp_path / "a.npy").astype(int) - result.reconstruction).max() <= 1


KODAK = Path(os.environ.get("JAXICM_DATA", "/nowhere")) / "kodak"


@pytest.mark.slow
@pytest.mark.skipif(not KODAK.is_dir(), reason="the Kodak pictures are looked for in $JAXICM_DATA/kodak")
@pytest.mark.parametrize("number", range(1, 25))
def test_no_kodak_picture_gets_worse_at_three_qualities(monkeypatch, number):
    monkeypatch.undo()  # the windows that users have
    codec = jaxicm.load("fast")
    image = np.asarray(Image.open(KODAK / f"kodim{number:02}.png"))
    for quality in (15.0, 45.0, 75.0):
        weight = float(lambda_of_quality(codec.config, quality)) * 255.0**2

        def cost(data, weight=weight):
            error = np.square((jaxicm.decode(data).astype(float) - image) / 255).mean()
            return 8 * len(data) / (image.shape[0] * image.shape[1]) + weight * error

        plain = cost(codec.encode(image, quality=quality))
        adapted = codec.encode_detail(image, quality=quality, effort=1)
        assert cost(adapted.data) <= plain * (1 + 1e-9)
        assert adapted.adapted.start == pytest.approx(plain, rel=1e-5)
        assert adapted.adapted.cost == pytest.approx(cost(adapted.data), rel=1e-5)
