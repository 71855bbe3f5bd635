"""System S6 in paper mode, boxes and masks: one run under the loss-weighting strategy, its epochs the operating points.

    JAXICM_TASKS=WEIGHTS jaxicm train configs/icm_paper_seg.py --data PICTURES data.annotations=instances.json

Le et al., arXiv 2108.09993. Known: the loss of rate, squared error and task with a frozen detector and labels, one run
with growing weights, Cityscapes. The autoencoder, the probability model and the weights' numbers are those of the
authors' later software; the learning rate and the earlier break points are not known. The paper's detector is a
Mask R-CNN with ResNet-50-FPN: plug yours in with machine.distortion.networks=FILE.py:FUNCTION. The parameters of the
operating points (epochs 68, 80, 170, 220, 270, 320 for QP 22 to 47) are written to RUN/points/ as weight files. An
epoch has machine.epoch_steps steps, pictures / batch. Not trained here: it takes days on an accelerator.
"""

from jaxicm.entropy.recurrent_network import BASE
from jaxicm.models.image import ImageConfig
from jaxicm.models.res8 import Res8Config
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.objectives.weighting import LAST_EPOCH
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.machine import MachineTraining

EPOCH_STEPS = 2975 // 8
"""Cityscapes in batches of 8."""


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="icm_paper_seg",
        model=ImageConfig(res8=Res8Config(), recurrent=BASE, lambda_min=0.013, lambda_max=0.013),
        machine=MachineTraining(
            MachineDistortion(networks=("mask_rcnn",), proxy=(0.0,), task=(1.0,)),
            picture=(1024, 2048),
            weighting="lws",
            epoch_steps=EPOCH_STEPS,
        ),
        data=DataConfig(transpose=False),
        validation=ValidationConfig(qualities=(50.0,)),
        optimizer=OptimizerConfig(name="adam", learning_rate=1e-4),
        crop=256,
        batch=8,
        steps=LAST_EPOCH * EPOCH_STEPS,
    )
