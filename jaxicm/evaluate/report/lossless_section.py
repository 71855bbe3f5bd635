"""Rates of operating points at which every sample came back."""

from collections.abc import Mapping

from jaxicm.evaluate.report.curve_section import marker
from jaxicm.evaluate.report.entries import PictureSet
from jaxicm.evaluate.report.markup import Cell, Column, Markup, decimals, join, table
from jaxicm.evaluate.report.palette import Look


def lossless_section(picture_set: PictureSet, looks: Mapping[str, Look]) -> Markup | None:
    """List the operating points without loss, the lowest rate first.

    Args:
        picture_set: the set.
        looks: by title.

    Returns:
        A table, or None where there is no such point.
    """
    points = [
        (point.values["bpsp"], entry.title, entry.run.clock, point)
        for entry in picture_set.measured
        if entry.run is not None
        for point in entry.run.points
        if point.scale == 100 and "bpsp" in point.values
    ]
    found = sorted(points, key=lambda row: (*row[:2], row[3].quality))
    if not found:
        return None
    columns = [
        Column("codec", numeric=False),
        Column("setting"),
        Column("bpsp", hint="bits per sub-pixel: of the file, for each sample of the picture; mean over the pictures"),
        Column("of the first", hint="rate over that of the first row"),
        Column("bpp"),
        Column("clock", numeric=False),
        Column("encode s"),
        Column("decode s"),
    ]
    rows = []
    for bpsp, title, clock, point in found:
        cells = [Cell(join([marker(looks[title]), " ", title]), head=True), Cell(f"{point.quality:g}", point.quality)]
        cells += [Cell(decimals(bpsp, 4), bpsp), Cell(f"{bpsp / found[0][0]:.1%}", bpsp)]
        cells += [Cell(decimals(point.bpp, 4), point.bpp), Cell({"wall": "wall", "cpu": "CPU"}[clock])]
        for key in ("encoding_time", "decoding_time"):
            cells.append(Cell(decimals(point.values.get(key), 3), point.values.get(key)))
        rows.append(cells)
    return table(columns, rows)
