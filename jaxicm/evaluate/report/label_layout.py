"""Where labels stand so that none covers another."""

from collections.abc import Iterable, Sequence

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move heights apart by the least sum of squares such that neighbours keep a distance.

    Heights that are too close form a block around their mean, and blocks that meet are joined: the pool-adjacent-
    violators algorithm for isotonic regression (Barlow et al., 1972) on the heights less their place in the order.

    Args:
        wanted: heights, any order.
        gap: smallest distance.
        low: smallest height.
        high: largest height; where the labels do not fit, they go on below it.

    Returns:
        Heights in the order of `wanted`.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, int]] = []  # mean of (height - rank * gap), count
    for rank, index in enumerate(order):
        mean, count = wanted[index] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    # cutting the regression to the range keeps it the best one within the range
    top = max(low, high - (len(order) - 1) * gap)
    levels = [min(max(mean, low), top) for mean, count in blocks for _ in range(count)]
    found = [0.0] * len(order)
    for rank, index in enumerate(order):
        found[index] = levels[rank] + rank * gap
    return found


def place_beside(
    points: Sequence[tuple[float, float]],
    lengths: Sequence[float],
    field: Box,
    *,
    lines: Iterable[Box] = (),
    height: float = 13.0,
    distance: float = 9.0,
) -> list[tuple[float, float]]:
    """Place a label beside each point, at the first of several places that is free, or else where it covers least.

    Args:
        points: centres of the markers.
        lengths: of the labels.
        field: where labels must stay.
        lines: what they should not cover either, though less than a marker or another label.
        height: of a line of text.
        distance: from the centre of a marker to its label.

    Returns:
        Left end and base line of each label.
    """
    thin = list(lines)
    used: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]

    def cost(box: Box) -> float:
        return round(sum(_covered(box, other) for other in used) + sum(_covered(box, line) for line in thin) / 4)

    found = []
    for (x, y), length in zip(points, lengths, strict=True):
        places = [(x + distance, y + 4), (x - distance - length, y + 4)]
        for lines_away in (1, -1, 1.9, -1.9, 2.8, -2.8, 3.7, -3.7):
            shift = lines_away * height
            places += [(x - length / 2, y + 4 + shift), (x, y + 4 + shift), (x - length, y + 4 + shift)]
        boxes = [(left, base - height + 3, left + length, base + 3) for left, base in places]
        inside = [box for box in boxes if _covered(box, field) > 0.99 * length * height] or boxes
        best = min(inside, key=cost)
        used.append(best)
        found.append((best[0], best[3] - 3))
    return found


def _covered(a: Box, b: Box) -> float:
    """Return the area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
