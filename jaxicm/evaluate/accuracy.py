"""What a machine still sees in a decoded picture: task networks as observers of a run.

A task is a network of `jaxicm.tasks` by name, a weight file, or a network of your own as `module:function` or
`path/to/file.py:function`, a function without arguments that returns a
:class:`~jaxicm.tasks.interface.TaskNetwork`. A network whose classes are not those of COCO has one more member,
`class_names`, to which `Detections.classes` then points; the annotations' categories are matched by name. A full-size
R-CNN of detectron2, say::

    class RCNN:                                          # my_rcnn.py
        name, outputs, digest = "rcnn_x101", ("box", "mask"), "sha256 of its weights"

        def predict(self, pixels):                       # uint8 [H, W, 3] RGB
            found = PREDICTOR(pixels[..., ::-1])["instances"].to("cpu")
            arrays = (found.pred_boxes.tensor, found.scores, found.pred_classes, found.pred_masks)
            return Detections(*(array.numpy() for array in arrays))

        def features(self, pixels):
            return {}                                    # or pyramid levels, float32 [h, w, C] by name

    $ jaxicm eval vvc pictures/ --task my_rcnn.py:RCNN --annotations instances.json
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxicm.errors import InputError, MissingDependency, OptionError
from jaxicm.evaluate.checkerboard import CheckerboardObserver
from jaxicm.evaluate.coco import Evaluation, as_results, require_library
from jaxicm.evaluate.feature_fidelity import feature_distance, feature_psnr
from jaxicm.evaluate.ground_truth import GroundTruth, pseudo_ground_truth, read_ground_truth
from jaxicm.media.pictures import as_rgb, read_picture
from jaxicm.tasks import own
from jaxicm.tasks.interface import COCO_CLASSES, COCO_IDS, TaskNetwork

if TYPE_CHECKING:
    from jaxicm.evaluate.run import Observer

THRESHOLD = 0.5
"""Smallest score of a detection on the uncoded picture that counts as an object where there are no annotations."""
_KEPT_BYTES = 1 << 28
"""Features of originals that are kept, so that the next operating point of the same picture finds them."""


class TaskObserver:
    """Run a task network on decoded pictures and compare with a ground truth and with the originals' features.

    Figures: average precision (:meth:`jaxicm.evaluate.coco.Accuracy.figures`) of what the network finds;
    `feature_psnr` in dB where it shows features, the mean over levels and pictures, left out where a picture's features
    are those of the original; `feature_distance` where it only has features.

    Args:
        network: the network.
        pictures: files of the originals by name.
        truth: annotations, or None for the network's own detections on the originals.
        threshold: score of a detection from which it is an object, without annotations.

    Attributes:
        name: of the network.
        digest: of the network's weights.
        ground_truth: "real", "pseudo", or None where the network finds nothing.
    """

    def __init__(
        self,
        network: TaskNetwork,
        pictures: Mapping[str, Path],
        truth: GroundTruth | None = None,
        *,
        threshold: float = THRESHOLD,
    ):
        self.name = network.name
        self.digest: str | None = network.digest
        self.ground_truth = None if not network.outputs else "pseudo" if truth is None else "real"
        self._network, self._pictures, self._annotated, self._threshold = network, pictures, truth, threshold
        self._features: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()
        self._detections: dict[str, list[dict[str, Any]]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        if network.outputs:
            require_library()

    def observe(self, picture: str, original: np.ndarray, decoded: np.ndarray) -> dict[str, Any]:
        """Return what the network finds in a decoded picture, and how far its features are from the original's.

        Args:
            picture: its name, a key of `pictures`.
            original: uint8 [H, W, 3] or [H, W].
            decoded: uint8, the same height and width.

        Returns:
            `detections`, entries of a COCO result file (:func:`jaxicm.evaluate.coco.as_results`); `feature_psnr` in dB
            by level, None where nothing differs; `feature_distance`.

        Raises:
            InputError: the annotations are of a picture of another size.
        """
        observation: dict[str, Any] = {}
        if self._network.outputs:
            self._original_detections(picture, original)  # wanted in the end; here the user sees progress
            observation["detections"] = self._detect(picture, decoded)
        if features := self._network.features(as_rgb(decoded)):
            reference = self._original_features(picture, original)
            psnr = feature_psnr(reference, features)
            observation["feature_psnr"] = {
                level: round(value, 4) if np.isfinite(value) else None for level, value in psnr.items()
            }
            if not self._network.outputs:
                observation["feature_distance"] = round(feature_distance(reference, features), 7)
        return observation

    def summarise(self, observations: Mapping[str, dict[str, Any]]) -> dict[str, float]:
        """Return the figures of one operating point.

        Args:
            observations: of :meth:`observe` by picture; of the ground truth only these pictures count.

        Returns:
            The figures by name.
        """
        figures: dict[str, float] = {}
        for evaluation in self.evaluations(observations):
            figures |= evaluation.accuracy().figures()
        psnr = [list(one["feature_psnr"].values()) for one in observations.values() if one.get("feature_psnr")]
        # a picture whose features are equal makes the mean infinite, which is no figure
        if psnr and not any(None in levels for levels in psnr):
            figures["feature_psnr"] = float(np.mean([np.mean(levels) for levels in psnr]))
        if distances := [one["feature_distance"] for one in observations.values() if "feature_distance" in one]:
            figures["feature_distance"] = float(np.mean(distances))
        return figures

    def evaluations(self, observations: Mapping[str, dict[str, Any]]) -> list[Evaluation]:
        """Return the comparison with the ground truth, of boxes and, where both sides have them, of masks.

        Args:
            observations: of :meth:`observe` by picture.
        """
        if not self._network.outputs or not observations:
            return []
        truth = self._truth.select(observations)
        results = {name: one["detections"] for name, one in observations.items()}
        return [Evaluation(truth, results, kind) for kind in self._network.outputs if kind in truth.kinds]

    def reference(self) -> dict[str, float] | None:
        """Return the average precision on the uncoded pictures, None where the network only has features.

        Pictures that were not observed before are read and looked at on the first call.
        """
        return dict(self._reference) if self._network.outputs else None

    @functools.cached_property
    def _reference(self) -> dict[str, float]:
        return self.summarise({name: {"detections": found} for name, found in self._all_originals().items()})

    @functools.cached_property
    def _truth(self) -> GroundTruth:
        if self._annotated is not None:
            return self._annotated
        found = self._all_originals()
        sizes = {name: self._sizes[name] for name in found}
        return pseudo_ground_truth(found, sizes, _categories(self._network), self._threshold)

    def _all_originals(self) -> dict[str, list[dict[str, Any]]]:
        return {name: self._original_detections(name) for name in self._pictures}

    def _original_detections(self, picture: str, original: np.ndarray | None = None) -> list[dict[str, Any]]:
        if picture not in self._detections:
            pixels = read_picture(self._pictures[picture]).pixels if original is None else original
            self._sizes[picture] = (pixels.shape[0], pixels.shape[1])
            self._detections[picture] = self._detect(picture, pixels)
        return self._detections[picture]

    def _detect(self, picture: str, pixels: np.ndarray) -> list[dict[str, Any]]:
        if self._annotated is not None and pixels.shape[:2] != self._annotated.sizes[picture]:
            raise InputError(
                f"{picture}: {pixels.shape[1]}x{pixels.shape[0]} pixels, but its annotations are of "
                f"{self._annotated.sizes[picture][1]}x{self._annotated.sizes[picture][0]}; evaluate the annotated file"
            )
        found = self._network.predict(as_rgb(pixels))
        ids = np.array(tuple(_categories(self._network)))
        return as_results(found.boxes, found.scores, ids[found.classes], found.masks)

    def _original_features(self, picture: str, original: np.ndarray) -> dict[str, np.ndarray]:
        if picture not in self._features:
            self._features[picture] = self._network.features(as_rgb(original))
        self._features.move_to_end(picture)
        while len(self._features) > 1 and _size_bytes(self._features) > _KEPT_BYTES:
            self._features.popitem(last=False)
        return self._features[picture]


def observers(
    tasks: Sequence[str | TaskNetwork],
    annotations: Path | None,
    pseudo: bool,
    pictures: Mapping[str, Path],
    *,
    threshold: float = THRESHOLD,
    on_missing: Callable[[str], None] | None = None,
) -> list["Observer"]:
    """Make what looks at the decoded pictures of a run.

    Args:
        tasks: "checkerboard" for the checkerboard index, or task networks as the head of this module says.
        annotations: COCO json with the ground truth.
        pseudo: take each network's detections on the uncoded pictures as the ground truth instead.
        pictures: files of the originals by the name they have in the run.
        threshold: score of a detection from which it is an object, with `pseudo`.
        on_missing: called with the one-line message of a task that lacks its weights or a package, which is then left
            out; by default this is an error.

    Returns:
        One observer a task, in their order.

    Raises:
        OptionError: annotations and `pseudo` together, neither of them where one is needed, or a task named twice.
        InputError: unknown task, no weights, or annotations that do not fit the pictures.
        MissingDependency: a package is not installed.
    """
    if annotations is not None and pseudo:
        raise OptionError("--annotations and --pseudo exclude each other: take one of them as the ground truth")
    made: list[Observer] = []
    for task in tasks:
        if task == CheckerboardObserver.name:
            made.append(CheckerboardObserver(pictures))
            continue
        try:
            network = load_task(task) if isinstance(task, str) else task
            if network.outputs:
                require_library()
        except (InputError, MissingDependency) as error:
            if on_missing is None:
                raise
            on_missing(str(error))
            continue
        if network.outputs and annotations is None and not pseudo:
            raise OptionError(
                f"task {network.name} needs a ground truth: --annotations FILE.json in COCO's format, or --pseudo to "
                "take its detections on the uncoded pictures"
            )
        truth = None
        if network.outputs and annotations is not None:
            truth = read_ground_truth(annotations, pictures, _categories(network))
        made.append(TaskObserver(network, pictures, truth, threshold=threshold))
    names = [observer.name for observer in made]
    if twice := {name for name in names if names.count(name) > 1}:
        raise OptionError(f"two tasks are called {twice.pop()}; name each once")
    return made


def load_task(name: str) -> TaskNetwork:
    """Load a task network by the name of the zoo, from a weight file, or from a function of the user's.

    Args:
        name: "yolox_nano" and so on, the path of a weight file, "module:function" or "path/to/file.py:function".

    Returns:
        The network.

    Raises:
        InputError: nothing of this name, a module or function that fails, or what it returns is no task network.
        MissingDependency: the network needs a package that is not installed.
    """
    if not own.is_own(name):
        from jaxicm.tasks import zoo

        return zoo.load(name)
    network = own.call(name)
    if not isinstance(network, TaskNetwork):
        raise InputError(
            f"task {name}: the function returned {type(network).__name__}, no task network; it must have the "
            "members of jaxicm.tasks.interface.TaskNetwork: name, outputs, digest, predict and features"
        )
    return network


def _categories(network: TaskNetwork) -> dict[int, str]:
    """Return the names of a network's classes by category number, in the order of its classes."""
    names = tuple(getattr(network, "class_names", COCO_CLASSES))
    return dict(zip(COCO_IDS if names == COCO_CLASSES else range(1, len(names) + 1), names, strict=True))


def _size_bytes(kept: Mapping[str, Mapping[str, np.ndarray]]) -> int:
    return sum(level.nbytes for features in kept.values() for level in features.values())
