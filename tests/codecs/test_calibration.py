"""Calibrated weights: other tables, the same networks, fewer bits, and files that decode."""

import numpy as np
import pytest

from jaxicm.cli.main import main
from jaxicm.codecs import weights
from jaxicm.codecs.calibration import calibrate, count_symbols
from jaxicm.codecs.image import ImageCodec
from jaxicm.media.pictures import write_picture


def test_calibrated_weights_need_fewer_bits_for_the_same_pictures(tiny_weights, tiny_codec, photograph, tmp_path):
    pictures = [photograph(160, 200), photograph(250, 96)[::-1].copy()]
    out = tmp_path / "calibrated.safetensors"
    digest = calibrate(tiny_weights, out, pictures, (20, 70), seen="two")
    (before, _), (after, info) = weights.read(tiny_weights), weights.read(out)
    assert info.digest == digest != tiny_codec.info.digest and info.provenance["calibrated_on"] == "two"
    assert before.keys() == after.keys()
    for name in before:
        assert name.startswith("tables/") or np.array_equal(before[name], after[name])
    codec = ImageCodec.load(out)
    sizes = np.zeros(2)
    for picture in pictures:
        for quality in (20, 70):
            made, other = (each.encode_detail(picture, quality=quality, plain=False) for each in (codec, tiny_codec))
            np.testing.assert_array_equal(codec.decode_detail(made.data).values_q4, other.values_q4)
            sizes += made.estimated_bits, other.estimated_bits
    assert sizes[0] < sizes[1]


def test_symbols_are_counted_where_they_are_coded(tiny_codec, photograph):
    picture = photograph(90, 70)
    quantized = tiny_codec.quantize(picture, 50)
    coded = sum(int((index > 0).sum()) for index in quantized.indices)
    counts = count_symbols(tiny_codec, [picture], [50])
    assert counts.sum() == coded and not counts[0].any()


def test_the_command_writes_a_weight_file(tiny_weights, photograph, tmp_path, capsys):
    write_picture(tmp_path / "a.png", photograph(64, 64))
    out = tmp_path / "w.safetensors"
    assert main(["calibrate", str(tiny_weights), str(out), str(tmp_path / "a.png"), "--qualities", "30"]) == 0
    assert weights.read_info(out).provenance["calibrated_on"] == "1 pictures, qualities 30"
    assert "tables of 1 pictures" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["lossless_fast", "filter_vvc"])
def test_other_weights_have_no_tables_to_calibrate(model, photograph, tmp_path, capsys):
    write_picture(tmp_path / "a.png", photograph(64, 64))
    assert main(["calibrate", model, str(tmp_path / "w.safetensors"), str(tmp_path / "a.png")]) == 2
    assert "jaxicm: error" in capsys.readouterr().err
