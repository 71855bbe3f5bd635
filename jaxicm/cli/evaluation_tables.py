"""The tables that `jaxicm eval` prints of a run."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from jaxicm.cli.terminal import print_table

if TYPE_CHECKING:
    from jaxicm.evaluate.journal import Journal
    from jaxicm.evaluate.run import Plan

_COLUMNS = {
    "bpp": ("bpp", ".4f"),
    "bpsp": ("bpsp", ".4f"),
    "psnr-rgb": ("PSNR dB", ".3f"),
    "psnr-yuv": ("YUV 6:1:1 dB", ".3f"),
    "ms-ssim-rgb": ("MS-SSIM", ".5f"),
    "ms-ssim-db-rgb": ("MS-SSIM dB", ".3f"),
    "lpips": ("LPIPS", ".4f"),
    "encoding_time": ("encode {clock}", ".3f"),
    "decoding_time": ("decode {clock}", ".3f"),
}
_BY_SIZE = ("_small", "_medium", "_large")
_ORDER = ("analysis", "adaptation", "entropy", "coder", "synthesis", "simple")


def picture_line(picture: str, plan: "Plan", journal: "Journal") -> str:
    """Write what was measured of one picture as a line: setting, bpp, PSNR and MS-SSIM of each operating point.

    Where every sample came back, the rates alone.
    """
    from jaxicm.evaluate.journal import Entry, Key

    cells = []
    for scale in plan.scales:
        for setting in plan.settings:
            found = journal.entries.get(Key(picture, setting, scale), Entry()).measured
            at = f"{setting:g}" if plan.scales == (100,) else f"{setting:g} at {scale} %"
            if found and found.get("bpsp") is not None:
                cells.append(f"{at}: {found['bpp']:.4f} bpp, {found['bpsp']:.4f} bpsp, every sample came back")
            elif found:
                cells.append(f"{at}: {found['bpp']:.4f} {_cell(found['psnr_rgb'], '.2f')} {found['ms_ssim']:.4f}")
    return f"{picture}  " + " | ".join(cells)


def print_run(run: dict[str, Any]) -> None:
    """Print the tables of a run: means, seconds by part, tasks, and BD-rate where there is a published curve.

    Args:
        run: contents of a run file.
    """
    _print_means(run)
    _print_parts(run)
    for name, task in run["tasks"].items():
        _print_task(name, task)
    _print_bd_rate(run)


def _print_means(run: dict[str, Any]) -> None:
    results = run["results"]
    keys = [key for key in _COLUMNS if key in results]
    clock = "CPU s" if run["codec"]["clock"] == "cpu" else "s"
    rows = [
        (at, *(_cell(results[key][index], _COLUMNS[key][1]) for key in keys))
        for index, at in enumerate(_operating_points(results["quality"], results["scale"]))
    ]
    count = run["data"]["count"]
    print_table(
        f"mean of {count} picture{'s' if count != 1 else ''}, {run['codec']['title']}; seconds are medians",
        ("quality", *(_COLUMNS[key][0].format(clock=clock) for key in keys)),
        rows,
    )


def _print_parts(run: dict[str, Any]) -> None:
    for way in ("encode", "decode"):
        timed = [row for row in run["pictures"] if row[f"{way}_parts_s"] and row[f"{way}_s"] is not None]
        if not timed:
            continue
        parts = {part: [row[f"{way}_parts_s"].get(part, 0.0) for row in timed] for part in _ORDER}
        parts["file"] = [row[f"{way}_s"] - sum(row[f"{way}_parts_s"].values()) for row in timed]
        cells = [f"{part} {1000 * median(seconds):.1f}" for part, seconds in parts.items() if any(seconds)]
        print(f"{way}, median ms a picture: {', '.join(cells)}")


def _print_task(name: str, task: dict[str, Any]) -> None:
    points, original = task["points"], task["original"]
    figures = [key for key in (points[0] if points else original or {}) if key not in ("quality", "scale", "bpp")]
    figures += [key for key in original or {} if key not in figures]
    # the run file has the AP by size too; here the columns of boxes and masks would not fit side by side
    figures = [key for key in figures if not key.endswith(_BY_SIZE)]
    labels = _operating_points([point["quality"] for point in points], [point["scale"] for point in points])
    rows = [(at, f"{point['bpp']:.4f}", *_figures(point, figures)) for at, point in zip(labels, points, strict=True)]
    if original is not None:
        rows.append(("uncoded", "", *_figures(original, figures)))
    truth = {"real": "annotations", "pseudo": "detections on the uncoded pictures"}.get(task["ground_truth"])
    title = f"{name}, ground truth: {truth}" if truth else name
    print_table(title, ("quality", "bpp", *(_heading(figure) for figure in figures)), rows)


def _print_bd_rate(run: dict[str, Any]) -> None:
    from jaxicm.evaluate.against_vtm import against_vtm

    compared = against_vtm(run)
    if compared is None:
        print("no BD-rate: there is no published curve of these pictures")
        return
    curve, found = compared
    for title, delta in found.items():
        if isinstance(delta, str):
            print(f"BD-rate over {curve.name}, {title}: {delta}")
            continue
        notes = "".join(f"; {note}" for note in delta.notes)
        print(
            f"BD-rate over {curve.name}, {title}: {delta.value:+.2f} % (PCHIP, {delta.low:.2f} to {delta.high:.2f} dB, "
            f"{delta.overlap:.0%} of the measured curve{notes})"
        )


def _operating_points(qualities: Sequence[float], scales: Sequence[int]) -> list[str]:
    if set(scales) <= {100}:
        return [f"{quality:g}" for quality in qualities]
    return [f"{quality:g} at {scale} %" for quality, scale in zip(qualities, scales, strict=True)]


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _figures(values: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [
        _cell(None if values.get(name) is None else values[name] * (100 if _is_share(name) else 1), ".2f")
        for name in names
    ]


def _heading(figure: str) -> str:
    words = (word.upper() if word.startswith(("ap", "psnr")) else word for word in figure.split("_"))
    return " ".join(words)


def _is_share(figure: str) -> bool:
    """Tell average precisions, which are fractions, from decibels and indices."""
    return any(word.startswith("ap") for word in figure.split("_"))
