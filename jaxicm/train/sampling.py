"""Which crop is which: a crop is a pure function of the seed and of its number in the run.

Crop `i` is slot `i % batch` of step `i // batch`. So every loader, any number of processes and a resumed run take the
same crops, and going on at a step needs no state but its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from jaxicm.errors import ConfigError, InputError
from jaxicm.train.data_config import DataConfig
from jaxicm.train.jpeg_quality import jpeg_quality
from jaxicm.train.sources import PictureSource, digest
from jaxicm.train.tone import LUMA, draw_tone, toned

if TYPE_CHECKING:
    from jaxicm.tasks.targets import Objects
    from jaxicm.train.annotations import Annotations, PictureObjects

MIXTURE_ENTRIES = 1024
"""Length of the table that says which source each crop is taken of: shares are rounded to 1/1024."""
MOST_DRAWS = 300
"""Draws for one crop, until the filters are found to leave nothing. If they pass 1 in 10, all fail once in 10^14."""
_ORDER, _CROP = 0, 1
"""First word of the seed, for independent random numbers."""


def mixture_table(weights: Sequence[float], entries: int = MIXTURE_ENTRIES) -> np.ndarray:
    """Distribute sources over a table by their weights, each as evenly as it goes.

    Args:
        weights: above 0, one for each source.
        entries: length of the table, at least one for each source.

    Returns:
        int64 `[entries]`, a source each.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    counts = np.maximum(1, np.floor(share * entries)).astype(np.int64)
    while counts.sum() > entries:  # sources of less than one entry got one
        counts[np.argmax(np.where(counts > 1, counts - share * entries, -np.inf))] -= 1
    while counts.sum() < entries:
        counts[np.argmax(share * entries - counts)] += 1
    # entry number k of n stands at (k + 1/2) / n of the table's length
    where = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    which = np.repeat(np.arange(len(counts)), counts)
    return which[np.argsort(where, kind="stable")]


class Mixture:
    """The order in which pictures of several sources are drawn.

    Within a source each picture is drawn once an epoch, in a new order each time.

    Args:
        lengths: of the sources, above 0.
        weights: of the sources, above 0.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], seed: int):
        self._lengths, self._seed = tuple(lengths), seed
        self._table = mixture_table(weights, max(MIXTURE_ENTRIES, len(weights)))
        ranks = np.zeros(len(self._table), np.int64)
        for source in range(len(self._lengths)):
            own = self._table == source
            ranks[own] = np.arange(own.sum())
        self._ranks = ranks
        self._counts = np.bincount(self._table, minlength=len(self._lengths))
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def locate(self, index: int) -> tuple[int, int]:
        """Return the source of a crop, and the number of the picture in it."""
        cycle, entry = divmod(index, len(self._table))
        source = int(self._table[entry])
        drawn = cycle * int(self._counts[source]) + int(self._ranks[entry])
        epoch, place = divmod(drawn, self._lengths[source])
        return source, int(self._order(source, epoch)[place])

    def _order(self, source: int, epoch: int) -> np.ndarray:
        order = self._orders.get((source, epoch))
        if order is None:
            order = np.random.default_rng([_ORDER, self._seed, source, epoch]).permutation(self._lengths[source])
            self._orders[source, epoch] = order
            self._orders.pop((source, epoch - 2), None)  # two are kept: threads work on both sides of a boundary
        return order


@dataclass(frozen=True)
class Rejection:
    """A picture that was drawn and not taken.

    Attributes:
        picture: its name.
        reason: why, one clause.
    """

    picture: str
    reason: str


class CropView(NamedTuple):
    """What of a picture a crop shows: a square, resized, then mirrored, then transposed.

    Attributes:
        top: of the square, in pixels of the picture.
        left: of the square.
        side: of the square.
        crop: side of the crop in its own pixels.
        mirrored: left and right are exchanged.
        transposed: rows and columns are exchanged.
    """

    top: int
    left: int
    side: int
    crop: int
    mirrored: bool = False
    transposed: bool = False

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Make the crop uint8 `[crop, crop, 3]` of a picture uint8 `[H, W, 3]`."""
        region = picture[self.top : self.top + self.side, self.left : self.left + self.side]
        if self.side != self.crop:
            size = (self.crop, self.crop)
            region = np.asarray(Image.fromarray(np.ascontiguousarray(region)).resize(size, Image.Resampling.LANCZOS))
        region = region[:, ::-1] if self.mirrored else region
        region = region.swapaxes(0, 1) if self.transposed else region
        return np.ascontiguousarray(region)


@dataclass(frozen=True)
class Sample:
    """A crop, and what was rejected on the way to it.

    Attributes:
        crop: uint8 `[crop, crop, 3]`.
        rejected: pictures drawn before it and left out, but not those that only gave a crop of too little contrast.
        objects: in the crop, at most `data.objects`; None where they are not known.
    """

    crop: np.ndarray
    rejected: tuple[Rejection, ...] = ()
    objects: "Objects | None" = None


@dataclass(frozen=True)
class CropSampler:
    """The crops of a run by their numbers.

    It can be pickled for worker processes and used by several threads.

    Attributes:
        sources: of pictures, none empty.
        weights: of the sources, above 0.
        data: filters and variations.
        crop: side of a crop in pixels.
        seed: of everything that is drawn.
        annotations: the objects of the pictures; None where crops have no labels.
        even: crops begin at even rows and columns, where chroma of 4:2:0 has its samples.
    """

    sources: tuple[PictureSource, ...]
    weights: tuple[float, ...]
    data: DataConfig
    crop: int
    seed: int = 0
    annotations: "Annotations | None" = None
    even: bool = False
    _mixture: Mixture = field(init=False, repr=False, compare=False)
    _judged: dict[tuple[int, int], Rejection | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self):
        lengths = [len(source) for source in self.sources]
        object.__setattr__(self, "_mixture", Mixture(lengths, self.weights, self.seed))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_judged": {}}  # each process judges for itself

    @property
    def fingerprint(self) -> str:
        """A short digest of the names and sizes of all pictures."""
        return digest(source.fingerprint for source in self.sources)

    @property
    def pictures(self) -> int:
        """How many pictures the sources hold, those that the filters leave out included."""
        return sum(map(len, self.sources))

    def settings(self) -> dict[str, Any]:
        """Return what the crops depend on besides the pictures, as plain data."""
        names = ("smallest_scale", "unscaled", "flip", "transpose", "min_side", "min_jpeg_quality", "min_contrast")
        names += ("toned",) if self.data.toned else ()
        values = {f"data.{name}": getattr(self.data, name) for name in names}
        if self.annotations is not None:
            values["data.annotations"] = self.annotations.fingerprint
            values |= {f"data.{name}": getattr(self.data, name) for name in ("objects", "object_share")}
        return {"seed": self.seed, "crop": self.crop, "data.weights": list(self.data.weights)} | values

    def sample(self, index: int) -> Sample:
        """Make a crop.

        Args:
            index: its number in the run.

        Returns:
            The crop and the objects in it, the same wherever they are made.

        Raises:
            ConfigError: the filters or broken pictures leave nothing in hundreds of draws.
        """
        source, picture = self._mixture.locate(index)
        rng = np.random.default_rng([_CROP, self.seed, index])
        rejected: list[Rejection] = []
        flat: list[Rejection] = []
        for _ in range(MOST_DRAWS):
            found = self.read(source, picture)
            if isinstance(found, Rejection):
                rejected.append(found)
            else:
                labels = self._labels(source, picture)
                view = self._draw_view(found.shape, labels, rng)
                crop = self._show(view.cut(found), rng)
                contrast = luma_deviation(crop) if self.data.min_contrast else 0.0
                if contrast >= self.data.min_contrast:
                    objects = None if labels is None or labels.size is None else labels.in_crop(view, self.data.objects)
                    return Sample(crop, tuple(dict.fromkeys(rejected)), objects)
                reason = f"a crop has the contrast {contrast:.1f}, below data.min_contrast={self.data.min_contrast:g}"
                flat.append(Rejection(self.sources[source].describe(picture), reason))
            picture = int(rng.integers(len(self.sources[source])))
        raise ConfigError(self._nothing_left(source, [*rejected, *flat]))

    def read(self, source: int, picture: int) -> np.ndarray | Rejection:
        """Read a picture if the filters let it pass.

        Args:
            source: its number.
            picture: its number in the source.

        Returns:
            uint8 `[H, W, 3]`, no side below `crop`; or why it is left out.
        """
        known = self._judged.get((source, picture))
        if known is not None:
            return known
        pictures = self.sources[source]
        first = (source, picture) not in self._judged
        try:
            reason = self._quality_reason(pictures, picture) if first else None
            if reason is None:
                pixels = pictures.picture(picture)
                reason = self._size_reason(pixels, self._labels(source, picture) if first else None)
                if reason is None:
                    self._judged[source, picture] = None
                    return pixels
        except InputError as error:
            reason = str(error).removeprefix(f"{pictures.describe(picture)}: ")
        verdict = self._judged[source, picture] = Rejection(pictures.describe(picture), reason)
        return verdict

    @property
    def places(self) -> int | None:
        """For the objects of a crop; None in a run without annotations."""
        return None if self.annotations is None else self.data.objects

    def _quality_reason(self, pictures: PictureSource, picture: int) -> str | None:
        limit = self.data.min_jpeg_quality
        data = pictures.encoded(picture) if limit else None
        quality = None if data is None else jpeg_quality(data)
        if quality is None or quality >= limit:
            return None
        return f"JPEG quality {quality}, below data.min_jpeg_quality={limit}"

    def _size_reason(self, pixels: np.ndarray, labels: "PictureObjects | None") -> str | None:
        side = max(self.crop, self.data.min_side)
        height, width = pixels.shape[:2]
        if min(height, width) < side:
            rule = f"the crop of {side}" if side == self.crop else f"data.min_side={side}"
            return f"{width}x{height} pixels, smaller than {rule}"
        if labels is not None and labels.size not in (None, (height, width)):
            return f"{width}x{height} pixels, but {labels.size[1]}x{labels.size[0]} in data.annotations"
        return None

    def _labels(self, source: int, picture: int) -> "PictureObjects | None":
        if self.annotations is None:
            return None
        return self.annotations.objects(self.sources[source].describe(picture))

    def _draw_view(self, shape: tuple[int, ...], labels: "PictureObjects | None", rng: np.random.Generator) -> CropView:
        data, crop = self.data, self.crop
        keep, position = rng.random(2)
        scale = 1.0 if keep < data.unscaled else float(data.smallest_scale**position)
        side = min(max(crop, round(crop / scale)), *shape[:2])
        # without objects nothing more is drawn than in a run without labels, which thereby keeps its crops
        if labels is not None and len(labels.boxes) and rng.random() < data.object_share:
            x0, y0, x1, y1 = labels.boxes[rng.integers(len(labels.boxes))].tolist()
            top, left = (
                int(rng.integers(max(0, centre - side + 1), min(length - side, centre) + 1))
                for centre, length in zip((int((y0 + y1) / 2), int((x0 + x1) / 2)), shape[:2], strict=True)
            )
        else:
            top, left = (int(rng.integers(length - side + 1)) for length in shape[:2])
        if self.even:
            top, left = top & ~1, left & ~1
        mirrored, swapped = (rng.random(2) < 0.5).tolist()
        return CropView(top, left, side, crop, mirrored and data.flip, swapped and data.transpose)

    def _show(self, crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.data.toned:  # nothing is drawn, so that such runs keep their crops
            return crop
        chosen, *position = rng.random(4)
        if chosen >= self.data.toned:
            return crop
        return toned(crop.astype(np.float32), *draw_tone(position)).astype(np.uint8)

    def _nothing_left(self, source: int, rejected: Sequence[Rejection]) -> str:
        names = {item.picture: item for item in rejected}
        some = "; ".join(f"{item.picture}: {item.reason}" for item in list(names.values())[:3])
        total = len(self.sources[source])
        drawn = "the only picture is" if total == 1 else f"all {len(names)} pictures drawn of {total} are"
        return (
            f"no training pictures: {drawn} left out ({some}{'; ...' if len(names) > 3 else ''}); name other pictures"
            " with --data, or lower crop, data.min_side, data.min_jpeg_quality or data.min_contrast"
        )


def luma_deviation(crop: np.ndarray) -> float:
    """Return the standard deviation of a crop's luma (ITU-R BT.601) in levels of 8 bit.

    Args:
        crop: uint8 `[H, W, 3]`.
    """
    return float((crop @ np.array(LUMA, np.float32)).std())
