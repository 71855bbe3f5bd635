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

    done = run("encode", "--for", "machine", "photo.png", "a.jicm")
    assert done.code == 2 and "no weights for machines are installed; train some" in done.err
    assert not Path("a.jicm").exists()
    machine = replace(fake_codec.info, name="fast", trained_for="machine")
    monkeypatch.setattr(zoo, "list_models", lambda: [fake_codec.info, machine])
    assert run("encode", "--for", "machine", "photo.png", "a.jicm").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--for", "dogs"), "--for must be people or machine, got 'dogs'"),
        (("--for", "machine", "--model", "fast"), "--for machine and --model exclude each other"),
        (("--for", "machine", "--lossless"), "keeps every sample and takes no --for"),
        (("--decoder", "people", "--lossless"), "keeps every sample and takes no --decoder"),
        (("--tune", "machine"), "add --effort 1 to 9"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, fake_codec, words, says):
    done = run("encode", "photo.png", "a.jicm", *words)
    assert done.code == 2 and says in done.err and not Path("a.jicm").exists()


def test_a_lossless_file_has_no_other_decoder(run, fake_codec):
    assert run("encode", "--lossless", "photo.png", "a.jicm").code == 0
    done = run("decode", "--decoder", "people", "a.jicm", "b.png")
    assert done.code == 2 and "--decoder is for files with loss" in done.err and not Path("b.png").exists()
