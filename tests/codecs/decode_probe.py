"""Decode files under the settings of this process and print digests of the symbols as JSON (a program for the tests).

Usage: decode_probe.py OUT.npz WEIGHTS.safetensors FILE...; the decoded pictures go to OUT.
"""

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

import jaxicm


def main(out: str, weights: str, *files: str) -> None:
    codec = jaxicm.load(weights)
    digests, images = [], {}
    for name in files:
        result = codec.decode_detail(Path(name).read_bytes())
        lossless = hasattr(result, "samples")
        symbols = result.samples if lossless else result.values_q4
        digests.append(hashlib.sha256(np.ascontiguousarray(symbols).tobytes()).hexdigest())
        images[Path(name).stem] = result.samples if lossless else result.image
    np.savez(out, allow_pickle=False, **images)
    print(json.dumps({"symbols": digests, "devices": jax.device_count()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
