"""Cutting rows into chunks of a few fixed sizes, so that functions are compiled for these alone."""

from collections.abc import Iterator, Sequence


def chunks(count: int, sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Cut `count` rows into (start, stop, padded size).

    Args:
      count: of rows.
      sizes: of chunks, ascending; the last part takes the smallest that holds it.
    """
    start = 0
    while start < count:
        size = next((size for size in sizes if size >= count - start), sizes[-1])
        yield start, min(start + size, count), size
        start += size
