"""Decoding in a new process, as the receiver of a file would."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxicm.errors import JaxicmError
from jaxicm.media.pictures import read_picture


@dataclass(frozen=True)
class FreshDecoder:
    """Decode files in a new process, as their receiver would.

    Attributes:
        model: name or weight file given to `jaxicm decode --model`; None lets the file's digest choose.
    """

    model: str | None = None

    @classmethod
    def for_model(cls, model: str) -> "FreshDecoder":
        """Make a decoder that names the weights only where the zoo does not have them.

        Args:
            model: a name of the zoo, or a weight file.

        Returns:
            A decoder.
        """
        return cls(model if Path(model).suffix == ".safetensors" else None)

    def decode(self, files: Sequence[bytes]) -> list[np.ndarray]:
        """Decode files with one call of `jaxicm decode`.

        Args:
            files: compressed files.

        Returns:
            Their pixels, uint8.

        Raises:
            JaxicmError: the process failed; the message holds what it printed.
        """
        with tempfile.TemporaryDirectory() as folder:
            sources = [Path(folder) / f"{index}.jicm" for index in range(len(files))]
            for source, data in zip(sources, files, strict=True):
                source.write_bytes(data)
            out = Path(folder) / "decoded"
            command = [sys.executable, "-m", "jaxicm.cli", "decode", *map(str, sources), "--out-dir", str(out)]
            command += ["--model", self.model] if self.model is not None else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise JaxicmError(f"decoding in a second process failed: {done.stderr.strip()[-400:]}")
            return [read_picture(out / f"{source.stem}.png").pixels for source in sources]
