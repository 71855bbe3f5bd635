"""The entry point: commands, global options, and errors as one line with an exit code."""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from jaxicm import __version__
from jaxicm.cli.ablate import ablate
from jaxicm.cli.bench import app as bench
from jaxicm.cli.calibrate import calibrate
from jaxicm.cli.dataset import app as dataset
from jaxicm.cli.decode import decode
from jaxicm.cli.demo import demo
from jaxicm.cli.encode import encode
from jaxicm.cli.evaluation import evaluate
from jaxicm.cli.freeze import freeze
from jaxicm.cli.info import info
from jaxicm.cli.models import models
from jaxicm.cli.progress import progress
from jaxicm.cli.report import report
from jaxicm.cli.train import train
from jaxicm.cli.video import app as video
from jaxicm.cli.video import extract
from jaxicm.errors import JaxicmError
from jaxicm.memory import keep_allocated_memory

EXIT_BUG = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 1  # as typer itself and the Python manual have it

# typer carries its own copy of click since 0.2x: find the base of usage errors in either
_ClickException = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

# plain help: typer's rich help takes twice as long (0.21 s against 0.10 s in all)
app = typer.Typer(
    name="jaxicm",
    help="Learned image compression: files that every machine decodes to the same symbols.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("encode")(encode)
app.command("decode")(decode)
app.command("info")(info)
app.command("models")(models)
app.command("demo")(demo)
app.add_typer(dataset, name="dataset")
app.command("train")(train)
app.command("progress")(progress)
app.command("ablate")(ablate)
app.command("freeze")(freeze)
app.command("calibrate")(calibrate)
app.command("eval")(evaluate)
app.add_typer(bench, name="bench")
app.command("report")(report)
app.add_typer(video, name="video")
app.command("extract")(extract)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"jaxicm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
) -> None:
    """Learned image compression: files that every machine decodes to the same symbols."""
    del version, debug  # the callback and main() act on them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; by default those of the process.

    Returns:
        The exit code: 0 done, 2 an error of input, options or output, 1 a bug or a broken
        pipe, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in words  # wherever it stands, so that it can be added to the end of a command
    words = [word for word in words if word != "--debug"]
    if not debug:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the log of XLA's C++ code means nothing to a user
    keep_allocated_memory()
    try:
        code = app(words, prog_name="jaxicm", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except typer.Abort:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_standard_output()
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        code, line = explain(error)
        print(f"jaxicm: error: {line}", file=sys.stderr)
        return code


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the one line that tell the user about an error.

    Args:
        error: whatever a command raised.

    Returns:
        Exit code and message without line breaks.
    """
    code, text = EXIT_USER, str(error)
    if isinstance(error, _ClickException):
        context = getattr(error, "ctx", None)
        message = error.format_message()  # type: ignore[attr-defined]
        text = f"{message.rstrip('.')}; see `{context.command_path if context else 'jaxicm'} --help`"
    elif isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        text = "out of memory; close other programs or compress the picture in parts"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = "the disk is full; make room and try again"
    elif not isinstance(error, JaxicmError):
        code = EXIT_BUG
        text = (
            f"unexpected {type(error).__name__}: {text}; this is a bug in jaxicm, please report it with the output"
            " of the same command with --debug added"
        )
    return code, " ".join(text.split())


def _silence_standard_output() -> None:
    # the interpreter flushes standard output once more at its end and would complain about the closed pipe
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
