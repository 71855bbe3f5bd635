"""Tables of what was counted: the symbols of real pictures under each scale, with a Gaussian where few were seen.

A network says how spread a symbol is, and mixes of many situations have longer tails and sharper peaks than a Gaussian
of that spread. Counting costs no training, and coding and decoding stay as they are: tables are part of the weights.
"""

import numpy as np

from .tables import GAUSSIAN_TAIL_MASS, TOTAL, Tables, gaussian_tables, tables_from_pmfs

LARGEST = 127
"""Symbols are counted up to this magnitude."""
PRIOR_COUNT = 200.0
"""Symbols that the Gaussian is worth."""


def calibrated_tables(counts: np.ndarray, scales: np.ndarray) -> Tables:
    """Make symmetric tables of counted symbols.

    Args:
      counts: [T, 2 * LARGEST + 1], how often each symbol from -LARGEST on was coded with each table.
      scales: float64 [T], standard deviations of the Gaussians, in symbols.

    Returns:
      The tables. Those whose Gaussian is too wide to be counted, and those with no counts, stay as they are.
    """
    plain, pmfs = gaussian_tables(scales), []
    for row, (count, size, offset) in enumerate(zip(counts, plain.size, plain.offset, strict=True)):
        pmf = np.diff(plain.cdf[row, : size + 1].astype(np.float64)) / TOTAL
        inside, tail, half = pmf[:-1], pmf[-1], -int(offset)  # the last entry of a table is its escape
        if half <= LARGEST and count.sum():
            prior = np.zeros(2 * LARGEST + 1)
            prior[LARGEST - half : LARGEST + half + 1] = inside
            found = ((count + count[::-1]) / 2 + PRIOR_COUNT * prior) / (count.sum() + PRIOR_COUNT)
            # As few symbols as leave no more than the usual mass to escapes.
            outside = 1 - np.array([found[LARGEST - k : LARGEST + k + 1].sum() for k in range(LARGEST + 1)])
            half = int(np.argmax(outside <= GAUSSIAN_TAIL_MASS)) if outside[-1] <= GAUSSIAN_TAIL_MASS else LARGEST
            inside, tail = found[LARGEST - half : LARGEST + half + 1], max(float(outside[half]), 1e-9)
        pmfs.append((inside, -half, tail))
    return tables_from_pmfs(pmfs)
