"""Tables of single pictures: BD-rates picture by picture, and everything that was measured."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean

from jaxicm.evaluate.report.comparison import Comparison, Comparisons, choose_anchor, compare
from jaxicm.evaluate.report.entries import Curve, Entry, PictureSet
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, join, table, tag
from jaxicm.evaluate.report.run_files import Picture

_ROWS = 6000
_COLUMNS = (
    ("size_bytes", "bytes", 0),
    ("bpsp", "bpsp", 4),
    ("psnr_rgb", "PSNR RGB dB", 2),
    ("psnr_yuv", "PSNR YUV dB", 2),
    ("ms_ssim", "MS-SSIM", 5),
    ("ms_ssim_db", "MS-SSIM dB", 2),
    ("lpips", "LPIPS", 4),
    ("encode_s", "encode s", 3),
    ("decode_s", "decode s", 3),
)


def picture_section(picture_set: PictureSet, compared: Mapping[str, Comparisons]) -> Markup:
    """Write the tables of single pictures.

    Args:
        picture_set: the set.
        compared: by key of the metric.

    Returns:
        BD-rates picture by picture where the anchor was measured here, and a table for each run.
    """
    parts = []
    first = compared.get("psnr-rgb")
    anchor = first.anchor if first is not None else None
    if anchor is not None and anchor.run is None:
        # a published curve has no single pictures
        anchor = choose_anchor(replace(picture_set, entries=picture_set.measured), None, "psnr-rgb")
    if anchor is not None and any(entry is not anchor for entry in picture_set.measured):
        parts.append(_rates_by_picture(picture_set, anchor))
    left = _ROWS
    for entry in picture_set.measured:
        pictures = entry.run.pictures if entry.run is not None else ()
        if pictures:
            parts.append(_measurements(entry, pictures[: max(left, 0)], len(pictures)))
            left -= len(pictures)
    return join(parts) if parts else tag("p", "The runs list no single pictures.", class_="note")


def rates_by_picture(anchor: Entry, test: Entry) -> dict[str, Comparison]:
    """Compare two codecs on each picture by PSNR RGB.

    Args:
        anchor: with a run.
        test: with a run.

    Returns:
        Comparisons by name of the picture, of those that both have.
    """
    reference, tested = _curves(anchor), _curves(test)
    return {name: compare(reference[name], tested[name]) for name in reference if name in tested}


def _curves(entry: Entry) -> dict[str, Curve]:
    found: dict[str, list[tuple[float, float]]] = {}
    for picture in entry.run.pictures if entry.run is not None else ():
        if picture.scale == 100 and picture.bpp > 0 and "psnr_rgb" in picture.values:
            found.setdefault(picture.name, []).append((picture.bpp, picture.values["psnr_rgb"]))
    curves = {}
    for name, points in found.items():
        bpp, psnr = zip(*sorted(points), strict=True)
        curves[name] = Curve(bpp, psnr, ("",) * len(bpp))
    return curves


def _rates_by_picture(picture_set: PictureSet, anchor: Entry) -> Markup:
    others = [entry for entry in picture_set.measured if entry is not anchor]
    found = {entry.key: rates_by_picture(anchor, entry) for entry in others}
    names = sorted({name for rates in found.values() for name in rates})
    columns = [Column("picture", numeric=False), *(Column(entry.title) for entry in others)]
    rows = []
    for name in names:
        cells = [Cell(name, head=True)]
        for entry in others:
            comparison = found[entry.key].get(name)
            delta = comparison.rate if comparison is not None else None
            if delta is None:
                reason = comparison.rate_refusal if comparison is not None else "not measured"
                cells.append(Cell(tag("span", "none", class_="refused", title=reason)))
            else:
                cells.append(
                    Cell(decimals(delta.value, 1, sign=True), delta.value, "less" if delta.value < 0 else "more")
                )
        rows.append(cells)
    known = [[c.rate.value for c in found[entry.key].values() if c.rate is not None] for entry in others]
    means = [Cell(decimals(mean(values), 1, sign=True), mean(values)) if values else Cell("") for values in known]
    caption = f"BD-rate % by PSNR RGB of each picture. Anchor: {anchor.title}."
    opened = table(columns, rows, caption=caption, foot=[Cell("mean of these", head=True), *means])
    return tag("details", tag("summary", f"BD-rate of each of {len(names)} pictures"), opened, class_="data")


def _measurements(entry: Entry, pictures: tuple[Picture, ...], total: int) -> Markup:
    kept = [column for column in _COLUMNS if any(column[0] in picture.values for picture in pictures)]
    scaled = any(picture.scale != 100 for picture in pictures)
    columns = [
        Column("picture", numeric=False),
        Column("quality"),
        *([Column("input %")] if scaled else []),
        Column("bpp"),
    ]
    columns += [Column(title) for _, title, _ in kept]
    rows = []
    for picture in pictures:
        cells = [Cell(picture.name, head=True), Cell(f"{picture.quality:g}", picture.quality)]
        cells += [Cell(f"{picture.scale:g}", picture.scale)] if scaled else []
        cells.append(Cell(decimals(picture.bpp, 4), picture.bpp))
        for key, _, digits in kept:
            value = picture.values.get(key)
            text = f"{value:,.0f}" if key == "size_bytes" and value is not None else decimals(value, digits)
            cells.append(Cell(text, value))
        rows.append(cells)
    summary = tag("summary", f"{entry.title}: {total:,} measurements")
    if not rows:
        name = entry.run.path.name if entry.run is not None else "the run file"
        return tag(
            "details", summary, tag("p", f"Too many for a page; they are in {name}.", class_="note"), class_="data"
        )
    cut = (
        tag("p", f"The first {len(rows):,} of {total:,}; all are in the run file.", class_="note")
        if total > len(rows)
        else None
    )
    return tag("details", summary, table(columns, rows), cut, class_="data")
