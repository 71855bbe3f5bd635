"""The pictures of a run: their names, sizes and digests, and whether they are a set with published curves."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from jaxicm.media.files import find_pictures
from jaxicm.media.pictures import read_picture

# The pixels decide, not the names: a curve published for the original files says nothing about altered ones. The CLIC
# sets are named by the user, their digests are not known here.
_KNOWN: Mapping[str, str] = MappingProxyType(
    {"fd5bfd9981f2879080974c8975183a5ec193436147505f249f4f86938e7e41a1": "kodak"}
)


@dataclass(frozen=True)
class SetPicture:
    """Hold what is known about one picture without its pixels.

    Attributes:
        name: file name, unique in its set.
        path: of the file.
        height: in pixels.
        width: in pixels.
        digest: sha256 of shape and pixels, hexadecimal.
    """

    name: str
    path: Path
    height: int
    width: int
    digest: str


@dataclass(frozen=True)
class PictureSet:
    """Hold the pictures of a run.

    Attributes:
        folder: names of the folders that were given or that hold the files given, joined by "+".
        pictures: in the order found, names unique.
        known_as: the set with published curves that they are, or None.
    """

    folder: str
    pictures: tuple[SetPicture, ...]
    known_as: str | None

    @property
    def pixels(self) -> int:
        """Return the sum of all pixels."""
        return sum(picture.height * picture.width for picture in self.pictures)

    @property
    def digest(self) -> str:
        """Return the sha256 of names and pixels, whatever the order."""
        return _digest(f"{picture.name}\0{picture.digest}" for picture in self.pictures)


def survey(paths: Sequence[Path], known_as: str | None = None) -> PictureSet:
    """Find and read the pictures of files and folders.

    Args:
        paths: files and folders.
        known_as: a set with published curves that the user says they are; by default Kodak is recognised.

    Returns:
        The set. Where file names are not unique, names are paths below the common folder.

    Raises:
        InputError: a path does not exist, a folder holds no picture, or a picture cannot be read.
    """
    files = list({file.resolve(): file for file in find_pictures(paths)}.values())  # one named twice counts once
    names = _unique_names(files)
    pictures = []
    for name, file in zip(names, files, strict=True):
        pixels = read_picture(file).pixels
        pictures.append(SetPicture(name, file, pixels.shape[0], pixels.shape[1], digest_of(pixels)))
    whole = [Path(path).absolute() for path in paths]  # so that "." has a name too
    folder = "+".join(dict.fromkeys((path if path.is_dir() else path.parent).name for path in whole))
    return PictureSet(folder, tuple(pictures), known_as or _KNOWN.get(_digest(p.digest for p in pictures)))


def digest_of(pixels: np.ndarray) -> str:
    """Return the sha256 of a picture's shape and uint8 samples, hexadecimal."""
    state = hashlib.sha256(repr(pixels.shape).encode())
    state.update(np.ascontiguousarray(pixels).data)
    return state.hexdigest()


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _unique_names(files: Sequence[Path]) -> list[str]:
    counts = Counter(file.name for file in files)
    if max(counts.values()) == 1:
        return [file.name for file in files]
    whole = [file.absolute() for file in files]
    shared = 0
    while all(file.parts[shared] == whole[0].parts[shared] and len(file.parts) > shared + 1 for file in whole):
        shared += 1
    return [Path(*file.parts[shared:]).as_posix() for file in whole]
