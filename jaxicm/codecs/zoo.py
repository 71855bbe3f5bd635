"""The weights that are installed: found by name, by path or by the digest in a file. Needs no JAX."""

import os
from functools import lru_cache
from pathlib import Path

from jaxicm.codecs.weights import ModelInfo, read_info
from jaxicm.errors import InputError, UnknownWeights

SUFFIX = ".safetensors"
VARIABLE = "JAXICM_MODELS"
"""Environment variable: a further folder of weight files."""


def folders() -> list[Path]:
    """Return the folders that hold weight files: the user's first, then the package's."""
    extra = os.environ.get(VARIABLE)
    released = Path(__file__).parent / "weights_released"
    return [Path(extra), released] if extra else [released]


def model_paths() -> list[Path]:
    """Return the installed weight files, in order of name."""
    return sorted((p for f in folders() if f.is_dir() for p in f.glob("*" + SUFFIX)), key=lambda p: p.stem)


def list_models() -> list[ModelInfo]:
    """Describe the installed weights."""
    return [_info(path, path.stat().st_mtime_ns) for path in model_paths()]


def find(name: str) -> Path:
    """Return the weight file of a name or a path.

    Raises:
      InputError: if there is none.
    """
    if name.endswith(SUFFIX):
        return Path(name)
    for path in model_paths():
        if path.stem == name:
            return path
    known = ", ".join(p.stem for p in model_paths()) or "none"
    raise InputError(f"there is no model '{name}'; installed: {known}; a path to a {SUFFIX} file works too")


def find_digest(prefix: bytes) -> Path:
    """Return the weight file whose digest begins with `prefix`.

    Raises:
      UnknownWeights: if there is none.
    """
    for path in model_paths():
        if _info(path, path.stat().st_mtime_ns).digest.startswith(prefix.hex()):
            return path
    raise UnknownWeights(
        f"the file was made with weights {prefix.hex()}, which are not installed; put their {SUFFIX} file into a "
        f"folder and name it in {VARIABLE}, or install the version of jaxicm that made the file"
    )


def find_decoder(digest: str, viewer: str) -> Path:
    """Return the weight file of a further decoder.

    Args:
      digest: of the weights that it belongs to.
      viewer: "people" or "machine".

    Raises:
      UnknownWeights: if there is none.
    """
    for path in model_paths():
        info = _info(path, path.stat().st_mtime_ns)
        if (info.decoder_of, info.viewer) == (digest, viewer):
            return path
    raise UnknownWeights(
        f"the decoder for {viewer} of the weights {digest[:16]} is not installed; put its {SUFFIX} file into a folder"
        f" and name it in {VARIABLE}, or take another decoder"
    )


@lru_cache(maxsize=64)
def _info(path: Path, changed_ns: int) -> ModelInfo:
    del changed_ns  # only makes the cache notice a new file
    return read_info(path)
