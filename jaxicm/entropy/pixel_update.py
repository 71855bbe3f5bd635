"""Small changes of a frozen pixel model for one picture, as integers, and their code.

Biases move in steps of 2**-BIAS_FRAC, the linear predictors in steps of their own weights; everything else stays. The
code has, for each part (a layer's biases of one scale, or a layer's kernel), a byte: 255, nothing changes, or the
scale index of a logistic distribution; its steps follow in the picture's own stream.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.mixture import Mixture, pull_symbols, push_symbols
from jaxicm.entropy.logistic_mixture import WEIGHT_MAX
from jaxicm.entropy.pixels import PixelConfig, kernels
from jaxicm.errors import CorruptFile

BIAS_FRAC = 5
"""Biases change in steps of 2**-BIAS_FRAC."""
STEP_MAX = 127
"""Most steps of one change."""
UNCHANGED = 255
_SCALES = range(0, 96, 4)

Update = dict[str, np.ndarray]
"""Steps by the name of a parameter of `entropy.pixels.Pixels`, int32 arrays of its shape."""


def adapted(config: PixelConfig, channels: int) -> dict[str, tuple[int, ...]]:
    """List the parameters that an update may change, with their shapes.

    Args:
      config: of the model.
      channels: of the picture; a grey one does not use the layers of the others.
    """
    phases = len(config.phases)
    found = {}
    for name, kernel in kernels(config).items():
        if name[-1].isdigit() and name[0] in "uo" and int(name[-1]) >= channels:
            continue
        if kernel.biased:
            found[f"b_{name}"] = (config.biases, phases, kernel.outputs)
        elif name == "taps" or channels > 1:
            found[name] = (phases, kernel.inputs, kernel.outputs)
    return found


def _parts(update: Mapping[str, np.ndarray]) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield name, number and view of each part: the biases of a scale, or a kernel."""
    for name, steps in update.items():
        for index, part in enumerate(steps if name.startswith("b_") else steps[None]):
            yield name, index, part


def _distribution(count: int, scale: int) -> Mixture:
    zeros = np.zeros((1, count), np.int32)
    return Mixture(zeros, zeros + scale, zeros + WEIGHT_MAX, zeros[0] - STEP_MAX, zeros[0] + STEP_MAX)


def push_update(encoder: IntervalEncoder, update: Update) -> bytes:
    """Code an update.

    Args:
      encoder: takes the steps.
      update: of the parameters that `adapted` lists, in its order.

    Returns:
      A byte for each part, which the decoder needs first.
    """
    head = bytearray()
    for _, _, part in _parts(update):
        steps = part.reshape(-1)
        if not steps.any():
            head.append(UNCHANGED)
            continue
        costs = [_distribution(steps.size, scale).cost_bits(steps) for scale in _SCALES]
        head.append(_SCALES[int(np.argmin(costs))])
        push_symbols(encoder, _distribution(steps.size, head[-1]), steps)
    return bytes(head)


def pull_update(decoder: IntervalDecoder, head: bytes, config: PixelConfig, channels: int) -> Update:
    """Decode an update; inverse of `push_update`.

    Args:
      decoder: of the picture's stream.
      head: the bytes that `push_update` returned, `head_size` of them.
      config: of the model.
      channels: of the picture.

    Returns:
      The update.

    Raises:
      CorruptFile: if a byte is out of range or the stream is damaged.
    """
    update = {name: np.zeros(shape, np.int32) for name, shape in adapted(config, channels).items()}
    for (_, _, part), scale in zip(_parts(update), head, strict=True):
        if scale == UNCHANGED:
            continue
        if scale not in _SCALES:
            raise CorruptFile("the changes of the model are damaged; get an intact copy of the file")
        part[...] = pull_symbols(decoder, _distribution(part.size, scale)).reshape(part.shape)
    return update


def head_size(config: PixelConfig, channels: int) -> int:
    """Return the number of bytes of `push_update`."""
    return sum(shape[0] if name.startswith("b_") else 1 for name, shape in adapted(config, channels).items())
