"""Which pictures a run trains on, and how crops are made of them: settings that need neither JAX nor pictures."""

from dataclasses import dataclass
from typing import Literal

from jaxicm.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """Which pictures are trained on, how they are varied, and who reads them.

    A pattern is a glob that is matched from the right of a path ("photos-b/*.jpg"); with `%N` at its end it matches
    only files whose number, the last digits of the name, divides by N. Patterns choose among the files of folders;
    arrays and TFDS data sets are taken whole. The validation pictures are always left out.

    Attributes:
      folders: each a folder of pictures, searched recursively; a `.npy` of uint8 `[N, H, W, 3]`; the folder of a
        prepared TFDS data set, `DIR[:SPLIT]`; or `tfds:NAME[/CONFIG][:SPLIT][@DATA_DIR]`. The split is `train` unless
        named.
      include: patterns of the files to take.
      exclude: patterns of the files to leave out.
      weights: share of the crops that each entry of `folders` gives, relative to each other; without any, in
        proportion to the number of its pictures.
      smallest_scale: in (0, 1]; crops are reduced by a factor drawn from [smallest_scale, 1], uniform in its logarithm.
        A picture too small for it is reduced as far as it goes.
      unscaled: share of the crops in [0, 1] that keep their own scale.
      flip: mirror half of the crops.
      transpose: swap rows and columns of half of the crops.
      toned: share of the crops in [0, 1] that are shown with other contrast, colours and light (see `train.tone`).
      min_side: pictures with a side below it are left out, in pixels; 0 takes all that hold a crop.
      min_jpeg_quality: JPEG files below it are left out, in [0, 100] on the scale of the IJG library; 0 takes all.
      min_contrast: crops are drawn again whose luma has a smaller standard deviation, in levels of 8 bit; 0 takes all.
      annotations: COCO json files with the objects of the pictures, which are found by file name without folders;
        without any, crops have no labels. A picture without an entry counts as one without objects.
      objects: places for objects in a crop; the smallest that exceed them are dropped.
      object_share: share in [0, 1] of the crops of pictures with objects that are placed around one: the middle of an
        object chosen at random is in the crop.
      loader: "memory" decodes all pictures at the start; "threads" decodes them when they are drawn; "grain" does so in
        `workers` processes of their own. The crops are the same bits.
      workers: threads or processes; 0 reads without any of its own.
      prefetch: batches that are made ahead.
    """

    folders: tuple[str, ...] = ()
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    smallest_scale: float = 1.0
    unscaled: float = 0.5
    flip: bool = True
    transpose: bool = True
    toned: float = 0.0
    min_side: int = 0
    min_jpeg_quality: int = 0
    min_contrast: float = 0.0
    annotations: tuple[str, ...] = ()
    objects: int = 20
    object_share: float = 0.8
    loader: Literal["memory", "threads", "grain"] = "memory"
    workers: int = 4
    prefetch: int = 4

    def __post_init__(self):
        count = len(self.folders)
        for key, holds, rule in (
            ("weights", all(0 < weight < float("inf") for weight in self.weights), "must be above 0 and finite"),
            ("weights", not (self.weights and count) or len(self.weights) == count,
             f"must be one for each of the {count} data.folders, or none at all"),
            ("smallest_scale", 0 < self.smallest_scale <= 1, "must be in (0, 1] (1 does not scale)"),
            ("unscaled", 0 <= self.unscaled <= 1, "must be in [0, 1]"),
            ("toned", 0 <= self.toned <= 1, "must be in [0, 1]"),
            ("min_side", self.min_side >= 0, "must not be negative"),
            ("min_jpeg_quality", 0 <= self.min_jpeg_quality <= 100, "must be in [0, 100]"),
            ("min_contrast", 0 <= self.min_contrast < 128, "must be in [0, 128) levels"),
            ("objects", self.objects >= 1, "must be at least 1"),
            ("object_share", 0 <= self.object_share <= 1, "must be in [0, 1]"),
            ("workers", self.workers >= 0, "must not be negative (0 has none)"),
            ("prefetch", self.prefetch >= 1, "must be at least 1 batch"),
        ):  # fmt: skip
            if not holds:
                raise ConfigError(f"data.{key}: found {getattr(self, key)!r}, {rule}")
