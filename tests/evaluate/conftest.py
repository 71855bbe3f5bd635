"""A small journal with everything that a run file can hold, from closed forms."""

from typing import Any

import numpy as np
import pytest

from jaxicm.evaluate.journal import FORMAT, Journal

QUALITIES = (10.0, 30.0, 50.0, 70.0)
PICTURES = ("a.png", "b.png", "c.png")


def measurement(index: int, quality: float) -> dict[str, Any]:
    """Make up the measurements of a picture of 600x400 pixels whose rate doubles every 20 steps of quality."""
    size_bytes = round(3000 * (1 + 0.2 * index) * 2 ** (quality / 20))
    similarity = 1 - 0.2 * 2 ** (-quality / 15)
    return {
        "width": 600,
        "height": 400,
        "size_bytes": size_bytes,
        "bpp": 8 * size_bytes / 240000,
        "psnr_rgb": 25.0 + index + 0.15 * quality,
        "psnr_yuv": 27.5 + index + 0.15 * quality,
        "ms_ssim": similarity,
        "ms_ssim_db": float(-10 * np.log10(1 - similarity)),
        "lpips": round(0.4 * 2 ** (-quality / 30), 6),
        "encode_s": 0.09 + 0.01 * index,
        "decode_s": 0.08 + 0.01 * index,
        "encode_parts_s": {"analysis": 0.03, "entropy": 0.02, "coder": 0.03 + 0.01 * index},
        "decode_parts_s": {"entropy": 0.02, "coder": 0.02 + 0.01 * index, "synthesis": 0.03},
    }


def point_lines(index: int, quality: float) -> dict[str, Any]:
    """Make the line of a picture at an operating point; the first picture has crops."""
    name = PICTURES[index]
    line = {"kind": "point", "picture": name, "quality": quality, "scale": 100}
    line["measured"] = measurement(index, quality)
    line["observations"] = {"yolox_nano": {"detections": []}}
    if index == 0:
        files = {"original": "example_run.crops/a.png", "decoded": f"example_run.crops/a_q{quality:g}.png"}
        line["crop"] = files | {"box": [16, 8, 272, 264]}
    return line


@pytest.fixture
def example_lines() -> list[dict[str, Any]]:
    """Return the lines of the journal of a finished run."""
    header = {
        "format": FORMAT,
        "codec": {
            "name": "example",
            "title": "jaxicm example",
            "kind": "learned",
            "clock": "wall",
            "identity": {"digest": "0123456789abcdef" * 4},
            "parameters": 1234567,
            "kmac_per_pixel": {"analysis": 7.5, "synthesis": 11.3, "entropy": 4.2, "decode": 15.5},
            "steps": 28,
        },
        "description": "jaxicm example, weights 01234567",
        "fresh": False,
        "created": "2026-11-21T12:00:00+00:00",
    }
    pictures = [
        {"kind": "picture", "picture": name, "digest": 8 * f"{index}123abcd", "height": 400, "width": 600}
        for index, name in enumerate(PICTURES)
    ]
    session = {
        "kind": "session",
        "command": "jaxicm eval example set --out example_run.json --crops 1 --label order=2x2 --task yolox_nano",
        "labels": {"order": "2x2"},
        "jobs": 1,
        "data": {"folder": "set", "set": None, "digest": 8 * "89abcdef"},
        "versions": {"jaxicm": "0.1.0", "python": "3.11.7", "jax": "0.10.2", "numpy": "2.4.6"},
        "machine": {"cpus": 2, "processor": "", "architecture": "x86_64", "system": "Linux", "device": "cpu"},
        "observers": {"yolox_nano": 8 * "fedcba98"},
        "pictures": list(PICTURES),
    }
    points = [point_lines(index, quality) for index in range(3) for quality in QUALITIES]
    task = {
        "kind": "task",
        "task": "yolox_nano",
        "digest": 8 * "fedcba98",
        "ground_truth": "pseudo",
        "original": {"box_ap": 0.9, "box_ap50": 0.95, "weighted_ap": 0.92},
        "pictures": list(PICTURES),
        "points": [
            {
                "quality": quality,
                "scale": 100,
                "figures": {
                    "box_ap": 0.2 + quality / 120,
                    "box_ap50": 0.3 + quality / 120,
                    "weighted_ap": 0.25 + quality / 120,
                    "feature_psnr": 15 + quality / 5,
                },
            }
            for quality in QUALITIES
        ],
    }
    return [header, *pictures, session, *points, task]


@pytest.fixture
def example_journal(example_lines: list[dict[str, Any]]) -> Journal:
    """Return the journal of a finished run."""
    return Journal.of(example_lines)
