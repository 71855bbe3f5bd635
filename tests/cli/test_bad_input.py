"""Every bad input: one line that names cause and cure, exit code 2, and a good output left as it was."""

import errno
import io
import os
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import jaxicm.cli.main as entry
from jaxicm.bits.container import MAGIC
from jaxicm.media.pictures import write_picture

GOOD = b"a good output of an earlier day"


@pytest.fixture
def place(tmp_path, pixels, monkeypatch):
    """Make a folder with a good picture, a good compressed file and good outputs of both kinds."""
    monkeypatch.chdir(tmp_path)
    write_picture("photo.png", pixels)
    assert entry.main(["encode", "photo.png", "photo.jicm"]) == 0
    Path("out.jicm").write_bytes(GOOD)
    Path("out.png").write_bytes(GOOD)
    Path("folder").mkdir()
    return tmp_path


def fails(run, *words, says):
    """Run a command that must fail as a user's error, and return its one line."""
    before = sorted(path.name for path in Path().iterdir())
    done = run(*words)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("jaxicm: error: ")
    assert done.err.count("\n") == 1
    assert done.err.endswith("\n")
    assert "Traceback" not in done.err
    assert says in done.err
    assert Path("out.jicm").read_bytes() == GOOD
    assert Path("out.png").read_bytes() == GOOD
    assert sorted(path.name for path in Path().iterdir()) == before
    return done.err


def png_of_size(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\x40IDAT"
        + b"\0" * 64
    )


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"just text", "not a picture"),
        (png_of_size(0, 10), "damaged PNG"),
        (png_of_size(300_000, 300_000), "300000x300000 pixels"),
    ],
)
def test_encoding_a_bad_picture(run, place, contents, says):
    if contents is not None:
        Path("bad.png").write_bytes(contents)
    fails(run, "encode", "bad.png", "out.jicm", says=says)


def test_encoding_a_compressed_file(run, place):
    fails(run, "encode", "photo.jicm", "out.jicm", says="compressed file already")


def test_encoding_a_cut_picture(run, place):
    data = Path("photo.png").read_bytes()
    Path("cut.png").write_bytes(data[: len(data) // 2])
    fails(run, "encode", "cut.png", "out.jicm", says="damaged")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("encode", "folder", "out.jicm"), "this is a folder"),
        (("decode", "folder", "out.png"), "this is a folder"),
        (("encode", "folder", "-"), "this is a folder"),
        (("info", "folder"), "folder"),
        (("encode", "folder", "--out-dir", "x"), "holds no picture"),
        (("decode", "folder", "--out-dir", "x"), "holds no compressed file"),
        (("encode", "photo.png"), "OUTPUT is missing"),
        (("encode", "photo.png", "photo.png"), "is the input itself"),
        (("encode", "photo.png", "none/a.jicm"), "folder does not exist"),
        (("encode", "photo.png", "photo.jicm", "out.jicm"), "2 inputs but one output file"),
        (("encode", "-", "photo.png", "--out-dir", "folder"), "standard input has no name"),
        (("encode", "photo.png", "photo.png", "--out-dir", "folder"), "would both become"),
        (("encode", "photo.png", "none.png", "--out-dir", "x"), "none.png: no such file"),
        (("decode", "photo.jicm", "out.xyz"), "unknown picture suffix"),
        (("decode", "none.jicm", "out.png"), "no such file"),
        (("info", "none.jicm"), "no such file"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit(run, place, words, says):
    fails(run, *words, says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--quality", "0"), "from 1 to 100, got 0"),
        (("--quality", "101"), "from 1 to 100, got 101"),
        (("--quality", "nan"), "from 1 to 100, got nan"),
        (("--quality", "good"), "--quality"),
        (("--bpp", "-1"), "--bpp must be a positive number"),
        (("--psnr", "inf"), "--psnr must be a positive number"),
        (("--size", "much"), "is not a size"),
        (("--size", "40XB"), "is not a size"),
        (("--size", "0"), "below one byte"),
        (("--bpp", "1", "--size", "40kB"), "--bpp and --size exclude each other"),
        (("--quality", "50", "--psnr", "34"), "exclude each other"),
        (("--background", "nocolour"), "is not a colour"),
        (("--background", "1,2,300"), "is not a colour"),
        (("--size", "5"), "cannot be reached; the smallest file has"),
        (("--bpp", "0.0001"), "cannot be reached"),
        (("--psnr", "1000"), "cannot be reached"),
        (("--model", "nomodel"), "there is no model 'nomodel'"),
        (("--effort", "10"), "--effort"),
        (("--tune", "vmaf", "--effort", "3"), "--tune 'vmaf' is no objective; choose from psnr, ms-ssim, mixed"),
        (("--tune", "psnr"), "--tune is for adapting to the picture, which effort 0 leaves out; add --effort 1 to 9"),
        (("--time-limit", "9"), "--time-limit is for adapting to the picture"),
        (("--time-limit", "-1", "--effort", "3"), "--time-limit must be a positive number of seconds, got -1"),
        (("--time-limit", "nan", "--effort", "3"), "--time-limit must be a positive number of seconds, got nan"),
        (("--stages", "none.py"), "none.py: no such file of stages"),
        (("--stages", "none.py", "--effort", "3"), "--effort and --stages exclude each other"),
        (("--unknown",), "No such option"),
    ],
)
def test_options_out_of_range_and_unreachable_targets(run, place, options, says):
    fails(run, "encode", "photo.png", "out.jicm", *options, says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--lossless", "--quality", "50"), "--lossless keeps every sample and takes no --quality; leave that out"),
        (("--lossless", "--bpp", "1", "--psnr", "30"), "takes no --bpp or --psnr"),
        (("--lossless", "--size", "4kB"), "takes no --size"),
        (("--lossless", "--background", "white"), "takes no --background"),
        (("--lossless", "--effort", "2", "--tune", "psnr"), "takes no --tune"),
        (("--lossless", "--effort", "2", "--time-limit", "9"), "takes no --time-limit"),
        (("--model", "lossless_fast", "--stages", "stages.py"), "takes no --stages"),
        (
            ("--model", "lossless_fast", "-q", "50"),
            "--model lossless_fast is lossless: it keeps every sample and takes",
        ),
        (("--lossless", "--model", "fast"), "--model fast is lossy and --lossless excludes it"),
        (("--lossless", "--model", "nomodel"), "there is no model 'nomodel'"),
    ],
)
def test_options_that_do_not_go_with_lossless(run, place, options, says):
    fails(run, "encode", "photo.png", "out.jicm", *options, says=says)


def test_lossless_files_are_not_encoded_again(run, place):
    assert run("encode", "--lossless", "photo.png", "exact.jicm").code == 0
    fails(run, "encode", "--lossless", "exact.jicm", "out.jicm", says="compressed file already")
    Path("cut.jicm").write_bytes(Path("exact.jicm").read_bytes()[:-20])
    fails(run, "decode", "cut.jicm", "out.png", says="cut.jicm: ")


@pytest.mark.parametrize("words", [("demo", "photo.png", "--out", "out"), ("bench", "--picture", "photo.png")])
def test_commands_for_lossy_models_refuse_lossless_ones(run, place, words):
    says = f"`jaxicm {words[0]}` measures lossy models, --model lossless_fast is lossless"
    fails(run, *words, "--model", "lossless_fast", says=says)


def flipped(data):
    return data[:40] + bytes([data[40] ^ 4]) + data[41:]


def newer(data):
    return data[: len(MAGIC)] + b"\x09" + data[len(MAGIC) + 1 :]  # the version follows the magic bytes


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"", "empty"),
        (lambda data: b"PK\3\4" + data, "bad.jicm: this is not a jaxicm file"),
        (newer, "bad.jicm: the file has format version 9"),
        (flipped, "bad.jicm: "),
        (lambda data: data[:-20], "bad.jicm: "),
        (lambda data: data[:9], "bad.jicm: "),
    ],
)
def test_decoding_a_bad_file(run, place, damage, says):
    Path("bad.jicm").write_bytes(damage(Path("photo.jicm").read_bytes()))
    fails(run, "decode", "bad.jicm", "out.png", says=says)
    fails(run, "info", "bad.jicm", says=says)


def test_every_flipped_bit_of_a_small_file_is_noticed(run, place):
    good = Path("photo.jicm").read_bytes()
    for at in (*range(40), *range(40, len(good), 97), len(good) - 1):
        Path("bad.jicm").write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :])
        fails(run, "decode", "bad.jicm", "out.png", says="bad.jicm: ")


def test_decoding_a_file_of_unknown_weights(run, place, fake_codec):
    Path("bad.jicm").write_bytes(fake_codec.file_of_other_weights())
    fails(run, "decode", "bad.jicm", "out.png", says="bad.jicm: made with weights 5858585858585858")
    assert run("info", "bad.jicm").code == 0


@pytest.mark.parametrize("words", [("encode", "photo.png", "out.jicm"), ("decode", "photo.jicm", "out.png")])
def test_a_full_disk_leaves_the_good_output(run, place, words, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    fails(run, *words, says="the disk is full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("encode", "photo.png", "/dev/full"), ("decode", "photo.jicm", "/dev/full")])
def test_a_full_device(run, place, words):
    fails(run, *words, says="unknown picture suffix" if words[0] == "decode" else "the disk is full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output(run, place, monkeypatch):
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=full, isatty=lambda: False, flush=lambda: None))
        fails(run, "encode", "photo.png", "-", says="standard output: the disk is full")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, EOFError])
def test_an_interruption_has_its_own_exit_code_and_leaves_the_good_output(run, place, monkeypatch, stop):
    def interrupt(handle):
        raise stop

    monkeypatch.setattr(os, "fsync", interrupt)
    assert run("encode", "photo.png", "out.jicm").code == 130
    assert Path("out.jicm").read_bytes() == GOOD
    assert not [path for path in Path().iterdir() if path.suffix == ".part"]


def test_a_bug_is_one_line_and_a_traceback_only_when_asked(run, place, fake_codec, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(type(fake_codec), "encode_detail", broken)
    done = run("encode", "photo.png", "out.jicm")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "unexpected RuntimeError: first line second line; this is a bug in jaxicm" in done.err
    done = run("encode", "photo.png", "out.jicm", "--debug")
    assert done.code == 1
    assert "Traceback" in done.err
    assert Path("out.jicm").read_bytes() == GOOD


def test_memory_that_does_not_suffice_is_no_bug(run, place, fake_codec, monkeypatch):
    def hungry(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(type(fake_codec), "encode_detail", hungry)
    fails(run, "encode", "photo.png", "out.jicm", says="out of memory")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("train", "none.py"), "no such configuration file"),
        (("train", "photo.png", "steps"), "is not KEY=VALUE"),
        (("train", "photo.png", "--data", "nowhere"), "no such folder"),
        (("freeze", "nowhere", "a.safetensors"), "no such run folder"),
        (("eval", "fast"), "Missing argument"),
        (("eval", "fast", "folder"), "holds no picture"),
        (("eval", "fast", "photo.png", "--qualities", "a,b"), "is not a list of numbers"),
        (("eval", "fast", "photo.png", "--qualities", "0,50"), "from 1 to 100, got 0"),
        (("eval", "jpeg", "photo.png", "--qualities", "50.5"), "must be a whole number, got 50.5"),
        (("eval", "slow", "photo.png"), "installed: fast, lossless_fast; or a conventional codec: jpeg, "),
        (("eval", "jpeg", "photo.png", "--scales", "33"), "must hold numbers of 100, 75, 50, 25"),
        (("eval", "jpeg", "photo.png", "--label", "x"), "is no label; write KEY=VALUE"),
        (("eval", "jpeg", "photo.png", "--crops", "1"), "--crops needs --out"),
        (("eval", "jpeg", "photo.png", "--out", "table"), "ends in .json"),
        (("eval", "jpeg", "photo.png", "--out", "photo.png/x.json"), "cannot be made"),
        (("eval", "jpeg", "photo.png", "--set", "imagenet"), "there are some for kodak, "),
        (("eval", "jpeg", "photo.png", "--effort", "3"), "learned lossy codecs, jpeg is a conventional one; leave"),
        (("eval", "lossless_fast", "photo.png", "--effort", "3"), "is lossless; its --qualities are the efforts"),
        (("eval", "fast", "photo.png", "--tune", "mixed"), "--tune is for adapting to the picture"),
        (("eval", "fast", "photo.png", "--tune", "vmaf", "--effort", "3"), "--tune 'vmaf' is no objective"),
        (("eval", "fast", "photo.png", "--stages", "none.py"), "none.py: no such file of stages"),
        (("demo", "none.png"), "no such file"),
        (("demo", "--quality", "1000"), "from 1 to 100"),
        (("demo", "--against", "avif,gif"), "unknown anchor 'gif'; choose from jpeg"),
        (("nonsense",), "No such command"),
    ],
)
def test_other_commands_tell_bad_input_alike(run, place, words, says):
    fails(run, *words, says=says)


def test_a_picture_of_another_kind_of_samples(run, place):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(buffer, "TIFF")
    Path("float.tif").write_bytes(buffer.getvalue())
    fails(run, "encode", "float.tif", "out.jicm", says="mode F are not supported")
