"""Which input becomes which output, and running many of them: one error does not stop the others."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from jaxicm.cli.terminal import Terminal
from jaxicm.errors import InputError, JaxicmError, OptionError, OutputError
from jaxicm.media.files import find_files, source_name

T = TypeVar("T")
MOST_WORKERS = 3


@dataclass(frozen=True)
class Job:
    """Name one input and its output; "-" is standard input or output."""

    source: str
    target: str
    into_folder: bool = False
    """The target lies in an output folder, which is made when needed."""


def plan_jobs(
    paths: Sequence[str],
    out_dir: Path | None,
    *,
    reads: Collection[str],
    writes: Collection[str],
    what: str,
    suffix: str,
) -> list[Job]:
    """Pair inputs with outputs as `cp` does.

    One input and an output that is no folder: that file. Otherwise the output is a folder, made when needed; files go
    into it under their name with the new suffix, the contents of folders keep their relative path. Two inputs that
    would share a name ("a.png", "a.jpg") keep their old suffix before the new one ("a.png.jicm").

    Args:
        paths: INPUT... OUTPUT, or only inputs where `out_dir` is given.
        out_dir: the output folder, or None.
        reads: suffixes by which inputs are found in folders.
        writes: suffixes of outputs, by which an output that names a file is told from a folder.
        what: the name of an input in messages.
        suffix: the new suffix, with its dot.

    Returns:
        At least one job; all targets differ.

    Raises:
        OptionError: no output, or one that does not fit the inputs.
        InputError: an input does not exist, or a folder holds no input.
    """
    sources, output = (list(paths), str(out_dir)) if out_dir is not None else (list(paths[:-1]), paths[-1])
    if not sources:
        raise OptionError(f"OUTPUT is missing: give INPUT and OUTPUT, or --out-dir FOLDER (got only {paths[-1]})")
    folders = [source for source in sources if source != "-" and Path(source).is_dir()]
    named_as_file = out_dir is None and Path(output).suffix.lower() in writes and not Path(output).is_dir()
    if folders and (output == "-" or named_as_file):
        raise InputError(f"{folders[0]}: this is a folder, but the output {output} is one file; name an output folder")
    is_folder = out_dir is not None or bool(folders) or output.endswith(("/", os.sep)) or Path(output).is_dir()
    if len(sources) == 1 and (output == "-" or not is_folder):
        return [_checked(Job(sources[0], output))]
    if output == "-" or named_as_file or Path(output).is_file():
        raise OptionError(f"{len(sources)} inputs but one output file {output}; name an output folder")
    if "-" in sources:
        raise OptionError("standard input has no name to use in a folder; name an output file")
    return _into_folder(sources, Path(output), reads, what, suffix)


def _into_folder(sources: list[str], folder: Path, reads: Collection[str], what: str, suffix: str) -> list[Job]:
    pairs: list[tuple[Path, Path]] = []  # input, and its path below the output folder
    for source in map(Path, sources):
        for file in find_files([source], reads, what):
            pairs.append((file, file.relative_to(source) if source.is_dir() else Path(file.name)))
    short = [relative.with_suffix(suffix) for _, relative in pairs]
    crowded = {name for name, count in Counter(short).items() if count > 1}
    jobs: dict[Path, Job] = {}
    for (file, relative), name in zip(pairs, short, strict=True):
        target = folder / (relative.with_name(relative.name + suffix) if name in crowded else name)
        if target in jobs:
            raise OptionError(f"{jobs[target].source} and {file} would both become {target}; use two output folders")
        jobs[target] = _checked(Job(str(file), str(target), into_folder=True))
    return list(jobs.values())


def _checked(job: Job) -> Job:
    both_exist = "-" not in (job.source, job.target) and Path(job.target).is_file() and Path(job.source).exists()
    if both_exist and Path(job.target).samefile(job.source):
        raise OptionError(f"{job.target} is the input itself; name another output")
    return job


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job, Terminal], str], *, verb: str, no_clobber: bool, workers: int = 1
) -> None:
    """Run all jobs, print one line for each in their order, and a progress bar where there are several.

    Args:
        jobs: what to do.
        work: does one job, writes its output, and returns the line to print.
        verb: shown by the progress bar.
        no_clobber: skip jobs whose output exists.
        workers: jobs at a time, after the first one; `work` must bear to be called from several threads.

    Raises:
        JaxicmError: from the only job, or from writing (a full disk stops everything).
        typer.Exit: with code 2 where some of several jobs failed, each reported on standard error.
    """
    failures = 0
    with Terminal(results_to_stderr=any(job.target == "-" for job in jobs)) as terminal:

        def attempt(job: Job) -> str | JaxicmError | None:
            if no_clobber and job.target != "-" and Path(job.target).exists():
                terminal.note(f"{job.target} exists, skipped")
                return None
            try:
                if job.into_folder:
                    make_folder(Path(job.target).parent)
                with naming(source_name(job.source), job.target):
                    return work(job, terminal)
            except OutputError:
                raise
            except JaxicmError as error:
                return error

        for outcome in terminal.track(_outcomes(jobs, attempt, workers), verb, len(jobs)):
            if isinstance(outcome, str):
                terminal.result(outcome)
            elif outcome is not None:
                if len(jobs) == 1:
                    raise outcome
                failures += 1
                terminal.error(str(outcome))
    if failures:
        print(f"jaxicm: error: {failures} of {len(jobs)} failed", file=sys.stderr)
        raise typer.Exit(2)


def _outcomes(jobs: Sequence[Job], attempt: Callable[[Job], T], workers: int) -> Iterator[T]:
    """Yield what comes of the jobs in their order; up to the first line, which takes loading and compiling, alone."""
    left = iter(jobs)
    for job in left:
        outcome = attempt(job)
        yield outcome
        if workers > 1 and isinstance(outcome, str):
            break
    errors: list[BaseException] = []  # known to the workers at once: until it is noticed here they would begin new jobs

    def unless_stopped(job: Job) -> T:
        if errors:
            raise errors[0]
        try:
            return attempt(job)
        except BaseException as error:
            errors.append(error)
            raise

    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(unless_stopped, left)
        except BaseException as error:
            errors.append(error)
            pool.shutdown(cancel_futures=True)
            raise


def workers_for(asked: int | None) -> int:
    """Return how many pictures to code at a time: as asked, or as many as there are processors, up to `MOST_WORKERS`.

    While the host codes the symbols of one picture the networks work on another. More of them take more memory than
    they save time.
    """
    from jaxicm.processors import usable_cpus

    return asked or min(MOST_WORKERS, usable_cpus())


@contextlib.contextmanager
def naming(*names: str) -> Iterator[None]:
    """Put the first name before the message of a jaxicm error that holds none of them.

    Args:
        names: of the input, then of whatever else errors may be about. Errors of options stay as they are.
    """
    try:
        yield
    except OptionError:
        raise
    except JaxicmError as error:
        if any(name in str(error) for name in names):
            raise
        raise type(error)(f"{names[0]}: {error}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror}); choose another") from error
