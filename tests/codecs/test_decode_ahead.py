"""Where there is an accelerator, `jaxicm decode` decodes many files in batches; what comes out is the same."""

import numpy as np
import pytest

from jaxicm.cli import decode_ahead
from jaxicm.cli.decode_ahead import DecodeAhead
from jaxicm.cli.main import main
from jaxicm.codecs import image_batches
from jaxicm.errors import InputError, TruncatedFile
from jaxicm.media.pictures import read_picture


@pytest.fixture
def folder(tmp_path, tiny_codec, photograph):
    """Five files of one codec, of two sizes."""
    made = tmp_path / "files"
    made.mkdir()
    for number in range(5):
        picture = photograph(40, 60 + 8 * (number % 2))
        (made / f"{number}.jicm").write_bytes(tiny_codec.encode(picture, quality=30 + 10 * number, plain=False))
    return made


def test_a_folder_is_decoded_in_batches(folder, tiny_weights, tmp_path, monkeypatch):
    taken = []
    take = DecodeAhead.take

    def noting(self, path):
        found = take(self, path)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(DecodeAhead, "take", noting)
    words = ["decode", str(folder), "--model", str(tiny_weights), "-j", "2"]
    assert main([*words, "--out-dir", str(tmp_path / "singly")]) == 0
    assert not taken
    monkeypatch.setattr(decode_ahead, "on_accelerator", lambda: True)
    monkeypatch.setattr(decode_ahead, "AT_ONCE", 2)
    assert main([*words, "--out-dir", str(tmp_path / "together")]) == 0
    assert taken == 5 * [True]
    for path in sorted((tmp_path / "singly").iterdir()):
        together = read_picture(tmp_path / "together" / path.name).pixels
        assert np.abs(together.astype(int) - read_picture(path).pixels).max() <= 1


def test_files_of_other_codecs_and_damaged_ones_are_told_apart(folder, tiny_codec, tmp_path):
    (folder / "5.jicm").write_bytes(tiny_codec.encode(np.zeros((30, 30, 3), np.uint8)))  # kept without loss
    whole = (folder / "1.jicm").read_bytes()
    (folder / "1.jicm").write_bytes(whole[:-20])
    files = [str(folder / f"{number}.jicm") for number in range(6)] + [str(tmp_path / "none.jicm")]
    with DecodeAhead(tiny_codec, files, at_once=2) as ahead:
        assert ahead.take(files[5]) is None  # in any order
        with pytest.raises(TruncatedFile):
            ahead.take(files[1])
        with pytest.raises(InputError):
            ahead.take(files[6])
        for number in (0, 2, 3, 4):
            found = ahead.take(files[number])
            assert found is not None and found.image.shape == (40, 60 + 8 * (number % 2), 3)
        assert ahead.take("another.jicm") is None


def test_leaving_early_ends_the_processes(folder, tiny_codec):
    files = [str(path) for path in sorted(folder.iterdir())]
    with DecodeAhead(tiny_codec, files, at_once=1) as ahead:
        assert ahead.take(files[0]) is not None
    assert not ahead._thread.is_alive()


def test_a_device_without_memory_for_batches_leaves_files_to_others(folder, tiny_codec, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(image_batches.ImageBatches, "_decode", fail)
    files = [str(path) for path in sorted(folder.iterdir())]
    with DecodeAhead(tiny_codec, files, at_once=2) as ahead:
        assert [ahead.take(path) for path in files] == 5 * [None]
