"""Ablation of system S6: how rate, squared error and task are weighed, each at the same cost.

    JAXICM_TASKS=WEIGHTS jaxicm ablate configs/ablation_icm.py --data PICTURES --budget 600 \\
        --task yolox_nano --task deimv2_femto --pictures COCO_VAL --annotations instances_val.json

The base is ours: one model of all rates, the distortion of a crop weighed by the trade-off of its quality. "constant",
"task_only" and "pretrained" have the weights of the papers' operating points, chosen by the quality, from the first
step, without the squared error, or after a part of the run with the squared error alone. "lws" is the papers' strategy:
one rate at a time, the weights growing over the run, six states of which are the points. "mse" is trained as the base
is, but for people. The detector yolox_nano is one of those that are trained through, deimv2_femto is not.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.machine import MachineTraining


def config() -> TrainConfig:
    """Return the base."""
    return TrainConfig(
        name="ablation_icm",
        model=ImageConfig(
            TransformConfig(channels=128, fine_width=48, coarse_width=96), ProgressiveConfig(channels=128, hidden=64)
        ),
        machine=MachineTraining(MachineDistortion(networks=("yolox_nano",), own=(0.1,))),
        data=DataConfig(smallest_scale=0.7),
        validation=ValidationConfig(
            include=("photos-b/*%12",), crop=256, qualities=(1.0, 15.0, 30.0, 50.0), pictures=0
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
        quality_max=60.0,
        crop=256,
        batch=2,
        ema=0.99,
        checkpoint_s=120.0,
    )


def variants() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the variants by group."""
    one_rate = ("quality_min=50", "quality_max=50", "validation.qualities=50")
    return {
        "strategy": {
            "constant": ("machine.weighting=constant",),
            "task_only": ("machine.weighting=task_only",),
            "pretrained": ("machine.weighting=pretrained",),
            "lws": ("machine.weighting=lws", *one_rate),
        },
        "distortion": {
            "mse": ("machine.distortion.proxy=0", "machine.distortion.own=0", "machine.distortion.mse=1"),
            "features": ("machine.distortion.own=0",),
            "own": ("machine.distortion.proxy=0", "machine.distortion.own=0.2"),
        },
    }
