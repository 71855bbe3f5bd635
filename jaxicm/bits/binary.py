"""Adaptive binary arithmetic coding, for the few hundred integers that are too few to have probability tables.

Every decision is a bit under a context, and a context learns from the bits it has seen how likely the next one is. What
is coded must be short more than it must be fast: this coder runs in Python integers, about a microsecond a bit.

The interval is a low end and a range of 32 bits. A bit splits the range, zeros below; when the range falls below 2^24
the top byte of the low end leaves, and a carry may still run back into the bytes that have left (the range coder of
Martin 1979, with the renormalisation of LZMA, Pavlov 1998). After the last bit the number with the fewest bytes in the
interval is written. Bytes that are missing at the end are zeros, and zeros at the end are not written: a message of
likely zeros is empty. There is exactly one spelling of a message, which `BinaryDecoder.finish` checks.

A context's probability is the mean of two estimates, one that follows fast and one that follows slowly, as in the coder
of neural network coding (NNC, ISO/IEC 15938-17; two-rate estimation comes from VVC). Ours begin as the estimate of
Krichevsky and Trofimov (1981), the n-th bit having the weight 1 / (n + 1), until they reach their rates: a context that
sees 50 bits in all is as good as can be.

Integers are binarised as in DeepCABAC (Wiedemann et al., "DeepCABAC: a universal compression algorithm for deep neural
networks", 2020): a flag for zero, the sign, unary code up to a limit, and an exponential Golomb code for the rest.
"""

from typing import Protocol

from ..errors import CorruptFile

PROBABILITY_BITS = 16
UNARY = 14
"""Flags "greater than k" with a context each, k = 1 to `UNARY`; larger magnitudes have an exponential Golomb code."""
MOST_PREFIX = 32
"""Longest prefix of an exponential Golomb code: any int32 can be coded."""

_STATE_BITS = 24
_FAST, _SLOW = 7, 10
"""Rates: each new bit has the weights 2**-7 and 2**-10 in the two estimates, once they have seen as many bits."""
_LEAST = 16
"""Smallest probability, in units of 2**-16: a bit costs at least 0.00035 bits."""
_WEIGHTS = tuple(
    (max((1 << PROBABILITY_BITS) // n, 1 << PROBABILITY_BITS - _FAST), (1 << PROBABILITY_BITS) // n)
    for n in range(2, (1 << _SLOW) + 1)
)
_TOP = 1 << 32
_BOTTOM = 1 << 24


class Context:
    """The probability of a bit, learned from those before it."""

    __slots__ = ("_count", "_fast", "_slow")

    def __init__(self):
        self._fast = self._slow = 1 << _STATE_BITS - 1
        self._count = 0

    @property
    def probability(self) -> int:
        """Probability of a zero in units of 2**-16, above 0 and below 2**16."""
        mean = self._fast + self._slow >> _STATE_BITS + 1 - PROBABILITY_BITS
        return min(max(mean, _LEAST), (1 << PROBABILITY_BITS) - _LEAST)

    def update(self, bit: bool) -> None:
        """Learn from a bit."""
        target = 0 if bit else 1 << _STATE_BITS
        fast, slow = _WEIGHTS[self._count]
        self._fast += (target - self._fast) * fast >> PROBABILITY_BITS
        self._slow += (target - self._slow) * slow >> PROBABILITY_BITS
        self._count = min(self._count + 1, len(_WEIGHTS) - 1)


class BinaryCoder(Protocol):
    """What encoder and decoder share, so that a syntax is described once for both.

    A description hands over every bit; a decoder ignores it and returns the bit that it reads. Where nothing is known,
    any value may stand for what is to be read.
    """

    def code(self, bit: bool, context: Context) -> bool:
        """Code a bit under a context and return it."""
        ...

    def code_bypass(self, bit: bool) -> bool:
        """Code a bit that is as likely as not and return it."""
        ...


class BinaryEncoder:
    """Collects bits and writes them as bytes."""

    def __init__(self):
        self._low, self._range, self._bytes = 0, _TOP, bytearray()

    def encode(self, bit: bool, context: Context) -> None:
        """Append a bit under a context, which learns from it."""
        self._narrow(bit, self._range * context.probability >> PROBABILITY_BITS)
        context.update(bit)

    def bypass(self, bit: bool) -> None:
        """Append a bit that is as likely as not."""
        self._narrow(bit, self._range >> 1)

    def code(self, bit: bool, context: Context) -> bool:
        """Encode a bit and return it, see `BinaryCoder`."""
        self.encode(bit, context)
        return bit

    def code_bypass(self, bit: bool) -> bool:
        """Encode a bit and return it, see `BinaryCoder`."""
        self.bypass(bit)
        return bit

    def finish(self) -> bytes:
        """Return the message in as few bytes as possible, the last of which is not zero."""
        out, value = bytearray(self._bytes), _ending(self._low, self._range)
        if value >= _TOP:
            _carry(out)
        out += (value % _TOP).to_bytes(4, "big")
        return bytes(out.rstrip(b"\0"))

    def _narrow(self, bit: bool, bound: int) -> None:
        if bit:
            self._low += bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _BOTTOM:
            if self._low >= _TOP:
                _carry(self._bytes)
            self._bytes.append(self._low >> 24 & 255)
            self._low = self._low << 8 & _TOP - 1
            self._range <<= 8


class BinaryDecoder:
    """Reads the bits of a message; each must be asked for under the context that it was written with."""

    def __init__(self, data: bytes | memoryview):
        self._data, self._position, self._range = bytes(data), 4, _TOP
        self._distance = self._window()
        """Of the message from the low end of the interval; below the range."""

    def decode(self, context: Context) -> bool:
        """Read a bit under a context, which learns from it."""
        bit = self._narrow(self._range * context.probability >> PROBABILITY_BITS)
        context.update(bit)
        return bit

    def bypass(self) -> bool:
        """Read a bit that is as likely as not."""
        return self._narrow(self._range >> 1)

    def code(self, bit: bool, context: Context) -> bool:
        """Decode a bit, see `BinaryCoder`."""
        del bit
        return self.decode(context)

    def code_bypass(self, bit: bool) -> bool:
        """Decode a bit, see `BinaryCoder`."""
        del bit
        return self.bypass()

    def finish(self) -> None:
        """Check that the message ends here.

        Raises:
          CorruptFile: if the bytes are not those that the encoder writes for the bits that were read: some are left,
            some are missing that were not zero, or zeros at the end were not cut.
        """
        low = (self._window() - self._distance) % _TOP
        ends = _ending(low, self._range) - low == self._distance
        if len(self._data) > self._position or self._data.endswith(b"\0") or not ends:
            raise CorruptFile(
                f"{len(self._data)} bytes of binary decisions do not end where they should; get an intact copy"
            )

    def _window(self) -> int:
        """Return the last four bytes that were read."""
        return int.from_bytes(self._data[self._position - 4 : self._position].ljust(4, b"\0"), "big")

    def _narrow(self, bound: int) -> bool:
        bit = self._distance >= bound
        if bit:
            self._distance -= bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _BOTTOM:
            byte = self._data[self._position] if self._position < len(self._data) else 0
            self._position += 1
            self._distance = self._distance << 8 | byte
            self._range <<= 8
        return bit


class IntegerContexts:
    """Codes signed integers that are mostly small, and learns how small.

    Args:
      significance: number of contexts for the flag "not zero".
      greater: number of contexts for the flag "greater than one".
    """

    def __init__(self, significance: int = 1, greater: int = 1):
        self._significance = [Context() for _ in range(significance)]
        self._greater = [Context() for _ in range(greater)]
        self._unary = [Context() for _ in range(UNARY - 1)]

    def code(self, coder: BinaryCoder, value: int = 0, significance: int = 0, greater: int = 0) -> int:
        """Write or read an integer.

        Args:
          coder: to write to or read from.
          value: to write, -2^31 + 1 to 2^31 - 1; ignored by a decoder.
          significance: which context the flag "not zero" has.
          greater: which context the flag "greater than one" has.

        Returns:
          The integer.

        Raises:
          ValueError: if the value to write is outside the range.
          CorruptFile: if the value that was read is.
        """
        size = abs(value)
        if size >= 1 << 31:
            raise ValueError(f"an integer to code must be in [-2^31 + 1, 2^31 - 1], got {value}")
        if not coder.code(size > 0, self._significance[significance]):
            return 0
        negative, coded = coder.code_bypass(value < 0), 1
        for context in (self._greater[greater], *self._unary):
            if not coder.code(size > coded, context):
                break
            coded += 1
        else:
            coded += _code_exp_golomb(coder, max(size - coded, 0))
        if coded >= 1 << 31:
            raise CorruptFile("a coded integer does not fit 32 bits; get an intact copy of the file")
        return -coded if negative else coded


def _code_exp_golomb(coder: BinaryCoder, value: int) -> int:
    """Write or read an integer >= 0: the number of bits of value + 1 in unary, then these bits but the first."""
    width, number = 0, value + 1
    while coder.code_bypass(number >> width + 1 > 0):
        width += 1
        if width > MOST_PREFIX:
            raise CorruptFile(f"the code of an integer is longer than {MOST_PREFIX} bits; get an intact copy")
    found = 1
    for place in reversed(range(width)):
        found = found << 1 | coder.code_bypass(number >> place & 1 == 1)
    return found - 1


def _ending(low: int, size: int) -> int:
    """Return the number with the fewest bytes that are not zero from `low` to below `low + size`."""
    for unit in (1 << 32, 1 << 24, 1 << 16, 1 << 8):
        value = -(-low // unit) * unit
        if value < low + size:
            return value
    return low


def _carry(data: bytearray) -> None:
    """Add one to a number of bytes."""
    place = len(data) - 1
    while data[place] == 255:
        data[place] = 0
        place -= 1
    data[place] += 1
