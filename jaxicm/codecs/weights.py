"""Released weights: one safetensors file with integers, tables, rounded transforms and where they come from.

A file names the weights that made it by the first bytes of their digest, which covers everything that decoding depends
on. The probability tables are stored, never rebuilt: two machines may differ in the last bit of an exponential.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.adapt.parameter_code import leaves
from jaxicm.bits.tables import Tables
from jaxicm.configuration import from_dict
from jaxicm.errors import ConfigError, CorruptFile, InputError

FORMAT = "jaxicm-weights-1"
DIGEST_BYTES = 8
"""Bytes of the digest that a compressed file carries."""
_HEADER_LIMIT = 1 << 24


@dataclass(frozen=True)
class ModelInfo:
    """What is known about released weights without loading them.

    Attributes:
      name: in the zoo, the file's stem.
      digest: sha256 of the contents, hexadecimal.
      profile: "fast", "base", ...
      parameters: count, of all networks.
      kmac_per_pixel: thousands of multiply-adds a pixel of each part.
      steps: sequential steps of the probability model.
      trained_on: one line.
      curve: measured points: quality, bpp, psnr, ms_ssim.
      config: of the model, as nested dict.
      provenance: run, steps, hours, command.
      size_bytes: of the file.
      trained_for: distortion of the training objective, "mse", "ms-ssim", "yuv" or "machine".
      decoder_of: digest of the codec whose further decoder this is; empty for a whole codec.
      viewer: for whom such a decoder is, "people" or "machine".
      machine: settings of `objectives.machine.MachineDistortion`, if trained for that.
    """

    name: str
    digest: str
    profile: str
    parameters: int
    kmac_per_pixel: dict[str, float]
    steps: int
    trained_on: str
    curve: list[dict[str, float]]
    config: dict[str, Any]
    provenance: dict[str, Any]
    size_bytes: int
    trained_for: str = "mse"
    machine: dict[str, Any] | None = None
    decoder_of: str = ""
    viewer: str = ""

    @property
    def own_viewer(self) -> str:
        """For whom the weights' own decoder is, "people" or "machine"."""
        return "machine" if self.trained_for == "machine" else "people"

    @property
    def is_filter(self) -> bool:
        """Whether these are weights of a filter behind a conventional codec."""
        return "filter" in self.config

    @property
    def is_lossless(self) -> bool:
        """Whether these are weights of the lossless codec."""
        return "pixels" in self.config


def digest_of(arrays: dict[str, np.ndarray], config: dict[str, Any]) -> str:
    """Return the sha256 of all that decoding depends on, in a fixed order."""
    state = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name}|{array.dtype.str}|{array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def read_info(path: Path) -> ModelInfo:
    """Read the description of a weight file without its tensors (needs no JAX).

    Raises:
      InputError: if the file is missing or is no weight file of jaxicm.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else _HEADER_LIMIT
            if length >= _HEADER_LIMIT:
                raise ValueError("no safetensors header")
            meta = json.loads(file.read(length))["__metadata__"]
        if meta.get("format") != FORMAT:
            raise ValueError(f"format {meta.get('format')!r}")
        return ModelInfo(name=path.stem, size_bytes=path.stat().st_size, **json.loads(meta["model"]))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a weight file of jaxicm ({error}); make one with `jaxicm freeze`") from error


def write(path: Path, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> str:
    """Write a weight file.

    Args:
      path: of the file.
      arrays: flat named arrays, tables included.
      info: the fields of `ModelInfo` but name, digest and size_bytes.

    Returns:
      The digest.
    """
    from safetensors.numpy import save

    digest = digest_of(arrays, info["config"])
    text = json.dumps({**info, "digest": digest})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(arrays, {"format": FORMAT, "model": text}))
    return digest


def read(path: Path) -> tuple[dict[str, np.ndarray], ModelInfo]:
    """Read a weight file and check its digest.

    Raises:
      InputError: if it is missing or none.
      CorruptFile: if its contents do not have the digest that it states.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    info = read_info(path)
    try:
        arrays = load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"{path}: the weights are damaged ({error}); copy them again") from error
    found = digest_of(arrays, info.config)
    if found != info.digest:
        raise CorruptFile(f"{path}: the weights have digest {found[:16]}, expected {info.digest[:16]}; copy them again")
    return arrays, info


def load_trainable(path: Path) -> dict[str, Any]:
    """Read released weights as parameters that training can go on from.

    Integers of the exact networks become the real values they stand for, so the first step sees the released codec.

    Args:
      path: of a weight file with the progressive model or the pixel model.

    Returns:
      The parameter tree of `models.image.ImageModel` or `models.lossless.LosslessModel`.

    Raises:
      InputError, CorruptFile: as `read`; InputError also for a model that cannot be trained on.
    """
    from jaxicm.codecs import transform_arrays
    from jaxicm.entropy.pixel_frozen import FrozenPixels
    from jaxicm.entropy.progressive_frozen import FrozenProgressive
    from jaxicm.models.image import ImageConfig
    from jaxicm.models.lossless import LosslessConfig

    arrays, info = read(path)
    if info.is_lossless:
        lossless: LosslessConfig = config_from_info(LosslessConfig, info)
        if lossless.masked is not None:
            raise InputError(f"{path}: released masked models cannot be trained on; go on from the run folder instead")
        pixels = lossless.pixels
        return {"pixels": FrozenPixels.from_arrays(part(arrays, "pixels"), pixels).thaw()}
    config: ImageConfig = config_from_info(ImageConfig, info)
    if config.recurrent is not None:
        raise InputError(f"{path}: released recurrent models cannot be trained on; go on from the run folder instead")
    params = transform_arrays.from_arrays(part(arrays, "transform"))
    params["entropy"] = FrozenProgressive.from_arrays(part(arrays, "entropy"), config.entropy).thaw()
    return params


def part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays below `prefix/`, without it."""
    return {k.removeprefix(prefix + "/"): v for k, v in arrays.items() if k.startswith(prefix + "/")}


def flatten(tree: dict[str, Any]) -> dict[str, np.ndarray]:
    """Flatten nested dicts of arrays to names joined by slashes."""
    return {name: np.asarray(value) for name, value in leaves(tree).items()}


def unflatten(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Undo `flatten`."""
    tree: dict[str, Any] = {}
    for name, value in arrays.items():
        *folders, leaf = name.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[leaf] = value
    return tree


def tables_to_arrays(tables: Tables) -> dict[str, np.ndarray]:
    """Name the arrays of the coder's tables."""
    return {f"tables/{k}": np.asarray(v) for k, v in tables.to_arrays().items()}


_RETIRED = {"noisy_rate"}
"""Settings in weight files of the first version that said how a model was trained, not what it is."""


def config_from_info(cls: type, info: ModelInfo) -> Any:
    """Rebuild the model's configuration; a weight file of a newer jaxicm may hold keys that this one lacks."""
    try:
        return from_dict(cls, {key: value for key, value in info.config.items() if key not in _RETIRED})
    except ConfigError as error:
        raise InputError(f"weights {info.name}: {error}; a newer jaxicm may be needed") from error
