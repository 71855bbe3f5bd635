"""HTML and SVG as strings that are escaped where they are made: text becomes markup only through `tag`."""

import html
import json
from collections.abc import Iterable
from dataclasses import dataclass

_VOID = {"br", "hr", "img", "input", "link", "meta", "path", "line", "rect", "circle", "use", "polyline", "col"}


class Markup(str):
    """Mark a string as HTML, as `tag` returns it; every other string is text and is escaped."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Attribute = str | int | float | bool | None


def tag(name: str, *children: Child, **attributes: Attribute) -> Markup:
    """Write an element.

    Args:
        name: of the element.
        children: Markup is taken as it is, other strings are escaped, sequences are flattened, None is left out.
        attributes: `_` becomes `-`, one at the end of a name is dropped (`class_`); None and False leave the attribute
            out, True writes it without a value.

    Returns:
        The element.
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(number(value) if isinstance(value, float) else str(value))}"')
    if name in _VOID:
        return Markup(f"<{' '.join(words)}{'/' if not children else ''}>")
    return Markup(f"<{' '.join(words)}>{join(children)}</{name}>")


def join(children: Iterable[Child], separator: str = "") -> Markup:
    """Escape and join children as `tag` does."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            parts.append(child if isinstance(child, Markup) else html.escape(child))
        else:
            parts.append(join(child))
    return Markup(separator.join(parts))


def number(value: float) -> str:
    """Write a coordinate: two decimals, no trailing zeros, so that pages are small and the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def json_script(value: object, identity: str) -> Markup:
    """Embed a JSON value for the page's script; nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(f'<script type="application/json" id="{html.escape(identity)}">{text}</script>')


@dataclass(frozen=True)
class Cell:
    """Hold a cell of a table.

    Attributes:
        content: text or markup.
        value: what the column is sorted by; None sorts last; without it the text sorts.
        class_: of the element.
        head: this cell names its row.
    """

    content: Child
    value: float | None = None
    class_: str | None = None
    head: bool = False


@dataclass(frozen=True)
class Column:
    """Hold the heading of a column.

    Attributes:
        title: text or markup.
        numeric: numbers stand on the right.
        hint: a longer explanation, shown where the pointer rests.
    """

    title: Child
    numeric: bool = True
    hint: str | None = None


def table(
    columns: Iterable[Column],
    rows: Iterable[Iterable[Cell]],
    *,
    caption: Child = None,
    sortable: bool = True,
    group_heads: Iterable[tuple[str, int]] = (),
    foot: Iterable[Cell] | None = None,
) -> Markup:
    """Write a table in a box that scrolls sideways where the page is narrower.

    Args:
        columns: headings.
        rows: cells, one a column.
        caption: above the table.
        sortable: a click on a heading sorts.
        group_heads: headings above the headings: title and number of columns.
        foot: the last row, which stays where it is.

    Returns:
        The element.
    """
    columns = list(columns)
    heads = [
        tag("th", column.title, scope="col", class_="n" if column.numeric else None, title=column.hint)
        for column in columns
    ]
    body = [_row(row, columns) for row in rows]
    groups = [tag("th", title, colspan=span, scope="colgroup", class_="g") for title, span in group_heads]
    head = tag("thead", tag("tr", groups) if groups else None, tag("tr", heads))
    title = tag("caption", caption) if caption else None
    last = tag("tfoot", _row(foot, columns)) if foot is not None else None
    class_ = "sortable" if sortable and len(body) > 1 else None
    whole = tag("table", title, head, tag("tbody", body), last, class_=class_)
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=_plain(caption) or "table")


def _row(row: Iterable[Cell], columns: Iterable[Column]) -> Markup:
    cells = []
    for cell, column in zip(row, columns, strict=True):
        classes = " ".join(filter(None, ("n" if column.numeric else "", cell.class_))) or None
        value = f"{cell.value:.6g}" if cell.value is not None else None
        scope = "row" if cell.head else None
        cells.append(tag("th" if cell.head else "td", cell.content, scope=scope, class_=classes, data_v=value))
    return tag("tr", cells)


def _plain(caption: Child) -> str | None:
    return caption if isinstance(caption, str) and not isinstance(caption, Markup) else None


def decimals(value: float | None, digits: int, *, sign: bool = False) -> str:
    """Write a number with a true minus sign, or an en dash where there is none."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")  # noqa: RUF001
