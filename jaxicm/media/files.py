"""Files of the user: find inputs, read them whole, replace outputs atomically."""

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jaxicm.errors import InputError, OutputError

PICTURE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".avifs", ".tif", ".tiff", ".bmp"}
    | {".gif", ".ppm", ".pgm", ".pnm", ".jp2", ".j2k", ".tga", ".qoi"}
)
"""Suffixes by which a folder's pictures are recognised; a file named explicitly may have any suffix."""


def find_pictures(paths: Iterable[Path | str]) -> list[Path]:
    """List the pictures named by files and folders.

    Args:
        paths: files (kept as they are, whatever their suffix) and folders (searched recursively by suffix).

    Returns:
        Files in the order of `paths`, the contents of a folder sorted by name; hidden files are left out.

    Raises:
        InputError: a path does not exist, or a folder holds no picture.
    """
    return find_files(paths, PICTURE_SUFFIXES, "picture")


def find_files(paths: Iterable[Path | str], suffixes: Iterable[str], what: str) -> list[Path]:
    """List the files named by files and folders, folders filtered by suffix.

    Args:
        paths: files (kept as they are) and folders (searched recursively).
        suffixes: lower-case suffixes with the dot that count in a folder.
        what: the name of such a file in messages, for instance "picture".

    Returns:
        Files in the order of `paths`, the contents of a folder sorted by name; hidden files are left out.

    Raises:
        InputError: a path does not exist, or a folder holds no such file.
    """
    wanted = frozenset(suffixes)
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the name")
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in wanted and entry.is_file())
        inside = [entry for entry in inside if not any(p.startswith(".") for p in entry.relative_to(path).parts)]
        if not inside:
            raise InputError(f"{path}: this folder holds no {what} (looked for {' '.join(sorted(wanted))})")
        found.extend(inside)
    return found


def read_bytes(path: Path | str) -> bytes:
    """Read a whole file, or standard input for "-".

    Args:
        path: a file name or "-".

    Returns:
        The contents, at least one byte.

    Raises:
        InputError: the file is missing, a folder, empty or unreadable.
    """
    name = source_name(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: this is a folder, a file was expected; name a file in it") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error}); check its permissions") from error
    if not data:
        raise InputError(f"{name}: the file is empty (0 bytes); it was probably not copied or downloaded completely")
    return data


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file atomically, or to standard output for "-".

    Args:
        path: the file to create or replace, or "-".
        data: the whole contents.

    Raises:
        OutputError: as `atomic_write`, or standard output is a terminal or full.
        BrokenPipeError: the reader of standard output has gone.
    """
    if str(path) != "-":
        return atomic_write(path, data)
    if sys.stdout.isatty():
        raise OutputError("standard output is a terminal, which binary data would garble; redirect it or name a file")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {explain_write_failure(error)}") from error


def source_name(path: Path | str) -> str:
    """Name an input in messages: its path, or "standard input" for "-"."""
    return "standard input" if str(path) == "-" else str(path)


def atomic_write(path: Path | str, data: bytes | memoryview) -> None:
    """Write a file so that its name holds either the old contents or all of the new ones.

    The bytes go to a temporary name in the same folder, are synchronised to the disk, and are then renamed. A symbolic
    link keeps pointing to its (replaced) target. Devices and pipes, which cannot be renamed over, are written directly.

    Args:
        path: the file to create or replace.
        data: the whole contents.

    Raises:
        OutputError: the disk is full, the folder is missing or may not be written, or the path is a folder.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except OSError:  # missing, or a component of the path is no folder: writing says which
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(f"{path}: this is a folder, a file was expected; add a file name")
    try:
        if mode is not None and not stat.S_ISREG(mode):
            with target.open("wb") as device:
                device.write(data)
        else:
            _write_and_rename(target, data, mode)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: {explain_write_failure(error)}") from error


def _write_and_rename(target: Path, data: bytes | memoryview, mode: int | None) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner only; the result has the rights of the old file or of any new one
        Path(temporary).chmod(stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def explain_write_failure(error: OSError) -> str:
    """Say in one clause why writing failed and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; nothing was written, make room and try again"
    if error.errno == errno.ENOENT:
        return "its folder does not exist; create it first"
    if error.errno == errno.ENOTDIR:
        return "a part of this path is a file, not a folder; check the path"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"may not be written ({error.strerror}); choose another folder or change its permissions"
    if error.errno == errno.ENAMETOOLONG:
        return "the file name is too long; choose a shorter one"
    return f"cannot be written ({error.strerror or error})"
