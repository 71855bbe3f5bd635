"""Values that users write: sizes such as 40kB, colours, lists of numbers, labels, and the one target of an encoding."""

import math
import re
from collections.abc import Collection, Sequence
from typing import TypedDict

from jaxicm.errors import OptionError

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3}
_UNITS |= {"kib": 1024, "mib": 1024**2, "gib": 1024**3}
DEFAULT_QUALITY = 50.0
MOST_CALLS = 4096
"""Pictures or calls that a benchmark may join."""
TUNES = {"psnr": "mse", "ms-ssim": "ms-ssim", "mixed": "mixed"}
"""Objectives of an adaptation as users write them, and as `ImageCodec.encode` takes them."""


class Target(TypedDict, total=False):
    """Name what an encoding aims at, as a keyword argument of `ImageCodec.encode`."""

    quality: float
    bpp: float
    size_bytes: int
    psnr: float


def parse_size(text: str) -> int:
    """Parse a file size.

    Args:
        text: a number with an optional unit: B, kB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).

    Returns:
        Bytes, at least 1.

    Raises:
        OptionError: not a size, or below one byte.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise OptionError(f"--size {text!r} is not a size; write for instance 40000, 40kB, 1.5MB or 64KiB")
    size_bytes = round(float(match[1]) * unit)
    if size_bytes < 1:
        raise OptionError(f"--size {text!r} is below one byte; give a larger size")
    return size_bytes


def parse_colour(text: str) -> tuple[int, int, int]:
    """Parse a colour: a CSS name, #rgb, #rrggbb or "r,g,b" with values from 0 to 255.

    Raises:
        OptionError: not a colour.
    """
    from PIL import ImageColor

    try:
        numbers = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
        red, green, blue = map(int, numbers.groups()) if numbers else ImageColor.getrgb(text)[:3]
        if max(red, green, blue) <= 255:
            return red, green, blue
    except ValueError:
        pass
    raise OptionError(f"--background {text!r} is not a colour; write for instance white, '#808080' or 128,128,128")


def parse_tune(text: str | None) -> str | None:
    """Parse the objective of an adaptation.

    Args:
        text: a key of `TUNES`; "machine"; or task networks separated by commas, each perhaps with "/labels"; or None.

    Returns:
        What `ImageCodec.encode` takes.

    Raises:
        OptionError: no such objective.
    """
    if text is None or text in TUNES:
        return TUNES.get(text or "")
    from jaxicm.tasks import zoo

    if text == "machine" or all(zoo.is_trainable(name) for name, _ in zoo.split_names(text)):
        return text
    known = ", ".join([*TUNES, "machine", *zoo.TRAINABLE])
    raise OptionError(f"--tune {text!r} is no objective; choose from {known}")


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """Parse numbers separated by commas.

    Args:
        text: as the user wrote it.
        option: its name in messages.

    Returns:
        The numbers, rising, each once, at least one.

    Raises:
        OptionError: not numbers, or none.
    """
    try:
        numbers = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError as error:
        raise OptionError(f"{option} {text!r} is not a list of numbers; write for instance 10,30,50") from error
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise OptionError(f"{option} {text!r} must hold numbers; write for instance 10,30,50")
    return tuple(numbers)


def parse_choices(text: str, option: str, choices: Collection[int]) -> tuple[int, ...]:
    """Parse numbers separated by commas, each one of a few.

    Args:
        text: as the user wrote it.
        option: its name in messages.
        choices: what is allowed.

    Returns:
        The numbers, falling, each once.

    Raises:
        OptionError: none, or others than allowed.
    """
    numbers = parse_numbers(text, option)
    if not set(numbers) <= set(choices):
        raise OptionError(f"{option} {text!r} must hold numbers of {', '.join(map(str, choices))}")
    return tuple(sorted((int(number) for number in numbers), reverse=True))


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Parse labels, each KEY=VALUE.

    Raises:
        OptionError: no "=", an empty key, or a key given twice.
    """
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise OptionError(f"--label {text!r} is no label; write KEY=VALUE, for instance --label order=2x2")
        if key.strip() in labels:
            raise OptionError(f"--label {key.strip()} is given twice; give each key once")
        labels[key.strip()] = value.strip()
    return labels


def choose_target(quality: float | None, bpp: float | None, size: str | None, psnr: float | None) -> Target:
    """Return the one target that was given, or the default quality.

    Args:
        quality: from 1 to 100.
        bpp: bits per pixel, positive.
        size: a size as `parse_size` takes it.
        psnr: dB, positive.

    Returns:
        A dictionary of one entry.

    Raises:
        OptionError: more than one target, or one out of its range.
    """
    given = {"--quality": quality, "--bpp": bpp, "--size": size, "--psnr": psnr}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise OptionError(f"{' and '.join(names)} exclude each other; give one of them")
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"--quality must lie from 1 to 100, got {quality:g}")
    for name, value in (("--bpp", bpp), ("--psnr", psnr)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise OptionError(f"{name} must be a positive number, got {value:g}")
    if bpp is not None:
        return {"bpp": bpp}
    if size is not None:
        return {"size_bytes": parse_size(size)}
    if psnr is not None:
        return {"psnr": psnr}
    return {"quality": DEFAULT_QUALITY if quality is None else quality}


def parse_shape(text: str) -> tuple[int, int]:
    """Parse width x height, each from 1 to 16384.

    Returns:
        Height and width.

    Raises:
        OptionError: something else.
    """
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX]\s*(\d{1,5})\s*", text)
    if match is None or not all(1 <= int(side) <= 16384 for side in match.groups()):
        raise OptionError(f"--size {text!r} is not a size in pixels; write width x height, for instance 768x512")
    return int(match[2]), int(match[1])


def parse_counts(text: str, option: str, most: int) -> list[int]:
    """Parse whole numbers separated by commas, each from 1 on.

    Args:
        text: the numbers.
        option: named in errors.
        most: the largest that is allowed.

    Returns:
        The numbers, rising.

    Raises:
        OptionError: something else.
    """
    try:
        counts = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        counts = []
    if not counts or not 1 <= counts[0] <= counts[-1] <= most:
        raise OptionError(f"{option} {text!r} is not a list of numbers from 1 to {most}; write 1,2,4,8")
    return counts
