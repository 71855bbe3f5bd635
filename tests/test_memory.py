"""Keeping memory: only where the C library knows how."""

import platform
import subprocess
import sys

import pytest

from jaxicm.memory import keep_allocated_memory

_PROGRAM = """
import resource
import numpy as np
from jaxicm.memory import keep_allocated_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

applies = keep_allocated_memory()
faults()
print(applies, faults())
"""


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_allocated_memory() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_second_large_array_does_not_fault_its_pages_again():
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    applies, faults = run.stdout.split()
    assert applies == "True"
    assert int(faults) < 400  # of 4096 pages
