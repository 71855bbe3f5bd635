"""Which networks to spend 11 kMAC a pixel on: architectures of equal decoding cost, at equal CPU seconds.

    jaxicm ablate configs/ablation_architectures.py --data PHOTOS_A --data PHOTOS_B --budget 150

All have 256 channels behind a block transform that starts at principal components, and decode with 10 to 11.5 kMAC a
pixel; they differ in the grid on which the transforms' networks work, in how much goes into the probability model, and
in how a channel of the latent gets to know of others. Results stand below the command in README.md.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the base, whose networks work on the 1/4 grid."""
    transform = TransformConfig(
        channels=256,
        block_channels=80,
        fine_width=64,
        coarse_width=64,
        quarter_width=40,
        analysis_coarse=0,
        analysis_fine=1,
        analysis_quarter=4,
        synthesis_coarse=0,
        synthesis_fine=1,
        synthesis_quarter=8,
        anchors=4,
    )
    entropy = ProgressiveConfig(
        channels=256, hidden=48, anchors=4, group_channels=(8, 24, 64, 160), context_channels=64
    )
    return TrainConfig(
        name="ablation_architectures",
        model=ImageConfig(transform, entropy),
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
            multipliers=Multipliers(linear=0.1, muon=8.0),
        ),
        crop=128,
        batch=4,
        quality_max=70.0,
        ema=0.99,
        checkpoint_s=120.0,
    )


def variants() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return groups of variants, each as words that change the base."""
    coarser = ("model.transform.quarter_width=0", "model.transform.analysis_quarter=0")
    coarser = (*coarser, "model.transform.synthesis_quarter=0")
    return {
        "grid": {
            "half": (
                "model.transform.fine_width=48",
                "model.transform.quarter_width=36",
                "model.transform.half_width=16",
                "model.transform.analysis_quarter=3",
                "model.transform.synthesis_quarter=7",
                "model.transform.analysis_half=2",
                "model.transform.synthesis_half=5",
            ),
            "eighth": (
                *coarser,
                "model.transform.fine_width=88",
                "model.transform.coarse_width=96",
                "model.transform.analysis_fine=4",
                "model.transform.synthesis_fine=6",
            ),
            "sixteenth": (
                *coarser,
                "model.transform.coarse_width=160",
                "model.transform.analysis_coarse=4",
                "model.transform.synthesis_coarse=7",
            ),
        },
        "share": {
            "probability model": (
                "model.transform.quarter_width=36",
                "model.transform.synthesis_fine=0",
                "model.transform.synthesis_quarter=4",
                "model.entropy.hidden=192",
                "model.entropy.context_channels=192",
                "model.entropy.group_channels=8,16,24,48,64,96",
            ),
            "analysis": ("model.transform.analysis_fine=4", "model.transform.analysis_quarter=10"),
        },
        "context": {
            "all channels": ("model.entropy.context_channels=0",),
            "4 equal groups": ("model.entropy.group_channels=", "model.entropy.groups=4"),
        },
        "blocks": {"16x16 at once": ("model.transform.block_channels=0",)},
        "rates": {f"{q} alone": (f"quality_min={q}", f"quality_max={q}") for q in (20, 40, 60)},
    }
