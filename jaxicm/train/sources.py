"""Numbered pictures from a folder, an array or memory: what crops are taken of.

A source can be pickled for worker processes: files are opened where they are read. None of them imports JAX.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxicm.errors import InputError
from jaxicm.media.files import read_bytes
from jaxicm.media.pictures import as_rgb, read_picture

DECODERS = 4
"""Threads: Pillow decodes outside of the interpreter's lock."""


class PictureSource(Protocol):
    """Numbered pictures."""

    @property
    def fingerprint(self) -> str:
        """A short digest of the names and sizes of all pictures, the same wherever they are kept."""
        ...

    def __len__(self) -> int:
        """How many pictures there are, broken ones included."""
        ...

    def picture(self, index: int) -> np.ndarray:
        """Read a picture: uint8 `[H, W, 3]`.

        Raises:
            InputError: it is broken.
        """
        ...

    def encoded(self, index: int) -> bytes | None:
        """Return the file of a picture, or None where only samples are kept.

        Raises:
            InputError: it cannot be read.
        """
        ...

    def describe(self, index: int) -> str:
        """Name a picture in messages."""
        ...


def digest(parts: Iterable[object]) -> str:
    """Make a short hexadecimal digest of the texts of some values."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(f"{part}\n".encode())
    return sha.hexdigest()[:16]


class FolderSource:
    """The pictures of a folder, decoded when they are asked for.

    Args:
        folder: to which names are relative.
        files: in it.
    """

    def __init__(self, folder: Path, files: Sequence[Path]):
        self._folder, self._files = folder, tuple(files)
        self.fingerprint = digest(f"{file.relative_to(folder).as_posix()} {_size(file)}" for file in self._files)

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, index: int) -> np.ndarray:
        return as_rgb(read_picture(self._files[index]).pixels)

    def encoded(self, index: int) -> bytes | None:
        return read_bytes(self._files[index])

    def describe(self, index: int) -> str:
        return str(self._files[index])


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a dangling link: reading it will say so
        return -1


class ArraySource:
    """The pictures of a `.npy` file, mapped into memory.

    Args:
        path: of uint8 `[N, H, W, C]`.
        channels: C.

    Raises:
        InputError: it is something else.
    """

    def __init__(self, path: Path, channels: int = 3):
        self._path, self._channels = path, channels
        self._array: np.ndarray | None = None
        self.fingerprint = digest([path.name, self._open().shape])

    def _open(self) -> np.ndarray:
        if self._array is not None:
            return self._array
        try:
            array = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path}: cannot be read as an array ({error})") from error
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != self._channels:
            expected = f"uint8 [N, H, W, {self._channels}]"
            raise InputError(f"{self._path}: found {array.dtype} {array.shape}, expected {expected}")
        self._array = array
        return array

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}  # pickle would copy the whole file

    def __len__(self) -> int:
        return len(self._open())

    def picture(self, index: int) -> np.ndarray:
        return self._open()[index]

    def encoded(self, index: int) -> bytes | None:
        del index
        return None

    def describe(self, index: int) -> str:
        return f"{self._path}[{index}]"


class MemorySource:
    """All pictures of another source, decoded once.

    Args:
        source: it keeps the numbers of its pictures; a broken one stays broken.
    """

    def __init__(self, source: PictureSource):
        self._source = source
        self.fingerprint = source.fingerprint

        with ThreadPoolExecutor(DECODERS) as pool:
            self._pictures = tuple(pool.map(partial(_read_or_reason, source), range(len(source))))

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, index: int) -> np.ndarray:
        found = self._pictures[index]
        if isinstance(found, str):
            raise InputError(found)
        return found

    def encoded(self, index: int) -> bytes | None:
        return self._source.encoded(index)

    def describe(self, index: int) -> str:
        return self._source.describe(index)


class JoinedSource:
    """Several sources one after the other.

    Args:
        sources: at least one.
    """

    def __init__(self, sources: Sequence[PictureSource]):
        self._sources = tuple(sources)
        self._ends = np.array(list(accumulate(map(len, self._sources))))
        self.fingerprint = digest(source.fingerprint for source in self._sources)

    def _locate(self, index: int) -> tuple[PictureSource, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        which = int(np.searchsorted(self._ends, index, side="right"))
        source = self._sources[which]
        return source, index - int(self._ends[which]) + len(source)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def picture(self, index: int) -> np.ndarray:
        source, inside = self._locate(index)
        return source.picture(inside)

    def encoded(self, index: int) -> bytes | None:
        source, inside = self._locate(index)
        return source.encoded(inside)

    def describe(self, index: int) -> str:
        source, inside = self._locate(index)
        return source.describe(inside)


def read_all(source: PictureSource, indices: Sequence[int], warn: Callable[[str], None]) -> Iterable[np.ndarray]:
    """Read pictures in several threads; a broken one is reported and left out.

    Args:
        source: of the pictures.
        indices: of those to read.
        warn: takes a line for each broken picture.

    Yields:
        uint8 `[H, W, 3]`, in the order of `indices`.
    """

    with ThreadPoolExecutor(DECODERS) as pool:
        for first in range(0, len(indices), 4 * DECODERS):  # few at a time: the pictures may not fit into memory
            for found in pool.map(partial(_read_or_reason, source), indices[first : first + 4 * DECODERS]):
                if isinstance(found, str):
                    warn(f"skipped: {found}")
                else:
                    yield found


def _read_or_reason(source: PictureSource, index: int) -> np.ndarray | str:
    """Read a picture, or say why not."""
    try:
        return source.picture(index)
    except InputError as error:
        return str(error)
