"""Coders in other processes code as those of this one do, and their errors and their end are told."""

import os
import signal

import numpy as np
import pytest

from jaxicm.bits.processes import CoderProcesses
from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.steps import SYMBOL_LIMIT, pull_step
from jaxicm.bits.tables import gaussian_tables
from jaxicm.errors import CorruptFile, JaxicmError

TABLES = gaussian_tables(np.geomspace(0.1, 20, 8))


@pytest.fixture(scope="module")
def processes():
    with CoderProcesses(TABLES, 2) as found:
        yield found


def steps_of(seed: int, count: int = 3, size: int = 500) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    steps = []
    for _ in range(count):
        indices = random.integers(0, 8, size).astype(np.uint8)
        symbols = np.round(random.normal(0, 1, size) * np.geomspace(0.1, 20, 8)[indices]) * (indices > 0)
        steps.append((symbols.astype(np.int16), indices))
    return steps


def encode(steps) -> bytes:
    encoder = Encoder(TABLES)
    for symbols, indices in steps:
        coded = np.flatnonzero(indices)
        encoder.push(symbols[coded], indices[coded])
    return encoder.finish()


def test_streams_of_several_pictures_are_coded_as_in_this_process(processes):
    pictures = [steps_of(seed) for seed in range(5)]
    payloads = [processes.stream().encode(steps) for steps in pictures]
    streams = [processes.stream() for _ in pictures]
    for steps, payload, stream in zip(pictures, payloads, streams, strict=True):
        data, bits = payload.result()
        assert data == encode(steps)
        assert 0 < 8 * len(data) - bits < 400
        stream.start(data).result()
    for number in range(3):  # step by step, as a decoder must
        pulled = [stream.pull(steps[number][1]) for stream, steps in zip(streams, pictures, strict=True)]
        for steps, found in zip(pictures, pulled, strict=True):
            np.testing.assert_array_equal(found.result(), steps[number][0])
            assert found.result().dtype == np.int8
    for stream in streams:
        stream.finish().result()
        stream.forget().result()


def test_symbols_beyond_a_byte_and_beyond_the_limit(processes):
    symbols = np.array([-SYMBOL_LIMIT - 5, 300, 0, 1 << 20, -2], np.int64)
    indices = np.array([1, 2, 0, 7, 7], np.uint8)
    encoder = Encoder(TABLES)
    coded = np.flatnonzero(indices)
    encoder.push(symbols[coded], indices[coded])
    found = pull_step(Decoder(encoder.finish(), TABLES), indices)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, [-SYMBOL_LIMIT, 300, 0, SYMBOL_LIMIT, -2])


def test_errors_of_one_stream_leave_the_others(processes):
    steps = steps_of(9)
    data = encode(steps)
    good, bad = processes.stream(), processes.stream()
    good.start(data).result()
    with pytest.raises(CorruptFile, match="get an intact copy"):
        bad.start(data + b"x").result()
    longer = processes.stream()
    longer.start(data).result()
    with pytest.raises(CorruptFile, match="do not end where they should"):
        longer.finish().result()
    for symbols, indices in steps:
        np.testing.assert_array_equal(good.pull(indices).result(), symbols)
    good.finish().result()


def test_a_process_that_died_is_told():
    with CoderProcesses(TABLES, 1) as processes:
        data = encode(steps_of(1))
        processes.stream().start(data).result()
        os.kill(processes._processes[0]._process.pid, signal.SIGKILL)
        with pytest.raises(JaxicmError, match="a coder process died"):
            processes.stream().start(data).result()
