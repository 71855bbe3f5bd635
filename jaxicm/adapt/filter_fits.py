"""Ways of fitting a filter to a clip, by name; known without loading an optimiser."""

from typing import Literal, NamedTuple


class FilterFit(NamedTuple):
    """What of a filter changes for a clip, and how; see `adapt.parameters.ParameterFit`."""

    kind: Literal["delta", "multiplier", "both"]
    pattern: tuple[str, ...]


FILTER_FITS: dict[str, FilterFit] = {
    "bias": FilterFit("delta", ("*/bias",)),
    "multiplier": FilterFit("multiplier", ("*/kernel",)),
    "both": FilterFit("both", ("*/bias", "*/kernel")),
    "last": FilterFit("delta", ("last/*",)),
    "bias_last": FilterFit("delta", ("*/bias", "last/*")),
    "all": FilterFit("delta", ("*/bias", "*/kernel")),
}
"""Rows of the ablation of system S9 (specification, appendix D)."""
DEFAULT_FIT = "bias_last"
"""What won the ablation: some hundred bytes more than biases alone, several times the gain (README.md, "Clips")."""
WAYS = ("none", "plain", *FILTER_FITS)
"""No filter, the filter as it was trained, or fitted."""
