"""What makers promise of their accelerators: the dense bfloat16 rate that utilisation is quoted against elsewhere."""

BFLOAT16_FLOP_PER_S = (
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H200 NVL", 835e12),
    ("H200", 989e12),
    ("A100", 312e12),
    ("TPU v4 lite", 138e12),
    ("TPU v4", 275e12),
    ("TPU v5 lite", 197e12),
    ("TPU v5e", 197e12),
    ("TPU v5", 459e12),
    ("TPU v6", 918e12),
)
"""Part of `device_kind` and dense bfloat16 operations a second of one JAX device; the first that fits counts.

Sources: NVIDIA's data sheets of A100, H100 and H200, halved where they count sparsity (SXM, where no form is named);
Google Cloud's "TPU system architecture" pages (a v4 or v5p chip is one JAX device). JAX calls v5e "TPU v5 lite", v5p
"TPU v5" and v6e "TPU v6 lite".
"""


def datasheet_flop_per_s(device_kind: str) -> float | None:
    """Look up the dense bfloat16 rate of a device.

    Args:
        device_kind: as JAX names it, for instance "NVIDIA H100 80GB HBM3".

    Returns:
        Operations a second, two for each multiply-add; None for a device that is not in the table, or a part of one.

    >>> datasheet_flop_per_s("NVIDIA H100 80GB HBM3")
    989000000000000.0
    """
    if "MIG" in device_kind:
        return None
    return next((rate for part, rate in BFLOAT16_FLOP_PER_S if part.lower() in device_kind.lower()), None)
