"""`jaxicm eval`: rate, quality, seconds and task accuracy of a codec on pictures, from real files."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxicm.cli.options import TuneOption
from jaxicm.cli.terminal import Terminal

if TYPE_CHECKING:
    from jaxicm.evaluate.journal import Journal
    from jaxicm.evaluate.lpips import Lpips
    from jaxicm.evaluate.picture_set import PictureSet
    from jaxicm.evaluate.run import Observer, Plan
    from jaxicm.evaluate.subjects import Subject

EXIT_FAILURES = 2
EXIT_INTERRUPTED = 130


def evaluate(
    codec: Annotated[
        str,
        typer.Argument(
            help="Name from `jaxicm models`, a weight file, a folder of operating points, jpeg, vvc, ..., or"
            " vvc+FILTERS[:BLOCK]: vvc+filter_content, vvc+FILE.safetensors:0, vvc+none."
        ),
    ],
    folder: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.")],
    qualities: Annotated[
        str | None, typer.Option("--qualities", help="Qualities or QPs, separated by commas; by default a whole curve.")
    ] = None,
    effort: Annotated[
        int, typer.Option("--effort", min=0, max=9, help="How long each file is adapted; learned lossy codecs only.")
    ] = 0,
    tune: TuneOption = None,
    stages: Annotated[
        Path | None,
        typer.Option(
            "--stages", metavar="FILE", help="In place of --effort: Python file of the stages, as of `jaxicm encode`."
        ),
    ] = None,
    scales: Annotated[
        str, typer.Option("--scales", help="Input scales in per cent, of 100,75,50,25; measured at full size.")
    ] = "100",
    out: Annotated[
        Path | None, typer.Option("--out", help="Run file (.json); a journal (.jsonl) beside it lets a run go on.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Decode in a second process, as a receiver would.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Processes; by default all for conventional codecs, 1 for learned ones."),
    ] = None,
    crops: Annotated[
        int, typer.Option("--crops", min=0, help="Write the crop with most detail of so many pictures.")
    ] = 0,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="KEY=VALUE for tables of ablations; may be repeated.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Task network to run on decoded pictures; may be repeated.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="COCO JSON with the ground truth of the pictures.")
    ] = None,
    pseudo: Annotated[
        bool, typer.Option("--pseudo", help="Take detections on the original pictures as ground truth.")
    ] = False,
    known_as: Annotated[
        str | None,
        typer.Option("--set", help="Set with published curves that the pictures are (Kodak is recognised by itself)."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Folder of files of conventional codecs, coded once for many runs."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out has another run.")] = False,
) -> None:
    """Measure a codec on pictures, from real files.

    Prints bpp, PSNR, MS-SSIM and seconds of every picture and in the mean, and the BD-rate over the published VTM curve
    where the pictures are those of that curve. With --out nothing that is finished is lost: the same command goes on
    after an interruption, and one with more qualities, pictures or tasks measures only what is new. Seconds are wall
    seconds for learned codecs and CPU seconds of one thread for conventional ones, on the day they were coded where
    --keep has their files.
    """
    from jaxicm.cli.evaluation_tables import print_run
    from jaxicm.cli.jobs import make_folder
    from jaxicm.cli.stages import choose_effort
    from jaxicm.cli.values import parse_choices, parse_labels, parse_numbers, parse_tune
    from jaxicm.errors import OptionError
    from jaxicm.evaluate.adaptation import Adaptation
    from jaxicm.evaluate.crops import Crops
    from jaxicm.evaluate.journal import Journal
    from jaxicm.evaluate.picture_set import survey
    from jaxicm.evaluate.published import curves
    from jaxicm.evaluate.run import Plan
    from jaxicm.evaluate.session import header, session
    from jaxicm.evaluate.subjects import subject
    from jaxicm.media.scaling import SCALES

    labels = parse_labels(label or [])
    wanted = None if qualities is None else parse_numbers(qualities, "--qualities")
    sizes = parse_choices(scales, "--scales", SCALES)
    if crops and out is None:
        raise OptionError("--crops needs --out FILE.json: the crops are written beside that file")
    if known_as is not None:
        curves(known_as)  # refuses unknown names
    objective, how = parse_tune(tune), choose_effort(effort, stages, tune=tune)
    adaptation = Adaptation(how, objective, stages.stem if stages is not None else "") if how else None
    _check_out(out, overwrite)
    pictures = survey(folder, known_as)
    item = subject(codec, fresh=fresh, adaptation=adaptation, kept=keep)
    for setting in wanted or ():
        item.check(setting)
    journal_path = None
    if out is not None:
        make_folder(out.parent)
        journal_path = out.with_suffix(".jsonl")
    terminal = Terminal()
    plan = Plan(
        wanted or item.default,
        sizes,
        jobs or _default_jobs(item.kind),
        _perceptual(terminal),
        make_observers(terminal, pictures, task or [], annotations, pseudo),
        Crops(out.with_suffix(".crops"), [p.name for p in pictures.pictures], crops) if crops and out else None,
        keep,
    )
    command = shlex.join(["jaxicm", *sys.argv[1:]])
    with Journal.open(journal_path, header(item, fresh=fresh), overwrite=overwrite) as journal:
        journal.begin(session(item, pictures, plan, labels=labels, command=command), pictures.pictures)
        failures, run = measure_all(terminal, plan, item, pictures, journal, journal_path, out)
    print_run(run)
    if failures:
        print(f"jaxicm: error: {failures} failed; the same command tries them again", file=sys.stderr)
        raise typer.Exit(EXIT_FAILURES)


def measure_all(
    terminal: Terminal,
    plan: "Plan",
    item: "Subject",
    pictures: "PictureSet",
    journal: "Journal",
    journal_path: Path | None,
    out: Path | None,
) -> tuple[int, dict[str, Any]]:
    """Measure what is missing, print a line a picture, write the run file; return failures and its contents."""
    from jaxicm.cli.evaluation_tables import picture_line
    from jaxicm.evaluate import run_file
    from jaxicm.evaluate.run import measure, outstanding, summarise
    from jaxicm.interruption import Interruption

    needs = outstanding(plan, pictures, journal)
    whole = len(pictures.pictures) * len(plan.settings) * len(plan.scales)
    if len(needs) < whole:
        terminal.note(f"{whole - len(needs)} of {whole} measurements are in {journal_path} already")
    left = {
        picture.name: [need.key for need in needs if need.key.picture == picture.name] for picture in pictures.pictures
    }
    failures = 0
    # an exception at any moment would be swallowed by callbacks of JAX or crash it: a measurement is finished first
    with _explaining_interruption(journal_path), Interruption() as interruption, terminal:
        work = measure(plan, item, pictures, journal, needs, lambda: interruption.received)
        for finished in terminal.track(work, "measuring", len(needs)):
            key = finished.key
            if finished.failure is not None:
                failures += 1
                terminal.error(f"{key.picture}, quality {key.quality:g}, scale {key.scale} %: {finished.failure}")
            left[key.picture].remove(key)
            if not left[key.picture]:
                terminal.result(picture_line(key.picture, plan, journal))
        summarise(plan.observers, journal)
    run = run_file.build(journal)
    if out is not None:
        run_file.write(out, run)
    return failures, run


@contextlib.contextmanager
def _explaining_interruption(journal_path: Path | None) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        kept = "nothing is kept without --out"
        if journal_path is not None:
            kept = f"all finished measurements are in {journal_path}; give the same command again to go on"
        print(f"jaxicm: interrupted: {kept}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _check_out(out: Path | None, overwrite: bool) -> None:
    from jaxicm.errors import OptionError

    if out is None:
        return
    if out.suffix != ".json":
        raise OptionError(f"--out {out}: the name of a run file ends in .json; its journal takes .jsonl")
    if out.exists() and not out.with_suffix(".jsonl").exists() and not overwrite:
        raise OptionError(
            f"{out} exists, but not the journal of its run; name another --out, or replace it with --overwrite"
        )


def _default_jobs(kind: str) -> int:
    from jaxicm.processors import usable_cpus

    if kind == "learned":
        return 1  # a second process would disturb the clock
    return usable_cpus()


def _perceptual(terminal: Terminal) -> "Lpips | None":
    """Return what measures LPIPS, or None and a line that says what it lacks."""
    from jaxicm.errors import JaxicmError
    from jaxicm.evaluate.lpips import Lpips

    try:
        return Lpips.load()
    except JaxicmError as error:
        terminal.note(f"no LPIPS: {error}")
        return None


def make_observers(
    terminal: Terminal, pictures: "PictureSet", tasks: Sequence[str], annotations: Path | None, pseudo: bool
) -> "list[Observer]":
    """Load the task networks of a run; what is missing is told."""
    if not tasks:
        return []
    from jaxicm.evaluate.accuracy import observers

    files = {picture.name: picture.path for picture in pictures.pictures}
    return observers(tasks, annotations, pseudo, files, on_missing=terminal.note)
