"""A run: a codec on a set of pictures at several operating points, from real files, noted one by one in a journal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxicm.errors import JaxicmError, OutputError
from jaxicm.evaluate.coding import Need, Outcome, assess, code_file, decode, encode, finite, read_original
from jaxicm.evaluate.crops import Crops
from jaxicm.evaluate.journal import Entry, Journal, Key
from jaxicm.evaluate.picture_set import PictureSet, SetPicture
from jaxicm.evaluate.run_file import complete_points
from jaxicm.evaluate.subjects import Subject
from jaxicm.evaluate.workers import Workers
from jaxicm.media.pictures import as_rgb

LPIPS_SIDE = 17
"""Smallest side of a picture that has an LPIPS."""


class Observer(Protocol):
    """Look at every decoded picture of a run, in the main process."""

    @property
    def name(self) -> str:
        """Return its name, unique in the run."""
        ...

    @property
    def digest(self) -> str | None:
        """Return the digest of what fixes its observations, a network's weights; None where nothing can change."""
        ...

    @property
    def ground_truth(self) -> str | None:
        """Return "real", "pseudo", or None where there is none."""
        ...

    def observe(self, picture: str, original: np.ndarray, decoded: np.ndarray) -> dict[str, Any]:
        """Return what it saw, JSON-able.

        Args:
            picture: its name.
            original: uint8 [H, W, 3] or [H, W].
            decoded: uint8, of the same shape.
        """
        ...

    def summarise(self, observations: Mapping[str, dict[str, Any]]) -> dict[str, float]:
        """Return figures of one operating point from the observations of all its pictures."""
        ...

    def reference(self) -> dict[str, float] | None:
        """Return the same figures of the uncoded pictures, or None where that has no meaning."""
        ...


class PerceptualDistance(Protocol):
    """Tell how different two pictures look."""

    @property
    def digest(self) -> str:
        """Return what tells its weights apart."""
        ...

    def __call__(self, a: np.ndarray, b: np.ndarray, /) -> float:
        """Compare uint8 [H, W, 3], sides of at least `LPIPS_SIDE`."""
        ...


@dataclass(frozen=True)
class Plan:
    """Say what a run is to measure.

    Attributes:
        settings: qualities or QPs of the codec.
        scales: input scales in per cent.
        jobs: processes. Conventional codecs run in all of them; of learned codecs only the measuring, and then their
            seconds mean nothing and are left out.
        lpips: the perceptual distance; None where its weights are not at hand.
        observers: look at the decoded pictures.
        crops: writes crops, or None.
        kept: folder of files of conventional codecs, from which they are taken when they are there; or None.
    """

    settings: tuple[float, ...]
    scales: tuple[int, ...] = (100,)
    jobs: int = 1
    lpips: PerceptualDistance | None = None
    observers: Sequence[Observer] = ()
    crops: Crops | None = None
    kept: Path | None = None


@dataclass(frozen=True)
class Finished:
    """Hold a picture at an operating point that was worked on.

    Attributes:
        key: the picture and the operating point.
        entry: all that is known, also from before.
        failure: one line where it failed.
    """

    key: Key
    entry: Entry
    failure: str | None = None


def outstanding(plan: Plan, pictures: PictureSet, journal: Journal) -> list[Need]:
    """List what the journal does not know yet.

    Args:
        plan: what is wanted.
        pictures: of the run.
        journal: what is known.

    Returns:
        What to find out, picture by picture.
    """
    needs = []
    for picture in pictures.pictures:
        large = min(picture.height, picture.width) >= LPIPS_SIDE
        for scale in plan.scales:
            for setting in plan.settings:
                key = Key(picture.name, setting, scale)
                entry = journal.entries.get(key, Entry())
                need = Need(
                    key,
                    measure=not entry.measured,
                    lpips=plan.lpips is not None and large and entry.measured.get("lpips") is None,
                    observers=tuple(item.name for item in plan.observers if item.name not in entry.observations),
                    crop=plan.crops is not None and plan.crops.lacks(key, entry),
                )
                if need.measure or need.decoded:
                    needs.append(need)
    return needs


def measure(
    plan: Plan,
    item: Subject,
    pictures: PictureSet,
    journal: Journal,
    needs: Sequence[Need],
    stopped: Callable[[], object] = lambda: False,
) -> Iterator[Finished]:
    """Find out what is wanted and note it in the journal, each picture and operating point when it is finished.

    Args:
        plan: of the run.
        item: the codec.
        pictures: of the run.
        journal: is written.
        needs: of `outstanding`.
        stopped: asked between measurements; once it says yes, the run is given up.

    Yields:
        What was finished or failed; other pictures go on after a failure.

    Raises:
        KeyboardInterrupt: the run was stopped.
    """
    files = {picture.name: picture for picture in pictures.pictures}
    read_original.cache_clear()  # files may have changed since a run before this one
    with Workers(plan.jobs, stopped) as workers:
        if item.kind == "conventional":
            calls = ((item.name, files[need.key.picture].path, need, plan.kept) for need in needs)
            outcomes = workers.stream(code_file, calls)
        else:
            failures: list[Outcome] = []
            coded = _code_here(item, files, needs, plan.jobs == 1, failures)
            outcomes = _with_failures(workers.stream(assess, coded), failures)
        for outcome in outcomes:
            if outcome.failure is None:
                outcome = _look(plan, files[outcome.need.key.picture], journal, outcome)
            key = outcome.need.key
            yield Finished(key, journal.entries.get(key, Entry()), outcome.failure)


def _look(plan: Plan, picture: SetPicture, journal: Journal, outcome: Outcome) -> Outcome:
    """Show a decoded picture to whoever wants to see it, and note everything."""
    need, decoded = outcome.need, outcome.decoded
    measured: dict[str, Any] = dict(outcome.measured)
    observations: dict[str, Any] = {}
    crop: dict[str, Any] = {}
    failure = None
    try:
        if decoded is not None:
            original = read_original(picture.path)
            if need.crop and plan.crops is not None:
                crop = plan.crops.write(need.key, original, decoded)
            if need.lpips and plan.lpips is not None:
                measured["lpips"] = finite(plan.lpips(as_rgb(original), as_rgb(decoded)))
            for observer in plan.observers:
                if observer.name in need.observers:
                    observations[observer.name] = observer.observe(picture.name, original, decoded)
    except OutputError:
        raise
    except JaxicmError as error:
        failure = str(error)
    journal.add(need.key, measured, observations, crop)  # what was found out before a failure, too
    return Outcome(need, failure=failure)


def _code_here(
    item: Subject, files: Mapping[str, SetPicture], needs: Sequence[Need], timed: bool, failures: list[Outcome]
) -> Iterator[tuple[Any, ...]]:
    """Encode and decode in this process, and yield the arguments of `assess`."""
    for name in dict.fromkeys(need.key.picture for need in needs):
        original = read_original(files[name].path)
        wanted = [need for need in needs if need.key.picture == name]
        if item.decodes_together:
            try:
                encoded = [encode(item, original, need.key) for need in wanted]
                decoded = item.decode_together([one.data for one in encoded])
            except JaxicmError as error:
                failures += [Outcome(need, failure=str(error)) for need in wanted]
                continue
            for need, one, other in zip(wanted, encoded, decoded, strict=True):
                yield original, one, other, need, timed
            continue
        for need in wanted:
            try:
                one = encode(item, original, need.key)
                other = decode(item, one, original, need.key)
            except JaxicmError as error:
                failures.append(Outcome(need, failure=str(error)))
                continue
            yield original, one, other, need, timed


def _with_failures(outcomes: Iterator[Outcome], failures: list[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        while failures:
            yield failures.pop(0)
        yield outcome
    yield from failures


def summarise(observers: Sequence[Observer], journal: Journal) -> None:
    """Note the figures of observers at every operating point that all pictures were observed at.

    Args:
        observers: of the run.
        journal: is read and written.
    """
    names = journal.session["pictures"]
    points = complete_points(journal)
    for observer in observers:
        rows = []
        for quality, scale in points:
            entries = {name: journal.entries[Key(name, quality, scale)] for name in names}
            seen = {name: entry.observations.get(observer.name) for name, entry in entries.items()}
            whole = {name: one for name, one in seen.items() if one is not None}
            if len(whole) == len(names):
                rows.append({"quality": quality, "scale": scale, "figures": _clean(observer.summarise(whole))})
        reference = observer.reference()
        facts = {
            "digest": observer.digest,
            "ground_truth": observer.ground_truth,
            "original": None if reference is None else _clean(reference),
            "pictures": names,
            "points": rows,
        }
        journal.note_task(observer.name, facts)


def _clean(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite(float(value)) for name, value in figures.items()}
