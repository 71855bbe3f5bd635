"""How functions are compiled: a cache on the disk, and the options that suit a back end. Imports jax when called."""

import hashlib
import os
import platform
from functools import cache
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of the user's caches that belongs to jaxicm (it may not exist yet)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jaxicm"


def use_compilation_cache(folder: Path | None = None) -> None:
    """Keep compiled functions on the disk, so that a second process starts in a fraction of the time.

    A folder that the user has set (JAX_COMPILATION_CACHE_DIR) is left as it is. Where the folder cannot be written,
    nothing is kept.

    Args:
        folder: where; by default a folder of this kind of processor in `cache_folder`.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        folder = folder or cache_folder() / "compiled" / processor()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # Every function: each one that is missing costs the next process more than the rest of its decoding.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@cache
def processor() -> str:
    """Name the kind of this machine's processor in a few letters.

    Compiled code uses all its instructions, but JAX would load it on another machine that shares the folder: with a
    page of warnings, and a crash where an instruction is missing.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    known = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)  # of the first processor
    names = ("vendor_id", "cpu family", "model", "model name", "flags", "CPU implementer", "CPU part", "Features")
    found = {key.strip(): value.strip() for key, value in known.items() if key.strip() in names}
    text = repr(sorted(found.items())) if found else platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@cache
def training_options() -> dict[str, str]:
    """Return the compiler options for training steps: on a CPU, Eigen instead of YNNPACK.

    YNNPACK takes up to twice as long for gradients of weights. The option is experimental: a jaxlib that does not know
    it gets none.
    """
    import jax

    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(1.0)
    except Exception:  # each version of jaxlib has its own class for an unknown option
        return {}
    return options
