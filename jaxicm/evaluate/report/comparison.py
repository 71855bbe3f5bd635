"""Every curve against one anchor: Bjontegaard deltas of rate and of quality, or the reason why there are none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxicm.errors import InputError, OptionError
from jaxicm.evaluate.bdrate import Delta, bd_quality, bd_rate
from jaxicm.evaluate.bootstrap import Interval
from jaxicm.evaluate.intervals import Drawing
from jaxicm.evaluate.report.entries import Curve, Entry, Metric, PictureSet

_ANCHORS = ("vtm", "vvc", "vvc-faster", "hevc444", "hevc", "av1", "avif", "jpegxl", "webp", "jpeg")


@dataclass(frozen=True)
class Comparison:
    """Hold the deltas of one curve to the anchor.

    Attributes:
        rate: in per cent, negative where the tested codec is better; None where refused.
        quality: in units of the metric, positive where the tested codec is better (also where a metric falls).
        rate_refusal: why there is no delta of the rate.
        quality_refusal: why there is no delta of the quality.
        interval: of the delta of the rate over selections of the pictures; None where none was wanted or can be.
        interval_refusal: why there is none, where one was wanted and both sides were measured.
    """

    rate: Delta | None = None
    quality: Delta | None = None
    rate_refusal: str = ""
    quality_refusal: str = ""
    interval: Interval | None = None
    interval_refusal: str = ""


@dataclass(frozen=True)
class Comparisons:
    """Hold the comparisons of one metric.

    Attributes:
        metric: compared.
        anchor: None where no curve can be one.
        found: by key of the entry.
        drawing: of the intervals, None where none were wanted.
    """

    metric: Metric
    anchor: Entry | None
    found: Mapping[str, Comparison]
    drawing: Drawing | None = None


def choose_anchor(picture_set: PictureSet, name: str | None, metric: str | None = None) -> Entry | None:
    """Return the curve that the others are compared with.

    Args:
        picture_set: the set.
        name: of a codec, a run file or a published curve, in any case of letters; None for the customary one.
        metric: the anchor must have this one; without it any will do.

    Returns:
        The entry of this name; without a name the first of VTM, VVC, HEVC, AV1 and so on, or else any conventional
        codec, or else the first; None where nothing fits.
    """
    usable = [entry for entry in picture_set.entries if metric is None or metric in entry.curves]
    if name is not None:
        wanted = name.casefold()
        known = {entry.key: {entry.title.casefold(), *map(str.casefold, entry.names)} for entry in usable}
        return next((entry for entry in usable if wanted in known[entry.key]), None)  # runs precede published curves
    of_curves = [entry for entry in usable if max((len(c.bpp) for c in entry.curves.values()), default=0) > 1]
    for name in _ANCHORS:
        for entry in of_curves:
            if name in entry.names:
                return entry
    conventional = [entry for entry in of_curves if entry.group == "conventional"]
    return next(iter(conventional or of_curves or usable), None)


def check_anchor(sets: Iterable[PictureSet], name: str | None) -> None:
    """Refuse the name of an anchor that no set has.

    Raises:
        OptionError: unknown; the message lists the names.
    """
    sets = list(sets)
    if name is None or any(choose_anchor(item, name) is not None for item in sets):
        return
    found = dict.fromkeys(entry.names[0] for item in sets for entry in item.entries)
    raise OptionError(f"--anchor {name!r} is none of the curves; there are {', '.join(found)}")


def compare_all(picture_set: PictureSet, anchor: str | None) -> dict[str, Comparisons]:
    """Compare the curves of a set with the anchor, metric by metric.

    A metric that the anchor lacks (the scores of tasks, for a published curve) gets the customary anchor among the
    curves that have it.

    Args:
        picture_set: the set.
        anchor: as `choose_anchor` takes it.

    Returns:
        Comparisons by key of the metric.
    """
    chosen = choose_anchor(picture_set, anchor) or choose_anchor(picture_set, None)
    name = chosen.names[0] if chosen is not None and anchor is None else anchor
    result = {}
    for metric in picture_set.all_metrics:
        if not metric.compared:
            continue
        reference = choose_anchor(picture_set, name, metric.key) or choose_anchor(picture_set, None, metric.key)
        found = {}
        for entry in picture_set.entries:
            curve = entry.curves.get(metric.key)
            if curve is not None and reference is not None and entry is not reference:
                found[entry.key] = compare(reference.curves[metric.key], curve, rises=metric.rises)
        result[metric.key] = Comparisons(metric, reference, found)
    return result


def compare(anchor: Curve, test: Curve, *, rises: bool = True) -> Comparison:
    """Compare two curves.

    Args:
        anchor: the reference.
        test: the tested codec.
        rises: a larger value is better; otherwise the sign is turned for the comparison.

    Returns:
        Both deltas, or the reason why there are none.
    """
    sign = 1 if rises else -1
    curves = (anchor.bpp, [sign * v for v in anchor.quality], test.bpp, [sign * v for v in test.quality])
    rate, rate_refusal = _try(bd_rate, curves)
    quality, quality_refusal = _try(bd_quality, curves)
    if rate is not None and not rises:
        rate = replace(rate, low=-rate.high, high=-rate.low)
    return Comparison(rate, quality, rate_refusal, quality_refusal)


def _try(delta: Callable[..., Delta], curves: tuple[Sequence[float], ...]) -> tuple[Delta | None, str]:
    try:
        return delta(*curves), ""
    except InputError as error:
        return None, str(error)
