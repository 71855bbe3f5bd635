"""A plot as inline SVG: lines with markers, labels beside them, whatever the page's script needs to make it answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxicm.evaluate.report.axes import Axis, tick_text
from jaxicm.evaluate.report.label_layout import place_beside, spread
from jaxicm.evaluate.report.markup import Markup, number, tag
from jaxicm.evaluate.report.palette import Look

WIDTH, HEIGHT = 640.0, 418.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 478.0, 26.0, 372.0
"""The plot's sides; the space right of it belongs to labels (the page cuts it off on narrow screens)."""
WIDE_RIGHT = 622.0
"""The right side of a plot whose labels stand inside it."""
LABEL_GAP = 13.5
_LABEL_LENGTH = 21


@dataclass(frozen=True)
class Dot:
    """Hold a point of a plot and the text that is shown where the pointer rests; `faint` ones lie off the line."""

    x: float
    y: float
    hint: str
    faint: bool = False


@dataclass(frozen=True)
class Series:
    """Hold one codec's points.

    Attributes:
        key: of the entry, by which the legend switches it on and off.
        title: its label.
        look: colour and marker.
        dots: rising x.
        shown: drawn from the start.
        whisker: smallest and largest x of the only point.
        hollow: markers are outlines.
    """

    key: str
    title: str
    look: Look
    dots: tuple[Dot, ...]
    shown: bool = True
    whisker: tuple[float, float] | None = None
    hollow: bool = False


@dataclass(frozen=True)
class Rule:
    """Hold a dashed horizontal line with its label."""

    y: float
    label: str


@dataclass(frozen=True)
class Field:
    """Map values to places in the drawing."""

    x: Axis
    y: Axis
    right: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is drawn."""
        return self.along(x), self.up(y)

    def along(self, x: float) -> float:
        """Return how far to the right a value falls."""
        return LEFT + (self.right - LEFT) * self.x.share(x)

    def up(self, y: float) -> float:
        """Return at which height a value falls."""
        return BOTTOM - (BOTTOM - TOP) * self.y.share(y)

    def shows(self, dot: Dot) -> bool:
        """Say whether a point lies within the axes."""
        return self.x.low <= dot.x <= self.x.high and self.y.low <= dot.y <= self.y.high


def draw_chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    identity: str,
    description: str,
    rules: Sequence[Rule] = (),
    lines: bool = True,
    class_: str | None = None,
) -> Markup:
    """Draw a plot.

    Args:
        series: what to draw, the most important first (it lies on top).
        x: the axis of rates or speeds.
        y: the axis of quality.
        identity: unique in the page.
        description: for those who do not see it.
        rules: horizontal lines.
        lines: connect the points and label their right end in the margin; otherwise label each point beside it.
        class_: of the element.

    Returns:
        An `svg` element.
    """
    clip = f"{identity}-clip"
    field = Field(x, y, RIGHT if lines else WIDE_RIGHT)
    frame = tag("rect", x=LEFT, y=TOP, width=field.right - LEFT, height=BOTTOM - TOP)
    ends = {item.key: end for item in series if (end := _right_end(item, field)) is not None}
    if lines:
        shown = [item for item in series if item.shown and item.key in ends]
        placed = spread([ends[item.key][1] for item in shown], LABEL_GAP, TOP + 4, BOTTOM)
        heights = dict(zip((item.key for item in shown), placed, strict=True))
        ended = [item for item in series if item.key in ends]
        texts = short_labels([item.title for item in ended])
        labels = [
            _margin_label(item, text, ends[item.key], heights.get(item.key))
            for item, text in zip(ended, texts, strict=True)
        ]
    else:
        labels = _labels_beside([item for item in series if item.key in ends], ends, rules, field)
    bodies = [_series(item, field, clip if lines else None) for item in reversed(series)]
    return tag(
        "svg",
        tag("defs", tag("clipPath", frame, id=clip)),
        _grid(field),
        [_rule(rule, field) for rule in rules if y.low <= rule.y <= y.high],
        tag("g", labels, class_="labels", data_layout="margin" if lines else "beside"),
        bodies,
        class_=" ".join(filter(None, ("chart", class_))),
        viewBox=f"0 0 {number(WIDTH)} {number(HEIGHT)}",
        role="img",
        aria_label=description,
        tabindex=0,
        id=identity,
    )


def short_labels(titles: Sequence[str], length: int = _LABEL_LENGTH) -> list[str]:
    """Cut titles that are too long for the margin: what stands in brackets first, as long as they stay different."""

    def cut(title: str) -> str:
        return title if len(title) <= length else title[: length - 1].rstrip(" ,(") + "…"

    bare = [title if len(title) <= length else title.split(" (")[0].split(", ")[0] for title in titles]
    counts = Counter(bare)
    return [cut(short if counts[short] == 1 else title) for short, title in zip(bare, titles, strict=True)]


def _grid(field: Field) -> Markup:
    parts: list[Markup] = []
    for tick in field.x.ticks:
        at = field.along(tick)
        parts.append(tag("path", d=f"M{number(at)} {number(TOP)}V{number(BOTTOM)}"))
        parts.append(tag("text", tick_text(tick), x=at, y=BOTTOM + 18, text_anchor="middle"))
    for tick in field.y.ticks:
        at = field.up(tick)
        parts.append(tag("path", d=f"M{number(LEFT)} {number(at)}H{number(field.right)}"))
        parts.append(tag("text", tick_text(tick), x=LEFT - 7, y=at + 4, text_anchor="end"))
    axis_line = tag("path", d=f"M{number(LEFT)} {number(TOP)}V{number(BOTTOM)}H{number(field.right)}", class_="axis")
    middle = (LEFT + field.right) / 2
    x_label = tag("text", field.x.label, x=middle, y=HEIGHT - 8, text_anchor="middle", class_="name")
    y_label = tag("text", field.y.label, x=4.0, y=14.0, class_="name")
    return tag("g", parts, axis_line, x_label, y_label, class_="grid", aria_hidden="true")


def _rule(rule: Rule, field: Field) -> Markup:
    at = field.up(rule.y)
    line = tag("path", d=f"M{number(LEFT)} {number(at)}H{number(field.right)}")
    return tag("g", line, tag("text", rule.label, x=LEFT + 8, y=at - 5), class_="rule")


def _series(item: Series, field: Field, clip: str | None) -> Markup:
    kept = [dot for dot in item.dots if not dot.faint]
    points = [field.place(dot.x, dot.y) for dot in kept]
    parts: list[Markup] = []
    if len(points) > 1:
        path = "M" + "L".join(f"{number(px)} {number(py)}" for px, py in points)
        parts.append(
            tag(
                "path", d=path, class_="line", stroke_width=item.look.width, stroke_dasharray=item.look.dash,
                clip_path=f"url(#{clip})" if clip else None,
            )
        )  # fmt: skip
    if item.whisker is not None and kept:
        left, right = (number(field.along(value)) for value in item.whisker)
        parts.append(tag("path", d=f"M{left} {number(points[0][1])}H{right}", class_="whisker"))
    for dot in sorted(item.dots, key=lambda dot: (not dot.faint, dot.x)):
        if field.shows(dot):
            px, py = field.place(dot.x, dot.y)
            class_ = "faint" if dot.faint else None
            parts.append(tag("use", href=f"#m{item.look.marker}", x=px, y=py, class_=class_, data_t=dot.hint))
    classes = "series" + " hollow" * item.hollow + " off" * (not item.shown)
    return tag("g", parts, class_=classes, style=f"--c:{item.look.css}", data_s=item.key, data_name=item.title)


def _right_end(item: Series, field: Field) -> tuple[float, float] | None:
    """Return where the line ends, or where it leaves the plot on the right; None where it never enters."""
    end: tuple[float, float] | None = None
    before: tuple[float, float] | None = None
    for dot in item.dots:
        if dot.faint:
            continue
        px, py = field.place(dot.x, dot.y)
        if px > field.right:
            if before is not None:
                slope = (py - before[1]) / (px - before[0])
                end = field.right, before[1] + slope * (field.right - before[0])
            break
        end = before = px, py
    return None if end is None else (end[0], min(max(end[1], TOP), BOTTOM))


def _margin_label(item: Series, label: str, end: tuple[float, float], height: float | None) -> Markup:
    at = end[1] if height is None else height
    leader = tag(
        "path", d=f"M{number(end[0] + 6)} {number(end[1])}L{number(RIGHT + 16)} {number(at)}H{number(RIGHT + 19)}"
    )
    text = tag("text", label, x=RIGHT + 22, y=at + 4)
    return _label_group(item, end, leader, text)


def _labels_beside(
    series: Sequence[Series], ends: Mapping[str, tuple[float, float]], rules: Sequence[Rule], field: Field
) -> list[Markup]:
    texts = short_labels([item.title for item in series], 30)
    points = [ends[item.key] for item in series]
    whiskers = [
        (field.along(item.whisker[0]), y - 3, field.along(item.whisker[1]), y + 3)
        for item, (_, y) in zip(series, points, strict=True)
        if item.whisker is not None
    ]
    named = [(LEFT, field.up(rule.y) - 17, LEFT + 6.4 * len(rule.label), field.up(rule.y) + 2) for rule in rules]
    # the name of a rule counts as a label does
    lines = whiskers + 4 * named
    boxes = place_beside(points, [6.4 * len(text) for text in texts], (LEFT, TOP, WIDTH, BOTTOM), lines=lines)
    return [
        _label_group(item, ends[item.key], None, tag("text", text, x=left, y=base))
        for item, text, (left, base) in zip(series, texts, boxes, strict=True)
    ]


def _label_group(item: Series, end: tuple[float, float], leader: Markup | None, text: Markup) -> Markup:
    return tag(
        "g", leader, text, class_="label" + ("" if item.shown else " off"), style=f"--c:{item.look.css}",
        data_s=item.key, data_x=end[0], data_y=end[1],
    )  # fmt: skip
