"""What the report says in a sentence, and where each number comes from."""

from collections.abc import Mapping

from jaxicm.evaluate.report.comparison import Comparisons
from jaxicm.evaluate.report.entries import Entry, PictureSet
from jaxicm.evaluate.report.markup import Markup, tag
from jaxicm.evaluate.report.run_files import Run

_NAMED = 3


def summary(picture_set: PictureSet, compared: Mapping[str, Comparisons]) -> str:
    """Sum a set up: how many codecs, and the rate that the learned ones need against the anchor.

    Args:
        picture_set: the set.
        compared: by key of the metric.

    Returns:
        One or more sentences.
    """
    kinds = [entry.group for entry in picture_set.measured]
    counted = [f"{kinds.count(kind)} {kind}" for kind in ("learned", "conventional") if kind in kinds]
    codecs = f"{' and '.join(counted)} codec{'s' if len(kinds) > 1 else ''}"
    pictures = f"{picture_set.count} picture{'s' if picture_set.count != 1 else ''}"
    on = "" if pictures in picture_set.title else f" on {pictures}"
    sentences = [f"{picture_set.title}: {codecs}{on}."]
    tasks = [metric for group in picture_set.tasks for metric in group.metrics if metric.key.endswith(":box_ap")]
    for metric in (*picture_set.metrics[:1], *tasks):
        item = compared.get(metric.key)
        said = _against_anchor(picture_set, item) if item is not None else ""
        if said:
            sentences.append(said)
    return " ".join(sentences)


def _against_anchor(picture_set: PictureSet, item: Comparisons) -> str:
    known = {key: found.rate.value for key, found in item.found.items() if found.rate is not None}
    tested = [entry for entry in picture_set.measured if entry.key in known]
    chosen = [entry for entry in tested if entry.group == "learned"] or tested
    if item.anchor is None or not chosen:
        return ""
    chosen = sorted(chosen, key=lambda entry: known[entry.key])[:_NAMED]
    words = [f"{entry.title} {_more_or_less(known[entry.key])}" for entry in chosen]
    task = f" of {item.metric.key.split(':')[0]}" if ":" in item.metric.key else ""
    return f"At equal {item.metric.title}{task}, against {item.anchor.title}: {'; '.join(words)}."


def _more_or_less(percent: float) -> str:
    if abs(percent) < 0.05:
        return "needs the same rate"
    return f"needs {abs(percent):.1f} % {'more' if percent > 0 else 'less'} rate"


def provenance(entry: Entry, run: Run) -> Markup:
    """List where the numbers of a run come from.

    Args:
        entry: for its title.
        run: of the entry.

    Returns:
        A `details` element.
    """
    data = run.data
    of_set = f", the set {data['set']}" if data["set"] else ""
    rows: list[tuple[str, str | Markup]] = [
        ("file", run.path.name),
        ("command", tag("code", run.provenance["command"] or "not recorded")),
        ("date", run.provenance["created"] or "not recorded"),
        ("codec", f"{run.name} ({run.kind}), clock: {run.clock}"),
        ("identity", _pairs(run.provenance["identity"])),
        ("decoded", "in a second process" if run.provenance["fresh"] else ""),
        ("processes", _text(run.provenance["jobs"] or "")),
        ("labels", _pairs(run.labels)),
        ("pictures", f"{data['count']} of {data['folder']}{of_set}, {data['pixels']:,} pixels"),
        ("digest of pictures", tag("code", data["digest"])),
        ("versions", _pairs(run.provenance["versions"])),
        ("machine", _pairs(run.provenance["machine"])),
    ]
    for task in run.tasks:
        rows.append((f"task {task.name}", _pairs({"weights": task.digest, "ground truth": task.ground_truth})))
    listed = [(tag("dt", key), tag("dd", value)) for key, value in rows if value]
    return tag(
        "details", tag("summary", entry.title, " ", tag("small", run.path.name)), tag("dl", listed), class_="data"
    )


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({_pairs({str(key): item for key, item in value.items()})})"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
