"""The compiled parts are those that coding calls, as often as it does, with the operations that hand counting gives."""

import jax
import numpy as np
import pytest

from jaxicm.codecs.image import ImageCodec
from jaxicm.entropy import progressive_coder
from jaxicm.evaluate.bench_compile import compile_part
from jaxicm.evaluate.bench_parts import Recording, recording

HEIGHT, WIDTH = 300, 500
# The latent has 19 x 32 positions, its grids (positions coded in each slot) 4x8 = 32; at scale 1 (9 x 16 positions)
# 5x8 = 40, 5x8 = 40, 4x8 = 32; at scale 0 10x16 = 160, 160, 9x16 = 144. In rows of 128: 1, 1, 1, 1, 2, 2, 2 calls.
SLOTS, CHUNKS, GROUPS = 7, 10, 2
CHANNELS = HIDDEN = 16  # of the tiny codec
TAPS = 16


@pytest.fixture(scope="module")
def coded(tiny_weights, photograph) -> tuple[Recording, Recording, bytes, np.ndarray, bytes, np.ndarray]:
    codec = ImageCodec.load(tiny_weights)
    pixels = photograph(HEIGHT, WIDTH)
    with recording(codec) as encoding:
        data = codec.encode(pixels, quality=60)
    with recording(codec) as decoding:
        decoded = codec.decode(data)
    return encoding, decoding, data, decoded, codec.encode(pixels, quality=60), codec.decode(data)


def test_watching_changes_nothing_and_leaves_nothing(coded):
    *_, data, decoded, data_unwatched, decoded_unwatched = coded
    assert data == data_unwatched
    np.testing.assert_array_equal(decoded, decoded_unwatched)
    assert "recording" not in repr(progressive_coder._trunk)


def test_calls_and_steps_are_those_of_the_coding_order(coded):
    encoding, decoding, *_ = coded
    entropy = {"trunk 128 rows": CHUNKS, "head 128 rows": GROUPS * CHUNKS}
    for found, transform in ((encoding, "analysis 768x512"), (decoding, "synthesis 48x32 latent")):
        assert {name: found.calls(name) for name in found.parts} == entropy | {transform: 1}
        steps = found.stage("entropy")
        # The codec waits for the heads only: once a group and slot. The first group's wait includes the trunk.
        assert len(steps) == SLOTS * GROUPS
        assert [len(step) for step in steps] == [2, 1] * 4 + [4, 2] * 3
    assert [step[0].name for step in encoding.stage("analysis")] == ["analysis 768x512"]
    assert encoding.stage("synthesis") == decoding.stage("analysis") == []


def test_operations_of_the_entropy_networks_by_hand(coded):
    parts = coded[0].parts
    size = CHANNELS // GROUPS
    # two layers; the linear taps are element-wise and not counted
    assert parts["trunk 128 rows"].macs == 128 * (TAPS * CHANNELS * HIDDEN + HIDDEN * HIDDEN)
    # one layer from the trunk and twice the channels of the other groups, one to mean and scale of the group
    head = (HIDDEN + 2 * (CHANNELS - size)) * HIDDEN + HIDDEN * 2 * size
    assert parts["head 128 rows"].macs == 128 * head


def test_operations_of_the_transforms_by_hand(coded):
    fine, coarse = (512 // 8) * (768 // 8), (512 // 16) * (768 // 16)
    block = 16 * 16 * 9 + 16 * 16  # 3x3 and 1x1, 16 features
    quality = 2 * 16  # a gain interpolated between two anchors: one for the latent, one for each grid
    linear = coarse * 16 * 16 * 3 * 16
    analysis = linear + fine * (8 * 8 * 3 * 16 + 3 * block) + coarse * (4 * 16 * 16 + block + 16 * 16)
    assert coded[0].parts["analysis 768x512"].macs == analysis + 3 * quality
    pixels = fine * 9 * 16 * 8 * 8 * 3
    synthesis = linear + coarse * (16 * 16 + block + 16 * 4 * 16) + fine * 4 * block + pixels
    assert coded[1].parts["synthesis 48x32 latent"].macs == synthesis + 3 * quality


def test_our_count_agrees_with_xla(coded):
    # XLA leaves out products with padding and counts element-wise work, which weighs much in so thin a network.
    part = coded[1].parts["synthesis 48x32 latent"]
    compiled = compile_part(part)
    assert compiled["xla_flop"] == pytest.approx(2 * part.macs, rel=0.15)
    assert compiled["memory_bytes"]["outputs"] == 512 * 768 * 3
    assert compiled["donates"] is False


@pytest.mark.parametrize("name", ["trunk 128 rows", "head 128 rows", "analysis 768x512"])
def test_joined_calls_give_each_call_its_own_result(coded, name):
    part = coded[0].parts[name]
    single, joined = part.call(), part.batched(2)
    assert joined.name == f"{name} x2"
    assert joined.macs >= 2 * part.macs - 200  # what depends on the quality alone is done once
    for one, two in zip(jax.tree.leaves(single), jax.tree.leaves(joined.call()), strict=True):
        halves = np.split(np.asarray(two), 2) if part.rows else np.asarray(two)
        for half in halves:
            if part.rows:
                np.testing.assert_array_equal(half, one)  # the exact networks
            else:
                np.testing.assert_allclose(half, one, rtol=1e-4, atol=1e-4)
