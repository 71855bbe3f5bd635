"""Speed against rate, and what the networks cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from jaxicm.evaluate.report.axes import linear_axis, log_axis
from jaxicm.evaluate.report.chart import Dot, Rule, Series, draw_chart
from jaxicm.evaluate.report.comparison import Comparisons
from jaxicm.evaluate.report.curve_section import marker
from jaxicm.evaluate.report.entries import Entry, PictureSet
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, join, table, tag
from jaxicm.evaluate.report.palette import Look
from jaxicm.evaluate.report.run_files import Picture, Run

CLOCKS = {"wall": "wall-clock seconds", "cpu": "CPU seconds"}
_CLOCK_NAMES = {"wall": "wall", "cpu": "CPU"}
_TITLES = {"encode": "Encoding", "decode": "Decoding"}


@dataclass(frozen=True)
class Speed:
    """Hold how fast a codec is, in megapixels a second.

    Attributes:
        median: over all pictures at all settings.
        by_rate: rate and median over the pictures, one a setting, rising rate.
    """

    median: float
    by_rate: tuple[tuple[float, float], ...]


def speed_of(run: Run, direction: str) -> Speed | None:
    """Measure the speed of a run.

    Medians, not means: the first picture of a learned codec waits for the compiler.

    Args:
        run: the run.
        direction: "encode" or "decode".

    Returns:
        The speed, or None where no seconds were measured.
    """
    key = f"{direction}_s"
    at_setting: dict[tuple[float, float], list[tuple[float, float]]] = {}
    for picture in _full_size(run):
        seconds = picture.values.get(key)
        if seconds:
            found = at_setting.setdefault((picture.quality, picture.scale), [])
            found.append((picture.bpp, picture.pixels / seconds / 1e6))
    if not at_setting:
        return None
    points = [(sum(bpp for bpp, _ in f) / len(f), median(speed for _, speed in f)) for f in at_setting.values()]
    return Speed(median(speed for found in at_setting.values() for _, speed in found), tuple(sorted(points)))


def part_seconds(run: Run, direction: str) -> dict[str, float]:
    """Return the median seconds of each part of the encoder or decoder, where they were measured."""
    found: dict[str, list[float]] = {}
    for picture in _full_size(run):
        parts = picture.encode_parts_s if direction == "encode" else picture.decode_parts_s
        for name, seconds in parts.items():
            found.setdefault(name, []).append(seconds)
    return {name: median(seconds) for name, seconds in found.items()}


def speed_section(picture_set: PictureSet, compared: Mapping[str, Comparisons], looks: Mapping[str, Look]) -> Markup:
    """Draw speed against BD-rate, or against rate where there is no BD-rate, and list the speeds.

    Args:
        picture_set: the set.
        compared: by key of the metric.
        looks: by title.

    Returns:
        Figures and table, or a note where no run has seconds.
    """
    speeds = {
        (entry.key, direction): speed
        for entry in picture_set.measured
        for direction in _TITLES
        if entry.run is not None and (speed := speed_of(entry.run, direction)) is not None
    }
    if not speeds:
        return tag("p", "No run of these pictures has seconds: they were measured by several processes at once.")
    first = next((compared[metric.key] for metric in picture_set.metrics), None)
    figures = [_figure(picture_set, direction, speeds, first, looks) for direction in _TITLES]
    return join([tag("div", figures, class_="figures"), _speed_table(picture_set, speeds, looks)])


def complexity_section(picture_set: PictureSet, looks: Mapping[str, Look]) -> Markup:
    """List parameters, multiplications per pixel and sequential steps of the learned codecs of a set.

    Args:
        picture_set: the set.
        looks: by title.

    Returns:
        A table, or a note where there is no learned codec.
    """
    runs = [(entry, entry.run) for entry in picture_set.measured if entry.run is not None and _has_cost(entry.run)]
    if not runs:
        return tag(
            "p", "No learned codec among these runs; the cost of conventional codecs is their time.", class_="note"
        )
    parts = list(dict.fromkeys(part for _, run in runs for part in run.kmac_per_pixel))
    columns = [Column("codec", numeric=False), Column("parameters"), *(Column(part) for part in parts)]
    columns.append(Column("sequential steps", hint="calls of networks that wait for each other"))
    rows = []
    for entry, run in runs:
        cells = [Cell(join([marker(looks[entry.title]), " ", entry.title]), head=True)]
        cells.append(Cell("–" if run.parameters is None else f"{run.parameters:,}", run.parameters))  # noqa: RUF001
        costs = [run.kmac_per_pixel.get(part) for part in parts]
        cells += [Cell(decimals(cost, 1), cost) for cost in costs]
        cells.append(Cell("–" if run.steps is None else str(run.steps), run.steps))  # noqa: RUF001
        rows.append(cells)
    groups = [("", 2), *([("kMAC/pixel", len(parts))] if parts else []), ("", 1)]
    return table(columns, rows, group_heads=groups)


def _full_size(run: Run) -> list[Picture]:
    return [picture for picture in run.pictures if picture.scale == 100] or list(run.pictures)


def _has_cost(run: Run) -> bool:
    return run.parameters is not None or bool(run.kmac_per_pixel) or run.steps is not None


def _figure(
    picture_set: PictureSet,
    direction: str,
    speeds: Mapping[tuple[str, str], Speed],
    compared: Comparisons | None,
    looks: Mapping[str, Look],
) -> Markup:
    timed = [(entry, entry.run, speeds[entry.key, direction]) for entry in picture_set.measured
             if entry.run is not None and (entry.key, direction) in speeds]  # fmt: skip
    title, identity = f"{_TITLES[direction]} speed", f"{picture_set.key}-speed-{direction}"
    clocks = dict.fromkeys(run.clock for _, run, _ in timed)
    rate = {entry.key: delta for entry, _, _ in timed if (delta := _bd_rate(entry, compared)) is not None}
    unit = "filled: wall-clock seconds, hollow: CPU seconds" if len(clocks) > 1 else CLOCKS[next(iter(clocks))]
    if compared is not None and compared.anchor is not None and len(rate) > 1:
        series = [
            Series(
                entry.key, entry.title, looks[entry.title],
                (Dot(speed.median, 1 + rate[entry.key] / 100, _hint(speed.median, rate[entry.key], run.clock)),),
                whisker=(min(s for _, s in speed.by_rate), max(s for _, s in speed.by_rate)),
                hollow=len(clocks) > 1 and run.clock == "cpu",
            )
            for entry, run, speed in timed if entry.key in rate
        ]  # fmt: skip
        x = log_axis("megapixels a second", [value for item in series for value in item.whisker or ()])
        # ratios on a logarithmic axis, as BD-rate averages them: in per cent one bad codec presses the others together
        y = log_axis(
            f"rate at equal {compared.metric.title}, anchor 1", [1.0, *(1 + value / 100 for value in rate.values())]
        )
        rules = [Rule(1.0, compared.anchor.title)]
        chart = draw_chart(series, x, y, identity=identity, description=title, rules=rules, lines=False)
        note = f" against BD-rate: median over pictures and settings, the line spans the settings; {unit}."
    else:
        series = [
            Series(
                entry.key, entry.title, looks[entry.title],
                tuple(Dot(b, value, f"{b:.4f} bpp\n{_megapixels(value, run.clock)}") for b, value in speed.by_rate),
                hollow=len(clocks) > 1 and run.clock == "cpu",
            )
            for entry, run, speed in timed
        ]  # fmt: skip
        x = linear_axis("bits per pixel", [dot.x for item in series for dot in item.dots], from_zero=True)
        y = log_axis("megapixels a second", [dot.y for item in series for dot in item.dots])
        chart = draw_chart(series, x, y, identity=identity, description=title)
        note = f" against rate: median over the pictures; {unit}."
    return tag("figure", tag("div", chart, class_="plot"), tag("figcaption", tag("b", title), note))


def _bd_rate(entry: Entry, compared: Comparisons | None) -> float | None:
    if compared is None:
        return None
    if entry is compared.anchor:
        return 0.0
    comparison = compared.found.get(entry.key)
    return comparison.rate.value if comparison is not None and comparison.rate is not None else None


def _hint(speed: float, rate: float, clock: str) -> str:
    return f"{_megapixels(speed, clock)}\n{decimals(rate, 1, sign=True)} % BD-rate"


def _megapixels(speed: float, clock: str) -> str:
    return f"{speed:.3g} megapixels a {CLOCKS[clock].removesuffix('s')}"


def _speed_table(picture_set: PictureSet, speeds: Mapping[tuple[str, str], Speed], looks: Mapping[str, Look]) -> Markup:
    runs = [(entry, entry.run) for entry in picture_set.measured if entry.run is not None]
    parts = {(entry.key, direction): part_seconds(run, direction) for entry, run in runs for direction in _TITLES}
    columns = [Column("codec", numeric=False), Column("clock", numeric=False)]
    columns += [Column("encode MP/s"), Column("decode MP/s")]
    if any(parts.values()):
        columns += [Column("encoder's parts", numeric=False), Column("decoder's parts", numeric=False)]
    rows = []
    for entry, run in runs:
        cells = [Cell(join([marker(looks[entry.title]), " ", entry.title]), head=True), Cell(_CLOCK_NAMES[run.clock])]
        for direction in _TITLES:
            speed = speeds.get((entry.key, direction))
            cells.append(Cell("–", None) if speed is None else Cell(f"{speed.median:.3g}", speed.median))  # noqa: RUF001
        if any(parts.values()):
            cells += [Cell(_parts(parts[entry.key, direction])) for direction in _TITLES]
        rows.append(cells)
    return table(columns, rows)


def _parts(seconds: Mapping[str, float]) -> Markup | str:
    """Show the parts as a bar and in milliseconds."""
    whole = sum(seconds.values())
    if not whole:
        return ""
    pieces = [
        tag("i", style=f"--w:{value / whole:.3f}", class_=f"p{index % 4}")
        for index, value in enumerate(seconds.values())
    ]
    words = [
        tag("span", tag("i", class_=f"key p{index % 4}"), f"{name} {1000 * value:.3g} ms")
        for index, (name, value) in enumerate(seconds.items())
    ]
    return join([tag("span", pieces, class_="parts", aria_hidden="true"), tag("small", words, class_="part-names")])
