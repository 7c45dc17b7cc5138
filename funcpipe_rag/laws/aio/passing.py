"""What every async stage owes that passes all items on as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from io import StringIO
from typing import Any

from funcpipe_rag.laws.inputs import SourceSpec, integers, numbers, sources
from funcpipe_rag.laws.law import Broken, holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom


async def gives_then_fails(world: World, made: object, expected: list[Any]) -> None:
    """Break the law unless `made` gives `expected` and then raises `Boom`."""
    got = []
    try:
        async for item in world.aiterator(made):
            got.append(item)
            holds(len(got) <= 200, "it gave more than 200 items", "the error")
    except Boom:
        same(got, expected, "before the error it gave {}")
        return
    except Exception as error:
        raise Broken(f"{type(error).__name__} came out", "Boom, the source's own error") from error
    raise Broken(f"it gave {got} and ended as if nothing had happened", f"{expected} and then the error")


async def read_some(made: Any, taken: int) -> list[Any]:
    """At most so many items of what can be read; `Boom` ends it."""
    got = []
    with suppress(Boom, StopAsyncIteration):
        for _ in range(taken):
            got.append(await anext(made))
    return got


def laws_of_passing(name: str, config: dict[str, Any], make: Callable[..., Any]) -> None:
    """Register them; `make(factory, **config)` gives the stage."""
    slug = name.replace("_", "-")

    @law(
        f"{slug}-gives-what-it-is-given",
        about=name,
        promise="same answer",
        says="It changes no item and no order: what goes in comes out.",
        hint="Work the smallest input through by hand. Which item is missing, extra, or another one?",
        source=sources(),
        **config,
    )
    async def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        with redirect_stderr(StringIO()):
            got = await world.aitems(make(factory, **given)(world.asource(source)()))
        same(got, list(source.items))

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="An error of the input reaches you as it is, behind every item that came before it.",
        hint="Where is the error caught, or an item kept back?",
        source=sources(None, "raises"),
        **config,
    )
    async def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        with redirect_stderr(StringIO()):
            await gives_then_fails(world, make(factory, **given)(world.asource(source)()), source.given)

    @law(
        f"{slug}-starts-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building a stream asks for nothing and begins nothing, however long you wait.",
        hint="What runs before anybody has asked for an item: a task, perhaps?",
        items=numbers(most=3),
        **config,
    )
    async def _(world: World, factory: Any, items: tuple[int, ...], **given: Any) -> None:
        source = world.asource(SourceSpec(items))
        with redirect_stderr(StringIO()):
            stream = world.aiterator(make(factory, **given)(source()))
            await asyncio.sleep(10)
        pulls = source.probe.pulls
        await stream.aclose()  # type: ignore[attr-defined]
        holds(pulls == 0, f"{pulls} pulls before the first question", "0")

    @law(
        f"{slug}-asks-once-for-each-item",
        about=name,
        promise="on demand",
        says="It adds no pull: k items cost k pulls, however long you wait for the next.",
        hint="Count the questions in the row `source`. Which answer was not needed yet?",
        taken=integers(0, 4),
        **config,
    )
    async def _(world: World, factory: Any, taken: int, **given: Any) -> None:
        source = world.asource(SourceSpec(endless=True))
        with redirect_stderr(StringIO()):
            stream = world.aiterator(make(factory, **given)(source()))
            same(await read_some(stream, taken), list(range(taken)))
            await asyncio.sleep(10)
            pulls = source.probe.pulls
            await stream.aclose()  # type: ignore[attr-defined]
        holds(pulls <= taken, f"{pulls} pulls for {taken} items", f"{taken}")

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one stage do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        first=sources(),
        second=sources(),
        ahead=integers(0, 3),
        **config,
    )
    async def _(
        world: World, factory: Any, first: SourceSpec, second: SourceSpec, ahead: int, **given: Any
    ) -> None:
        with redirect_stderr(StringIO()):
            stage = make(factory, **given)
            one = world.aiterator(stage(world.asource(first, "first")()))
            begun = await read_some(one, ahead)
            other = await world.aitems(stage(world.asource(second, "second")()))
            same(other, list(second.items), "the second run gave {}")
            rest = await world.aitems(one)
        same([*begun, *rest], list(first.items), "the first run gave {}")

    @law(
        f"{slug}-closes-its-input",
        about=name,
        promise="closed",
        says="It closes its input, once: when that ends, fails, or when the stream is closed half-way.",
        hint="Who closes the input when the reader goes?",
        source=sources(numbers(least=1), "ends", "raises"),
        taken=integers(1, 6),
        **config,
    )
    async def _(world: World, factory: Any, source: SourceSpec, taken: int, **given: Any) -> None:
        probe = world.asource(source)
        with redirect_stderr(StringIO()):
            stream = world.aiterator(make(factory, **given)(probe()))
            await read_some(stream, taken)
            holds(hasattr(stream, "aclose"), f"a {type(stream).__name__} came", "something with an aclose()")
            await stream.aclose()  # type: ignore[attr-defined]
        holds(probe.probe.closes == 1, f"the input was closed {times(probe.probe.closes)}", "once")
