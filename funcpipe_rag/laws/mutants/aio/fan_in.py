"""What people write in place of async fan-in."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from funcpipe_rag import aio
from funcpipe_rag.aio.ownership import Owned, close, opened, stop
from funcpipe_rag.laws.mutants.mutant import mutant

Source = Callable[[], Any]
FanIn = Callable[..., Source]

SLUGS = {
    name: name.replace("_", "-") for name in ("amerge", "achain", "aroundrobin", "azip", "amerge_sorted")
}


def _everywhere(law: str) -> Callable[[Callable[[FanIn], FanIn]], Callable[[FanIn], FanIn]]:
    """The same mistake in each fan-in: `wrong` makes it out of the right one."""

    def register(wrong: Callable[[FanIn], FanIn]) -> Callable[[FanIn], FanIn]:
        for name, slug in SLUGS.items():
            impl = wrong(getattr(aio, name))
            impl.__doc__ = wrong.__doc__
            mutant(of=name, killed_by=f"{slug}-{law}", name=wrong.__name__)(impl)
        return wrong

    return register


@_everywhere("opens-nothing-at-birth")
def opens_at_birth(right: FanIn) -> FanIn:
    """Calls every source while the stream is still being built."""

    def made(*sources: Source, **options: Any) -> Source:
        def run() -> AsyncIterator[Any]:
            its = [source() for source in sources]
            stream: AsyncIterator[Any] = right(*(lambda it=it: it for it in its), **options)()
            return stream

        return run

    return made


@_everywhere("asks-for-no-more")
def collects_each_source_first(right: FanIn) -> FanIn:
    """Reads each source into a list before the first item is given: nothing comes of one that never ends."""

    def made(*sources: Source, **options: Any) -> Source:
        def listed(source: Source) -> Source:
            async def read() -> AsyncIterator[Any]:
                async with Owned() as owned:
                    items = [item async for item in owned.called(source)]
                for item in items:
                    yield item

            return read

        merged: Source = right(*map(listed, sources), **options)
        return merged

    return made


@_everywhere("starts-afresh")
def one_stream_for_all_runs(right: FanIn) -> FanIn:
    """Makes the stream once, outside the function that runs for each reader."""

    def made(*sources: Source, **options: Any) -> Source:
        streams: list[Any] = []

        def run() -> Any:
            if not streams:
                streams.append(right(*sources, **options)())
            return streams[0]

        return run

    return made


@_everywhere("closes-what-it-opened-last-first")
def leaves_the_sources_open(right: FanIn) -> FanIn:
    """Leaves it to the garbage collector to close what it has opened."""

    def made(*sources: Source, **options: Any) -> Source:
        def read(source: Source) -> Source:
            async def forget() -> AsyncIterator[Any]:
                async for item in opened(source()):
                    yield item

            return forget

        merged: Source = right(*map(read, sources), **options)
        return merged

    return made


@_everywhere("closes-the-rest-when-one-cannot-be-closed")
def stops_closing_at_the_first_error(right: FanIn) -> FanIn:
    """Closes in a plain loop, which ends with the first source that raises."""

    def made(*sources: Source, **options: Any) -> Source:
        async def run() -> AsyncGenerator[Any, None]:
            its: list[Any] = []

            def read(source: Source) -> Source:
                async def kept() -> AsyncIterator[Any]:
                    its.append(opened(source()))
                    async for item in its[-1]:
                        yield item

                return kept

            stream = right(*map(read, sources), **options)()
            try:
                async for item in stream:
                    yield item
            finally:
                await stream.aclose()
                for it in reversed(its):
                    await close(it)

        return run

    return made


@_everywhere("passes-errors-on")
def takes_an_error_for_the_end(right: FanIn) -> FanIn:
    """Catches whatever a source raises and goes on as if it had ended."""

    def made(*sources: Source, **options: Any) -> Source:
        def read(source: Source) -> Source:
            async def swallow() -> AsyncIterator[Any]:
                async with Owned() as owned:
                    with suppress(Exception):
                        async for item in owned.called(source):
                            yield item

            return swallow

        merged: Source = right(*map(read, sources), **options)
        return merged

    return made


@mutant(of="amerge", killed_by="amerge-hands-on-what-is-there")
def takes_turns(*sources: Source) -> Source:
    """Asks one source after the other, so that a slow one holds all the others up."""
    return aio.aroundrobin(*sources)


@mutant(of="amerge", killed_by="amerge-hands-on-what-is-there")
def waits_for_all_of_a_round(*sources: Source) -> Source:
    """Asks with `gather`: an item that is there waits for the slowest of its round."""

    async def run() -> AsyncIterator[Any]:
        gone = object()
        async with Owned() as owned:
            live = [owned.called(source) for source in sources]
            while live:
                items = await asyncio.gather(*(anext(it, gone) for it in live))
                for item in items:
                    if item is not gone:
                        yield item
                live = [it for it, item in zip(live, items, strict=True) if item is not gone]

    return run


@mutant(of="amerge", killed_by="amerge-takes-turns-among-the-ready")
def first_source_first(*sources: Source) -> Source:
    """Looks through the sources from the first one each time, so the last one waits for ever."""

    async def run() -> AsyncIterator[Any]:
        async with Owned() as owned:
            asked: dict[Any, Any] = {}
            its = [owned.called(source) for source in sources]
            try:
                while its:
                    for it in its:
                        if it not in asked:
                            asked[it] = asyncio.ensure_future(anext(it, owned))
                    await asyncio.wait(asked.values(), return_when=asyncio.FIRST_COMPLETED)
                    it = next(it for it in its if asked[it].done())
                    item = await asked.pop(it)
                    if item is owned:
                        its.remove(it)
                    else:
                        yield item
            finally:
                await stop(asked.values())

    return run


@mutant(of="amerge", killed_by="amerge-lets-nobody-wait-twice")
def a_task_for_each_answer(*sources: Source) -> Source:
    """Takes whatever `wait` hands back, from a set: which of the waiting is served is left to chance, or to the last."""

    async def run() -> AsyncIterator[Any]:
        gone = object()
        async with Owned() as owned:
            places: dict[Any, int] = {}
            its = [owned.called(source) for source in sources]

            def ask(place: int) -> None:
                places[asyncio.ensure_future(anext(its[place], gone))] = place

            for place in range(len(its)):
                ask(place)
            try:
                while places:
                    done, _ = await asyncio.wait(places, return_when=asyncio.FIRST_COMPLETED)
                    task = max(done, key=lambda task: places[task])
                    place = places.pop(task)
                    if (item := task.result()) is not gone:
                        ask(place)
                        await asyncio.sleep(0)
                        yield item
            finally:
                await stop(places)

    return run


@mutant(of="amerge", killed_by="amerge-opens-nothing-at-birth")
def begins_its_tasks_at_birth(*sources: Source) -> Source:
    """Begins a task for each source at once, and leaves them behind when nobody reads: a merge that was never begun."""

    def run() -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)
        gone = object()

        async def read(source: Source) -> None:
            async for item in opened(source()):
                await queue.put(item)
            await queue.put(gone)

        tasks = [asyncio.ensure_future(read(source)) for source in sources]

        async def stream() -> AsyncIterator[Any]:
            live = len(tasks)
            while live:
                if (item := await queue.get()) is gone:
                    live -= 1
                else:
                    yield item

        return stream()

    return run


@mutant(of="amerge", killed_by="amerge-asks-for-no-more")
def queues_without_a_bound(*sources: Source) -> Source:
    """Puts what comes into a queue without a limit: a slow reader keeps everything in memory."""
    return aio.amerge(*(aio.asource(source) | aio.abuffer(1000) for source in sources))


@mutant(of="achain", killed_by="achain-keeps-source-order")
def takes_turns_instead(*sources: Source) -> Source:
    """Reads 'chain' as 'one of each': an item of the first source, then one of the second."""
    return aio.aroundrobin(*sources)


@mutant(of="achain", killed_by="achain-keeps-source-order")
def as_they_come(*sources: Source) -> Source:
    """Begins all of them, because it is async, and forgets that a chain has an order."""
    return aio.amerge(*sources)


@mutant(of="achain", killed_by="achain-closes-each-before-the-next")
def closes_them_all_at_the_end(*sources: Source) -> Source:
    """Collects what it opens and closes it when everything is over."""

    async def run() -> AsyncIterator[Any]:
        async with Owned() as owned:
            for source in sources:
                async for item in owned.called(source):
                    yield item

    return run


@mutant(of="aroundrobin", killed_by="aroundrobin-takes-turns")
def ends_with_the_shortest(*sources: Source) -> Source:
    """Zips and flattens, so that the first source to end ends all."""

    async def run() -> AsyncIterator[Any]:
        async with Owned() as owned:
            async for row in owned.called(aio.azip(*sources)):
                for item in row:
                    yield item

    return run


@mutant(of="aroundrobin", killed_by="aroundrobin-takes-turns")
def chains_instead(*sources: Source) -> Source:
    """Takes all of the first source before the second: 'merge' read as 'append'."""
    return aio.achain(*sources)


@mutant(of="aroundrobin", killed_by="aroundrobin-asks-for-no-more")
def asks_a_round_at_once(*sources: Source) -> Source:
    """Asks all sources for a round side by side: faster, and a round ahead of what was asked for."""
    return aio.aroundrobin(*(aio.asource(source) | aio.abuffer(1) for source in sources))


@mutant(of="azip", killed_by="azip-takes-as-long-as-its-slowest")
def asks_one_after_another(*sources: Source, strict: bool = False) -> Source:
    """Awaits one source after the other, as a loop does: a row takes the sum of its times."""

    async def run() -> AsyncIterator[tuple[Any, ...]]:
        async with Owned() as owned:
            its = [owned.called(source) for source in sources]
            while its:
                row = []
                for it in its:
                    try:
                        row.append(await anext(it))
                    except StopAsyncIteration:
                        if strict and (row or it is not its[0]):
                            raise ValueError("azip: a source has ended") from None
                        return
                yield tuple(row)

    return run


@mutant(of="azip", killed_by="azip-asks-for-no-more")
def asks_for_the_next_row_early(*sources: Source, strict: bool = False) -> Source:
    """Lets each source run one item ahead while you are busy with a row."""
    return aio.azip(*(aio.asource(source) | aio.abuffer(1) for source in sources), strict=strict)


@mutant(of="azip", killed_by="azip-gives-rows")
def pads_with_none(*sources: Source, strict: bool = False) -> Source:
    """Goes on until the longest source has ended, and puts None in the place of what is missing."""

    async def run() -> AsyncIterator[tuple[Any, ...]]:
        async with Owned() as owned:
            its = [owned.called(source) for source in sources]
            gone = object()
            while True:
                row = await asyncio.gather(*(anext(it, gone) for it in its))
                if all(item is gone for item in row):
                    return
                yield tuple(None if item is gone else item for item in row)

    return run


@mutant(of="azip", killed_by="azip-strict-refuses-unequal-sources")
def never_strict(*sources: Source, strict: bool = False) -> Source:
    """Takes strict and does nothing about it."""
    return aio.azip(*sources)


@mutant(of="amerge_sorted", killed_by="amerge-sorted-gives-one-sorted-stream")
def merges_as_they_come(*sources: Source, **options: Any) -> Source:
    """Takes whatever is there: 'merge' without 'sorted'."""
    return aio.amerge(*sources)


@mutant(of="amerge_sorted", killed_by="amerge-sorted-asks-for-the-heads-together")
def asks_for_one_head_after_another(
    *sources: Source, key: Any = None, reverse: bool = False, check: bool = True
) -> Source:
    """Opens the sources in a loop, so that the first item takes the sum of all their first times."""

    async def run() -> AsyncIterator[Any]:
        async with Owned() as owned:
            gone = object()
            heads: list[Any] = []
            for place, source in enumerate(sources):
                it = owned.called(source)
                if (item := await anext(it, gone)) is not gone:
                    heads.append((item, place, it))
            heapq.heapify(heads)
            while heads:
                item, place, it = heapq.heappop(heads)
                yield item
                if (item := await anext(it, gone)) is not gone:
                    heapq.heappush(heads, (item, place, it))

    return run


@mutant(of="amerge_sorted", killed_by="amerge-sorted-is-stable")
def the_last_of_equals_first(*sources: Source, **options: Any) -> Source:
    """Breaks ties by what was put in last."""
    return aio.amerge_sorted(*reversed(sources), **options)


@mutant(of="amerge_sorted", killed_by="amerge-sorted-says-who-is-out-of-order")
def trusts_the_sources(*sources: Source, **options: Any) -> Source:
    """Merges what is not sorted into something that is not sorted, in silence, as heapq.merge does."""
    return aio.amerge_sorted(*sources, **{**options, "check": False})
