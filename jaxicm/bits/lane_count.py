"""How many lanes a stream of interleaved rANS has: a policy of the encoder, limits of the decoder."""

MAX_LANES = 8192
"""More lanes than this are refused: a damaged byte must not ask for much memory."""
LANE_PAYLOAD_BYTES = 440
"""Payload for which `choose_lanes` takes one more lane."""
LANE_SYMBOLS = 1 << 16
"""Most symbols a lane may hold in streams of fewer than 1024 lanes: a damaged byte must not ask for hours either."""


def choose_lanes(size_bytes: float, symbols: int = 0, *, most: int = 1024) -> int:
    """Choose the number of lanes: as many (fast) as cost at most 0.3 % of the payload, a lane costing 1.1 to 1.3 bytes.

    Args:
      size_bytes: expected size of the payload, >= 0.
      symbols: number of symbols; a long message of nearly no bits gets a lane for every 32768 of them even so, because
        with four lanes it would take longer than the networks.
      most: lanes, a power of two.

    Returns:
      Power of two, 4 to `most`, the largest that is at most size / 440 or symbols / 32768 within these bounds.
    """
    wanted = max(size_bytes / LANE_PAYLOAD_BYTES, symbols / 32768)
    return min(most, 1 << max(2, int(wanted).bit_length() - 1))


def most_symbols(lanes: int) -> float:
    """Return how many symbols a stream of so many lanes may hold; `choose_lanes` stays below."""
    return lanes * LANE_SYMBOLS if lanes < 1024 else float("inf")


def check_lanes(lanes: int, symbols: int) -> None:
    """Raise ValueError unless a stream of so many lanes may hold so many symbols."""
    if not 1 <= lanes <= MAX_LANES or lanes & (lanes - 1):
        raise ValueError(f"lanes must be a power of two in [1, {MAX_LANES}], got {lanes}")
    if symbols > most_symbols(lanes):
        raise ValueError(f"{lanes} lanes hold at most {most_symbols(lanes)} symbols, got {symbols}")
