"""Weight files of the original networks to parameters: npz, safetensors or PyTorch files, with their own names.

What the files hold is brought to one form on the way: batch normalisation is folded into the convolution before it,
8-bit weights are multiplied by their scales, and kernels turn from OIHW to HWIO.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import InputError, MissingDependency

Arrays = dict[str, np.ndarray]


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the name") from error


def read_arrays(path: Path) -> Arrays:
    """Read the named arrays of a weight file.

    Args:
        path: .npz, .safetensors, or .pth/.pt (read through torch; a state dict, or a dict that holds one as "model").

    Raises:
        InputError: if it is missing or no such file.
        MissingDependency: for .pth/.pt without torch.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the name")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: weights are read from {', '.join(SUFFIXES)}, not {path.suffix or 'this'}")
    try:
        return _READERS[path.suffix](path)
    except MissingDependency:
        raise
    except Exception as error:  # each library has classes of its own for a damaged file
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a readable weight file ({line}); fetch it again") from error


def _read_numpy(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _read_safetensors(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_torch(path: Path) -> Arrays:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependency(
            f"{path}: PyTorch files are read through torch: pip install torch, or convert the file to .safetensors"
        ) from error
    state: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "state_dict"):
        state = state.get(key, state) if isinstance(state, Mapping) else {}
    return {name: value.detach().numpy() for name, value in state.items() if hasattr(value, "detach")}


_READERS = {".npz": _read_numpy, ".safetensors": _read_safetensors, ".pth": _read_torch, ".pt": _read_torch}
SUFFIXES = tuple(_READERS)
"""Of the files that `read_arrays` reads."""


def fold(arrays: Arrays, epsilon: float) -> Arrays:
    """Fold batch normalisation and scales of 8-bit weights, leaving `.weight` and `.bias` of every layer.

    Args:
        arrays: with `X.conv.weight` and `X.bn.{weight,bias,running_mean,running_var}`, or `X.weight_int8` (first axis:
            output) and `X.weight_scale`, or plain `X.weight`.
        epsilon: of the batch normalisation.

    Returns:
        float32 arrays (anything else untouched), without the names that were folded.
    """
    out: Arrays = {}
    for name, array in arrays.items():
        head, _, last = name.rpartition(".")
        parent, _, layer = head.rpartition(".")
        if last == "weight_int8":
            scale = arrays[f"{head}.weight_scale"]
            out[f"{head}.weight"] = array.astype(np.float32) * scale.reshape(-1, *(1,) * (array.ndim - 1))
        elif layer == "bn" or last == "weight_scale":
            continue
        elif layer == "conv" and last == "weight" and f"{parent}.bn.weight" in arrays:
            gamma, beta, mean, variance = (
                arrays[f"{parent}.bn.{n}"].astype(np.float64) for n in ("weight", "bias", "running_mean", "running_var")
            )
            gain = gamma / np.sqrt(variance + epsilon)
            before = arrays.get(f"{head}.bias", np.zeros(1)).astype(np.float64)
            out[name] = (array * gain.reshape(-1, 1, 1, 1)).astype(np.float32)
            out[f"{head}.bias"] = ((before - mean) * gain + beta).astype(np.float32)
        elif name not in out:
            out[name] = array
    return out


def to_parameters(template: Mapping[str, Any], arrays: Arrays, prefix: str, source: str) -> dict[str, Any]:
    """Fill the parameters of a module from arrays named by the same path.

    Args:
        template: nested dict of the module's shapes (of `jax.eval_shape`); the parts of a path joined by "." are the
            array's name, with `kernel` for `weight`.
        arrays: folded, kernels OIHW or [out, in].
        prefix: in front of the names.
        source: of the arrays, for messages.

    Returns:
        A nested dict like the template, of float32 numpy arrays.

    Raises:
        InputError: if an array is missing or has another shape.
    """

    def fill(node: Any, path: str) -> Any:
        if isinstance(node, Mapping):
            return {key: fill(child, f"{path}.{key}" if path else key) for key, child in node.items()}
        name = prefix + (path.removesuffix("kernel") + "weight" if path.endswith("kernel") else path)
        if name not in arrays:
            raise InputError(f"{source}: there is no array '{name}'; the weights belong to another network")
        array = arrays[name]
        if path.endswith("kernel"):
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        if array.shape != node.shape:
            raise InputError(
                f"{source}: '{name}' has shape {arrays[name].shape}, which gives {array.shape} where the network has "
                f"{node.shape}; the weights belong to another size of it"
            )
        return np.ascontiguousarray(array, np.float32)

    return fill(template, "")


def count_parameters(params: Mapping[str, Any]) -> int:
    """Return the number of values in nested dicts of arrays."""
    return sum(count_parameters(v) if isinstance(v, Mapping) else int(v.size) for v in params.values())
