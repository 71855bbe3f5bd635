"""Run files as `jaxicm eval` writes them, made up from curves whose deltas are known."""

import json
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

# VTM and HPCM-Base on Kodak as published; the BD-rate of the latter is -16.01 % by PCHIP
VTM = (
    (0.0482, 0.1125, 0.2458, 0.4905, 0.8748, 1.4308, 2.3246, 3.6326),
    (26.145, 28.493, 31.200, 34.262, 37.420, 40.424, 43.506, 46.592),
)
HPCM = ((0.1211, 0.1757, 0.2729, 0.4125, 0.5898, 0.8209), (29.4022, 30.7547, 32.4012, 34.2063, 36.0145, 37.7525))
SCALES = {100: 1.0, 50: 0.3}

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes a run file and returns its path."""

    def make(
        stem: str,
        curve: tuple[Sequence[float], Sequence[float]] = HPCM,
        *,
        name: str | None = None,
        title: str | None = None,
        kind: str = "learned",
        data: str = "d1",
        set_name: str | None = None,
        folder: str = "set",
        labels: dict[str, str] | None = None,
        task: bool = False,
        scales: Sequence[int] = (100,),
        crops: Sequence[str] = (),
        pictures: Sequence[str] = ("a.png", "b.png"),
        **changes: Any,
    ) -> Path:
        bpp, psnr = curve
        learned = kind == "learned"
        points = sorted(
            (rate * SCALES[scale], 10.0 * index, scale, quality if scale == 100 else min(quality - 4, 31.0))
            for scale in scales
            for index, (rate, quality) in enumerate(zip(bpp, psnr, strict=True))
        )
        similarity = [1 - 0.5 * 10 ** (-(p[3] - 20) / 10) for p in points]
        results = {
            "quality": [p[1] for p in points],
            "scale": [p[2] for p in points],
            "bpp": [p[0] for p in points],
            "psnr-rgb": [p[3] for p in points],
            "ms-ssim-rgb": similarity,
            "lpips": [round(0.5 * 2 ** (-(p[3] - 24) / 4), 6) for p in points],
        }
        rows = [
            {
                "picture": picture, "quality": p[1], "scale": p[2], "width": 600, "height": 400,
                "size_bytes": round(p[0] * 30000), "bpp": p[0], "psnr_rgb": p[3] + index - (len(pictures) - 1) / 2,
                "ms_ssim": results["ms-ssim-rgb"][n], "lpips": results["lpips"][n],
                "encode_s": 0.2, "decode_s": 0.1,
                "encode_parts_s": {"analysis": 0.15, "coder": 0.05} if learned else {}, "decode_parts_s": {},
            }
            for index, picture in enumerate(pictures) for n, p in enumerate(points)
        ]  # fmt: skip
        run: dict[str, Any] = {
            "format": "jaxicm run 1",
            "name": name or stem,
            "description": "made up",
            "results": results,
            "codec": {
                "name": name or stem,
                "title": title or stem.capitalize(),
                "kind": kind,
                "clock": "wall" if learned else "cpu",
                "identity": {"digest": "cb8d4ca0"},
            },
            "data": {"folder": folder, "set": set_name, "count": 2, "pixels": 480000, "digest": data * 32},
            "labels": labels or {},
            "command": f"jaxicm eval {stem} {folder} --out {stem}.json",
            "created": "2026-11-21T12:00:00+00:00",
            "versions": {"jaxicm": "0.1.0", "numpy": "2.4.6"},
            "machine": {"cpus": 2},
            "pictures": rows,
            "tasks": {},
            "crops": [],
        }
        if learned:
            kmac = {"analysis": 7.5, "synthesis": 11.3, "entropy": 4.2, "decode": 15.5}
            run["codec"] |= {"parameters": 1234567, "kmac_per_pixel": kmac, "steps": 28}
        if task:
            found = [
                {"quality": p[1], "scale": p[2], "bpp": p[0], "box_ap": 0.4 - 0.4 * 2 ** (-(p[3] - 24) / 3)}
                for p in points
            ]
            run["tasks"]["tiny"] = {
                "digest": "9" * 64,
                "ground_truth": "real",
                "original": {"box_ap": 0.41},
                "points": found,
            }
        for picture in crops:
            files = tmp_path / f"{stem}.crops"
            files.mkdir(exist_ok=True)
            rng = np.random.default_rng(7)
            original = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(original).save(files / f"{picture}.png")
            for p in points:
                decoded = np.minimum(original + np.uint8(p[1]), 255).astype(np.uint8)
                Image.fromarray(decoded).save(files / f"{picture}_q{p[1]:g}.png")
                paths = {"original": f"{stem}.crops/{picture}.png", "decoded": f"{stem}.crops/{picture}_q{p[1]:g}.png"}
                point = {"picture": f"{picture}.png", "quality": p[1], "scale": p[2], "bpp": p[0], "psnr_rgb": p[3]}
                run["crops"].append(point | paths | {"box": [0, 0, 16, 16]})
        path = tmp_path / f"{stem}.json"
        path.write_text(json.dumps(run | changes), encoding="utf-8")
        return path

    return make


@pytest.fixture
def known_curves() -> tuple[tuple[Sequence[float], Sequence[float]], ...]:
    """Return the curves of VTM and HPCM-Base: rates and PSNR."""
    return VTM, HPCM


@pytest.fixture
def anchor_run(make_run: MakeRun) -> Path:
    """Write the run of an anchor with VTM's curve."""
    return make_run("vvc", VTM, title="VVC", kind="conventional")


class Page(HTMLParser):
    """Read a page: elements with their attributes and text, cells of tables, and whether all elements are closed."""

    VOID = frozenset({"meta", "img", "input", "br", "link", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: list[tuple[str, list[list[tuple[str, float | None]]]]] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "srcset", "action", "data")]
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(("", []))
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in ("td", "th"):
            value = attributes.get("data-v")
            self.tables[-1][1][-1].append(("", float(value) if value is not None else None))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"{tag} is closed, nothing is open"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            return
        self.texts.append(data)
        if "caption" in self._open:
            self.tables[-1] = (self.tables[-1][0] + data, self.tables[-1][1])
        if any(name in self._open for name in ("td", "th")):
            row = self.tables[-1][1][-1]
            row[-1] = (row[-1][0] + data, row[-1][1])

    @property
    def text(self) -> str:
        """Return what a reader sees, the styles and scripts left out."""
        return " ".join(self.texts)

    def row(self, head: str, caption: str = "Pictures. Anchor") -> list[tuple[str, float | None]]:
        """Return the row with this first cell of the first table whose caption begins so: texts and sort values."""
        rows = next(rows for title, rows in self.tables if title.startswith(caption))
        return next(row for row in rows if row and row[0][0].strip() == head)


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    """Return the reader of pages."""
    return Page
