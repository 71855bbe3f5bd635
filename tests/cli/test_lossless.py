"""`jaxicm encode --lossless` and what `decode`, `info` and `models` make of lossless files and weights."""

import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from jaxicm.cli.main import main
from jaxicm.media.exact_pictures import read_exact, write_exact
from jaxicm.media.pictures import read_picture, write_picture


def layout(pixels, name):
    """Make samples of a layout from an RGB picture."""
    alpha = np.arange(56, dtype=np.uint8)[None].repeat(40, 0)
    deep = pixels.astype(np.uint16) * 250 + 3
    return {
        "rgb": pixels,
        "grey": np.ascontiguousarray(pixels[..., 0]),
        "grey and alpha": np.dstack([pixels[..., 0], alpha]),
        "rgba": np.dstack([pixels, alpha]),
        "deep grey": np.ascontiguousarray(deep[..., 0]),
        "deep rgb": deep,
        "deep rgba": np.dstack([deep, alpha.astype(np.uint16) * 257]),
    }[name]


@pytest.fixture
def photo(tmp_path, pixels):
    write_picture(tmp_path / "photo.png", pixels)
    return tmp_path / "photo.png"


@pytest.mark.parametrize("name", ["rgb", "grey", "grey and alpha", "rgba", "deep grey", "deep rgb", "deep rgba"])
def test_every_sample_comes_back(run, tmp_path, pixels, name):
    samples = layout(pixels, name)
    write_exact(tmp_path / "photo.png", samples)
    done = run("encode", "--lossless", "--verify", tmp_path / "photo.png", tmp_path / "a.jicm")
    assert (done.code, done.err) == (0, "")
    size = (tmp_path / "a.jicm").stat().st_size
    rates = f"{size * 8 / (40 * 56):.4f} bpp, {size * 8 / samples.size:.4f} bpsp"
    origin = ", colours from JPEG" if name == "rgb" else ""
    assert f"a.jicm: {size:,} bytes, {rates}{origin}, verified, 56x40, " in done.out
    assert run("decode", tmp_path / "a.jicm", tmp_path / "back.png").code == 0
    back = read_exact(tmp_path / "back.png").samples
    assert back.dtype == samples.dtype
    np.testing.assert_array_equal(back, samples)


def test_the_search_for_an_origin_can_be_left_out(run, photo, tmp_path):
    assert "colours from JPEG" in run("encode", "--lossless", photo, tmp_path / "a.jicm").out
    assert "colours" not in run("encode", "--lossless", "--keep-rgb", photo, tmp_path / "b.jicm").out
    refused = run("encode", "--keep-rgb", photo, tmp_path / "c.jicm")
    assert refused.code == 2 and "--keep-rgb goes with --lossless" in refused.err


def test_a_mode_that_is_not_learned_is_named(run, tmp_path):
    write_picture(tmp_path / "flat.png", np.zeros((40, 56, 3), np.uint8))
    assert "bpsp, mode simple, 56x40, " in run("encode", "--lossless", tmp_path / "flat.png", tmp_path / "a.jicm").out


def test_a_lossless_model_implies_lossless(run, photo, tmp_path):
    run("encode", photo, tmp_path / "a.jicm", "--lossless")
    assert "bpsp" in run("encode", photo, tmp_path / "b.jicm", "--model", "lossless_fast").out
    assert (tmp_path / "a.jicm").read_bytes() == (tmp_path / "b.jicm").read_bytes()
    assert "bpsp" not in run("encode", photo, tmp_path / "c.jicm", "--model", "fast").out


@pytest.mark.parametrize(
    ("name", "suffix", "says"),
    [
        ("deep rgb", "tif", "TIFF does not hold 16 bit RGB without loss here; use PNG"),
        ("deep rgb", "jpg", "JPEG does not hold 16 bit RGB here; use PNG"),
        ("rgba", "bmp", "BMP does not hold 8 bit RGBA without loss here; use PNG"),
        ("grey", "webp", "WEBP does not hold 8 bit grey without loss here; use PNG"),
    ],
)
def test_a_format_that_cannot_hold_the_samples_is_refused(run, tmp_path, pixels, name, suffix, says):
    write_exact(tmp_path / "photo.png", layout(pixels, name))
    run("encode", "--lossless", tmp_path / "photo.png", tmp_path / "a.jicm")
    (tmp_path / f"out.{suffix}").write_bytes(b"good")
    done = run("decode", tmp_path / "a.jicm", tmp_path / f"out.{suffix}")
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert (tmp_path / f"out.{suffix}").read_bytes() == b"good"


def test_a_lossy_output_is_noted(run, photo, tmp_path):
    run("encode", "--lossless", photo, tmp_path / "a.jicm")
    done = run("decode", tmp_path / "a.jicm", tmp_path / "a.jpg")
    assert done.code == 0
    assert "JPEG loses quality once more; PNG keeps what was decoded" in done.err


def test_a_jpeg_is_kept_as_pixels_which_is_told(run, tmp_path, pixels):
    write_picture(tmp_path / "photo.jpg", pixels)
    done = run("encode", "--lossless", tmp_path / "photo.jpg", tmp_path / "a.jicm")
    assert done.err == f"jaxicm: note: {tmp_path}/photo.jpg: JPEG decoded: the pixels are kept, not the file\n"
    run("decode", tmp_path / "a.jicm", tmp_path / "back.png")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "back.png").pixels, read_picture(tmp_path / "photo.jpg").pixels
    )


def test_a_profile_travels(run, tmp_path, pixels):
    write_exact(tmp_path / "photo.png", pixels, icc=(icc := _some_profile()))
    run("encode", "--lossless", tmp_path / "photo.png", tmp_path / "a.jicm")
    run("decode", tmp_path / "a.jicm", tmp_path / "back.png")
    assert read_exact(tmp_path / "back.png").icc == icc


def _some_profile():
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")).replace(b"sRGB", b"wide")


def test_folders_hold_files_of_both_kinds(run, tmp_path, pixels):
    for name in ("a.png", "sub/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write_exact(tmp_path / "in" / name, layout(pixels, "deep rgba"))
    done = run("encode", "--lossless", tmp_path / "in", tmp_path / "out")
    assert (done.code, done.err, len(done.out.splitlines())) == (0, "", 2)
    assert run("encode", tmp_path / "in/a.png", tmp_path / "out/lossy.jicm").code == 0
    assert run("decode", tmp_path / "out", tmp_path / "back").code == 0
    found = {path.name: read_exact(path).samples for path in (tmp_path / "back").rglob("*.png")}
    assert {name: samples.dtype.name for name, samples in found.items()} == {
        "a.png": "uint16", "b.png": "uint16", "lossy.png": "uint8",
    }  # fmt: skip
    np.testing.assert_array_equal(found["b.png"], layout(pixels, "deep rgba"))


def test_pipes_carry_samples_of_16_bits(monkeypatch, tmp_path, pixels, capfdbinary):
    write_exact(tmp_path / "photo.png", layout(pixels, "deep rgb"))
    data = (tmp_path / "photo.png").read_bytes()
    for words in (["encode", "--lossless", "-", "-"], ["decode", "-", "-"]):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert main(words) == 0
        data = capfdbinary.readouterr().out
    np.testing.assert_array_equal(read_exact(data).samples, layout(pixels, "deep rgb"))


def test_info_shows_the_codec_and_the_depth(run, tmp_path, pixels):
    write_exact(tmp_path / "photo.png", layout(pixels, "deep rgba"))
    run("encode", "--lossless", tmp_path / "photo.png", tmp_path / "a.jicm")
    text = run("info", tmp_path / "a.jicm").out
    header = json.loads(run("info", tmp_path / "a.jicm", "--json").out)["header"]
    found = {field["name"]: field["value"] for field in header}
    assert found["codec"] == "lossless"
    assert found["layout"]["bit_depth"] == 16
    assert "lossless" in text
    assert "bit_depth 16" in text


def test_models_tells_the_rate_of_lossless_weights(run, monkeypatch, fake_codec):
    import jaxicm
    from jaxicm.codecs import zoo

    info = replace(jaxicm.load("lossless_fast").info, curve=[{"bpsp": 2.98766, "bpp": 8.96}])
    monkeypatch.setattr(zoo, "list_models", lambda: [fake_codec.info, info])
    text = run("models").out
    assert text.count("PSNR dB") == 1
    assert "lossless_fast: 2.9877 bits per sub-pixel when it was released" in text
