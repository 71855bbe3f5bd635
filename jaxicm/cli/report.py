"""`jaxicm report`: run files as one HTML page and as plots."""

from pathlib import Path
from typing import Annotated

import typer

_FEWEST = 100
"""Selections below which the ends of a 95 % interval would be those of one or two of them."""


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run files of `jaxicm eval --out`.")],
    out: Annotated[Path, typer.Option("--out", help="The page.")] = Path("report.html"),
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor", help="Codec, run file or published curve that BD-rates refer to. [default: VTM, VVC, ...]"
        ),
    ] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for the plots as SVG and PNG.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title of the page.")] = None,
    ablation: Annotated[
        str | None,
        typer.Option("--ablation", help="Labels that name the rows of ablation tables, separated by commas."),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(
            "--resamples", min=0, help="Selections of pictures drawn for the interval beside each BD-rate; 0 for none."
        ),
    ] = 500,
    annotations: Annotated[
        list[Path] | None,
        typer.Option(
            "--annotations",
            help="Ground truth of tasks in COCO's format, for their intervals; may be repeated. [default: as the runs "
            "had it]",
        ),
    ] = None,
    no_published: Annotated[bool, typer.Option("--no-published", help="Leave published curves out.")] = False,
) -> None:
    """Compare runs on one page.

    Rate-distortion and task curves, BD-rates against an anchor with their intervals over pictures, speed, complexity,
    ablation tables, crops under a slider, single pictures, and where every number comes from. The page needs no network
    and no other file. Runs on different pictures are kept apart. The intervals of task scores need the journals beside
    the run files and the annotations.
    """
    from jaxicm.cli.terminal import Terminal
    from jaxicm.errors import OptionError
    from jaxicm.evaluate.intervals import Drawing
    from jaxicm.evaluate.report import build_report
    from jaxicm.media.files import atomic_write

    keys = None if ablation is None else [key.strip() for key in ablation.split(",") if key.strip()]
    if keys is not None and not keys:
        raise OptionError(f"--ablation {ablation!r} names no label; write for instance block,order")
    if out.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"--out {out}: the page is HTML; give a name that ends in .html")
    if 0 < resamples < _FEWEST:
        raise OptionError(f"--resamples {resamples}: an interval needs {_FEWEST} or more; give 0 to leave them out")
    terminal = Terminal()
    built = build_report(
        runs,
        anchor=anchor,
        title=title,
        ablation=keys,
        published=not no_published,
        drawing=Drawing(resamples) if resamples else None,
        annotations=annotations or (),
    )
    atomic_write(out, built.page.encode())
    for line in built.summaries:
        terminal.result(line)
    terminal.result(f"wrote {out}: {len(built.page.encode()) / 1e6:.1f} MB")
    if plots is not None:
        from jaxicm.evaluate.report.plots import write_plots

        written = write_plots(built, plots)
        terminal.result(f"wrote {len(written)} plots to {plots}")
    for problem in built.problems:
        terminal.error(problem)
    if built.problems:
        raise typer.Exit(2)
