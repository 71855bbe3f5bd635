"""How hard the lossy encoder tries, as options say it: an effort from 0 to 9, or a file of stages."""

import math
import runpy
from pathlib import Path

from jaxicm.adapt.stage import Stage
from jaxicm.errors import ConfigError, OptionError


def load_stages(path: Path) -> tuple[Stage, ...]:
    """Read a file of stages.

    Args:
        path: a Python file with a function `config()` that returns a tuple of `Stage`.

    Returns:
        The checked stages, at least one.

    Raises:
        ConfigError: the file is missing, fails or makes something else.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file of stages; those that come with jaxicm are configs/latents_*.py")
    try:
        stages = runpy.run_path(str(path))["config"]()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except KeyError as error:
        raise ConfigError(f"{path}: defines no function config() that returns a tuple of Stage ({error})") from error
    except Exception as error:  # whatever the user's file does
        raise ConfigError(f"{path}: fails with {type(error).__name__}: {error}; correct the file") from error
    if not isinstance(stages, tuple | list) or not stages or not all(isinstance(each, Stage) for each in stages):
        kind = type(stages).__name__
        found = f"{kind} of {len(stages)}" if isinstance(stages, tuple | list) else kind
        raise ConfigError(f"{path}: config() returned a {found}, expected a tuple of Stage, at least one")
    return tuple(stages)


def choose_effort(
    effort: int, stages: Path | None, *, tune: str | None = None, time_limit_s: float | None = None
) -> int | tuple[Stage, ...]:
    """Return what `ImageCodec.encode` takes as effort.

    Args:
        effort: 0 to 9; 0 adapts nothing.
        stages: a file of stages, or None.
        tune: given objective, which only an adaptation follows.
        time_limit_s: given seconds, which only an adaptation takes.

    Returns:
        The effort, or the stages.

    Raises:
        OptionError: the options exclude each other, have nothing to act on, or are out of range.
        ConfigError: as `load_stages`.
    """
    if time_limit_s is not None and not (time_limit_s > 0 and math.isfinite(time_limit_s)):
        raise OptionError(f"--time-limit must be a positive number of seconds, got {time_limit_s:g}")
    if stages is not None and effort:
        raise OptionError("--effort and --stages exclude each other; give one of them")
    if stages is not None:
        return load_stages(stages)
    for name, value in (("--tune", tune), ("--time-limit", time_limit_s)):
        if value is not None and not effort:
            raise OptionError(f"{name} is for adapting to the picture, which effort 0 leaves out; add --effort 1 to 9")
    return effort
