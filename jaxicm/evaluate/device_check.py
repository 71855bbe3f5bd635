"""Whether files that are written on one device hold the same symbols on another: coded here and in a second process.

The second process runs on the platform that it is told, a CPU by default. Each side encodes all pictures and decodes
what the other one wrote; what the encoder put into a file is compared with what the other side finds in it, symbol by
symbol, and so are the pixels that both show, which may differ by a level.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from jaxicm.codecs.image import ImageCodec
from jaxicm.codecs.image_result import DecodeResult, EncodeResult, result_of
from jaxicm.errors import FileFormatError, JaxicmError
from jaxicm.media.pictures import read_picture

_JOB, _HERE, _THERE = "job.json", "here", "there"


@dataclass(frozen=True)
class DeviceCheck:
    """What to code, and where.

    Attributes:
        model: name of lossy weights, or their file.
        pictures: paths.
        qualities: 1 to 100.
        platform: of the second process, as `JAX_PLATFORMS` names it.
        flags: of its compiler, `XLA_FLAGS`, in place of this process's; none leaves them.
        at_once: pictures that the networks of this process see together (`codecs.image_batches`); 1 is one after the
            other, as the second process does.
    """

    model: str
    pictures: Sequence[str]
    qualities: Sequence[float]
    platform: str = "cpu"
    flags: str = ""
    at_once: int = 1


@dataclass(frozen=True)
class Direction:
    """What became of the files that one side wrote.

    Attributes:
        writer, reader: devices.
        files: how many.
        symbols: in all of them.
        differing: symbols that the reader found to be others; all of a file that it could not decode.
        pixels_off: samples that both show differently.
        largest: difference of a sample, in levels.
    """

    writer: str
    reader: str
    files: int
    symbols: int
    differing: int
    pixels_off: int
    largest: int


@dataclass(frozen=True)
class _Seen:
    """Symbols `[h, w, C]` and the picture that a side shows of a file; both empty where it could not be decoded."""

    symbols: np.ndarray
    image: np.ndarray

    def save(self, path: Path) -> None:
        np.savez(path, symbols=self.symbols, image=self.image)

    @classmethod
    def load(cls, path: Path) -> "_Seen":
        with np.load(path) as arrays:
            return cls(arrays["symbols"], arrays["image"])


def check_devices(check: DeviceCheck) -> list[Direction]:
    """Code pictures on this process's device and on another, and compare.

    Args:
        check: what to code.

    Returns:
        What was written here and read there, and the other way round.

    Raises:
        JaxicmError: the second process failed; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / _JOB).write_text(json.dumps(asdict(check)))
        codec, here = _load(check), folder / _HERE
        _write(codec, check, here)
        settings = {"JAX_PLATFORMS": check.platform} | ({"XLA_FLAGS": check.flags} if check.flags else {})
        command = [sys.executable, "-m", "jaxicm.evaluate.device_check", name]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = " ".join(done.stderr.strip().splitlines()[-1:])
            raise JaxicmError(
                f"coding in a second process on {check.platform!r} failed; is there such a device? {last}"
            )
        there = folder / _THERE
        _read(codec, check, there)
        devices = _device(), done.stdout.splitlines()[-1]
        return [_compare(here, *devices), _compare(there, *reversed(devices))]


def _load(check: DeviceCheck) -> ImageCodec:
    import jaxicm

    return cast(ImageCodec, jaxicm.load(check.model))


def _device() -> str:
    import jax

    return f"{jax.devices()[0].platform} ({jax.devices()[0].device_kind})"


def _write(codec: ImageCodec, check: DeviceCheck, folder: Path) -> None:
    """Encode all pictures at all qualities; beside each file is what the encoder sees of it."""
    folder.mkdir()
    tasks = [(picture, quality) for picture in check.pictures for quality in check.qualities]
    for number, made in enumerate(_encode(codec, check, tasks)):
        (folder / f"{number}.jicm").write_bytes(result_of(made).data)
        np.save(folder / f"{number}.npy", result_of(made).values_q4)
    for path, shown in _decode(codec, check, folder):
        _Seen(np.load(path.with_suffix(".npy")), result_of(shown).image).save(path.with_suffix(".written.npz"))


def _read(codec: ImageCodec, check: DeviceCheck, folder: Path) -> None:
    """Decode all files of a folder; beside each goes what is found in it."""
    for path, found in _decode(codec, check, folder):
        seen = _Seen(np.zeros(0, np.int16), np.zeros(0, np.uint8))
        if not isinstance(found, JaxicmError):
            seen = _Seen(found.values_q4, found.image)
        seen.save(path.with_suffix(".read.npz"))


def _encode(
    codec: ImageCodec, check: DeviceCheck, tasks: Sequence[tuple[str, float]]
) -> Iterator[EncodeResult | JaxicmError]:
    pictures, qualities = (read_picture(picture).pixels for picture, _ in tasks), [quality for _, quality in tasks]
    if check.at_once == 1:
        for pixels, quality in zip(pictures, qualities, strict=True):
            yield codec.encode_detail(pixels, quality=quality, plain=False)
    else:
        with codec.batches(check.at_once) as batches:
            yield from batches.encode(pictures, qualities, values=True)


def _decode(codec: ImageCodec, check: DeviceCheck, folder: Path) -> Iterator[tuple[Path, DecodeResult | JaxicmError]]:
    paths = sorted(folder.glob("*.jicm"))
    if check.at_once == 1:
        for path in paths:
            try:
                yield path, codec.decode_detail(path.read_bytes())
            except FileFormatError as error:
                yield path, error
    else:
        with codec.batches(check.at_once) as batches:
            files = (path.read_bytes() for path in paths)
            yield from zip(paths, batches.decode(files, values=True), strict=True)


def _compare(folder: Path, writer: str, reader: str) -> Direction:
    found = Direction(writer, reader, 0, 0, 0, 0, 0)
    for path in folder.glob("*.jicm"):
        written, read = (_Seen.load(path.with_suffix(suffix)) for suffix in (".written.npz", ".read.npz"))
        symbols, pixels = written.symbols.size, written.image.size
        differing, off, largest = symbols, pixels, 255
        if read.symbols.shape == written.symbols.shape:
            differing = int((read.symbols != written.symbols).sum())
            difference = np.abs(read.image.astype(np.int16) - written.image)
            off, largest = int((difference > 0).sum()), int(difference.max())
        found = Direction(
            writer,
            reader,
            found.files + 1,
            found.symbols + symbols,
            found.differing + differing,
            found.pixels_off + off,
            max(found.largest, largest),
        )
    return found


def _second(folder: Path) -> None:
    """Do the part of the second process, one picture after the other, and print the device."""
    fields: dict[str, Any] = json.loads((folder / _JOB).read_text()) | {"at_once": 1}
    check = DeviceCheck(**fields)
    codec = _load(check)
    _read(codec, check, folder / _HERE)
    _write(codec, check, folder / _THERE)
    print(_device())


if __name__ == "__main__":
    _second(Path(sys.argv[1]))
