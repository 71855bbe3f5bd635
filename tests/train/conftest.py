"""One tiny codec and one compiled step for all tests of training: compiling is nearly all of their time."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxicm import compilation
from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig

MODEL = ImageConfig(
    TransformConfig(channels=16, fine_width=16, coarse_width=16, analysis_fine=1, synthesis_fine=1, anchors=2),
    ProgressiveConfig(channels=16, groups=1, hidden=16, anchors=2),
)


def smooth_picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Draw a smooth random picture, uint8 `[height, width, 3]`."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures p0000.png to p0007.png."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(8):
        Image.fromarray(smooth_picture(number)).save(folder / f"p{number:04d}.png")
    return folder


@pytest.fixture(scope="session")
def config(picture_folder: Path) -> TrainConfig:
    """Six steps on one device."""
    return TrainConfig(
        name="test",
        model=MODEL,
        data=DataConfig(folders=(str(picture_folder),)),
        validation=ValidationConfig(every=100, crop=64, qualities=(20.0, 80.0), pictures=1),
        optimizer=OptimizerConfig(warmup=2),
        crop=64,
        batch=8,
        steps=6,
        devices=1,
        log_every=1,
        checkpoint_s=0,
    )


@pytest.fixture(scope="session", autouse=True)
def quick_compilation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile half as long to slower code, and once for all tests that compile the same."""
    options = {**compilation.training_options(), "xla_backend_optimization_level": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxicm.train.step.training_options", lambda: options)
        before = jax.config.jax_compilation_cache_dir
        if before is None:
            compilation.use_compilation_cache(tmp_path_factory.mktemp("compiled"))
        yield
        jax.config.update("jax_compilation_cache_dir", before)
