"""What trains best per hour: variants of the recipe of `fast` on a smaller model, at equal CPU seconds.

    jaxicm ablate configs/ablation_recipe.py --data PHOTOS_A --data PHOTOS_B --budget 120

The model has 0.4 of the channels of `fast` and half of its widths, crops are small and rates end at quality 70, so that
two minutes of a core get past the start. Results stand below the command in README.md.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the base."""
    transform = TransformConfig(channels=128, fine_width=48, coarse_width=96)
    return TrainConfig(
        name="ablation_recipe",
        model=ImageConfig(transform, ProgressiveConfig(channels=128, hidden=64)),
        data=DataConfig(),
        validation=ValidationConfig(
            include=("photos-b/*%12",), crop=256, qualities=(10.0, 30.0, 50.0, 70.0), pictures=0, ms_ssim=True
        ),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=6e-4,
            warmup=100,
            schedule="wsd",
            cooldown=0.4,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        crop=128,
        batch=4,
        quality_max=70.0,
        ema=0.99,
        checkpoint_s=120.0,
    )


def variants() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return groups of variants, each as words that change the base."""
    return {
        "rounding": {name: (f"objective.rounding={name}",) for name in ("straight_through", "mixed", "noise", "soft")},
        "optimizer": {"adam": ("optimizer.name=adam",), "linear x50": ("optimizer.multipliers.linear=1",)},
        "batch": {"8": ("batch=8",)},
        "schedule": {"cosine": ("optimizer.schedule=cosine",)},
        "average": {"none": ("ema=0",)},
        "qualities": {name: (f"objective.qualities={name}",) for name in ("uniform", "anchors")},
        "distortion": {"yuv": ("objective.distortion=yuv",)},
        "context": {f"{n} groups": (f"model.entropy.groups={n}",) for n in (1, 8)},
        "phases": {"sampled": ("objective.phases=sampled",)},
        "scale": {"0.5 to 1": ("data.smallest_scale=0.5",)},
    }
