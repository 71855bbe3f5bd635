"""Lossless coding at equal CPU seconds: orders, fitted predictions, scales, and the paper's network (system S7).

    jaxicm ablate configs/ablation_lossless.py --data LOSSLESS --budget 200

The base is our network, small, on three scales and without fitted predictions (which take long to compile), so that a
variant costs minutes. Each row changes one setting; the rows "masked" are the paper's network, small as well. It
evaluates the whole grid at every step, so a crop costs it many times as much, and its batch is smaller so that it gets
enough steps: a budget of 1000 seconds is not too long. An order is one value: `lossless.model.pixels.cell=4x4`, or
`lossless.model.masked.kind=entropy`.
"""

from jaxicm.entropy.least_squares import FitConfig
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.models.lossless import LosslessConfig
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.lossless import LosslessTraining

SCALES = 3
PIXELS, MASKED = "lossless.model.pixels", "lossless.model.masked"
PAPER = (
    "lossless.model.colour=none", f"{MASKED}.features=16", f"{MASKED}.blocks=2", f"{MASKED}.mixtures=5", "batch=2",
)  # fmt: skip


def config() -> TrainConfig:
    """Return the base: our network, 2x2 cells in a fixed order."""
    pixels = PixelConfig(scales=SCALES, hidden=64, head=32, fit=FitConfig(scales=0))
    plain = {f"{name}_share": 0.0 for name in ("grey", "subsampled", "ycc", "filtered")}
    return TrainConfig(
        name="ablation_lossless",
        lossless=LosslessTraining(LosslessConfig(pixels), scales=SCALES, **plain),
        data=DataConfig(exclude=("lossless/l007*", "lossless/l008*")),
        validation=ValidationConfig(include=("lossless/l008*",), crop=256, qualities=(50.0,), pictures=0),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=50, schedule="wsd", cooldown=0.4),
        crop=64,
        batch=8,
        ema=0.98,
        checkpoint_s=120.0,
    )


def variants() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return groups of variants, each as words that change the base."""
    cells, kinds = ("2x2", "2x4", "4x4"), ("fixed", "random", "entropy", "inverse_entropy")
    orders = [(cell, kind) for cell in cells for kind in kinds]
    scales = (1, 2, 4)
    return {
        "order": {
            f"{cell} {kind}": (f"{PIXELS}.cell={cell}", f"{PIXELS}.kind={kind}")
            for cell, kind in orders
            if kind in ("fixed", "random") and (cell, kind) != ("2x2", "fixed")
        },
        "fitted": {f"{k} scales": (f"{PIXELS}.fit.scales={k}",) for k in (1, 2)}
        | {"8x8 blocks": (f"{PIXELS}.fit.scales=2", f"{PIXELS}.fit.block=8")},
        "mixtures": {str(k): (f"{PIXELS}.mixtures={k}",) for k in (1, 5, 10)},
        "colour": {name: (f"lossless.model.colour={name}",) for name in ("green", "none")},
        "scales": {str(s): (f"{PIXELS}.scales={s}", f"lossless.scales={s}") for s in scales},
        "masked": {
            f"{cell} {kind}": (*PAPER, f"{MASKED}.cell={cell}", f"{MASKED}.kind={kind}") for cell, kind in orders
        },
        "masked scales": {str(s): (*PAPER, f"{MASKED}.scales={s}", f"lossless.scales={s}") for s in scales},
        "masked mixtures": {str(k): (*PAPER, f"{MASKED}.mixtures={k}") for k in (1, 10)},
    }
