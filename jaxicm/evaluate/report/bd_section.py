"""The table of Bjontegaard deltas: every codec against the anchor, every metric, with what stands behind a figure."""

from collections.abc import Iterable, Mapping

from jaxicm.evaluate.report.comparison import Comparison, Comparisons
from jaxicm.evaluate.report.curve_section import marker
from jaxicm.evaluate.report.entries import Entry, Metric, PictureSet
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, join, table, tag
from jaxicm.evaluate.report.palette import Look

_INTERVALS = (
    "In brackets: the 95 % interval of the BD-rate over the {pictures} pictures, by a bootstrap of {resamples} "
    "selections, the same for both codecs. A figure whose interval holds 0 has no colour."
)
_PUBLISHED = (
    "A published curve has no interval: its single pictures are not known, and where those of one codec alone are "
    "drawn, the difference between easy and difficult pictures, which is common to both, does not cancel. Measure that "
    "codec with jaxicm eval to have one."
)


class Footnotes:
    """Collect remarks; the same remark gets the same letter."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, texts: tuple[str, ...]) -> Markup:
        """Return the letters of remarks, raised."""
        letters = [self._letters.setdefault(text, _letter(len(self._letters))) for text in texts]
        return join(tag("sup", letter, class_="mark", title=text) for letter, text in zip(letters, texts, strict=True))

    def listed(self) -> Markup | None:
        """Return the list of all remarks, or None."""
        items = [tag("li", tag("sup", letter), f" {text}") for text, letter in self._letters.items()]
        return tag("ul", items, class_="footnotes") if items else None


def bd_section(picture_set: PictureSet, compared: Mapping[str, Comparisons], looks: Mapping[str, Look]) -> Markup:
    """Write the tables of BD-rate and BD-quality: one for pictures, one for each task.

    Args:
        picture_set: the set.
        compared: by key of the metric.
        looks: by title.

    Returns:
        The tables.
    """
    if not any(item.found for item in compared.values()):
        return tag("p", "There is one curve, and nothing to compare it with.", class_="note")
    parts = []
    for metrics, title in [
        (picture_set.metrics, "Pictures"),
        *((group.metrics, group.metrics[0].note) for group in picture_set.tasks if group.metrics),
    ]:
        found = [compared[metric.key] for metric in metrics if metric.key in compared]
        told = [item for item in found if item.found]  # a metric that only the anchor has tells nothing
        if told:
            parts.append(_table(picture_set, told, looks, title))
    return join([*parts, _interval_note(picture_set, compared.values())])


def _table(picture_set: PictureSet, found: list[Comparisons], looks: Mapping[str, Look], what: str) -> Markup:
    notes = Footnotes()
    columns, groups = [Column("codec", numeric=False)], [("", 1)]
    for item in found:
        unit = item.metric.unit or "difference"
        rate = (
            f"BD-rate in per cent at equal {item.metric.title}; below it, in brackets, its interval over the pictures, "
            "and the common interval of quality with its share"
        )
        quality = f"BD-{item.metric.title} in {unit} at equal rate; positive: better than the anchor"
        columns += [Column("BD-rate %", hint=rate), Column(f"BD {unit}" if item.metric.unit else "BD", hint=quality)]
        groups.append((item.metric.title, 2))
    first = found[0]
    entries = [entry for entry in picture_set.entries if any(item.metric.key in entry.curves for item in found)]
    ordered = sorted(entries, key=lambda entry: _order(entry, first))
    widest = max((abs(v.rate.value) for v in first.found.values() if v.rate is not None), default=1.0) or 1.0
    rows, published = [], []
    for entry in ordered:
        cells = [Cell(join([marker(looks[entry.title], published=entry.run is None), " ", entry.title]), head=True)]
        for item in found:
            if entry is item.anchor:
                cells += [Cell(tag("span", "anchor", class_="anchor"), 0.0), Cell("0", 0.0)]
            elif entry.key not in item.found:
                cells += [Cell(""), Cell("")]
            else:
                comparison = item.found[entry.key]
                scale = widest if item is first else None
                cells += [
                    _rate_cell(comparison, item.metric, notes, scale),
                    _quality_cell(comparison, item.metric, notes),
                ]
        (rows if entry.shown or entry.run is not None or entry is first.anchor else published).append(cells)
    anchors = {item.metric.key: item.anchor for item in found if item.anchor is not None}
    same = len({entry.key for entry in anchors.values()}) == 1
    named = [f"{item.metric.title}: {anchors[item.metric.key].title}" for item in found if item.metric.key in anchors]
    anchor = f"Anchor: {first.anchor.title}" if same and first.anchor is not None else f"Anchors: {'; '.join(named)}"
    caption = join([tag("b", what), f". {anchor}."])
    main = table(columns, rows, caption=caption, group_heads=groups)
    rest = None
    if published:
        title = f"{len(published)} more published curves"
        rest = tag("details", tag("summary", title), table(columns, published, group_heads=groups), class_="data")
    return tag("div", main, rest, notes.listed(), class_="bd")


def _interval_note(picture_set: PictureSet, found: Iterable[Comparisons]) -> Markup | None:
    """Say what the intervals are, and why published curves have none."""
    wanted = [item for item in found if item.drawing is not None]
    texts = []
    if known := [one.interval for item in wanted for one in item.found.values() if one.interval is not None]:
        texts.append(_INTERVALS.format(pictures=picture_set.count, resamples=known[0].resamples))
    published = {entry.key for entry in picture_set.entries if entry.run is None}
    if any(
        key in published or (item.anchor is not None and item.anchor.key in published)
        for item in wanted
        for key, one in item.found.items()
        if one.rate is not None
    ):
        texts.append(_PUBLISHED)
    return tag("p", " ".join(texts), class_="note") if texts else None


def _order(entry: Entry, first: Comparisons) -> tuple[bool, float]:
    if entry is first.anchor:
        return False, 0.0
    comparison = first.found.get(entry.key)
    delta = comparison.rate if comparison is not None else None
    return (True, 0.0) if delta is None else (False, delta.value)


def _rate_cell(comparison: Comparison, metric: Metric, notes: Footnotes, widest: float | None) -> Cell:
    delta = comparison.rate
    if delta is None:
        return _refused(comparison.rate_refusal, notes)
    bar = None
    if widest is not None:
        side = "minus" if delta.value < 0 else "plus"
        bar = tag("i", class_=f"bar {side}", style=f"--w:{min(abs(delta.value) / widest, 1):.3f}", aria_hidden="true")
    remarks = (*delta.notes, comparison.interval_refusal) if comparison.interval_refusal else delta.notes
    figure = tag("span", decimals(delta.value, 1, sign=True), notes.mark(remarks), class_="figure")
    digits = min(metric.digits, 1) if metric.rises else 2
    span = f"{decimals(delta.low, digits)} to {decimals(delta.high, digits)}, {delta.overlap:.0%}"
    side = "less" if delta.value < 0 else "more"
    found, interval = comparison.interval, None
    if found is not None:
        interval = tag("span", f"[{decimals(found.low, 1)}, {decimals(found.high, 1)}]", class_="interval")
        side = side if found.low * found.high > 0 else None
    return Cell(join([bar, figure, interval, tag("small", span)]), delta.value, side)


def _quality_cell(comparison: Comparison, metric: Metric, notes: Footnotes) -> Cell:
    delta = comparison.quality
    if delta is None:
        return _refused(comparison.quality_refusal, notes)
    span = f"{delta.low:.3g} to {delta.high:.3g} bpp, {delta.overlap:.0%} of the tested curve's log-rate"
    figure = tag("span", decimals(delta.value, metric.digits, sign=True), notes.mark(delta.notes), title=span)
    return Cell(figure, delta.value)


def _refused(reason: str, notes: Footnotes) -> Cell:
    return Cell(join([tag("span", "none", class_="refused"), notes.mark((reason,))]))


def _letter(index: int) -> str:
    """Return a, b, ..., z, aa, ab, ..."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters
