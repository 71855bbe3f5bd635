"""What a run's journal begins with: the codec, its description, and the circumstances of each time it goes on."""

import datetime
from collections.abc import Mapping
from typing import Any

from jaxicm.evaluate.circumstances import machine, versions
from jaxicm.evaluate.picture_set import PictureSet
from jaxicm.evaluate.run import Plan
from jaxicm.evaluate.subjects import Subject


def header(item: Subject, *, fresh: bool) -> dict[str, Any]:
    """Describe the codec of a run, as the first line of its journal.

    Args:
        item: the codec.
        fresh: whether files are decoded in a new process.

    Returns:
        JSON-able facts; "codec" and "fresh" fix the run.
    """
    identity = item.identity
    facts = (f"{name} {value}" for name, value in identity.items())
    details = f"weights {identity['digest'][:8]}" if item.kind == "learned" else ", ".join(facts)
    return {
        "codec": {
            "name": item.name,
            "title": item.title,
            "kind": item.kind,
            "clock": item.clock,
            "identity": identity,
            **item.figures,
        },
        "description": f"{item.title}, {details}",
        "fresh": fresh,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def session(
    item: Subject, pictures: PictureSet, plan: Plan, *, labels: Mapping[str, str], command: str
) -> dict[str, Any]:
    """Describe the circumstances in which a run begins or goes on.

    Args:
        item: the codec.
        pictures: of the run.
        plan: of the run.
        labels: of the user's, for tables of ablations.
        command: as given.

    Returns:
        JSON-able facts for `Journal.begin`.
    """
    observers = {observer.name: observer.digest for observer in plan.observers}
    if plan.lpips is not None:
        observers["lpips"] = plan.lpips.digest
    return {
        "command": command,
        "labels": dict(labels),
        "jobs": plan.jobs,
        "data": {"folder": pictures.folder, "set": pictures.known_as, "digest": pictures.digest},
        "versions": versions(),
        "machine": machine(accelerator=item.kind == "learned"),
        "observers": observers,
    }
