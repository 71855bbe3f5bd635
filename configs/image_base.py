"""`base`: 40 kMAC per pixel of decoding, for an accelerator.

    jaxicm train configs/image_base.py --data PHOTOS_A --data PHOTOS_B --data COCO_TRAIN --resident duration_s=SECONDS

Two CPU cores would take half a minute a step. Decoding: synthesis 33.4, probability model 6.5 kMAC per pixel; analysis
32.9; 14.7 million parameters.

Log (one H100, jax 0.11; 600 photographs, the 21 of the validation not among them, and 118 pictures of COCO train2017;
TF32 and bfloat16; `batch=64 data.toned=0.3 validation.include=`, 59 steps a second, the GPU busy for 92 % of them):

    steps 0-6289     falling to 0 over the last 75 %, 130 s                 loss 1.268 (600), 1.122 (3200), 1.087
    steps 0-11075    from there, `init=` and a schedule of its own, 190 s   loss 1.084 (1400), 1.065 (7400), 1.041
    Kodak, 24 pictures, real files: BD-rate +50.8 % over the published VTM curve (`fast`: +69.0 %)
    calibrated on 22 pictures of the training (`jaxicm calibrate`): BD-rate +48.3 % (`fast`: +65.2 %)

Gone on with one CPU core (`batch=3 crop=192 precision=float32 init=`, validation on 21 pictures of photos-b, 1.3254 at
the start), all given up: small batches take more from what large ones had found than an hour of them gives.

    with the 1/4 grid (quarter_width=64, 3 and 6 blocks), rate 3e-4          1.359 after 500 steps
    the same, rate 1e-4 falling to 0 over 50 minutes                         1.336 (500), 1.334 (1000)
    `trained=entropy batch=6`, Adam at 4e-4 falling to 0 over 35 minutes     1.329 (250), 1.333 (500), 1.338 (1000)
    the same with objective.passes=0                                         1.338 (250)

Before, 3700 steps of 32 crops (48 s) had reached +70.4 %, with the same gap to `fast` on pictures of the training and
of the validation. Compiling took 400 s (Triton variants of some 270 small matrix products are tried): with
XLA_FLAGS=--xla_gpu_enable_triton_gemm=false it should take a fraction. All of this was with objective.passes=0.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, ObjectiveConfig, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="image_base",
        model=ImageConfig(
            transform=TransformConfig(
                fine_width=128,
                coarse_width=256,
                analysis_fine=8,
                analysis_coarse=4,
                synthesis_fine=8,
                synthesis_coarse=3,
            ),
            entropy=ProgressiveConfig(hidden=192),
        ),
        data=DataConfig(smallest_scale=0.6, toned=0.3),
        validation=ValidationConfig(include=("photos-b/*%12",), every=5000, crop=384),
        objective=ObjectiveConfig(passes=2),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=8e-4,
            warmup=300,
            schedule="wsd",
            cooldown=0.75,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        precision="bfloat16",
        crop=256,
        batch=64,
        steps=100_000,
    )
