"""How many functions are compiled, and how many networks are called, whatever the sizes."""

import logging
import re

import jax
import pytest

from jaxicm.codecs.image import ImageCodec
from jaxicm.codecs.transforms import WINDOWS

SIZES = [(1, 1), (3, 5), (1, 900), (24, 40), (200, 300), (512, 768), (768, 512), (300, 1500), (1500, 300), (1110, 1110)]
CODEC_FUNCTIONS = {"analysis", "synthesis", "_trunk", "_head"}


@pytest.fixture
def compiled(caplog):
    """Return a function that lists the compilations of the codec's functions since its last call."""
    jax.clear_caches()
    caplog.set_level(logging.WARNING)
    with jax.log_compiles():

        def since() -> list[str]:
            found = []
            for record in caplog.records:
                if start := re.match(r"Compiling (?:jit\()?(\w+)", record.getMessage()):
                    assert start[1] in CODEC_FUNCTIONS, f"a stray compilation: {record.getMessage()}"
                    found.append(start[1])
            caplog.clear()
            return found

        yield since


def test_at_most_eight_functions_are_compiled_whatever_the_sizes(tiny_weights, photograph, compiled):
    codec = ImageCodec.load(tiny_weights)
    for size in SIZES:
        for quality in (1, 33.3, 100):
            codec.decode(codec.encode(photograph(*size), quality=quality))
    codec.decode(codec.encode(photograph(200, 300)[..., 0]))
    found = compiled()
    # Six windows of the transforms; if one is not met here, the sizes no longer suit the windows.
    assert found.count("analysis") == found.count("synthesis") == len(WINDOWS)
    assert {"_trunk", "_head"} <= set(found)
    assert len(found) <= 8
