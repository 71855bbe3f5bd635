"""Task networks as training and adaptation see them: pure functions, differentiable in the pictures, parameters frozen.

Training pictures are cut out of larger ones, and a window of an adaptation is a part of its picture. A network must see
the objects there as large as in the whole picture, so the scale is an argument and not made to fit the size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from jax import Array

    from jaxicm.tasks.targets import Targets


class Outputs(NamedTuple):
    """What a network makes of pictures.

    Attributes:
        features: `[B, h, w, C]` or `[B, n, C]` by level.
        losses: its training losses `[B]` by name; empty without targets.
    """

    features: "dict[str, Array]"
    losses: "dict[str, Array]"


@dataclass(frozen=True)
class TaskFunctions:
    """A task network of pure functions; `jaxicm.tasks.zoo.load_functions` finds them by name.

    Attributes:
        name: of the network.
        levels: of the features that a distance compares, unless others are named.
        kinds: of losses that it has with labels: "box", "mask"; none where it finds no objects.
        scale: of height and width of a whole picture in pixels: how many pixels of the network's canvas a pixel of the
            picture becomes.
        outputs: of parameters, pictures `[B, H, W, 3]` (RGB in [0, 1]), scale and targets, or None for features alone.
        own_losses: of parameters, features of the original and features of the decoded pictures: losses `[B]` by name
            whose labels are what the network finds in the original.
        load: of a weight file: the parameters.
    """

    name: str
    levels: tuple[str, ...]
    kinds: tuple[str, ...]
    scale: Callable[[int, int], float]
    outputs: "Callable[[Any, Array, float, Targets | None], Outputs]"
    own_losses: "Callable[[Any, Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]"
    load: "Callable[[Path], Any]"
