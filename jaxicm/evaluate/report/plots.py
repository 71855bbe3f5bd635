"""The plots as files for papers: SVG and PNG of every curve, drawn by matplotlib, the same bytes for the same runs."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxicm.errors import OutputError
from jaxicm.evaluate.report.build import Report
from jaxicm.evaluate.report.curve_section import plot_axes
from jaxicm.evaluate.report.entries import Entry, Metric, PictureSet, score_value
from jaxicm.evaluate.report.palette import LIGHT, LIGHT_CONTEXT, PLOT_MARKERS, Look
from jaxicm.evaluate.report.speed_section import CLOCKS, speed_of
from jaxicm.media.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "jaxicm",  # identifiers in SVG are random otherwise
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e8eb",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_SIZE_INCHES = (7.2, 4.4)
_DPI = 160
_FORMATS = ("svg", "png")


def write_plots(report: Report, folder: Path) -> list[Path]:
    """Write a plot of each metric of each set over rate, and of speed against rate.

    Args:
        report: the report.
        folder: for the files, made when needed.

    Returns:
        The files, SVG and PNG of each plot.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror}); name another one") from error
    written = []
    for item in report.sets:
        prefix = _file_name(item.title)
        if prefix in {_file_name(other.title) for other in report.sets if other is not item}:
            prefix = f"{prefix}-{item.key}"
        for metric in item.all_metrics:
            if metric.drawn:
                title = metric.title if ":" not in metric.key else f"{metric.key.split(':')[0]} {metric.title}"
                written += _save(
                    folder / f"{prefix}-{_file_name(title)}", _curves_over_rate(item, metric, report.looks)
                )
        for direction in ("encode", "decode"):
            drawn = _speed(item, direction, report.looks)
            if drawn is not None:
                written += _save(folder / f"{prefix}-{direction}-speed", drawn)
    return written


def _curves_over_rate(item: PictureSet, metric: Metric, looks: Mapping[str, Look]) -> dict[str, bytes]:
    pairs = [(entry, entry.curves[metric.key]) for entry in item.entries if metric.key in entry.curves]
    shown = [(entry, curve) for entry, curve in pairs if entry.shown]
    score = metric.key.rsplit(":", 1)[1] if ":" in metric.key else ""
    group = next((group for group in item.tasks if metric in group.metrics), None)
    original = group.original.get(score) if group is not None else None
    rule = None if original is None else score_value(score, original)
    x, y = plot_axes(pairs, metric, [] if rule is None else [rule])

    def draw(axes: "Axes") -> None:
        for entry, curve in shown:
            style = _style(entry, looks[entry.title])
            if curve.faint:
                rates, values = zip(*((bpp, value) for bpp, value, _ in curve.faint), strict=True)
                axes.plot(rates, values, **style | {"linestyle": "none", "alpha": 0.3, "label": None})
            axes.plot(curve.bpp, curve.quality, **style)
        if rule is not None:
            axes.axhline(rule, color="#444444", linewidth=1, linestyle="--", label="original pictures")
        axes.set(xlabel=x.label, ylabel=y.label, xlim=(x.low, x.high), ylim=(y.low, y.high), title=item.title)

    return _render(draw)


def _speed(item: PictureSet, direction: str, looks: Mapping[str, Look]) -> dict[str, bytes] | None:
    timed = [(entry, entry.run.clock, speed) for entry in item.measured
             if entry.run is not None and (speed := speed_of(entry.run, direction)) is not None]  # fmt: skip
    if not timed:
        return None

    def draw(axes: "Axes") -> None:
        for entry, clock, speed in timed:
            rates, speeds = zip(*speed.by_rate, strict=True)
            style: dict[str, Any] = _style(entry, looks[entry.title])
            style["label"] = f"{entry.title} ({CLOCKS[clock].removesuffix(' seconds')})"
            axes.plot(rates, speeds, **style)
        axes.set(xlabel="bits per pixel", ylabel=f"megapixels a second, {direction}", yscale="log", title=item.title)

    return _render(draw)


def _style(entry: Entry, look: Look) -> dict[str, Any]:
    colour = LIGHT_CONTEXT if look.colour is None else LIGHT[look.colour]
    return {
        "color": colour,
        "marker": PLOT_MARKERS[look.marker],
        "markersize": 4.5,
        "markerfacecolor": "white" if entry.run is None else colour,
        "linewidth": look.width * 0.7,
        "linestyle": ":" if look.colour is None else "--" if look.dash else "-",
        "label": entry.title,
    }


def _render(draw: Callable[["Axes"], None]) -> dict[str, bytes]:
    # figures without pyplot: no window system, no global state
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    files = {}
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        for kind in _FORMATS:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)
            files[kind] = buffer.getvalue()
    return files


def _save(stem: Path, drawing: Mapping[str, bytes]) -> list[Path]:
    paths = []
    for kind, data in drawing.items():
        path = stem.with_name(f"{stem.name}.{kind}")
        atomic_write(path, data)
        paths.append(path)
    return paths


def _file_name(text: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.") or "plot"
