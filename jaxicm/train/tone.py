"""Crops in other light: what the same scene would look like with less contrast, other colours and more or less light.

A few hundred pictures hold only so many colours and exposures. One linear map of the samples makes more of them and
leaves what a codec learns from, the shape of edges, noise and texture, as it is.
"""

from typing import Any

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue, ITU-R BT.601."""
LEAST_CONTRAST = 0.4
"""Contrast is drawn from [LEAST_CONTRAST, 1], never above: stretched levels leave gaps that no camera makes."""
SATURATION = (0.3, 1.2)
"""Range of the factor on the distance from grey."""


def toned(crop: Any, contrast: Any, saturation: Any, light: Any) -> Any:
    """Change contrast, saturation and light.

    Args:
      crop: `[..., 3]` red, green and blue in levels of 8 bit; numpy or JAX.
      contrast: factor on all levels, in [0, 1].
      saturation: factor on the distance of each colour from the grey of its luma.
      light: in [0, 1], where the levels that `contrast` frees lie: 0 above the picture (dark), 1 below it.

    Returns:
      Float levels rounded and clipped to [0, 255], in the shape of `crop`.
    """
    grey = sum(weight * crop[..., i : i + 1] for i, weight in enumerate(LUMA))
    levels = contrast * (grey + saturation * (crop - grey)) + 255 * (1 - contrast) * light
    return levels.round().clip(0, 255)


def draw_tone(position: Any) -> tuple[Any, Any, Any]:
    """Turn three uniform numbers in [0, 1) `[3, ...]` into contrast, saturation and light."""
    low, high = SATURATION
    return LEAST_CONTRAST + (1 - LEAST_CONTRAST) * position[0], low + (high - low) * position[1], position[2]
