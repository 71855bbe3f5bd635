"""Crops of decoded pictures beside a run file, for looking at codecs side by side."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import OutputError
from jaxicm.evaluate.journal import Entry, Key
from jaxicm.evaluate.sheet import detailed_crop
from jaxicm.media.pictures import write_picture

SIDE = 256


class Crops:
    """Write the crop with most detail of some pictures as PNG, original and decoded.

    Args:
        folder: beside the run file, made when needed.
        pictures: names of the pictures to choose from.
        count: of pictures, spread evenly over them.
    """

    def __init__(self, folder: Path, pictures: Sequence[str], count: int):
        self._folder = folder
        places = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
        chosen = [pictures[int(place)] for place in places]
        stems = {name: str(Path(name).with_suffix("")).replace("/", "_") for name in chosen}
        counts = Counter(stems.values())  # of "a.png" and "a.jpg" neither may take the other's place
        self._stems = {name: stem if counts[stem] == 1 else Path(name).name for name, stem in stems.items()}

    def lacks(self, key: Key, entry: Entry) -> bool:
        """Return whether a crop is wanted and not there."""
        if key.picture not in self._stems:
            return False
        names = [entry.crop.get("original"), entry.crop.get("decoded")]
        return any(name is None or not (self._folder.parent / name).is_file() for name in names)

    def write(self, key: Key, original: np.ndarray, decoded: np.ndarray) -> dict[str, Any]:
        """Write the crop of a decoded picture and that of its original.

        Args:
            key: the picture and the operating point.
            original: uint8 [H, W, 3] or [H, W].
            decoded: uint8, the same shape.

        Returns:
            "original" and "decoded", paths relative to the run file's folder, and "box", [x0, y0, x1, y1].

        Raises:
            OutputError: they cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder}: the folder cannot be made ({error.strerror})") from error
        rows, columns = detailed_crop(original, SIDE)
        stem = self._stems[key.picture]
        scale = "" if key.scale == 100 else f"_s{key.scale}"
        names = {"original": f"{stem}.png", "decoded": f"{stem}_q{key.quality:g}{scale}.png"}
        for name, pixels in zip(names.values(), (original, decoded), strict=True):
            write_picture(self._folder / name, np.ascontiguousarray(pixels[rows, columns]))
        box = [columns.start, rows.start, columns.stop, rows.stop]
        return {kind: f"{self._folder.name}/{name}" for kind, name in names.items()} | {"box": box}
