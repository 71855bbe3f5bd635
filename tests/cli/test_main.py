"""The entry point: quick, quiet about closed pipes, and every command has its help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from jaxicm.cli.main import app, explain
from jaxicm.errors import CorruptFile

COMMANDS = ("encode", "decode", "info", "models", "demo", "train", "freeze", "eval", "bench")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("encode", "--help"), ()])
def test_help_imports_nothing_slow(words):
    program = (
        "import sys; from jaxicm.cli.main import main; code = main(sys.argv[1:]);"
        "slow = {'jax', 'numpy', 'PIL', 'rich', 'matplotlib', 'scipy'} & set(sys.modules); assert not slow, slow;"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "jaxicm" in done.stdout


def test_importing_the_media_and_metrics_imports_no_jax():
    program = "import sys, jaxicm.media, jaxicm.evaluate.run, jaxicm.evaluate.sheet; assert 'jax' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert f"Usage: jaxicm {command}" in done.out


def test_every_command_is_listed():
    registered = (*app.registered_commands, *app.registered_groups)
    assert {command.name for command in registered} >= set(COMMANDS)


def test_a_closed_pipe_is_quiet():
    program = "import sys; from jaxicm.cli.main import main; sys.exit(main(['--help']))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=write_end, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write_end)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (CorruptFile("two\nlines"), 2, "two lines"),
        (OSError(28, "No space left on device"), 2, "disk is full"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), 2, "out of memory"),
        (typer.BadParameter("wrong."), 2, "wrong; see `jaxicm --help`"),
        (KeyError("x"), 1, "this is a bug"),
    ],
)
def test_errors_are_explained_in_one_line(error, code, says):
    found, line = explain(error)
    assert found == code
    assert says in line
    assert "\n" not in line


def test_commands_are_one_file_each():
    folder = Path(sys.modules["jaxicm.cli.main"].__file__ or "").parent
    for command in COMMANDS:
        assert (folder / f"{'evaluation' if command == 'eval' else command}.py").is_file()
