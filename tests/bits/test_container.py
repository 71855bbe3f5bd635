"""The file format: golden bytes, ranges, damage."""

import json
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.bits.container import MAGIC, Header, Section, SectionKind, describe, pack, unpack
from jaxicm.bits.varint import MAX_VALUE, read_uvarint, write_uvarint
from jaxicm.errors import CorruptFile, FileFormatError, ForeignFile, NewerVersion, TruncatedFile

HEADER = Header("image", bytes(range(8)), height=512, width=768, quality_q4=960)
SECTIONS = [Section(SectionKind.LATENT, b"latent" * 30), Section(SectionKind.ICC, b"")]

headers = st.builds(
    Header,
    codec=st.just("image"),
    weights=st.binary(min_size=8, max_size=8),
    height=st.integers(1, 1 << 10),
    width=st.integers(1, 1 << 20),
    channels=st.sampled_from([1, 3]),
    bit_depth=st.sampled_from([8, 9, 10, 11, 12, 13, 14, 16]),
    quality_q4=st.integers(16, 1600),
    flags=st.just(0) | st.integers(1, (1 << 32) - 1),
)
section_lists = st.lists(
    st.builds(Section, st.sampled_from(SectionKind), st.binary(max_size=300)),
    min_size=1,
    max_size=4,
    unique_by=lambda s: s.kind,
)


def test_a_file_has_the_golden_bytes():
    head = bytes.fromhex("8a4a49430d0a" + "01" + "01" + "0001020304050607" + "8004" + "8006" + "01" + "c007")
    crc = zlib.crc32(head)
    body = bytes([1 | 128, 2]) + b"xy"
    golden = head + (crc & 0xFFFF).to_bytes(2, "little") + body + zlib.crc32(body, crc).to_bytes(4, "little")
    assert pack(HEADER, [Section(SectionKind.LATENT, b"xy")]) == golden
    assert golden.hex() == "8a4a49430d0a010100010203040506078004800601c007e34e8102787927b2ed2e"
    grey = Header("image", b"weights!", 1, 1, channels=1, bit_depth=10, quality_q4=16, flags=300)
    assert (
        pack(grey, [Section(SectionKind.ICC, b""), Section(SectionKind.ALPHA, b"a")]).hex()
        == "8a4a49430d0a0101776569676874732101018410ac02d11a03008becb50f820161f1113e6b"
    )


def test_the_header_of_a_normal_picture_costs_32_bytes():
    assert len(pack(HEADER, [Section(SectionKind.LATENT, bytes(10_000))])) == 10_032


@given(headers, section_lists)
def test_any_file_comes_back(header, sections):
    assert unpack(pack(header, sections)) == (header, sections)


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "jpeg"}, {"weights": b"short"}, {"height": 0}, {"height": (1 << 20) + 1}, {"width": -1},
        {"width": 1 << 20, "height": 1 << 11}, {"channels": 2}, {"channels": 4}, {"bit_depth": 7}, {"bit_depth": 15},
        {"bit_depth": 17},
        {"quality_q4": 15}, {"quality_q4": 1601}, {"colour": "xyz"}, {"flags": -1}, {"flags": 1 << 32},
    ],
)  # fmt: skip
def test_fields_out_of_range_are_refused(change):
    good = {"codec": "image", "weights": bytes(8), "height": 8, "width": 8}
    with pytest.raises(ValueError, match=f"'({'|'.join(change)})' must be"):
        Header(**{**good, **change})


@pytest.mark.parametrize("sections", [[], [SECTIONS[0], SECTIONS[0]]])
def test_no_section_or_the_same_kind_twice_is_refused(sections):
    with pytest.raises(ValueError, match="sections"):
        pack(HEADER, sections)


def with_valid_header_check(head):
    return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("0201" + "00" * 8 + "080801c007", "version"),
        ("0163" + "00" * 8 + "080801c007", "codec"),
        ("0101" + "00" * 8 + "000801c007", "height"),
        ("0101" + "00" * 8 + "08ffffff0701c007", "width"),
        ("0101" + "00" * 8 + "80804080804001c007", "height"),
        ("0101" + "00" * 8 + "080811c007", "colour"),
        ("0101" + "00" * 8 + "08080101", "quality_q4"),
        ("0101" + "00" * 8 + "080881c00700", "flags"),
        ("0101" + "00" * 8 + "088800", "width"),
    ],
)  # fmt: skip
def test_header_fields_of_a_file_are_checked(fields, name):
    data = with_valid_header_check(MAGIC + bytes.fromhex(fields))
    with pytest.raises(FileFormatError, match=name):
        unpack(data)


def test_foreign_newer_empty_and_text_mode_files_are_named():
    data = pack(HEADER, SECTIONS)
    for start, error, words in (
        (b"", TruncatedFile, "empty"),
        (b"\x8aJ", TruncatedFile, "header"),
        (MAGIC, TruncatedFile, "header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ForeignFile, "not a jaxicm file"),
        (MAGIC + b"\x02" + data[7:], NewerVersion, "version 2.*update"),
        (MAGIC + b"\x00" + data[7:], CorruptFile, "version 0"),
        (data.replace(b"\r\n", b"\n"), CorruptFile, "text mode"),
        (data.replace(b"\n", b"\r\n"), CorruptFile, "text mode"),
        (b"\x0a" + data[1:], CorruptFile, "text mode"),
        (data + b"x", CorruptFile, "1 bytes follow"),
    ):
        with pytest.raises(error, match=words):
            unpack(start)


def test_every_truncation_and_every_flipped_bit_is_an_error():
    data = pack(HEADER, SECTIONS)
    for size in range(len(data)):
        with pytest.raises(TruncatedFile):
            unpack(data[:size])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FileFormatError):
            unpack(bytes(damaged))


def test_twenty_thousand_mutations_give_a_named_error_or_the_same_contents():
    rng = np.random.default_rng(0)
    data = pack(HEADER, SECTIONS)
    start = time.process_time()
    for _ in range(20_000):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at, action = int(rng.integers(len(damaged) or 1)), rng.integers(4)
            if action == 0:
                del damaged[at : at + int(rng.integers(1, 9))]
            elif action == 1:
                damaged[at:at] = rng.bytes(int(rng.integers(1, 9)))
            elif action == 2:
                damaged[at : at + 1] = rng.bytes(1)
            else:
                del damaged[at:]
        try:
            contents = unpack(bytes(damaged))
        except FileFormatError as error:
            assert "\n" not in str(error)
            continue
        assert contents == (HEADER, SECTIONS)
    assert time.process_time() - start < 10


def test_repeated_and_unknown_kinds_are_an_error():
    head = pack(HEADER, SECTIONS)[:25]
    checksum = zlib.crc32(head[:-2])
    for kinds in ([1, 1 | 128], [100 | 128], [0 | 128]):
        data = head
        for kind in kinds:
            body = bytes([kind, 1]) + b"p"
            data += body + zlib.crc32(body, checksum).to_bytes(4, "little")
        with pytest.raises(CorruptFile, match="kind"):
            unpack(data)


def test_describe_lists_each_byte_of_the_header_and_each_section():
    data = pack(HEADER, SECTIONS)
    facts = json.loads(json.dumps(describe(data)))
    assert "".join(field["bytes"] for field in facts["header"]) == data[:25].hex()
    values = {field["name"]: field["value"] for field in facts["header"]}
    assert values["height"] == 512
    assert values["quality_q4"] == 960
    assert values["layout"] == {"channels": 3, "bit_depth": 8, "colour": "srgb"}
    assert [(s["kind"], s["payload_bytes"]) for s in facts["sections"]] == [("LATENT", 180), ("ICC", 0)]
    assert 25 + sum(s["size_bytes"] for s in facts["sections"]) == facts["size_bytes"] == len(data)
    assert facts["sections"][1]["crc32"] == data[-4:][::-1].hex()
    with pytest.raises(TruncatedFile):
        describe(data[:-1])


@given(st.integers(0, MAX_VALUE))
def test_variable_length_integers_come_back_in_the_fewest_bytes(value):
    data = write_uvarint(value)
    assert read_uvarint(b"." + data, 1, "x") == (value, len(data) + 1)
    assert len(data) == max(1, -(-value.bit_length() // 7))


def test_bad_variable_length_integers_are_errors():
    for data, error in (
        ("", TruncatedFile),
        ("80", TruncatedFile),
        ("8000", CorruptFile),
        ("808080808001", CorruptFile),
    ):
        with pytest.raises(error, match="'length'"):
            read_uvarint(bytes.fromhex(data), 0, "length")
    with pytest.raises(ValueError, match="variable-length"):
        write_uvarint(-1)
