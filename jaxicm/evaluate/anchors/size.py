"""The setting at which a conventional codec reaches a given size."""

from collections.abc import Callable

import numpy as np

from jaxicm.evaluate.anchors.interface import Anchor


def at_size(anchor: Anchor, pixels: np.ndarray, size_bytes: int) -> tuple[float, bytes]:
    """Compress a picture to the smallest file that is not smaller than a given one.

    The anchor so never has fewer bytes than what it is compared with, as far as its settings reach.

    Args:
        anchor: the codec; its settings are tried in multiples of its `step`.
        pixels: uint8 [H, W, 3] or [H, W].
        size_bytes: the size to reach.

    Returns:
        The setting and the file. That of best quality if all files are smaller, of worst if all are larger.

    Raises:
        MissingDependency: the codec is not installed.
    """
    worst, best = anchor.settings if anchor.rising else anchor.settings[::-1]
    count = round(abs(best - worst) / anchor.step)
    settings = [round(worst + (best - worst) * index / max(count, 1), 6) for index in range(count + 1)]
    index, data = smallest_not_below(lambda index: anchor.encode(pixels, settings[index]).data, (0, count), size_bytes)
    return settings[index], data


def smallest_not_below(encode: Callable[[int], bytes], settings: tuple[int, int], size_bytes: int) -> tuple[int, bytes]:
    """Bisect the settings of an encoder whose file size rises with its setting.

    Args:
        encode: setting to file.
        settings: lowest and highest setting.
        size_bytes: the size to reach.

    Returns:
        The lowest setting whose file has at least `size_bytes` and that file; the highest setting if none has.
    """
    low, high = settings
    best: bytes | None = None
    while low < high:
        middle = (low + high) // 2
        data = encode(middle)
        if len(data) >= size_bytes:
            high, best = middle, data
        else:
            low = middle + 1
    # `best`, when there is one, belongs to `high`, which is where the bisection ends
    return high, best if best is not None else encode(high)
