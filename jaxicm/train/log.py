"""The log of a run: one JSON object a line, and TensorBoard where a writer is installed."""

import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

LOG_FILE = "log.jsonl"
_TENSORBOARD = (("tensorboardX", "tensorboardX"), ("tensorboard", "torch.utils.tensorboard"))
"""Package that must be there, and module that then holds a `SummaryWriter`."""


class RunLog:
    """Append events to the log of a run and print them.

    Args:
      run: folder of the run.
      tensorboard: write scalars for TensorBoard as well.
      quiet: print nothing.
      write: False in all processes of a run but one: nothing is written, and only remarks are printed.
    """

    def __init__(self, run: Path, *, tensorboard: bool = False, quiet: bool = False, write: bool = True):
        self._file = _open_to_append(run / LOG_FILE) if write else None
        self._quiet = quiet
        self._board = _summary_writer(run) if tensorboard and write else None
        tensorboard = tensorboard and write
        if tensorboard and self._board is None:
            self.note("no TensorBoard log: no writer is installed; pip install tensorboardX")

    def event(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Record what happened at a step.

        Args:
          kind: "start", "train", "validation", "checkpoint", "stop" or "note".
          step: steps done.
          values: numbers, texts or nested plain data; numbers also go to TensorBoard.
        """
        if self._file is not None:
            self._file.write(json.dumps({"event": kind, "step": step, **values}) + "\n")
            self._file.flush()
        if not self._quiet and (self._file is not None or kind == "note"):
            print(f"{step:>7} {kind:<10} " + "  ".join(f"{key} {_short(value)}" for key, value in values.items()))
        if self._board is not None:
            for key, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{key}", value, step)

    def note(self, text: str, step: int = 0) -> None:
        """Record a remark for the reader."""
        self.event("note", step, {"text": text})

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def _open_to_append(path: Path) -> TextIO:
    """Open a log; a last line that a killed process cut off is ended, so that the next one stands alone."""
    cut = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    file = path.open("a", encoding="utf-8")
    if cut:
        file.write("\n")
    return file


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return " ".join(map(_short, value)) if isinstance(value, list) else str(value)


def _summary_writer(run: Path) -> Any:
    for package, module in _TENSORBOARD:
        if importlib.util.find_spec(package) and importlib.util.find_spec(module.partition(".")[0]):
            return importlib.import_module(module).SummaryWriter(str(run / "tensorboard"))
    return None


def read_log(run: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Read the events of a run.

    Args:
      run: folder of the run.
      kind: only these.

    Returns:
      In the order in which they were written, none without a log; a line that was cut off is left out.
    """
    events = []
    path = run / LOG_FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if kind is None or event["event"] == kind:
            events.append(event)
    return events


def read_validations(run: Path) -> list[dict[str, Any]]:
    """Read what the validations of a run found.

    Args:
      run: folder of the run.

    Returns:
      The events of validation in their order, each with "hours" that all processes of the run had taken till then.
    """
    found, before, now = [], 0.0, 0.0
    for event in read_log(run):
        if event["event"] == "start":
            before, now = before + now, 0.0
        now = max(now, event.get("time_s", 0.0))
        if event["event"] == "validation":
            found.append(
                {key: value for key, value in event.items() if key != "event"} | {"hours": (before + now) / 3600}
            )
    return found
