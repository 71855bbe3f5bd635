"""The hyperprior and the context model of CompressAI in the same run, where the package is installed.

Their weights are random: speed does not depend on them, rate and quality would. Their rate is therefore not reported.
"""

import importlib
import importlib.util
import time
from typing import Any

import numpy as np

from jaxicm.media.pictures import as_rgb

MODELS = ("bmshj2018-hyperprior", "mbt2018")


def compressai_speeds(pixels: np.ndarray, repeats: int) -> list[dict[str, Any]] | None:
    """Time CompressAI's models on a picture, weights random.

    Args:
        pixels: uint8 [H, W, 3], sides divisible by 64.
        repeats: of the quick model; the context model decodes pixel by pixel and runs once.

    Returns:
        Rows with "model", "parameters", "encode_mp_per_s" and "decode_mp_per_s" (wall); None if the package cannot be
        used here.
    """
    if importlib.util.find_spec("compressai") is None:
        return None
    try:
        torch: Any = importlib.import_module("torch")
        zoo: Any = importlib.import_module("compressai.zoo")
    except ImportError:
        return None
    rgb = as_rgb(pixels)
    x = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])).float() / 255
    megapixels = rgb.shape[0] * rgb.shape[1] / 1e6
    rows = []
    for name in MODELS:
        network = zoo.image_models[name](quality=3, pretrained=False).eval()
        network.update(force=True)
        times: dict[str, list[float]] = {"encode": [], "decode": []}
        with torch.inference_mode():
            for _ in range(1 + repeats if "hyperprior" in name else 1):
                start = time.perf_counter()
                coded = network.compress(x)
                middle = time.perf_counter()
                network.decompress(coded["strings"], coded["shape"])
                times["encode"].append(middle - start)
                times["decode"].append(time.perf_counter() - middle)
        speeds = {f"{way}_mp_per_s": megapixels / float(np.median(found[-repeats:])) for way, found in times.items()}
        rows.append({"model": name, "parameters": sum(p.numel() for p in network.parameters())} | speeds)
    return rows
