"""How a codec looks in every plot of a report: a colour and a marker, alike on light and dark pages."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from jaxicm.evaluate.report.entries import PictureSet

LIGHT = ("#0b4a9e", "#cb6d04", "#2f9e8d", "#e0284c", "#bf5fb8", "#55560f", "#7458f0", "#7a2438")
DARK = ("#86b4ff", "#f37d31", "#1fb573", "#e884b0", "#b073f9", "#d0e292", "#23dfe2", "#f5c61e")
"""Told apart under protanopia, deuteranopia and tritanopia as well, and against the page (tests measure both)."""
LIGHT_PAGE, DARK_PAGE = "#ffffff", "#14171a"
LIGHT_CONTEXT, DARK_CONTEXT = "#7d858d", "#8b949c"
"""Published curves are context: grey, told apart by their markers and labels."""


@dataclass(frozen=True)
class Look:
    """Hold the look of a curve.

    Attributes:
        colour: index into `LIGHT` and `DARK`; None is the grey of published curves.
        marker: index into `MARKERS`.
        width: of the line.
        dash: of the line in SVG's notation, None where solid.
    """

    colour: int | None
    marker: int
    width: float
    dash: str | None = None

    @property
    def css(self) -> str:
        """Return its colour as a variable of the page's style sheet."""
        return "var(--grey)" if self.colour is None else f"var(--c{self.colour})"


def looks(sets: Iterable[PictureSet]) -> dict[str, Look]:
    """Give every codec its look, the same in all sets of pictures.

    Colours and markers repeat after different counts, so the first 72 codecs differ in at least one of them.

    Args:
        sets: of the report.

    Returns:
        Looks by title.
    """
    found: dict[str, Look] = {}
    entries = [entry for item in sets for entry in item.entries]
    measured = dict.fromkeys(entry.title for entry in entries if entry.group != "published")
    heavy = {entry.title for entry in entries if entry.group == "learned"}
    for index, title in enumerate(measured):
        again = index // len(LIGHT) % 2
        width = 2.4 if title in heavy else 1.6
        found[title] = Look(index % len(LIGHT), index % len(MARKERS), width, "7 3" if again else None)
    context = [entry for entry in entries if entry.group == "published"]
    # those that are drawn from the start come first, so that their markers differ
    published = dict.fromkeys(entry.title for entry in sorted(context, key=lambda entry: not entry.shown))
    for index, title in enumerate(published):
        found.setdefault(title, Look(None, index % len(MARKERS), 1.3, "2 3"))
    return found


def _polygon(corners: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in corners) + "Z"


def _star(points: int, outer: float, inner: float, turn: float = -math.pi / 2) -> str:
    radii = [outer if index % 2 == 0 else inner for index in range(2 * points)]
    angles = [turn + math.pi * index / points for index in range(2 * points)]
    return _polygon((r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True))


def _regular(points: int, radius: float, turn: float = -math.pi / 2) -> str:
    angles = [turn + 2 * math.pi * index / points for index in range(points)]
    return _polygon((radius * math.cos(a), radius * math.sin(a)) for a in angles)


MARKERS = (
    "M-4 0A4 4 0 1 1 4 0A4 4 0 1 1-4 0Z",
    _polygon([(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)]),
    _regular(3, 5),
    _regular(4, 5),
    _regular(3, 5, math.pi / 2),
    _star(4, 5.2, 1.9),
    _star(4, 5.4, 2.0, math.pi / 4),
    _regular(6, 4.6),
    _star(5, 5.6, 2.5),
)
"""Outlines around (0, 0) in SVG's path notation: circle, square, triangles, diamond, stars, hexagon."""
PLOT_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h", "*")
"""The like for matplotlib."""
