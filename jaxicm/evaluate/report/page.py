"""The report as one HTML page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from importlib import resources

from jaxicm import __version__
from jaxicm.evaluate.report.ablation import ablation_section
from jaxicm.evaluate.report.bd_section import bd_section
from jaxicm.evaluate.report.comparison import Comparisons
from jaxicm.evaluate.report.crop_section import crop_section
from jaxicm.evaluate.report.curve_section import legend, rate_plots, task_plots
from jaxicm.evaluate.report.entries import PictureSet
from jaxicm.evaluate.report.lossless_section import lossless_section
from jaxicm.evaluate.report.markup import Markup, join, tag
from jaxicm.evaluate.report.palette import (
    DARK,
    DARK_CONTEXT,
    DARK_PAGE,
    LIGHT,
    LIGHT_CONTEXT,
    LIGHT_PAGE,
    MARKERS,
    Look,
)
from jaxicm.evaluate.report.picture_section import picture_section
from jaxicm.evaluate.report.speed_section import complexity_section, speed_section
from jaxicm.evaluate.report.summary import provenance, summary

_METHOD = (
    "Rates are bits of complete files per pixel of the original. Curves go through means over the pictures. "
    "BD-rate is the mean difference of log-rate at equal quality, BD-quality the mean difference of quality at equal "
    "log-rate, over the interval that both curves cover, by PCHIP interpolation; nothing is extrapolated. The small "
    "figures are that interval and its share of the tested curve's. Average precision is COCO's (101-point "
    "interpolation, IoU 0.50 to 0.95 unless the name says otherwise, 100 detections), in points; "
    "weighted AP is the mean over classes weighted by their instances. Task curves are the best points over "
    "all settings and input scales; the points they beat are drawn faintly."
)


def write_page(
    sets: Sequence[PictureSet],
    compared: Mapping[str, Mapping[str, Comparisons]],
    looks: Mapping[str, Look],
    *,
    title: str,
    ablation: Sequence[str] | None = None,
    problems: Sequence[str] = (),
) -> str:
    """Write the page.

    Args:
        sets: at least one.
        compared: comparisons by key of the metric, by key of the set.
        looks: of the codecs, by title.
        title: of the page.
        ablation: labels that name the rows of ablation tables; None for all that differ.
        problems: files that could not be read, one line each.

    Returns:
        The HTML.
    """
    sections = [_set_section(item, compared[item.key], looks, ablation) for item in sets]
    sentences = [tag("p", summary(item, compared[item.key]), class_="lede") for item in sets]
    bad = [tag("li", problem) for problem in problems]
    warning = tag("div", tag("b", "Files that could not be read"), tag("ul", bad), class_="warning") if bad else None
    several = len(sets) > 1
    links = [
        tag("li", tag("a", item.title, href=f"#{item.key}") if several else None, tag("ul", found))
        for item, (_, found) in zip(sets, sections, strict=True)
    ]
    header = tag("header", tag("h1", title), sentences, warning)
    nav = tag("nav", tag("ul", links, class_="sets" if several else "one"), aria_label="Contents")
    method = tag("section", tag("h2", "How the numbers are made"), tag("p", _METHOD), id="method")
    origin = tag("section", tag("h2", "Provenance"), _origins(sets), id="provenance")
    footer = tag("footer", f"Written by jaxicm report {__version__}.")
    body = join([header, nav, tag("main", [section for section, _ in sections], method, origin), footer])
    tip = tag("div", class_="tip", role="status", hidden=True)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{tag('title', title)}\n<style>{_colours()}{_asset('report.css')}</style>\n</head>\n<body>\n"
        f"{_markers()}{body}{tip}\n<script>{_asset('report.js')}</script>\n</body>\n</html>\n"
    )


def _set_section(
    item: PictureSet, compared: Mapping[str, Comparisons], looks: Mapping[str, Look], ablation: Sequence[str] | None
) -> tuple[Markup, list[Markup]]:
    """Return the section of a set, and the links to its parts."""
    anchor = next((found.anchor for found in compared.values() if found.anchor is not None), None)
    plots: list[tuple[str, str, Markup | None]] = [("rate", "Rate and quality", rate_plots(item, looks))]
    for index, group in enumerate(item.tasks):
        truth = "" if group.ground_truth in group.title else f" ({group.ground_truth} ground truth)"
        plots.append((f"task{index}", f"Task: {group.title}{truth}", task_plots(item, group, looks)))
    parts = [
        ("lossless", "Lossless rates", lossless_section(item, looks)),
        ("bd", "Bjøntegaard deltas", bd_section(item, compared, looks)),
        ("speed", "Speed against rate", speed_section(item, compared, looks)),
        ("complexity", "Complexity", complexity_section(item, looks)),
        ("ablation", "Ablation", ablation_section(item, compared, ablation)),
        ("crops", "Crops at matched rates", crop_section(item, anchor)),
        ("pictures", "Single pictures", picture_section(item, compared)),
    ]
    blocks, links = [], []
    for title, key, content in [
        (title, key, content) for key, title, content in (*plots, *parts) if content is not None
    ]:
        blocks.append(tag("section", tag("h3", title), content, id=f"{item.key}-{key}"))
        links.append(tag("li", tag("a", title, href=f"#{item.key}-{key}")))
    facts = f"{item.count} pictures, {item.pixels / 1e6:.1f} megapixels, digest {item.digest[:12]}"
    head = tag("div", tag("h2", item.title), tag("p", facts, class_="facts"), class_="set-head")
    plotted = tag("div", legend(item, looks), blocks[: len(plots)], class_="plots")
    whole = tag("section", head, plotted, blocks[len(plots) :], id=item.key, class_="set")
    return whole, links


def _origins(sets: Sequence[PictureSet]) -> Markup:
    parts = []
    for item in sets:
        if len(sets) > 1:
            parts.append(tag("h3", item.title))
        parts += [provenance(entry, entry.run) for entry in item.measured if entry.run is not None]
    sources: dict[str, list[str]] = {}
    for item in sets:
        for entry in item.entries:
            if entry.source and entry.title not in sources.setdefault(entry.source, []):
                sources[entry.source].append(entry.title)
    if sources:
        rows = [(tag("dt", ", ".join(titles)), tag("dd", source)) for source, titles in sources.items()]
        parts.append(tag("details", tag("summary", "Published curves"), tag("dl", rows), class_="data"))
    return join(parts)


def _markers() -> Markup:
    symbols = [
        tag("symbol", tag("path", d=path), id=f"m{index}", overflow="visible") for index, path in enumerate(MARKERS)
    ]
    return tag("svg", symbols, width=0, height=0, class_="markers", aria_hidden="true")


def _colours() -> str:
    def names(page: str, grey: str, colours: Sequence[str]) -> str:
        return f"--page:{page};--grey:{grey};" + "".join(
            f"--c{index}:{colour};" for index, colour in enumerate(colours)
        )

    light, dark = names(LIGHT_PAGE, LIGHT_CONTEXT, LIGHT), names(DARK_PAGE, DARK_CONTEXT, DARK)
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _asset(name: str) -> str:
    return resources.files("jaxicm.evaluate.report").joinpath(name).read_text(encoding="utf-8")
