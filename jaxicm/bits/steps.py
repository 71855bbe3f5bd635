"""Coding the steps of a latent, in which table 0 says that a symbol is certainly zero and not in the stream."""

from collections.abc import Iterable

import numpy as np

from .rans import Decoder, Encoder
from .tables import Tables

SYMBOL_LIMIT = 4096
"""Absolute symbol from which on a codec of latents cannot tell symbols apart: the decoded value ends at its bound."""


def encode_steps(tables: Tables, steps: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[bytes, float]:
    """Encode the symbols and table indices of all steps; return the stream and its ideal length in bits."""
    encoder, bits = Encoder(tables), 0.0
    for symbols, indices in steps:
        coded = np.flatnonzero(indices)
        encoder.push(symbols[coded], indices[coded])
        bits += tables.cost_bits(symbols[coded], indices[coded])
    return encoder.finish(), bits


def pull_step(decoder: Decoder, indices: np.ndarray) -> np.ndarray:
    """Decode the symbols of a step.

    Args:
      decoder: of the stream.
      indices: uint8 `[n]`, the table of each symbol.

    Returns:
      int8 `[n]`, or int16 where that is too small, clipped to `SYMBOL_LIMIT`, zero where nothing is coded.
    """
    coded = np.flatnonzero(indices)
    pulled = decoder.pull(indices[coded])
    small = not pulled.size or (pulled.min() >= -128 and pulled.max() <= 127)
    symbols = np.zeros(indices.shape, np.int8 if small else np.int16)
    symbols[coded] = pulled if small else pulled.clip(-SYMBOL_LIMIT, SYMBOL_LIMIT)
    return symbols
