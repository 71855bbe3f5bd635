"""What the user sees: results on standard output, notes, errors and progress on standard error."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")


class Terminal:
    """Print lines without tearing the progress bar.

    Results go to standard output, except where data goes there; then they go to standard error with everything else.
    """

    def __init__(self, *, results_to_stderr: bool = False) -> None:
        self._results = sys.stderr if results_to_stderr else sys.stdout
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._verb = ""
        self._step_shown = False

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear_step()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def show_fitting(self, done: int, total: int, bits: float) -> None:
        """Show how far a model is fitted to a picture, on a terminal only.

        Args:
            done, total: steps.
            bits: a sample, of what was looked at last.
        """
        self._show_step(f"fitting {done}/{total}, {bits:.3f} bits a sample" if done < total else "")

    def show_adapting(self, done: int, total: int, share: float) -> None:
        """Show how far a latent is adapted to a picture, on a terminal only.

        Args:
            done, total: iterations.
            share: cost of the best so far, as a share of the start's.
        """
        self._show_step(f"adapting {done}/{total}, {cost_change(share)}" if done < total else "")

    def _show_step(self, text: str) -> None:
        """Show how far the work on one item is, until the next line is printed; no text shows nothing."""
        if not sys.stderr.isatty():
            return
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=f"{self._verb}, {text}" if text else self._verb)
        else:
            print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)
        self._step_shown = bool(text)

    def _clear_step(self) -> None:
        if self._step_shown:
            self._show_step("")

    def track(self, items: Iterable[T], verb: str, total: int) -> Iterator[T]:
        """Yield the items under a progress bar, shown for several items on a terminal only.

        Args:
            items: how many there are is told by `total`.
            verb: stands before the bar.
            total: of items.
        """
        if total < 2 or not sys.stderr.isatty():
            yield from items
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        # standard output may be a file: rich must not take it over
        console = Console(stderr=True, highlight=False, markup=False)
        self._progress = Progress(*columns, console=console, redirect_stdout=False, transient=True)
        self._progress.start()
        self._verb, self._task = verb, self._progress.add_task(verb, total=total)
        for item in items:
            yield item
            if self._progress is not None:
                self._progress.advance(self._task)

    def result(self, line: str) -> None:
        """Print the line of one result."""
        self._print(line, self._results)

    def note(self, line: str) -> None:
        """Print something the user should know that is no error."""
        self._print(f"jaxicm: note: {line}", sys.stderr)

    def error(self, line: str) -> None:
        """Print an error after which the work goes on."""
        self._print(f"jaxicm: error: {' '.join(line.split())}", sys.stderr)

    def _print(self, line: str, stream: TextIO) -> None:
        self._clear_step()
        if self._progress is not None and stream.isatty():
            self._progress.console.print(line, soft_wrap=True)  # above the bar
        else:
            print(line, file=stream, flush=True)


def cost_change(share: float) -> str:
    """Write what an adaptation did to the cost.

    Args:
        share: cost after as a share of that before, not above 1.

    >>> cost_change(0.969)
    'cost -3.1 %'
    """
    return f"cost -{100 * max(0.0, 1 - share):.1f} %"


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the first column is text on the left, the others numbers on the right.

    Args:
        title: printed above it.
        columns: headings.
        rows: cells, printed with `str`.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    # a pipe or a file has no width: let no cell be folded there
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def print_json(value: object) -> None:
    """Print a value as indented JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
