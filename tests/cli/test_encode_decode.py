"""`jaxicm encode` and `jaxicm decode`: files, folders, pipes, targets, notes."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms

from jaxicm.errors import OutputError
from jaxicm.media import files as files_on_disk
from jaxicm.media.pictures import read_picture, write_picture


@pytest.fixture
def photo(tmp_path, pixels):
    write_picture(tmp_path / "photo.png", pixels)
    return tmp_path / "photo.png"


def give_input(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_picture_goes_in_and_comes_out(run, photo, tmp_path, pixels):
    done = run("encode", photo, tmp_path / "a.jicm", "--quality", 100)
    assert (done.code, done.err) == (0, "")
    size = (tmp_path / "a.jicm").stat().st_size
    assert f"a.jicm: {size:,} bytes, {size * 8 / pixels[..., 0].size:.4f} bpp, quality 100, 56x40" in done.out
    assert run("decode", tmp_path / "a.jicm", tmp_path / "back.png").code == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "back.png").pixels, pixels)


def test_the_default_quality_is_50(run, photo, tmp_path):
    assert "quality 50" in run("encode", photo, tmp_path / "a.jicm").out


def test_verify_reports_the_psnr(run, photo, tmp_path):
    done = run("encode", photo, tmp_path / "a.jicm", "--verify")
    assert "PSNR " in done.out
    assert "verified" in done.out


@pytest.mark.parametrize(
    ("option", "value", "limit"),
    [("--size", "2kB", 2000), ("--size", "1.5KiB", 1536), ("--size", "1800", 1800), ("--bpp", "6", 1680)],
)
def test_a_target_rate_is_kept(run, photo, tmp_path, option, value, limit):
    assert run("encode", photo, tmp_path / "a.jicm", option, value).code == 0
    assert 0.7 * limit < (tmp_path / "a.jicm").stat().st_size <= limit


def test_a_target_psnr_is_reached(run, photo, tmp_path):
    done = run("encode", photo, tmp_path / "a.jicm", "--psnr", 34, "--verify")
    assert float(done.out.split("PSNR ")[1].split(" ")[0]) >= 34


def test_a_folder_goes_into_a_folder_with_its_tree(run, tmp_path, pixels):
    for name in ("a.png", "a.bmp", "sub/b.tif", "sub/deeper/c.webp"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(tmp_path / "in" / name, pixels)
    done = run("encode", tmp_path / "in", tmp_path / "out", "-q", 100)
    assert (done.code, done.err, len(done.out.splitlines())) == (0, "", 4)
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.jicm"))
    assert made == ["a.bmp.jicm", "a.png.jicm", "sub/b.jicm", "sub/deeper/c.jicm"]
    assert run("decode", tmp_path / "out", "--out-dir", tmp_path / "back", "--suffix", "ppm").code == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "back/sub/deeper/c.ppm").pixels, pixels)


def test_several_files_go_into_a_folder(run, photo, tmp_path, pixels):
    write_picture(tmp_path / "second.ppm", pixels)
    assert run("encode", photo, tmp_path / "second.ppm", "--out-dir", tmp_path / "new/folder").code == 0
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == ["photo.jicm", "second.jicm"]
    assert run("encode", photo, f"{tmp_path}/other/").code == 0
    assert (tmp_path / "other/photo.jicm").exists()


def test_pipes_carry_only_data(monkeypatch, photo, tmp_path, pixels, capfdbinary):
    from jaxicm.cli.main import main

    give_input(monkeypatch, photo.read_bytes())
    assert main(["encode", "-", "-", "-q", "100"]) == 0
    captured = capfdbinary.readouterr()
    assert b"bytes" in captured.err
    give_input(monkeypatch, captured.out)
    assert main(["decode", "-", "-"]) == 0
    np.testing.assert_array_equal(read_picture(capfdbinary.readouterr().out).pixels, pixels)


def test_a_terminal_gets_no_binary_data(run, photo, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    done = run("encode", photo, "-")
    assert done.code == 2
    assert "terminal" in done.err


def test_conversions_are_told_on_standard_error(run, tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = np.dstack([pixels, np.arange(56, dtype=np.uint8)[None].repeat(40, 0)])
    Image.fromarray(alpha).save(tmp_path / "a.png", exif=exif)
    done = run("encode", tmp_path / "a.png", tmp_path / "a.jicm", "--background", "#102030")
    assert done.code == 0
    assert done.err.splitlines() == [
        f"jaxicm: note: {tmp_path}/a.png: EXIF orientation 6 applied",
        f"jaxicm: note: {tmp_path}/a.png: alpha flattened on #102030",
    ]
    assert "40x56" in done.out


def test_a_lossy_output_is_noted(run, photo, tmp_path):
    run("encode", photo, tmp_path / "a.jicm")
    done = run("decode", tmp_path / "a.jicm", tmp_path / "a.jpg")
    assert done.code == 0
    assert "JPEG loses quality once more" in done.err
    assert (tmp_path / "a.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_a_profile_travels_unless_it_is_srgb(run, tmp_path, pixels):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = srgb.replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")).replace(b"sRGB", b"wide")
    for name, icc in (("srgb", srgb), ("other", other)):
        write_picture(tmp_path / f"{name}.png", pixels, icc=icc)
        assert run("encode", tmp_path / f"{name}.png", tmp_path / "a.jicm").code == 0
        assert run("decode", tmp_path / "a.jicm", tmp_path / f"{name}_back.png").code == 0
    assert read_picture(tmp_path / "srgb_back.png").icc is None
    assert read_picture(tmp_path / "other_back.png").icc == other


def test_no_clobber_skips_what_exists(run, photo, tmp_path):
    (tmp_path / "a.jicm").write_bytes(b"mine")
    done = run("encode", photo, tmp_path / "a.jicm", "--no-clobber")
    assert (done.code, done.out) == (0, "")
    assert "exists, skipped" in done.err
    assert (tmp_path / "a.jicm").read_bytes() == b"mine"
    assert run("encode", photo, tmp_path / "a.jicm").code == 0
    assert (tmp_path / "a.jicm").read_bytes() != b"mine"


def test_one_bad_file_of_several_does_not_stop_the_others(run, photo, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    done = run("encode", tmp_path / "bad.png", photo, "--out-dir", tmp_path / "out")
    assert done.code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.jicm"]
    first, last = done.err.splitlines()
    assert "bad.png: not a picture" in first
    assert last == "jaxicm: error: 1 of 2 failed"


def test_info_prints_every_field_as_text_and_json(run, photo, tmp_path):
    run("encode", photo, tmp_path / "a.jicm", "-q", 77)
    text = run("info", tmp_path / "a.jicm").out
    found = json.loads(run("info", tmp_path / "a.jicm", "--json").out)
    for field in found["header"]:
        shown = field["value"].values() if isinstance(field["value"], dict) else [field["value"]]
        line = next(line for line in text.splitlines() if line.startswith(f"  {field['name']} "))
        assert all(str(value) in line for value in shown)
        assert field["bytes"] in line
    assert {field["name"]: field["value"] for field in found["header"]}["quality_q4"] == 77 * 16
    assert found["sections"][0]["kind"] == "LATENT"
    assert "LATENT" in text


def test_models_lists_the_zoo(run, fake_codec):
    text = run("models").out
    for word in ("fast", "0123456789abcdef", "1,234,567", "decode 12.5", "random numbers", "32.00"):
        assert word in text
    assert "lossless_fast" in text
    assert json.loads(run("models", "--json").out)[0]["digest"] == fake_codec.info.digest


def test_several_at_a_time_make_the_same_files_and_lines_in_the_same_order(run, tmp_path, pixels):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(7):
        write_picture(folder / f"{number}.png", np.roll(pixels, number, axis=0))
    (folder / "3.png").write_bytes(b"no picture")
    seen = []
    for jobs in (1, 3):
        done = run("encode", folder, tmp_path / f"out{jobs}", "-j", jobs)
        assert done.code == 2 and done.err.splitlines()[-1] == "jaxicm: error: 1 of 7 failed"
        files = sorted((tmp_path / f"out{jobs}").iterdir())
        seen.append(
            ([line.split(":")[0][-6:] for line in done.out.splitlines()], [file.read_bytes() for file in files])
        )
    assert seen[0] == seen[1] and len(seen[0][1]) == 6
    for jobs in (1, 3):
        assert run("decode", tmp_path / "out3", tmp_path / f"back{jobs}", "-j", jobs).code == 0
    for number in (0, 1, 2, 4, 5, 6):
        one, three = (read_picture(tmp_path / f"back{jobs}" / f"{number}.png").pixels for jobs in (1, 3))
        np.testing.assert_array_equal(one, three)


def test_a_full_disk_stops_all_of_several(run, tmp_path, pixels, monkeypatch):
    for number in range(9):
        write_picture(tmp_path / f"{number}.png", pixels)
    written = []

    def write(path, data):
        written.append(path)
        if len(written) > 1:
            raise OutputError(f"{path}: no space is left")

    monkeypatch.setattr(files_on_disk, "write_bytes", write)
    done = run("encode", *sorted(tmp_path.glob("*.png")), tmp_path / "out/", "-j", 2)
    assert done.code == 2 and "no space is left" in done.err and len(written) < 9
