"""Unsigned integers of variable length (LEB128: seven bits a byte, low bits first, high bit set but in the last)."""

from ..errors import CorruptFile, TruncatedFile

MAX_VALUE = (1 << 35) - 1
"""Largest value: five bytes, enough for any length or size in a file."""


def write_uvarint(value: int) -> bytes:
    """Write an integer in as few bytes as possible.

    Args:
      value: 0 to `MAX_VALUE`.

    Returns:
      1 to 5 bytes.

    Raises:
      ValueError: if the value is outside the range.
    """
    if not 0 <= value <= MAX_VALUE:
        raise ValueError(f"a variable-length integer must be in [0, {MAX_VALUE}], got {value}")
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_uvarint(data: bytes | memoryview, position: int, name: str) -> tuple[int, int]:
    """Read an integer; each value has exactly one spelling, the shortest.

    Args:
      data: bytes to read from.
      position: where the integer begins, >= 0.
      name: what the integer means, for the error message.

    Returns:
      The value and the position after it.

    Raises:
      TruncatedFile: if the data end inside the integer.
      CorruptFile: if it has more than five bytes or ends in a zero byte that it does not need.
    """
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            raise TruncatedFile(f"the file ends inside the field '{name}'; get a complete copy of it")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift:
                break
            return value, position
    raise CorruptFile(f"the field '{name}' is not a valid integer: the file is damaged; get an intact copy of it")


def zigzag(value: int) -> int:
    """Map integers to unsigned ones, those near zero to small ones."""
    return 2 * value if value >= 0 else -2 * value - 1


def unzigzag(value: int) -> int:
    """Undo `zigzag`."""
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)
