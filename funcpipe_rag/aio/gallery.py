"""Async streams at work: two stages that are worth more than the cell they would fill.

`modules/05-async-streams/gallery.md` runs them, and shows the rest of what the stages of this room are for in cells of a
few lines. Read them as patterns: most people will want one that is nearly like these.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, overload

from funcpipe_rag.streams.arguments import a_function, a_whole_number

from .fan_in import amerge
from .fan_out import AsyncBranch, abroadcast
from .mapping import amap
from .ownership import Owned
from .stages import AsyncStage, Items, Run, asource

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K", bound=Hashable)


@overload
def amap_resumed(
    fn: Callable[[A], Awaitable[B]],
    path: str | os.PathLike[str],
    *,
    concurrency: SupportsIndex = 1,
    every: SupportsIndex = 1,
) -> AsyncStage[A, B]: ...
@overload
def amap_resumed(
    fn: Callable[[A], B],
    path: str | os.PathLike[str],
    *,
    concurrency: SupportsIndex = 1,
    every: SupportsIndex = 1,
) -> AsyncStage[A, B]: ...
def amap_resumed(
    fn: Callable[[Any], Any],
    path: str | os.PathLike[str],
    *,
    concurrency: SupportsIndex = 1,
    every: SupportsIndex = 1,
) -> AsyncStage[Any, Any]:
    """`amap` in order, with a checkpoint: a later run over the same items goes on where this one stopped.

    >>> from pathlib import Path; from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.aio.testing import run
    >>> async def first(n, stream):
    ...     async with stream:
    ...         return [await anext(stream) for _ in range(n)]
    >>> with TemporaryDirectory() as folder:
    ...     stage = amap_resumed(abs, Path(folder, "done"))
    ...     run(first(3, stage([-1, -2, -3, -4]))), run(stage([-1, -2, -3, -4]).collect())
    ([1, 2, 3], [3, 4])

    An item is done when the reader asks for the next one. What it had in its hands when it stopped comes again: at least
    once, never lost. A file that holds no number is an error, not a fresh start.

    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "done").write_text("three")
    ...     run(amap_resumed(abs, Path(folder, "done"))([-1]).collect())
    Traceback (most recent call last):
    ...
    ValueError: amap_resumed: the checkpoint done holds 'three', and not how many items are done

    The number is written for every so many items, and when the stream is left; in its place at once, so a program that
    is killed leaves the old one or the new one, and at most `every` items come again besides those in flight.

    Class: external, it writes to `path`. Demand: the items that are done, once, without a call; then that of `amap`.
    Memory: O(concurrency). Closing: cancels the calls in flight, waits for them, closes the input. Errors: those of
    the input and of `fn`, behind the results before them; ValueError where the checkpoint is none, or stands behind
    the end of the input.
    """
    a_function("amap_resumed", "fn", fn)
    stage: _Resumed[Any, Any] = _Resumed("amap_resumed", fn, path)
    stage.set_once(
        _calls=amap(fn, concurrency=concurrency),
        _path=Path(path),
        _every=a_whole_number("amap_resumed", "every", every, least=1),
    )
    return stage


class _Resumed(AsyncStage[A, B]):
    """What `amap_resumed` makes."""

    __slots__ = ("_calls", "_every", "_path")

    _calls: AsyncStage[A, B]
    _every: int
    _path: Path

    async def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        async with Owned() as owned:
            it = owned.opened(xs)
            done = written = _read(self._path)
            for place in range(done):
                if await anext(it, _END) is _END:
                    raise ValueError(
                        f"amap_resumed: {done} items are done, says the checkpoint {self._path.name}, and the input "
                        f"ended after {place}"
                    )
            try:
                async for result in owned.take(self._calls.opening(it, run)):
                    yield result
                    done += 1
                    if done - written >= self._every:
                        _write(self._path, done)
                        written = done
            finally:
                if done > written:
                    _write(self._path, done)


_END: Any = object()


def _read(path: Path) -> int:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError(
            f"amap_resumed: the checkpoint {path.name} holds {text[:40]!r}, and not how many items are done"
        )
    return int(text)


def _write(path: Path, done: int) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(str(done), encoding="utf-8")
    fresh.replace(path)


def aroute(
    choose: Callable[[A], K], routes: Mapping[K, AsyncStage[A, B]], *, maxlen: SupportsIndex = 64
) -> AsyncStage[A, B]:
    """Send each item through the stage that its content chooses; results come as they are there, from whichever stage.

    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> import asyncio
    >>> async def takes(seconds):
    ...     await asyncio.sleep(seconds)
    ...     return seconds
    >>> slow, quick = amap(takes), amap(takes, concurrency=2)
    >>> by_size = aroute(lambda seconds: seconds > 1, {True: slow, False: quick})
    >>> run(schedule(by_size([5, 0.5, 0.75, 1])))
    [(0.5, 0.5), (0.75, 0.75), (1.5, 1), (5.0, 5)]

    Each route has its own bounds, and order within it is its own stage's. An item that no route is for is an error.

    >>> run(aroute(str.isdigit, {True: amap(int)})(["1", "x"]).collect())
    Traceback (most recent call last):
    ...
    ValueError: aroute: there is no route False, which 'x' chose; there are: True

    Class: clocked. Demand: at most `maxlen` items ahead of the slowest route, and what the routes' stages ask for.
    Memory: `maxlen` items, and that of the stages. Closing: closes the routes, which cancels their calls, and the input.
    Errors: the first one, of the input, of `choose`, or of a route, behind the results that were there; ValueError and
    TypeError at construction.
    """
    a_function("aroute", "choose", choose)
    bound = a_whole_number("aroute", "maxlen", maxlen, least=1)
    if not isinstance(routes, Mapping) or not all(isinstance(one, AsyncStage) for one in routes.values()):
        raise TypeError("aroute: routes must be stages by name, like {'short': amap(...), 'long': amap(...)}")
    if not routes:
        raise ValueError("aroute: there are no routes, so no item could go anywhere")
    stage: _Routed[Any, Any] = _Routed("aroute", choose, *map(str, routes))
    stage.set_once(_choose=choose, _routes=dict(routes), _maxlen=bound)
    return stage


class _Routed(AsyncStage[A, B]):
    """What `aroute` makes."""

    __slots__ = ("_choose", "_maxlen", "_routes")

    _choose: Callable[[Any], Any]
    _maxlen: int
    _routes: Mapping[Any, AsyncStage[Any, Any]]

    async def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        async with Owned() as owned:
            branches = abroadcast(self._chosen(xs), len(self._routes), maxlen=self._maxlen)
            # A way that was never asked does not close its branch.
            for branch in branches:
                owned.take(branch)
            ways = [
                asource(partial(stage.opening, _of(key, branch), run))
                for (key, stage), branch in zip(self._routes.items(), branches, strict=True)
            ]
            async for result in owned.take(amerge(*ways).begun(run)):
                yield result

    async def _chosen(self, xs: Items[A]) -> AsyncGenerator[tuple[Any, A], None]:
        async with Owned() as owned:
            async for item in owned.opened(xs):
                key = self._choose(item)
                if key not in self._routes:
                    known = ", ".join(map(repr, self._routes))
                    raise ValueError(
                        f"aroute: there is no route {key!r}, which {item!r} chose; there are: {known}"
                    )
                yield key, item


async def _of(key: object, branch: AsyncBranch[tuple[Any, A]]) -> AsyncGenerator[A, None]:
    """The items of a branch that chose `key`."""
    async with branch:
        async for chosen, item in branch:
            if chosen == key:
                yield item
