"""The accuracy of task networks on what the variants of a `jaxicm ablate` for machines code."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxicm.cli.evaluation import make_observers, measure_all
from jaxicm.cli.terminal import Terminal, print_table

if TYPE_CHECKING:
    from jaxicm.evaluate.subjects import Subject
    from jaxicm.train.ablation import Row

QUALITIES = (1.0, 15.0, 30.0, 50.0)
"""At which models of all rates code."""
WEIGHTS, JOURNAL = "frozen.safetensors", "tasks.jsonl"


def measure_tasks(
    rows: "Sequence[Row]", out: Path, pictures: Sequence[Path], tasks: Sequence[str], annotations: Path
) -> list[dict[str, Any]]:
    """Code labelled pictures with every variant and let task networks look at them.

    Args:
        rows: trained variants, the base first.
        out: folder of their runs; what was measured before is kept there.
        pictures: files or folders.
        tasks: networks, see `jaxicm eval --task`.
        annotations: COCO json with the ground truth.

    Returns:
        For each row the points by "TASK SCORE" ("curves"), and BD-rates against the base in per cent ("bd"), None
        where the curves have too little in common.
    """
    from jaxicm.evaluate.journal import Journal
    from jaxicm.evaluate.picture_set import survey
    from jaxicm.evaluate.run import Plan
    from jaxicm.evaluate.session import header, session

    chosen = survey(list(pictures), None)
    terminal = Terminal()
    observers = make_observers(terminal, chosen, tasks, annotations, pseudo=False)
    curves = []
    for row in rows:
        run = out / row.variant.folder
        item = _subject(run)
        plan = Plan(item.default if (run / "points").is_dir() else QUALITIES, observers=observers)
        path = run / JOURNAL
        with Journal.open(path, header(item, fresh=False)) as journal:
            journal.begin(session(item, chosen, plan, labels={}, command="jaxicm ablate"), chosen.pictures)
            _, measured = measure_all(terminal, plan, item, chosen, journal, path, None)
        curves.append(_curves(measured))
    return [{"curves": found, "bd": _deltas(curves[0], found)} for found in curves]


def _subject(run: Path) -> "Subject":
    from jaxicm.evaluate.subjects import subject
    from jaxicm.train.freeze import POINTS, freeze

    if (run / POINTS).is_dir():
        return subject(str(run / POINTS))
    if not (run / WEIGHTS).is_file():
        freeze(run, run / WEIGHTS)
    return subject(str(run / WEIGHTS))


def _curves(run: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return bits a pixel and score of the points of a run, by task and score."""
    found = {}
    for name, task in run["tasks"].items():
        points = task["points"]
        # box_ap, mask_ap, weighted_ap, ...; those at one overlap or of one size have a number or a word behind
        for score in [key for key in (points[0] if points else {}) if key.endswith("ap")]:
            counted = [point for point in points if point[score] is not None]
            found[f"{name} {score}"] = {"bpp": [p["bpp"] for p in counted], "score": [p[score] for p in counted]}
    return found


def _deltas(base: dict[str, Any], found: dict[str, Any]) -> dict[str, float | None]:
    from jaxicm.errors import InputError
    from jaxicm.evaluate.bdrate import bd_rate

    deltas: dict[str, float | None] = {}
    for name in base:
        try:
            a, b = base[name], found[name]
            deltas[name] = bd_rate(a["bpp"], a["score"], b["bpp"], b["score"]).value
        except (InputError, KeyError):
            deltas[name] = None
    return deltas


def print_tasks(rows: "Sequence[Row]", measured: Sequence[dict[str, Any]]) -> None:
    """Print the BD-rates of `measure_tasks`, and the points behind them."""
    names = list(measured[0]["bd"])

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:+.1f}"

    cells = [
        [row.variant.group, row.variant.name, *(cell(found["bd"].get(name)) for name in names)]
        for row, found in zip(rows, measured, strict=True)
    ]
    print_table("BD-rate of accuracy against the base, %", ["", "variant", *names], cells)
    for row, found in zip(rows, measured, strict=True):
        for name, curve in found["curves"].items():
            points = zip(curve["bpp"], curve["score"], strict=True)
            text = "  ".join(f"{bpp:.4f}: {100 * score:.1f}" for bpp, score in sorted(points))
            print(f"{row.variant.group}/{row.variant.name}, {name} by bpp: {text}")
