"""One tiny codec and one compiled step for all tests of training: compiling is nearly all of their time."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxicm import compilation
from jaxicm.configuration import to_dict
from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.checkpoints import load_parameters
from jaxicm.train.config import DataConfig, ObjectiveConfig, OptimizerConfig, TrainConfig, ValidationConfig

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
    """Six steps on one device, with all steps of the probability model at once, which compile sooner."""
    return TrainConfig(
        name="test",
        model=MODEL,
        data=DataConfig(folders=(str(picture_folder),)),
        validation=ValidationConfig(every=100, crop=64, qualities=(20.0, 80.0), pictures=1),
        objective=ObjectiveConfig(passes=1),
        optimizer=OptimizerConfig(warmup=2),
        crop=64,
        batch=8,
        steps=6,
        devices=1,
        log_every=1,
        checkpoint_s=0,
    )


class Elsewhere:
    """Starting `run_probe.py`: one process, or several that find each other on the loopback address."""

    PATIENCE_S = 600

    def start(self, config: TrainConfig, run: Path, *, devices: int = 1, group: tuple[str, int, int] | None = None):
        """Start a run in another process, with fake devices, which are threads of this machine."""
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir or "",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "JAXICM_JOIN_S": os.environ.get("JAXICM_JOIN_S", "60"),
        }
        words = [sys.executable, str(Path(__file__).with_name("run_probe.py")), json.dumps(to_dict(config)), str(run)]
        words += [str(word) for word in group or ()]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def start_group(self, configs: list[TrainConfig], run: Path, *, devices: int):
        """Start one process for each configuration; they join each other."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        return [
            self.start(config, run, devices=devices, group=(address, len(configs), index))
            for index, config in enumerate(configs)
        ]

    def finish(self, processes: list) -> list[tuple[int, str, str]]:
        """Wait for processes: exit code, standard output and standard error of each."""
        try:
            found = []
            for process in processes:
                out, err = process.communicate(timeout=self.PATIENCE_S)
                found.append((process.returncode, out, err))
            return found
        finally:
            for process in processes:
                process.kill()


@pytest.fixture(scope="session")
def elsewhere() -> Elsewhere:
    """Training runs in other processes."""
    return Elsewhere()


@pytest.fixture(scope="session")
def assert_equal_parameters() -> Callable[[Path, Path], None]:
    """Return a function that compares the last parameters of two runs, and their averages, bit for bit."""

    def compare(one: Path, other: Path) -> None:
        for average in (False, True):
            (a, step_a), (b, step_b) = (load_parameters(run, average=average) for run in (one, other))
            assert step_a == step_b
            jax.tree.map(np.testing.assert_array_equal, a, b)

    return compare


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
