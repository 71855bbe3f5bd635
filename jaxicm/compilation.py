"""How functions are compiled: a cache on the disk, and the options that suit a back end. Imports jax when called."""

import os
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
        folder: where; by default "compiled" in `cache_folder`.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        folder = folder or cache_folder() / "compiled"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


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
