"""What tests of task networks share: the weight folder where there is one, and random parameters where not."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def weights() -> Path:
    """Return the folder of published weights, or skip."""
    data = os.environ.get("JAXICM_DATA")
    if not data or not (Path(data) / "weights" / "yolox_nano.npz").is_file():
        pytest.skip("JAXICM_DATA names no folder with weights/")
    return Path(data) / "weights"


@pytest.fixture(scope="session")
def reference(weights: Path) -> dict[str, np.ndarray]:
    """Return inputs and outputs of the original networks on one picture."""
    files = sorted((weights / "reference").glob("*.npz"))
    if not files:
        pytest.skip("weights/reference holds no outputs of the original networks")
    with np.load(files[0]) as file:
        return dict(file)


@pytest.fixture(scope="session")
def draw() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a function that draws parameters for nested dicts of shapes, keeping the size of activations."""

    def fill(template: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng(seed)

        def one(node: Any, name: str = "") -> Any:
            if isinstance(node, Mapping):
                return {key: one(child, key) for key, child in node.items()}
            spread = 0.1 if name == "bias" else np.sqrt(1 / np.prod(node.shape[:-1]))
            return rng.normal(0, spread, node.shape).astype(np.float32)

        return one(template)

    return fill
