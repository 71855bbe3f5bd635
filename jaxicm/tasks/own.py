"""Task networks of the user's own: "module:function" or "path/to/file.py:function", called without arguments."""

import importlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from jaxicm.errors import InputError


def is_own(name: str) -> bool:
    """Tell whether a name means a function of the user's, and not a file that happens to have a colon."""
    return ":" in name and not Path(name).exists()


@lru_cache(maxsize=16)
def call(name: str) -> Any:
    """Return what the function returns; it is called once in a process.

    Raises:
        InputError: the module or the function is missing, or fails.
    """
    place, _, function = name.rpartition(":")
    try:
        return getattr(_module(place), function)()
    except Exception as error:  # whatever the user's code raises
        raise InputError(f"task {name}: {type(error).__name__}: {error}; it must be MODULE:FUNCTION") from error


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    assert spec is not None and spec.loader is not None  # so for every name that ends in .py
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
