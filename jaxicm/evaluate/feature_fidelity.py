"""How much of a network's features survives coding: feature-PSNR, and a distance of unit vectors."""

from collections.abc import Iterator, Mapping

import numpy as np


def feature_psnr(original: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return 10 log10(max(F(x))^2 / mean squared error of F(x_hat)) of every level F, in dB.

    The figure of a picture is the mean over the levels. NN-VVC (arXiv 2401.10761) reports it for the levels of a
    feature pyramid. As there the peak is the largest value of the level, not of its magnitude.

    Args:
        original: float [h, w, C] features of the original picture by name of the level.
        decoded: the same of the decoded picture.

    Returns:
        One value a level; infinite where the features are equal. A level without a positive value is left out: it has
        no peak to compare with.

    Raises:
        ValueError: the levels or their shapes differ.
    """
    values = {}
    for name, x, y in _pairs(original, decoded):
        error = np.mean(np.square(x - y))
        if error == 0:
            values[name] = float("inf")
        elif (peak := x.max()) > 0:
            values[name] = float(10.0 * np.log10(peak**2 / error))
    return values


def feature_distance(original: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]) -> float:
    """Return the mean squared distance of feature vectors of unit length, the mean over positions, then over levels.

    The form of Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, equation
    1, without its learned weights of the channels: it is therefore no LPIPS and its values are not comparable with it.

    Args:
        original: float [h, w, C] features of the original picture by name of the level.
        decoded: the same of the decoded picture.

    Returns:
        A value in [0, 4]; 0 for equal features.

    Raises:
        ValueError: the levels or their shapes differ, or there is none.
    """
    distances = [np.square(_unit(x) - _unit(y)).sum(-1).mean() for _, x, y in _pairs(original, decoded)]
    if not distances:
        raise ValueError("features of at least one level are needed, got none")
    return float(np.mean(distances))


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.square(features).sum(-1, keepdims=True))
    return np.divide(features, length, out=np.zeros_like(features), where=length > 0)


def _pairs(
    original: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    if original.keys() != decoded.keys():
        raise ValueError(f"levels must be the same, got {sorted(original)} and {sorted(decoded)}")
    for name, features in original.items():
        if features.shape != decoded[name].shape:
            raise ValueError(f"level {name}: shapes must be the same, got {features.shape} and {decoded[name].shape}")
        # in float64 the mean of a million squares keeps its digits
        yield name, features.astype(np.float64), decoded[name].astype(np.float64)
