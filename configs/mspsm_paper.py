"""System S7 in paper mode: the multi-scale progressive model of pixels with the network and mixture of its authors.

    jaxicm train configs/mspsm_paper.py --data PICTURES
    jaxicm train configs/mspsm_paper.py --data PICTURES lossless.model.masked.kind=entropy

Known of the paper (Zhang et al., "Lossless image compression using a multi-scale progressive statistical model", ACCV
2020): a pyramid by subsampling, cells of which one position after the other is coded given all before, an order that is
easily changed, one network for all scales and steps. From the authors' later software: its layers, 64 features, five
residual blocks, cells of 2x2 and 2x4, the guided orders. Guesses, from the codecs the paper is compared with (L3C,
SReC): ten logistics, crops of 128, batches of 16, Adam from 1e-4 to 5e-4 with a decay. Three scales and the cell of 2x2
are defaults of ours in a range that the software has (1 to 5 scales). Not trained here: each step evaluates the whole
network nine times.
"""

from jaxicm.entropy.masked import MaskedConfig
from jaxicm.models.lossless import LosslessConfig
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.lossless import LosslessTraining


def config() -> TrainConfig:
    """Return the configuration."""
    masked = MaskedConfig(cell="2x2", kind="fixed", scales=3, features=64, blocks=5, mixtures=10)
    return TrainConfig(
        name="mspsm_paper",
        lossless=LosslessTraining(
            LosslessConfig(colour="none", masked=masked), scales=3, grey_share=0.0, subsampled_share=0.0
        ),
        data=DataConfig(),
        validation=ValidationConfig(qualities=(50.0,), pictures=0),
        optimizer=OptimizerConfig(name="adam", learning_rate=3e-4, schedule="cosine"),
        crop=128,
        batch=16,
        steps=500_000,
    )
