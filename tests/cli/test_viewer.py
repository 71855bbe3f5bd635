"""`--for` and `--decoder`: which weights are taken, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from jaxicm.media.pictures import write_picture


@pytest.fixture(autouse=True)
def place(tmp_path, pixels, monkeypatch) -> Path:
    """Make a folder with a picture and go there."""
    monkeypatch.chdir(tmp_path)
    write_picture("photo.png", pixels)
    return tmp_path


def test_people_get_the_usual_weights(run, fake_codec):
    assert run("encode", "--for", "people", "photo.png", "a.jicm").code == 0


def test_machines_get_their_own_weights(run, fake_codec, monkeypatch):
    from jaxicm.codecs import zoo  # the fake one

    machine = replace(fake_codec.info, name="fast", trained_for="machine")
    monkeypatch.setattr(zoo, "list_models", lambda: [fake_codec.info, machine])
    done = run("encode", "--for", "machine", "photo.png", "a.jicm")
    assert done.code == 0 and "note" not in done.err


def test_filters_for_machines_are_no_codec(run, fake_codec, monkeypatch):
    from jaxicm.codecs import zoo  # the fake one

    filters = replace(fake_codec.info, name="filters", trained_for="machine", config={"filter": {}})
    monkeypatch.setattr(zoo, "list_models", lambda: [filters, fake_codec.info])
    done = run("encode", "--for", "machine", "photo.png", "a.jicm")
    assert done.code == 0 and "no weights trained for machines are installed" in done.err


def test_without_them_machines_get_the_usual_ones_adapted(run, fake_codec, monkeypatch):
    taken = []
    encode = fake_codec.encode_detail
    monkeypatch.setattr(fake_codec, "encode_detail", lambda image, **o: taken.append(o) or encode(image, **o))
    done = run("encode", "--for", "machine", "photo.png", "a.jicm")
    assert done.code == 0 and "fast is taken: add --effort to adapt it to task networks" in done.err
    assert run("encode", "--for", "machine", "--effort", "2", "--scale", "75", "photo.png", "a.jicm").code == 0
    assert run("encode", "--for", "machine", "--effort", "2", "--tune", "psnr", "photo.png", "a.jicm").code == 0
    assert [(o["effort"], o["tune"], o["scale"]) for o in taken] == [
        (0, None, 100),
        (2, "machine", 75),
        (2, "mse", 100),
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--for", "dogs"), "--for must be people or machine, got 'dogs'"),
        (("--for", "machine", "--model", "fast"), "--for machine and --model exclude each other"),
        (("--for", "machine", "--lossless"), "keeps every sample and takes no --for"),
        (("--decoder", "people", "--lossless"), "keeps every sample and takes no --decoder"),
        (("--tune", "machine"), "add --effort 1 to 9"),
        (("--scale", "50", "--lossless"), "keeps every sample and takes no --scale"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, fake_codec, words, says):
    done = run("encode", "photo.png", "a.jicm", *words)
    assert done.code == 2 and says in done.err and not Path("a.jicm").exists()


def test_a_lossless_file_has_no_other_decoder(run, fake_codec):
    assert run("encode", "--lossless", "photo.png", "a.jicm").code == 0
    done = run("decode", "--decoder", "people", "a.jicm", "b.png")
    assert done.code == 2 and "--decoder is for files with loss" in done.err and not Path("b.png").exists()
