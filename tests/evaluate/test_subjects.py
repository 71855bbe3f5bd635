"""Codecs under test: names, clocks, settings, and what each says of itself."""

import numpy as np
import pytest

from jaxicm.errors import InputError, MissingDependency, OptionError
from jaxicm.evaluate.anchors import ANCHORS
from jaxicm.evaluate.session import header
from jaxicm.evaluate.subjects import Learned, subject


def test_a_learned_codec_is_timed_whole_and_in_parts(tiny_codec, photograph):
    pixels, item = photograph(64, 96), Learned(tiny_codec)
    encoded = item.encode(pixels, 40.0)
    decoded = item.decode(encoded.data, 64, 96)
    assert encoded.data == tiny_codec.encode(pixels, quality=40)
    np.testing.assert_array_equal(decoded.pixels, tiny_codec.decode(encoded.data))
    assert encoded.parts_s.keys() == {"analysis", "entropy", "coder"}
    assert decoded.parts_s.keys() == {"entropy", "coder", "synthesis"}
    assert sum(encoded.parts_s.values()) <= encoded.seconds
    assert decoded.seconds is not None
    assert sum(decoded.parts_s.values()) <= decoded.seconds
    assert item.identity == {"digest": tiny_codec.info.digest}
    assert item.figures["parameters"] == tiny_codec.info.parameters
    assert header(item, fresh=False)["description"] == f"jaxicm tiny, weights {tiny_codec.info.digest[:8]}"
    for quality in (0.5, 101.0):
        with pytest.raises(OptionError, match="from 1 to 100"):
            item.check(quality)


def test_a_new_process_decodes_to_the_same_pixels(tiny_codec, tiny_weights, photograph):
    pixels, item = photograph(64, 96), subject(str(tiny_weights), fresh=True)
    files = [item.encode(pixels, quality).data for quality in (20.0, 60.0)]
    assert item.decodes_together
    for data, decoded in zip(files, item.decode_together(files), strict=True):
        np.testing.assert_array_equal(decoded.pixels, tiny_codec.decode(data))
        assert decoded.seconds is None


def test_a_conventional_codec_is_that_of_the_anchors(photograph):
    pixels, item = photograph(40, 50), subject("jpeg")
    encoded = item.encode(pixels, 60)
    assert encoded.data == ANCHORS["jpeg"].encode(pixels, 60).data
    assert item.decode(encoded.data, 40, 50).pixels.shape == (40, 50, 3)
    assert (item.kind, item.clock, item.decodes_together) == ("conventional", "cpu", False)
    assert item.identity == ANCHORS["jpeg"].version()
    assert "pillow " in header(item, fresh=False)["description"]
    with pytest.raises(OptionError, match="whole number"):
        item.check(50.5)


def test_names_that_are_nothing_and_codecs_that_are_missing_are_told(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"no model 'slow'.* or a conventional codec: jpeg, "):
        subject("slow")
    with pytest.raises(InputError, match=r"none\.safetensors"):
        subject(str(tmp_path / "none.safetensors"))
    monkeypatch.setattr(type(ANCHORS["jpeg"]), "missing", lambda self: "JPEG needs patience")
    with pytest.raises(MissingDependency, match="JPEG needs patience"):
        subject("jpeg")
