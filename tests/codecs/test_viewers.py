"""Two decoders for the same file: for people and for machines."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import jaxicm
from jaxicm.bits.container import pack, unpack
from jaxicm.cli.main import app
from jaxicm.codecs import weights
from jaxicm.codecs.image import ImageCodec
from jaxicm.errors import CorruptFile, InputError, OptionError, UnknownWeights


@pytest.fixture
def decoder(tiny_weights: Path) -> Iterator[Path]:
    """Install a further decoder of the tiny codec, for machines: its pictures are darker."""
    arrays, info = weights.read(tiny_weights)
    part = {name: value for name, value in arrays.items() if name.startswith("transform/synthesis/")}
    part["transform/log_step"] = arrays["transform/log_step"] - np.float32(0.5)
    path = tiny_weights.with_name("tiny_machine.safetensors")
    description = {"profile": "tiny-machine", "parameters": 1, "kmac_per_pixel": {"decode": 1.0}, "steps": info.steps}
    description |= {"trained_on": "nothing", "curve": [], "config": info.config, "provenance": {}}
    weights.write(path, part, description | {"decoder_of": info.digest, "viewer": "machine"})
    yield path
    path.unlink()


def test_the_bytes_are_the_same_and_the_file_chooses_the_decoder(tiny_weights: Path, decoder: Path, photograph):
    codec, image = ImageCodec.load(tiny_weights), photograph(50, 70)
    machine = codec.for_viewer("machine")
    plain, marked = codec.encode(image, quality=40), machine.encode(image, quality=40)
    assert unpack(plain)[1] == unpack(marked)[1]
    assert (unpack(plain)[0].flags, unpack(marked)[0].flags) == (0, 2)
    assert len(marked) == len(plain) + 1
    for_people, for_machines = codec.decode(plain), codec.decode(marked)
    assert not np.array_equal(for_people, for_machines)
    np.testing.assert_array_equal(codec.decode(marked, "people"), for_people)
    np.testing.assert_array_equal(codec.decode(plain, "machine"), for_machines)
    np.testing.assert_array_equal(machine.decode(marked), for_machines)
    np.testing.assert_array_equal(jaxicm.decode(marked), for_machines)
    np.testing.assert_array_equal(jaxicm.decode(marked, "people"), for_people)
    details = [codec.decode_detail(data, viewer) for data in (plain, marked) for viewer in ("people", "machine")]
    assert all(np.array_equal(found.values_q4, details[0].values_q4) for found in details)
    shown = machine.encode_detail(image, psnr=15.0, verify=True)
    np.testing.assert_array_equal(
        shown.reconstruction, for_machines if shown.quality == 40 else jaxicm.decode(shown.data)
    )


def test_the_same_viewer_is_the_same_codec(tiny_weights: Path, decoder: Path):
    codec = ImageCodec.load(tiny_weights)
    assert codec.for_viewer("people") is codec is codec.for_viewer("")
    machine = codec.for_viewer("machine")
    assert machine is codec.for_viewer("machine") is machine.for_viewer("machine")
    assert machine.for_viewer("people") is codec


def test_a_decoder_that_is_not_installed_is_named(tiny_weights: Path, decoder: Path, photograph):
    data = ImageCodec.load(tiny_weights).for_viewer("machine").encode(photograph(20, 20))
    decoder.rename(decoder.with_suffix(".away"))
    try:
        with pytest.raises(UnknownWeights, match=r"the decoder for machine of the weights \w+ is not installed"):
            ImageCodec.load(tiny_weights).decode(data)
        assert ImageCodec.load(tiny_weights).decode(data, "people").shape == (20, 20, 3)
    finally:
        decoder.with_suffix(".away").rename(decoder)


def test_mistakes_are_named(tiny_weights: Path, decoder: Path, photograph):
    codec = ImageCodec.load(tiny_weights)
    with pytest.raises(OptionError, match="for one of people, machine"):
        codec.for_viewer("dogs")
    with pytest.raises(InputError, match="are a decoder for machine alone"):
        jaxicm.load(str(decoder))
    data = bytearray(codec.for_viewer("machine").encode(photograph(20, 20)))
    header, sections = unpack(bytes(data))
    with pytest.raises(CorruptFile, match="flags 3"):
        codec.decode(pack(dataclasses.replace(header, flags=3), sections))


def test_the_command_line_marks_and_chooses(tiny_weights: Path, decoder: Path, photograph, tmp_path: Path):
    Image.fromarray(photograph(30, 40)).save(tmp_path / "a.png")
    run = CliRunner().invoke
    names = [str(tmp_path / name) for name in ("a.png", "a.jicm", "own.png", "people.png")]
    assert run(app, ["encode", "--model", "tiny", "--decoder", "machine", *names[:2]]).exit_code == 0
    assert run(app, ["decode", names[1], names[2]]).exit_code == 0
    assert run(app, ["decode", "--decoder", "people", names[1], names[3]]).exit_code == 0
    pixels = [np.asarray(Image.open(name)) for name in names[2:]]
    assert not np.array_equal(*pixels)
    data = Path(names[1]).read_bytes()
    np.testing.assert_array_equal(pixels[0], jaxicm.decode(data))
    np.testing.assert_array_equal(pixels[1], jaxicm.decode(data, "people"))
    listed = run(app, ["models"]).output
    assert "machine, decodes files of" in " ".join(listed.split())
