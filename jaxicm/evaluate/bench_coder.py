"""How fast the entropy coder alone is, and what its lanes cost."""

import time
from typing import Any

import numpy as np

from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.tables import Tables, gaussian_tables

LANES = (64, 256, 1024)


def message(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Tables]:
    """Draw Gaussian symbols of 64 scales at about one bit each.

    Args:
        count: of symbols.
        seed: of the draw.

    Returns:
        Symbols int32 [count], table indices uint8 [count], and the tables.
    """
    rng = np.random.default_rng(seed)
    scales = 0.11 * np.exp(np.arange(64) / 11)
    # Like a latent's: most scales are small.
    indices = np.minimum(rng.exponential(12.0, count), 63).astype(np.uint8)
    symbols = np.rint(rng.normal(size=count) * scales[indices]).astype(np.int32)
    return symbols, indices, gaussian_tables(scales)


def coder_speeds(count: int, repeats: int) -> dict[str, Any]:
    """Time the coder at several numbers of lanes, and measure what the lanes cost.

    Args:
        count: of symbols.
        repeats: of each measurement; medians are taken.

    Returns:
        "bits_per_symbol"; "lanes": one row each with "lanes", "encode_msym_per_cpu_s", "decode_msym_per_cpu_s" and
        "overhead_percent" over the ideal code length; "default": rows with "payload_bytes", "lanes" and
        "overhead_percent" of the default policy.
    """
    symbols, indices, tables = message(count)
    ideal = tables.cost_bits(symbols, indices) / 8
    rows = []
    for lanes in LANES:
        data = _encode(symbols, indices, tables, lanes)
        encode_s = _cpu_seconds(lambda n=lanes: _encode(symbols, indices, tables, n), repeats)
        decode_s = _cpu_seconds(lambda d=data: _decode(d, indices, tables), repeats)
        rows.append(
            {
                "lanes": lanes,
                "encode_msym_per_cpu_s": count / encode_s / 1e6,
                "decode_msym_per_cpu_s": count / decode_s / 1e6,
                "overhead_percent": 100 * (len(data) - ideal) / ideal,
            }
        )
    default = []
    for part in (count // 10, count // 3, count):
        data = _encode(symbols[:part], indices[:part], tables, None)
        bound = tables.cost_bits(symbols[:part], indices[:part]) / 8
        default.append(
            {
                "payload_bytes": len(data),
                "lanes": Decoder(data, tables).lanes,
                "overhead_percent": 100 * (len(data) - bound) / bound,
            }
        )
    return {"bits_per_symbol": 8 * ideal / count, "lanes": rows, "default": default}


def _encode(symbols: np.ndarray, indices: np.ndarray, tables: Tables, lanes: int | None) -> bytes:
    encoder = Encoder(tables)
    encoder.push(symbols, indices)
    return encoder.finish(lanes)


def _decode(data: bytes, indices: np.ndarray, tables: Tables) -> np.ndarray:
    decoder = Decoder(data, tables)
    symbols = decoder.pull(indices)
    decoder.finish()
    return symbols


def _cpu_seconds(action, repeats: int) -> float:
    action()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))
