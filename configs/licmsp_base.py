"""System S4 in paper mode, profile "base": Res autoencoder (stride 8, 128 channels) and recurrent MSP model, 27 steps.

    jaxicm train configs/licmsp_base.py --data PICTURES

What is known of the paper (arXiv 2210.04112): the multi-scale progressive model and its profiles. The autoencoder, the
order of positions and the sizes are those of the authors' later software; lambda, crops and learning rate are not known
and are defaults of the field. One run is one rate: lambda in {0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483}, set by
`model.lambda_min=... model.lambda_max=...` (both alike). Not trained here: it takes days on an accelerator.
"""

from jaxicm.entropy.recurrent_network import BASE
from jaxicm.models.image import ImageConfig
from jaxicm.models.res8 import Res8Config
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig

LAMBDA = 0.013


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="licmsp_base",
        model=ImageConfig(res8=Res8Config(), recurrent=BASE, lambda_min=LAMBDA, lambda_max=LAMBDA),
        data=DataConfig(),
        validation=ValidationConfig(qualities=(50.0,)),
        optimizer=OptimizerConfig(name="adam", learning_rate=1e-4),
        crop=256,
        batch=16,
        steps=1_000_000,
    )
