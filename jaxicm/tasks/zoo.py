"""The task networks by name; their weights are the user's, found in the folder that JAXICM_TASKS names."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxicm.errors import InputError
from jaxicm.tasks import own
from jaxicm.tasks.interface import TaskNetwork

if TYPE_CHECKING:
    from jaxicm.tasks.functions import TaskFunctions

VARIABLE = "JAXICM_TASKS"
"""Environment variable: the folder of weight files."""
STEMS = {
    "yolox_nano": ("yolox_nano",),
    "mask_rcnn": ("mask_rcnn", "d2go_mask_rcnn", "mask_rcnn_fbnetv3a_dsmask_C4"),
    "deimv2_femto": ("deimv2_femto", "deimv2_hgnetv2_femto_coco"),
    "squeezenet": ("squeezenet", "squeezenet1_1"),
}
"""File names, without suffix, that the weights of each network have; the first that exists is taken."""
SUFFIXES = {"deimv2_femto": (".onnx",)}
NAMES: tuple[str, ...] = tuple(STEMS)
TRAINABLE = ("yolox_nano", "mask_rcnn", "squeezenet")
"""Networks through which gradients go."""
LABELS = "/labels"
"""Behind a network's name: the losses on what it finds itself in the original count, and not its features."""


def load(name: str, path: Path | None = None) -> TaskNetwork:
    """Load a task network.

    Args:
        name: one of `NAMES`, or the path of a weight file whose name says which it is (see `STEMS`).
        path: the weight file, if it is not in the folder that JAXICM_TASKS names.

    Raises:
        InputError: if the name or the file is unknown; the message says what to do.
        MissingDependency: if reading or running it needs a package that is not installed.
    """
    if name not in NAMES and path is None:
        path, name = Path(name), _network_of(name)
    if name not in NAMES:
        raise InputError(f"there is no task network '{name}'; there are {', '.join(NAMES)}")
    path = find(name) if path is None else path
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the weights of {name}")
    match name:
        case "yolox_nano":
            from jaxicm.tasks.yolox_network import Yolox as Network
        case "mask_rcnn":
            from jaxicm.tasks.mask_rcnn_network import MaskRCNN as Network
        case "deimv2_femto":
            from jaxicm.tasks.deimv2 import DEIMv2 as Network
        case _:
            from jaxicm.tasks.squeezenet import SqueezeNet as Network
    return Network.load(path)


def split_names(text: str) -> list[tuple[str, bool]]:
    """Split task networks separated by commas: the name of each, and whether `LABELS` stood behind it."""
    words = [word.strip() for word in text.split(",")]
    return [(word.removesuffix(LABELS), word.endswith(LABELS)) for word in words]


def is_trainable(name: str) -> bool:
    """Whether a name is one that `functions` takes."""
    return name in TRAINABLE or own.is_own(name)


def functions(name: str) -> "TaskFunctions":
    """Return a task network as pure functions, to train or adapt a codec through it.

    Args:
        name: "yolox_nano", "mask_rcnn" or "squeezenet"; or "module:function" or "path/to/file.py:function", a function
            of the user's that returns `TaskFunctions` and parameters.

    Raises:
        InputError: there is no such network, or it has no gradient.
    """
    if own.is_own(name):
        return _own_functions(name)[0]
    if name not in TRAINABLE:
        there = ", ".join(TRAINABLE)
        raise InputError(f"no codec can be trained through '{name}'; there are {there}, or a FILE.py:FUNCTION")
    from jaxicm.tasks.published import FUNCTIONS

    return FUNCTIONS[name]


def load_functions(name: str) -> "tuple[TaskFunctions, Any]":
    """Return a task network as pure functions, and its parameters; see `functions`.

    Raises:
        InputError: as `functions` and `find`.
        MissingDependency: reading the weights needs a package that is not installed.
    """
    if own.is_own(name):
        return _own_functions(name)
    network = functions(name)
    return network, network.load(find(name))


def _own_functions(name: str) -> "tuple[TaskFunctions, Any]":
    from jaxicm.tasks.functions import TaskFunctions

    made = own.call(name)
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], TaskFunctions):
        raise InputError(f"task {name}: the function must return jaxicm.tasks.functions.TaskFunctions and parameters")
    return made


def find(name: str) -> Path:
    """Return the weight file of a network in the folder that JAXICM_TASKS names.

    Raises:
        InputError: if the folder is not given or has none.
    """
    names = [stem + suffix for stem in STEMS[name] for suffix in _suffixes(name)]
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise InputError(
            f"the weights of {name} are not at hand; put {names[0]} into a folder and name it in {VARIABLE}"
        )
    for file in names:
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    raise InputError(f"{folder} ({VARIABLE}) has no weights of {name}; expected {' or '.join(names)}")


def _suffixes(name: str) -> tuple[str, ...]:
    from jaxicm.tasks.importing import SUFFIXES as ARRAYS

    return SUFFIXES.get(name, ARRAYS)


def _network_of(path: str) -> str:
    """Return whose weights a file holds, by its name."""
    stem = Path(path).stem
    for name, stems in STEMS.items():
        if stem in stems:
            return name
    known = ", ".join(NAMES)
    raise InputError(f"there is no task network '{path}'; there are {known}, or a weight file named after one of them")
