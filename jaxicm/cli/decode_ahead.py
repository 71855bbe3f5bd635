"""Decoding the files of a command in batches, ahead of the threads that write pictures, on accelerators."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from jaxicm.errors import JaxicmError
from jaxicm.media.files import read_bytes

if TYPE_CHECKING:
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.codecs.image_result import DecodeResult

AT_ONCE = 8
_PATIENCE_S = 1.0


class DecodeAhead:
    """Decodes files that one codec made; a thread of its own reads them in their order.

    Args:
      codec: of the files; those of other weights, and those that are no pictures of it, are left out.
      files: paths, each once.
      at_once: pictures that the networks see together.
    """

    def __init__(self, codec: "ImageCodec", files: Sequence[str], at_once: int = AT_ONCE):
        self._codec, self._files, self._at_once = codec, files, at_once
        self._found: dict[str, Future[DecodeResult | JaxicmError | None]] = {path: Future() for path in files}
        self._room = threading.Semaphore(2 * at_once)  # pictures that nobody has taken yet
        self._stopped = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "DecodeAhead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join()

    def take(self, path: str) -> "DecodeResult | None":
        """Return what a file shows, None for one that was left out.

        Raises:
          JaxicmError: it cannot be read or decoded.
        """
        future = self._found.get(path)
        if future is None:
            return None
        result = future.result()
        self._found.pop(path)
        self._room.release()
        if isinstance(result, JaxicmError):
            raise result
        return result

    def _run(self) -> None:
        fed: deque[str] = deque()
        try:
            with self._codec.batches(self._at_once) as batches:
                for result in batches.decode(self._contents(fed)):
                    # Whoever takes pictures may have left one: this waits for room, but not for ever.
                    self._room.acquire(timeout=_PATIENCE_S)
                    self._found[fed.popleft()].set_result(result)
                    if self._stopped:
                        break
        except (RuntimeError, MemoryError):
            pass  # the device has not enough memory for batches, which JAX says by the first: files go one by one
        finally:
            for future in list(self._found.values()):
                if not future.done():
                    future.set_result(None)

    def _contents(self, fed: deque[str]) -> Iterator[bytes]:
        from jaxicm.bits.container import unpack

        for path in self._files:
            try:
                data = read_bytes(path)
                header, _ = unpack(data)
            except JaxicmError as error:
                self._found[path].set_result(error)
                continue
            if not self._codec.made(header):
                self._found[path].set_result(None)
                continue
            fed.append(path)
            yield data


@contextlib.contextmanager
def decoding_ahead(files: Sequence[str], model: str | None) -> Iterator[DecodeAhead | None]:
    """Decode files in batches while the context lasts; give None where one after the other is as good.

    Args:
      files: paths, "-" for standard input.
      model: name or weight file to use; None takes that of the first file.
    """
    codec = None
    if len(files) > AT_ONCE and "-" not in files and on_accelerator():
        codec = _codec_of(files[0], model)
    if codec is None:
        yield None
    else:
        with DecodeAhead(codec, files) as ahead:
            yield ahead


def _codec_of(path: str, model: str | None) -> "ImageCodec | None":
    """Return the codec of a file if it codes in batches; None for a file that is damaged, which its decoding tells."""
    from jaxicm.bits.container import unpack
    from jaxicm.codecs import zoo
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.codecs.open import load_codec

    try:
        codec = load_codec(model or str(zoo.find_digest(unpack(read_bytes(path))[0].weights)))
    except JaxicmError:
        return None
    return codec if isinstance(codec, ImageCodec) and codec.config.recurrent is None else None


def on_accelerator() -> bool:
    """Say whether JAX computes on something else than the CPU."""
    import jax

    return jax.default_backend() != "cpu"
