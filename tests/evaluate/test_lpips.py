"""LPIPS: against a second implementation in numpy, with random weights under the published names."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxicm.errors import InputError
from jaxicm.evaluate.lpips import CHANNELS, Lpips

FIRES = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)} | {
    9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256),
}  # fmt: skip
"""Position in torchvision's `features`, input, squeezed and expanded channels."""
SLICES = ((0, 1), (2, 3, 4), (5, 6, 7), (8, 9), (10,), (11,), (12,))
"""Positions in `features` of lpips.pretrained_networks.squeezenet's seven slices; 1 is a ReLU, 2, 5, 8 are pools."""


@pytest.fixture(scope="module")
def trunk() -> dict[str, np.ndarray]:
    """Draw torchvision's squeezenet1_1, classifier included."""
    rng = np.random.default_rng(0)

    def layer(name: str, out: int, channels: int, size: int) -> dict[str, np.ndarray]:
        kernel = rng.normal(0, np.sqrt(2 / (channels * size * size)), (out, channels, size, size))
        bias = rng.normal(0, 0.1, out)
        return {f"{name}.weight": kernel.astype(np.float32), f"{name}.bias": bias.astype(np.float32)}

    arrays = layer("features.0", 64, 3, 3) | layer("classifier.1", 10, 512, 1)
    for k, (channels, squeezed, expanded) in FIRES.items():
        arrays |= layer(f"features.{k}.squeeze", squeezed, channels, 1)
        arrays |= layer(f"features.{k}.expand1x1", expanded, squeezed, 1)
        arrays |= layer(f"features.{k}.expand3x3", expanded, squeezed, 3)
    return arrays


@pytest.fixture(scope="module")
def linear() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        f"lin{i}.model.1.weight": rng.uniform(0, 1, (1, count, 1, 1)).astype(np.float32)
        for i, count in enumerate(CHANNELS)
    }


@pytest.fixture(scope="module")
def folder(trunk, linear, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lpips")
    np.savez(folder / "squeezenet1_1-b8a52dc0.npz", **trunk)
    save_file(linear, folder / "squeeze.safetensors")
    return folder


def convolve(x: np.ndarray, arrays: dict[str, np.ndarray], name: str, stride: int = 1, pad: int = 0) -> np.ndarray:
    """Correlate [C, H, W] and apply ReLU."""
    kernel, bias = arrays[f"{name}.weight"].astype(np.float64), arrays[f"{name}.bias"]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.maximum(np.einsum("chwij,ocij->ohw", windows, kernel) + bias[:, None, None], 0)


def pool(x: np.ndarray) -> np.ndarray:
    """MaxPool2d(3, 2, ceil_mode=True): the last window may reach over the end, but starts inside."""
    sides = [-(-(n - 3) // 2) + 1 for n in x.shape[1:]]
    rows = np.stack([x[:, 2 * i : 2 * i + 3].max(1) for i in range(sides[0])], 1)
    return np.stack([rows[:, :, 2 * j : 2 * j + 3].max(2) for j in range(sides[1])], 2)


def slow_lpips(trunk: dict, linear: dict, *pictures: np.ndarray) -> float:
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x, y = (((p / 127.5 - 1.0 - shift) / scale).transpose(2, 0, 1) for p in pictures)
    total = 0.0
    for i, positions in enumerate(SLICES):
        for k in positions:
            if k == 0:
                x, y = (convolve(z, trunk, "features.0", stride=2) for z in (x, y))
            elif k in (2, 5, 8):
                x, y = pool(x), pool(y)
            elif k in FIRES:
                squeezed = [convolve(z, trunk, f"features.{k}.squeeze") for z in (x, y)]
                x, y = (
                    np.concatenate(
                        [
                            convolve(z, trunk, f"features.{k}.expand1x1"),
                            convolve(z, trunk, f"features.{k}.expand3x3", pad=1),
                        ]
                    )
                    for z in squeezed
                )
        u, v = (z / (np.sqrt((z**2).sum(0)) + 1e-10) for z in (x, y))
        total += np.einsum("chw,c->hw", (u - v) ** 2, linear[f"lin{i}.model.1.weight"].ravel()).mean()
    return total


@pytest.mark.parametrize("size", [(64, 96), (59, 90)])
def test_it_is_the_published_formula(size, folder, trunk, linear, photograph):
    """Sizes that fill the canvas and that do not."""
    a = photograph(*size)
    noise = np.random.default_rng(2).integers(-25, 26, a.shape)
    b = np.clip(a.astype(int) + noise, 0, 255).astype(np.uint8)
    expected = slow_lpips(trunk, linear, a, b)
    assert expected > 0.05
    assert Lpips.load(folder)(a, b) == pytest.approx(expected, rel=1e-4)


def test_equal_pictures_have_distance_0_and_order_does_not_matter(folder, photograph):
    distance, a, b = Lpips.load(folder), photograph(64, 96), photograph(64, 96, seed=1)
    assert distance(a, a) == 0.0
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-6)


def test_the_folder_is_named_by_the_environment(folder, monkeypatch):
    monkeypatch.setenv("JAXICM_LPIPS", str(folder))
    assert len(Lpips.load().digest) == 64
    monkeypatch.delenv("JAXICM_LPIPS")
    with pytest.raises(InputError, match="JAXICM_LPIPS"):
        Lpips.load()


def test_caffes_squeezenet_is_not_taken_for_lpips(linear, tmp_path):
    np.savez(tmp_path / "squeezenet1_1.npz", **{"conv1.weight": np.zeros((64, 3, 3, 3), np.float32)})
    save_file(linear, tmp_path / "squeeze.safetensors")
    with pytest.raises(InputError, match="Caffe"):
        Lpips.load(tmp_path)


def test_linear_weights_that_are_missing_or_of_another_trunk_are_refused(trunk, linear, tmp_path):
    np.savez(tmp_path / "trunk.npz", **trunk)
    with pytest.raises(InputError, match=r"no 'lin0\.model\.1\.weight'"):
        Lpips.load(tmp_path)
    save_file(linear | {"lin1.model.1.weight": np.zeros((1, 192, 1, 1), np.float32)}, tmp_path / "alex.safetensors")
    with pytest.raises(InputError, match="192 values"):
        Lpips.load(tmp_path)


def test_pictures_are_checked(folder, photograph):
    distance, a = Lpips.load(folder), photograph(32, 32)
    with pytest.raises(ValueError, match="same shape"):
        distance(a, a[:30])
    with pytest.raises(ValueError, match="uint8"):
        distance(a.astype(np.float32), a.astype(np.float32))
    with pytest.raises(InputError, match="17x17"):
        distance(a[:16], a[:16])
