"""Which compiled functions coding a picture calls, how often, in which order and with what.

Found by watching: while a picture is coded, the codec's compiled functions are replaced by proxies that note the call
and pass it on. JAX itself has no hook on calls of compiled functions. So the counts are those of the very code that
encodes and decodes; `bench_compile` checks from the other side that no other function was compiled.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.codecs.image import ImageCodec
from jaxicm.entropy import progressive_coder, recurrent_coder
from jaxicm.models.complexity import count_macs

STAGES = ("analysis", "entropy", "synthesis")


@dataclass(frozen=True)
class _Site:
    """What is known of a compiled function beforehand.

    Attributes:
        stage: of coding.
        mapped: positions of the arguments that belong to the picture; the others are parameters.
        rows: whether those have a leading axis of any length, so that calls can be joined along it.
        static: how many arguments at the end are compiled in.
        step: position of an argument that is the same object in all calls of one step, which do not wait for each
            other; None if each call waits for the one before.
        waits: whether the codec waits for the results before it calls anything else.
    """

    stage: str
    mapped: tuple[int, ...]
    rows: bool = False
    static: int = 0
    step: int | None = None
    waits: bool = True


SITES = {
    "analysis": _Site("analysis", (1,)),
    "synthesis": _Site("synthesis", (1,)),
    "_trunk": _Site("entropy", (0,), rows=True, step=-1, waits=False),
    "_head": _Site("entropy", (0, 1, 2, 4), rows=True, step=-1),
    "_evaluate": _Site("entropy", (1, 2, 3)),
    "_upsample": _Site("entropy", (1, 2), static=2),
}
"""By the name under which JAX compiles them."""


@dataclass(frozen=True)
class Part:
    """A compiled function at one set of shapes.

    Attributes:
        name: for people, such as "trunk 128 rows".
        compiled_name: under which JAX compiles it.
        stage: "analysis", "entropy" or "synthesis".
        function: the jitted function that the codec calls.
        arguments: of one call, on the device.
        mapped: positions of the arguments that belong to the picture.
        rows: whether those have a leading axis of any length.
        static: arguments after the others that are compiled in.
    """

    name: str
    compiled_name: str
    stage: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = field(repr=False)
    mapped: tuple[int, ...]
    rows: bool
    static: tuple[Any, ...] = ()

    def call(self) -> Any:
        """Call it; the result may not be ready yet."""
        return self.function(*self.arguments, *self.static)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of a call, by `models.complexity.count_macs`."""
        return count_macs(lambda *arguments: self.function(*arguments, *self.static), *self.arguments)

    def inputs(self) -> list[np.ndarray]:
        """Return the arguments that come from the host for each call, as they are there."""
        return [np.array(leaf) for i in self.mapped for leaf in jax.tree.leaves(self.arguments[i])]

    def batched(self, count: int) -> "Part":
        """Return the same work on `count` times the data in one call.

        Args:
            count: of calls to join: rows one behind the other, windows and grids along a new axis.

        Returns:
            A part whose name holds the count.
        """
        join = jnp.concatenate if self.rows else jnp.stack
        arguments = tuple(
            jax.tree.map(lambda a: join([a] * count), argument) if i in self.mapped else argument
            for i, argument in enumerate(self.arguments)
        )
        function, static = self.function, self.static
        if not self.rows:
            axes = tuple(0 if i in self.mapped else None for i in range(len(arguments)))
            one, closed = function, static
            function, static = jax.jit(jax.vmap(lambda *a: one(*a, *closed), in_axes=axes)), ()
        name = f"{self.name} x{count}"
        return Part(name, self.compiled_name, self.stage, function, arguments, self.mapped, self.rows, static)


@dataclass
class Recording:
    """The calls of compiled functions while something ran.

    Attributes:
        parts: by name.
        steps: names of the parts called, in order; the codec waits for results at the end of a step only.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    steps: list[list[str]] = field(default_factory=list)
    _last: tuple[_Site, str, Any] | None = field(default=None, repr=False)

    def calls(self, name: str) -> int:
        """Count the calls of a part."""
        return sum(step.count(name) for step in self.steps)

    def stage(self, stage: str) -> list[list[Part]]:
        """Return the steps of a stage with their parts."""
        steps = ([self.parts[name] for name in step] for step in self.steps)
        return [step for step in steps if step[0].stage == stage]

    def note(self, compiled_name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Add a call.

        Args:
            compiled_name: key of `SITES`.
            function: jitted.
            arguments: all of them, parameters included.
        """
        site = SITES[compiled_name]
        dynamic, static = arguments[: len(arguments) - site.static], arguments[len(arguments) - site.static :]
        first = np.shape(arguments[site.mapped[0]])
        size = f"{first[0]} rows" if site.rows else f"{first[-2]}x{first[-3]}"
        size += " latent" if not site.rows and compiled_name != "analysis" else ""
        name = f"{compiled_name.strip('_')} {size}"
        if name not in self.parts:
            # Copied, because the codec goes on writing into its arrays; put on the device, so that calls move nothing.
            on_device = tuple(
                jax.tree.map(lambda a: a if isinstance(a, jax.Array) else jax.device_put(np.array(a)), argument)
                for argument in dynamic
            )
            self.parts[name] = Part(
                name, compiled_name, site.stage, function, on_device, site.mapped, site.rows, static
            )
        shared = None if site.step is None else arguments[site.step]
        if self._last is not None and self._goes_on(*self._last, name, shared):
            self.steps[-1].append(name)
        else:
            self.steps.append([name])
        self._last = site, name, shared

    def _goes_on(self, site: _Site, last_name: str, last_shared: Any, name: str, shared: Any) -> bool:
        """Whether a call belongs to the step of the last one."""
        same = name == last_name and shared is not None and shared is last_shared
        return same or (not site.waits and self.parts[name].stage == site.stage)


@contextmanager
def recording(codec: ImageCodec) -> Iterator[Recording]:
    """Note all calls of a codec's compiled functions.

    Args:
        codec: that will run.

    Yields:
        The recording, complete when the block ends.
    """
    found = Recording()

    def proxy(name: str, function: Any) -> Callable[..., Any]:
        bound = function.args if isinstance(function, partial) else ()
        jitted = function.func if isinstance(function, partial) else function

        def call(*arguments: Any) -> Any:
            found.note(name, jitted, (*bound, *arguments))
            return function(*arguments)

        return call

    places: list[tuple[dict[str, Any], str, str]] = []
    transforms = codec._transforms
    for name in ("analysis", "synthesis"):
        getattr(transforms, f"_{name}")  # makes the cached property
        places.append((vars(transforms), f"_{name}", name))
    for module, names in ((progressive_coder, ("_trunk", "_head")), (recurrent_coder, ("_evaluate", "_upsample"))):
        places += [(vars(module), name, name) for name in names]
    originals = [where[key] for where, key, _ in places]
    try:
        for (where, key, name), original in zip(places, originals, strict=True):
            where[key] = proxy(name, original)
        yield found
    finally:
        for (where, key, _), original in zip(places, originals, strict=True):
            where[key] = original
