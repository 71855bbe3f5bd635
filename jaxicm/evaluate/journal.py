"""The journal of a run: one line of JSON for everything that is finished, so that an interruption loses nothing.

The first line says what fixes the run: the codec and what its bytes depend on. Then, in any order and told apart by
`kind`: "session" (one for each time the command was given: its pictures, options and machine), "picture" (digest and
size), "point" (a picture at an operating point: what was measured, what observers saw; a later line adds to an earlier
one) and "task" (figures of an observer). The run file is made from these lines alone (`jaxicm.evaluate.run_file`).
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from jaxicm.errors import InputError, OptionError, OutputError
from jaxicm.evaluate.picture_set import SetPicture
from jaxicm.media.files import explain_write_failure, read_bytes

FORMAT = "jaxicm journal 1"


@dataclass(frozen=True, order=True)
class Key:
    """Name a picture at an operating point.

    Attributes:
        picture: its name.
        quality: the codec's own quality or QP.
        scale: input scale in per cent.
    """

    picture: str
    quality: float
    scale: int


@dataclass
class Entry:
    """Hold what is known of a picture at an operating point.

    Attributes:
        measured: the fields of "pictures" in the run file, empty while nothing was measured.
        observations: what observers saw, by their name.
        crop: file name and box of the crop that was written, empty where there is none.
    """

    measured: dict[str, Any] = field(default_factory=dict)
    observations: dict[str, dict[str, Any]] = field(default_factory=dict)
    crop: dict[str, Any] = field(default_factory=dict)

    def add(self, measured: Mapping[str, Any], observations: Mapping[str, Any], crop: Mapping[str, Any]) -> None:
        """Add what a line holds to what is known."""
        self.measured.update(measured)
        self.observations.update(observations)
        self.crop.update(crop)


class Journal:
    """What is known of a run, in memory and, where it has a file, on the disk.

    Attributes:
        header: the first line.
        session: the last line of kind "session".
        entries: by key.
        pictures: lines of kind "picture" by name.
        tasks: lines of kind "task" by name.
        observers: digests of all observers there ever were, by name.
    """

    def __init__(self, header: dict[str, Any], path: Path | None = None):
        self.header = header
        self.session: dict[str, Any] = {}
        self.entries: dict[Key, Entry] = {}
        self.pictures: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.observers: dict[str, str | None] = {}
        self._path = path
        self._file: IO[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path | None, header: Mapping[str, Any], *, overwrite: bool = False) -> Iterator["Journal"]:
        """Begin a journal, or go on with the one that is there.

        Args:
            path: its file, or None to keep it in memory only.
            header: what fixes the run: "codec" (with "name" and "identity") and "fresh"; further keys are notes that
                stay as they were when the journal was begun.
            overwrite: begin anew whatever is there.

        Yields:
            The journal, with all that is known.

        Raises:
            OptionError: the file is of a run of another codec, or another process is writing it.
            InputError: the file is no journal, or damaged beyond its last line.
            OutputError: it cannot be written.
        """
        first = {"format": FORMAT, **header}
        if path is None:
            yield cls(first)
            return
        try:
            file = path.open("a+b")
        except OSError as error:
            raise OutputError(f"{path}: {explain_write_failure(error)}") from error
        with file:
            _lock(file, path)
            if overwrite:
                file.truncate(0)
            file.seek(0)
            data = file.read()
            lines = _parse(data, path)
            if lines:
                _check_header(path, lines[0], first)
            journal = cls.of(lines or [first], path)
            file.truncate(data.rfind(b"\n") + 1)  # what an interruption left of a last line
            journal._file = file
            if not lines:
                journal._append(first)
            yield journal

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """Read a journal without writing to it.

        Raises:
            InputError: it is missing, no journal, or damaged.
        """
        lines = _parse(read_bytes(path), path)
        if not lines:
            raise InputError(f"{path}: this journal has no whole line; give the command of the run again")
        return cls.of(lines, path)

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]], path: Path | None = None) -> "Journal":
        """Make a journal in memory.

        Args:
            lines: its lines, at least the first.
            path: named in messages.

        Returns:
            The journal.

        Raises:
            InputError: a line lacks a field.
        """
        first, *rest = lines
        journal = cls(dict(first), path)
        for number, line in enumerate(rest, 2):
            try:
                journal._take(dict(line))
            except (KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: line {number} lacks a field ({error}); delete that line, or begin anew with --overwrite"
                ) from error
        return journal

    def begin(self, session: Mapping[str, Any], pictures: Iterable[SetPicture]) -> None:
        """Note that the command is given, with the pictures it works on.

        Args:
            session: JSON-able facts, among them "labels", which are added to those of earlier sessions, and
                "observers", digests by name; "pictures" is added, the names in order.
            pictures: of this session.

        Raises:
            OptionError: a picture or an observer of the same name was another one.
        """
        for name, digest in session["observers"].items():
            if self.observers.get(name, digest) != digest:
                raise OptionError(
                    f"{self._path}: {name} had other weights (digest {str(self.observers[name])[:8]}, now "
                    f"{str(digest)[:8]}); name another --out, or begin anew with --overwrite"
                )
        names = []
        for picture in pictures:
            names.append(picture.name)
            facts = {"digest": picture.digest, "height": picture.height, "width": picture.width}
            known = self.pictures.get(picture.name)
            if known is None:
                self._write({"kind": "picture", "picture": picture.name, **facts})
            elif known["digest"] != picture.digest:
                raise OptionError(
                    f"{self._path}: {picture.name} was another picture ({known['width']}x{known['height']}, digest "
                    f"{known['digest'][:8]}, now {picture.width}x{picture.height}, {picture.digest[:8]}); name another "
                    "--out, or begin anew with --overwrite"
                )
        labels = self.session.get("labels", {}) | session["labels"]
        self._write({"kind": "session", **session, "labels": labels, "pictures": names})

    def add(
        self,
        key: Key,
        measured: Mapping[str, Any] | None = None,
        observations: Mapping[str, Any] | None = None,
        crop: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what was found out about a picture at an operating point.

        Args:
            key: the picture and the operating point.
            measured: see `Entry`; what is left out stays as it was.
            observations: see `Entry`.
            crop: see `Entry`.
        """
        parts = {"measured": measured, "observations": observations, "crop": crop}
        found = {name: part for name, part in parts.items() if part}
        self._write({"kind": "point", "picture": key.picture, "quality": key.quality, "scale": key.scale, **found})

    def note_task(self, name: str, facts: Mapping[str, Any]) -> None:
        """Note the figures of an observer; they replace those noted before."""
        self._write({"kind": "task", "task": name, **facts})

    def _write(self, line: dict[str, Any]) -> None:
        self._take(line)
        self._append(line)

    def _append(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            # one write and a flush: a process that is killed afterwards has lost nothing
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path}: {explain_write_failure(error)}") from error

    def _take(self, line: dict[str, Any]) -> None:
        match line.get("kind"):
            case "session":
                self.session = line
                self.observers.update(line["observers"])
            case "picture":
                self.pictures[line["picture"]] = line
            case "task":
                self.tasks[line["task"]] = line
            case "point":
                entry = self.entries.setdefault(Key(line["picture"], line["quality"], line["scale"]), Entry())
                entry.add(line.get("measured", {}), line.get("observations", {}), line.get("crop", {}))


def _parse(data: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a last line without its end is what an interruption left."""
    foreign = f"{path}: this is no journal of `jaxicm eval`; name another --out, or give --overwrite"
    if not json.dumps({"format": FORMAT}).startswith(data[: len(FORMAT)].decode(errors="replace")):
        raise InputError(foreign)
    lines = []
    for number, text in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise InputError(
                f"{path}: line {number} is no JSON ({error}); delete that line, or begin anew with --overwrite"
            ) from error
        if not isinstance(line, dict) or (number == 1 and line.get("format") != FORMAT):
            raise InputError(foreign)
        lines.append(line)
    return lines


def _check_header(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for what, was, now in (
        ("codec", found["codec"]["name"], wanted["codec"]["name"]),
        ("codec's identity", found["codec"]["identity"], wanted["codec"]["identity"]),
        ("--fresh", found["fresh"], wanted["fresh"]),
    ):
        if was != now:
            raise OptionError(
                f"{path}: its {what} was {was}, now it is {now}; name another --out, or begin anew with --overwrite"
            )


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep a second process from writing the same journal, where the system can (the lock ends with the process)."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OptionError(f"{path}: another process is writing it; wait for its end, or name another --out") from error
