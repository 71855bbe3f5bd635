"""Where compiled functions are kept."""

import subprocess
import sys
from pathlib import Path

import pytest

from jaxicm import compilation

CPUINFO = "processor\t: 0\nmodel name\t: Eins\nflags\t\t: sse avx\ncpu MHz\t\t: 1000\n"


@pytest.fixture
def name(monkeypatch):
    """Return a function that names the processor of a /proc/cpuinfo."""

    def of(text: str) -> str:
        monkeypatch.setattr(Path, "read_text", lambda path: text)
        return compilation.processor.__wrapped__()

    return of


def test_code_for_other_instructions_is_kept_apart(name):
    assert name(CPUINFO) != name(CPUINFO.replace("avx", "avx avx512f"))


def test_neither_clock_nor_number_of_processors_matters(name):
    other = CPUINFO.replace("1000", "2345") + "\n" + CPUINFO.replace("processor\t: 0", "processor\t: 1")
    assert name(CPUINFO) == name(other)


def test_a_system_without_that_file_has_a_name_too(monkeypatch):
    def fail(path):
        raise OSError

    monkeypatch.setattr(Path, "read_text", fail)
    assert len(compilation.processor.__wrapped__().split("-")[-1]) == 8


def test_a_second_process_finds_every_function(tmp_path):
    program = (
        "import sys, pathlib, jax; from jaxicm.compilation import use_compilation_cache;"
        "use_compilation_cache(pathlib.Path(sys.argv[1])); jax.jit(lambda x: 3 * x)(1.0)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
        assert len(list(tmp_path.glob("*-cache"))) == 1
