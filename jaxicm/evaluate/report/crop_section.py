"""Crops of the original and of two codecs under a slider, at about the same rate."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxicm.evaluate.report.entries import Entry, PictureSet
from jaxicm.evaluate.report.markup import Markup, json_script, tag
from jaxicm.evaluate.report.run_files import Crop

MATCHED = 0.1
"""Rates that differ by more than this share are marked."""
_RATES = 3
_BUDGET_BYTES = 32_000_000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Images:
    """Collect PNG files for a page, each once."""

    links: list[str] = field(default_factory=list)
    size_bytes: int = 0
    unreadable: set[Path] = field(default_factory=set)
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, path: Path) -> int | None:
        """Return the index of a picture among `links`, or None where the file is no PNG or is missing."""
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        if not data.startswith(_PNG) or len(data) < 24:
            self.unreadable.add(path)
            return None
        if data not in self._known:
            self._known[data] = len(self.links)
            self.links.append("data:image/png;base64," + base64.b64encode(data).decode("ascii"))
            self.size_bytes += len(data)
        return self._known[data]


def crop_section(picture_set: PictureSet, anchor: Entry | None, *, budget_bytes: int = _BUDGET_BYTES) -> Markup | None:
    """Embed the crops of a set and lay them under a slider.

    Of each picture up to three rates of the first codec are taken, and of every other codec the points nearest to
    them; more would make the page too large to open.

    Args:
        picture_set: the set.
        anchor: shown beside the first learned codec at the start.
        budget_bytes: of all PNG files; pictures beyond it are left out, which the page says.

    Returns:
        The viewer, or None where no run has crops.
    """
    by_picture: dict[tuple[str, tuple[int, ...]], dict[str, list[Crop]]] = {}
    for entry in picture_set.measured:
        for crop in entry.run.crops if entry.run is not None else ():
            if crop.scale == 100 and crop.bpp > 0:
                by_picture.setdefault((crop.picture, crop.box), {}).setdefault(entry.key, []).append(crop)
    if not by_picture:
        return None
    images, pictures, left_out = Images(), [], 0
    for (name, box), crops in sorted(by_picture.items()):
        if images.size_bytes > budget_bytes:
            left_out += 1
            continue
        found = _picture(name, box, crops, images)
        if found is not None:
            pictures.append(found)
    notes = []
    if images.unreadable:
        notes.append(
            f"{len(images.unreadable)} crop files are missing or no PNG; keep the folder x.crops beside x.json."
        )
    if left_out:
        notes.append(f"{left_out} pictures are left out: the page holds {images.size_bytes / 1e6:.0f} MB of crops.")
    note = tag("p", " ".join(notes), class_="note") if notes else None
    if not pictures:
        return tag("div", tag("p", "The runs name crops, but none could be read.", class_="note"), note)
    return tag("div", _viewer(picture_set, pictures, images, anchor), note)


def nearest(crops: Sequence[Crop], bpp: float) -> Crop:
    """Return the crop whose rate has the ratio nearest to 1 to a given rate."""
    return min(crops, key=lambda crop: (abs(math.log(crop.bpp / bpp)), crop.bpp))


def chosen_rates(crops: Sequence[Crop], count: int = _RATES) -> list[float]:
    """Return rates spread over those of a codec, without its ends: other codecs may not reach these."""
    rates = sorted({crop.bpp for crop in crops})
    if len(rates) <= count:
        return rates
    return [rates[round((index + 1) * (len(rates) - 1) / (count + 1))] for index in range(count)]


def _picture(
    name: str, box: tuple[int, ...], crops: Mapping[str, Sequence[Crop]], images: Images
) -> dict[str, Any] | None:
    first = next(iter(crops.values()))
    original = next((index for crop in first if (index := images.add(crop.original)) is not None), None)
    rates = []
    for bpp in chosen_rates(first):
        codecs = {}
        for key, own in crops.items():
            crop = nearest(own, bpp)
            index = images.add(crop.decoded)
            if index is not None:
                codecs[key] = {"image": index, "bpp": crop.bpp, "psnr": crop.psnr}
        if codecs:
            rates.append({"bpp": bpp, "codecs": codecs})
    if original is None or not rates:
        return None
    return {"name": name, "box": box, "original": original, "rates": rates}


def _viewer(picture_set: PictureSet, pictures: list[dict[str, Any]], images: Images, anchor: Entry | None) -> Markup:
    identity = f"{picture_set.key}-crop-data"
    known = dict.fromkeys(key for picture in pictures for rate in picture["rates"] for key in rate["codecs"])
    titles = {entry.key: entry.title for entry in picture_set.measured if entry.key in known}
    left = next(iter(titles))
    names = {entry.key: entry.names for entry in picture_set.measured}
    customary = [key for name in ("vvc", "vvc-faster", "avif", "hevc") for key in titles if name in names[key]]
    right = anchor.key if anchor is not None and anchor.key in titles else next(iter(customary), "original")
    right = "original" if right == left else right
    middle = len(pictures[0]["rates"]) // 2
    data = {"pictures": pictures, "images": images.links, "titles": titles, "matched": MATCHED}
    choices = {"original": "original", **titles}
    # the same as the script draws first, so that the page shows something without it
    start = {side: _image(pictures[0], middle, key) for side, key in (("left", left), ("right", right))}
    sources = {side: images.links[index] for side, index in start.items()}
    stage = tag(
        "div",
        tag("img", src=sources["right"], alt="", class_="right", draggable="false"),
        tag("img", src=sources["left"], alt="", class_="left", draggable="false"),
        tag("span", class_="badge left"), tag("span", class_="badge right"), tag("span", class_="divider"),
        tag("input", type="range", min=0, max=100, value=50, step=1, aria_label="Divider between the two pictures"),
        class_="stage",
    )  # fmt: skip
    strip = [
        tag("figure", tag("img", src=source, alt=""), tag("figcaption", title), class_=f"still {side}")
        for side, source, title in (
            ("original", images.links[pictures[0]["original"]], "original"),
            ("left", sources["left"], choices[left]),
            ("right", sources["right"], choices[right]),
        )
    ]
    rates = {str(index): f"about {rate['bpp']:.2f} bpp" for index, rate in enumerate(pictures[0]["rates"])}
    controls = tag(
        "div",
        _select("picture", {str(index): picture["name"] for index, picture in enumerate(pictures)}, "0"),
        _select("rate", rates, str(middle)), _select("left", choices, left), _select("right", choices, right),
        tag("div", tag("button", "swap", type="button", class_="swap"),
            tag("button", "zoom", type="button", class_="zoom", aria_pressed="false"), class_="chips"),
        class_="controls",
    )  # fmt: skip
    return tag(
        "div", tag("div", stage, tag("div", controls, tag("p", class_="reading", aria_live="polite"),
                                     tag("div", strip, class_="strip")), class_="compare"),
        json_script(data, identity), class_="viewer", data_crops=identity,
    )  # fmt: skip


def _image(picture: Mapping[str, Any], rate: int, key: str) -> int:
    codecs = picture["rates"][rate]["codecs"]
    return codecs[key]["image"] if key in codecs else picture["original"]


def _select(name: str, choices: Mapping[str, str], chosen: str) -> Markup:
    options = [tag("option", title, value=key, selected=key == chosen) for key, title in choices.items()]
    return tag("label", tag("span", name.capitalize()), tag("select", options, class_=name))
