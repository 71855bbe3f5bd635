"""`jaxicm report`: run files as one HTML page and as plots."""

from pathlib import Path
from typing import Annotated

import typer


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
    no_published: Annotated[bool, typer.Option("--no-published", help="Leave published curves out.")] = False,
) -> None:
    """Compare runs on one page.

    Rate-distortion and task curves, BD-rates against an anchor, speed, complexity, ablation tables, crops under a
    slider, single pictures, and where every number comes from. The page needs no network and no other file. Runs on
    different pictures are kept apart.
    """
    from jaxicm.cli.terminal import Terminal
    from jaxicm.errors import OptionError
    from jaxicm.evaluate.report import build_report
    from jaxicm.media.files import atomic_write

    keys = None if ablation is None else [key.strip() for key in ablation.split(",") if key.strip()]
    if keys is not None and not keys:
        raise OptionError(f"--ablation {ablation!r} names no label; write for instance block,order")
    if out.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"--out {out}: the page is HTML; give a name that ends in .html")
    terminal = Terminal()
    built = build_report(runs, anchor=anchor, title=title, ablation=keys, published=not no_published)
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
