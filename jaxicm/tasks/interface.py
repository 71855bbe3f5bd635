"""What a task network is to the rest of the package, whatever runs inside it. Needs no JAX."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""Names of the 80 classes of COCO, in the contiguous order that `Detections.classes` counts in."""

_REMOVED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
COCO_IDS = tuple(number for number in range(1, 92) if number not in _REMOVED)
"""`category_id` in COCO's annotation files of each contiguous class: 1 to 90 with ten numbers that COCO gave up."""


@dataclass(frozen=True)
class Detections:
    """The objects that a network found in one picture, best score first.

    Attributes:
        boxes: float32 [N, 4], x0, y0, x1, y1 in pixels of the picture that was given; pixel i covers [i, i + 1].
        scores: float32 [N], in [0, 1], falling.
        classes: int32 [N], 0 to 79, positions in `COCO_CLASSES`.
        masks: bool [N, H, W] in the size of the picture, or None where the network makes none.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,):
            raise ValueError(f"{count} scores need boxes [{count}, 4], got {self.boxes.shape}, {self.classes.shape}")
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != count):
            raise ValueError(f"{count} scores need masks [{count}, H, W], got {self.masks.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> "Detections":
        """Return the detections with at least this score, for instance to take them as pseudo ground truth."""
        kept = int(np.count_nonzero(self.scores >= score))
        masks = None if self.masks is None else self.masks[:kept]
        return Detections(self.boxes[:kept], self.scores[:kept], self.classes[:kept], masks)


@runtime_checkable
class TaskNetwork(Protocol):
    """A frozen network that looks at decoded pictures.

    Anything with these members can judge a codec: the networks of `jaxicm.tasks.zoo` or, say, a full-size R-CNN of
    your own. `name` and `digest` go into the run file, so figures of different networks are never mixed.

    Attributes:
        name: of the network, a plain word.
        outputs: what `predict` finds: ("box",), ("box", "mask"), or () where the network only has features.
        digest: sha256 of the weights, hexadecimal.
    """

    @property
    def name(self) -> str: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def digest(self) -> str: ...

    def predict(self, pixels: np.ndarray) -> Detections:
        """Find objects.

        Args:
            pixels: uint8 [H, W, 3] RGB of any size, the decoded picture as a viewer sees it; resizing happens inside.
        """
        ...

    def features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return feature maps by the name of their level, float32 [h, w, C]; {} for a black box.

        Args:
            pixels: as of `predict`.
        """
        ...
