"""Files go to a second process and come back; a difference is found."""

import numpy as np
import pytest

from jaxicm.cli.main import main
from jaxicm.codecs.image import ImageCodec
from jaxicm.errors import JaxicmError
from jaxicm.evaluate import device_check
from jaxicm.evaluate.bench_throughput import throughput
from jaxicm.evaluate.device_check import DeviceCheck, check_devices
from jaxicm.media.pictures import write_picture

SYMBOLS = 2 * (6 * 8 + 3 * 5)
"""Latent positions of both pictures at two qualities."""


@pytest.fixture(scope="module")
def pictures(photograph, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    for name, size in (("a", (90, 120)), ("b", (33, 80))):
        write_picture(folder / f"{name}.png", photograph(*size))
    return [str(folder / "a.png"), str(folder / "b.png")]


def test_both_sides_find_the_same_symbols(tiny_weights, tiny_codec, pictures):
    check = DeviceCheck(str(tiny_weights), pictures, [20, 70.5], flags="--xla_cpu_max_isa=SSE4_2", at_once=2)
    for found in check_devices(check):
        assert (found.files, found.differing) == (4, 0)
        assert found.symbols == SYMBOLS * tiny_codec.config.channels
        assert found.largest <= 1 and found.writer.startswith("cpu")


def test_a_difference_of_one_symbol_is_found(tiny_weights, pictures, monkeypatch, capsys):
    detail = ImageCodec.decode_detail

    def wrong(self, data, decoder=None):
        found = detail(self, data, decoder)
        found.values_q4[0, 0, 0] += 16
        return found

    monkeypatch.setattr(device_check.ImageCodec, "decode_detail", wrong)
    words = ["bench", "devices", *pictures, "--model", str(tiny_weights), "--qualities", "50"]
    assert main(words) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if str(tiny_weights)[:10] in line]
    # What is written here is read by the second process, which is not wrong.
    assert [line[-3] for line in lines] == ["0", "2"]


def test_a_device_that_is_not_there_is_an_error(tiny_weights, pictures):
    with pytest.raises(JaxicmError, match="second process on 'abacus' failed"):
        check_devices(DeviceCheck(str(tiny_weights), pictures[1:], [50], platform="abacus"))


def test_throughput_has_a_row_for_each_way_and_number(tiny_codec, photograph):
    rows = throughput(tiny_codec, photograph(64, 96), at_once=(1, 2), rounds=1)
    assert [(row["way"], row["at_once"]) for row in rows] == [
        (way, count) for way in ("encode", "decode") for count in (1, 2)
    ]
    for row in rows:
        np.testing.assert_allclose(row["mp_per_s"], row["pictures_per_s"] * 64 * 96 / 1e6)
        assert min(row["parts"].values()) > 0
