"""The plots of quality over rate, for pictures and for tasks, and the legend that rules all plots of a set."""

from collections.abc import Mapping, Sequence
from statistics import median

from jaxicm.evaluate.report.axes import Axis, linear_axis, log_axis
from jaxicm.evaluate.report.chart import Dot, Rule, Series, draw_chart
from jaxicm.evaluate.report.entries import Curve, Entry, Metric, PictureSet, TaskGroup, score_value
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, table, tag
from jaxicm.evaluate.report.palette import Look

_GROUPS = {"learned": "Learned", "conventional": "Conventional", "published": "Published"}
_CUT = 1.15


def legend(picture_set: PictureSet, looks: Mapping[str, Look]) -> Markup:
    """List the codecs of a set as buttons that switch their curves on and off.

    Args:
        picture_set: the set.
        looks: by title.

    Returns:
        The element.
    """
    parts = []
    for group, title in _GROUPS.items():
        entries = [entry for entry in picture_set.entries if entry.group == group]
        buttons = [_legend_button(entry, looks[entry.title]) for entry in entries]
        both = [tag("button", word, type="button", class_="all", data_show=word) for word in ("all", "none")]
        if not buttons:
            continue
        if group == "published":
            few = [button for button, entry in zip(buttons, entries, strict=True) if entry.shown]
            rest = [button for button, entry in zip(buttons, entries, strict=True) if not entry.shown]
            more = tag("details", tag("summary", f"{len(rest)} more"), tag("div", rest, both, class_="chips"))
            buttons = [*few, more if rest else None]
        else:
            buttons += both if len(buttons) > 2 else []
        parts.append(tag("div", tag("span", title, class_="group"), buttons, class_="chips", data_group=group))
    scale = tag(
        "div", tag("span", "Rate axis", class_="group"),
        tag("button", "linear", type="button", data_scale="linear", aria_pressed="true"),
        tag("button", "logarithmic", type="button", data_scale="log", aria_pressed="false"), class_="chips scale",
    )  # fmt: skip
    return tag("div", parts, scale, class_="legend", role="group", aria_label="Codecs shown in the plots")


def marker(look: Look, *, published: bool = False) -> Markup:
    """Draw a short piece of a codec's line with its marker."""
    line = tag("path", d="M0 7H26", class_="line", stroke_width=look.width, stroke_dasharray=look.dash)
    swatch = tag("g", line, tag("use", href=f"#m{look.marker}", x=13, y=7), class_="series" + " hollow" * published)
    return tag("svg", swatch, viewBox="0 0 26 14", class_="swatch", aria_hidden="true", style=f"--c:{look.css}")


def rate_plots(picture_set: PictureSet, looks: Mapping[str, Look]) -> Markup:
    """Draw a plot for every metric of pictures, and list the points.

    Args:
        picture_set: the set.
        looks: by title.

    Returns:
        The figures.
    """
    if not picture_set.metrics:
        return tag("p", "No run of these pictures has a rate and a quality.", class_="note")
    figures = [metric_figure(picture_set, metric, looks) for metric in picture_set.metrics]
    lone = [entry.title for entry in picture_set.measured if any(len(c.bpp) == 1 for c in entry.curves.values())]
    notes = (
        [tag("p", f"One point only, so no line and no BD figure: {', '.join(lone)}.", class_="note")] if lone else []
    )
    return Markup(tag("div", figures, class_="figures") + "".join(notes) + _points(picture_set, picture_set.metrics))


def task_plots(picture_set: PictureSet, group: TaskGroup, looks: Mapping[str, Look]) -> Markup:
    """Draw the plots of a task, and list the points.

    Args:
        picture_set: the set.
        group: the task.
        looks: by title.

    Returns:
        The figures.
    """
    figures = []
    for metric in group.metrics:
        if metric.drawn:
            score = metric.key.rsplit(":", 1)[1]
            original = group.original.get(score)
            rules = [] if original is None else [Rule(score_value(score, original), "original pictures")]
            figures.append(metric_figure(picture_set, metric, looks, rules))
    notes = [tag("p", note, class_="note") for note in group.notes]
    listed = [metric for metric in group.metrics if any(metric.key in entry.curves for entry in picture_set.entries)]
    return Markup(tag("div", figures, class_="figures") + "".join(notes) + _points(picture_set, listed))


def metric_figure(
    picture_set: PictureSet, metric: Metric, looks: Mapping[str, Look], rules: Sequence[Rule] = ()
) -> Markup:
    """Draw one metric over rate, with a linear and with a logarithmic axis of rates.

    Args:
        picture_set: the set.
        metric: one that a curve has.
        looks: by title.
        rules: horizontal lines.

    Returns:
        A `figure` element.
    """
    pairs = [(entry, entry.curves[metric.key]) for entry in picture_set.entries if metric.key in entry.curves]
    series = [series_of(entry, curve, metric, looks[entry.title]) for entry, curve in pairs]
    identity = f"{picture_set.key}-{metric.key}".replace(":", "-").replace(".", "-").replace(" ", "-")
    described = (
        f"{metric.title} over bits per pixel, {picture_set.title}: {', '.join(e.title for e, _ in pairs if e.shown)}"
    )
    charts = []
    for logarithmic in (False, True):
        x, y = plot_axes(pairs, metric, [rule.y for rule in rules], logarithmic=logarithmic)
        kind = "log" if logarithmic else "linear"
        charts.append(
            draw_chart(
                series, x, y, identity=f"{identity}-{kind}", description=described, rules=rules, class_=f"{kind}-rate"
            )
        )
    note = f": {metric.note}." if metric.note != metric.title else ""
    return tag("figure", tag("div", charts, class_="plot"), tag("figcaption", tag("b", metric.title), note))


def series_of(entry: Entry, curve: Curve, metric: Metric, look: Look) -> Series:
    """Turn a curve into what a plot draws."""

    def hint(bpp: float, value: float, setting: str) -> str:
        unit = f" {metric.unit}" if metric.unit else ""
        return f"{bpp:.4f} bpp\n{decimals(value, metric.digits)}{unit}\n{setting}"

    lines = [
        Dot(b, q, hint(b, q, setting)) for b, q, setting in zip(curve.bpp, curve.quality, curve.hints, strict=True)
    ]
    faint = [Dot(bpp, value, hint(bpp, value, setting), faint=True) for bpp, value, setting in curve.faint]
    return Series(entry.key, entry.title, look, (*lines, *faint), entry.shown, hollow=entry.run is None)


def plot_axes(
    pairs: Sequence[tuple[Entry, Curve]], metric: Metric, others: Sequence[float] = (), *, logarithmic: bool = False
) -> tuple[Axis, Axis]:
    """Choose the ranges of a plot: all that was measured, with a published curve cut where it leaves them.

    On a linear axis the rates end soon after those of the learned codecs, or without any where half of the curves have
    ended: what lies above would press the rates that matter into a corner. The logarithmic axis shows everything.

    Args:
        pairs: entries and their curves.
        metric: for the label.
        others: values that must be seen.
        logarithmic: of the rates.

    Returns:
        The axes of rate and quality.
    """
    own = [curve for entry, curve in pairs if entry.run is not None] or [curve for _, curve in pairs]
    points = [(b, q) for c in own for b, q in [*zip(c.bpp, c.quality, strict=True), *((x, y) for x, y, _ in c.faint)]]
    rates = [bpp for bpp, _ in points]
    label = "bits per pixel"
    if logarithmic:
        x = log_axis(label, rates)
    else:
        learned = [max(curve.bpp) for entry, curve in pairs if entry.group == "learned" and len(curve.bpp) > 1]
        ends = [max(curve.bpp) for curve in own]
        limit = min(max(rates), max(_CUT * max(learned) if learned else _CUT * median(ends), min(ends)))
        x = linear_axis(label, [bpp for bpp in rates if bpp <= limit], from_zero=True)
    inside = [value for bpp, value in points if x.low <= bpp <= x.high]
    return x, linear_axis(metric.axis, [*inside, *others])


def _legend_button(entry: Entry, look: Look) -> Markup:
    published = entry.group == "published"
    pressed = "true" if entry.shown else "false"
    hint = entry.source or (str(entry.run.path.name) if entry.run is not None else None)
    return tag(
        "button", marker(look, published=published), tag("span", entry.title), type="button", aria_pressed=pressed,
        data_s=entry.key, title=hint,
    )  # fmt: skip


def _points(picture_set: PictureSet, metrics: Sequence[Metric]) -> Markup:
    columns = [Column("codec", numeric=False), Column("setting", numeric=False), Column("bpp")]
    columns += [Column(metric.axis, hint=metric.note) for metric in metrics]
    rows = []
    for entry in picture_set.measured:
        found: dict[tuple[float, str], dict[str, float]] = {}
        for metric in metrics:
            curve = entry.curves.get(metric.key)
            if curve is not None:
                every = [*zip(curve.bpp, curve.quality, curve.hints, strict=True), *curve.faint]
                for bpp, value, hint in every:
                    found.setdefault((bpp, hint), {})[metric.key] = value
        for (bpp, hint), values in sorted(found.items()):
            cells = [Cell(entry.title, head=True), Cell(hint), Cell(decimals(bpp, 4), bpp)]
            for metric in metrics:
                value = values.get(metric.key)
                cells.append(Cell(decimals(value, metric.digits), value))
            rows.append(cells)
    return tag("details", tag("summary", f"All {len(rows)} points as a table"), table(columns, rows), class_="data")
