"""What people write in place of any async stage that passes items on: a right one, with one wrong line around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any

from funcpipe_rag.laws.law import public
from funcpipe_rag.laws.mutants.mutant import mutant

Run = Callable[[Any], AsyncIterator[Any]]
Wrap = Callable[[Run], Run]


def wrapped(name: str) -> None:
    """Register a mutant of this stage for each law of every passing stage."""
    for wrap, law in WRAPPED.items():
        mutant(of=name, killed_by=f"{name.replace('_', '-')}-{law}")(_around(name, wrap))


def _around(name: str, wrap: Wrap) -> Callable[..., Any]:
    right = public(name)

    @wraps(wrap)
    def factory(*given: Any, **options: Any) -> Any:
        return wrap(right(*given, **options))

    return factory


def drops_the_last(run: Run) -> Run:
    """Gives an item when the next one is there, and ends with one still in hand."""

    async def stream(xs: Any) -> AsyncIterator[Any]:
        held: list[Any] = []
        async for item in run(xs):
            for one in held:
                yield one
            held = [item]

    return stream


def swallows_errors(run: Run) -> Run:
    """Takes every exception for the end of the stream."""

    async def stream(xs: Any) -> AsyncIterator[Any]:
        try:
            async for item in run(xs):
                yield item
        except Exception:
            return

    return stream


def born_with_a_task(run: Run) -> Run:
    """Begins to read in a task of its own when it is called, so that the first item is there early."""

    def stream(xs: Any) -> AsyncIterator[Any]:
        it = run(xs)
        first = asyncio.ensure_future(anext(it, None))

        async def rest() -> AsyncIterator[Any]:
            yield await first
            async for item in it:
                yield item

        return rest()

    return stream


def looks_ahead(run: Run) -> Run:
    """Fetches the next item before it gives this one, to learn whether this was the last."""

    async def stream(xs: Any) -> AsyncIterator[Any]:
        it = run(xs)
        async for held in it:
            async for item in it:
                yield held
                held = item
            yield held

    return stream


def captured_iterator(run: Run) -> Run:
    """Keeps one iterator outside the function that runs for each stream."""
    kept: list[AsyncIterator[Any]] = []

    async def stream(xs: Any) -> AsyncIterator[Any]:
        if not kept:
            kept.append(run(xs))
        async for item in kept[0]:
            yield item

    return stream


def leaves_its_input_to_the_collector(run: Run) -> Run:
    """Loops over its input with `async for`, which closes nothing: some day a collector will."""

    async def stream(xs: Any) -> AsyncIterator[Any]:
        async def lent() -> AsyncIterator[Any]:
            async for item in xs:
                yield item

        inner: Any = run(lent())
        try:
            async for item in inner:
                yield item
        finally:
            await inner.aclose()

    return stream


WRAPPED: dict[Wrap, str] = {
    drops_the_last: "gives-what-it-is-given",
    swallows_errors: "passes-errors-on",
    born_with_a_task: "starts-nothing-at-birth",
    looks_ahead: "asks-once-for-each-item",
    captured_iterator: "starts-afresh",
    leaves_its_input_to_the_collector: "closes-its-input",
}
