"""How n items go through each public function of the streams, sync and async: one row a function, read by the cost table
and the memory tests.

A row is prepared first, so that what it reads (a list, a file) is neither timed nor counted, and gives a function that
begins the stream anew. Its own functions are C functions where they can be, so that the combinator is what is measured.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import redirect_stderr
from itertools import count, repeat
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from funcpipe_rag import aio, streams
from funcpipe_rag.aio import (
    abatch,
    abroadcast,
    abuffer,
    achain,
    amap,
    amerge,
    amerge_sorted,
    aprogress,
    arate_limit,
    aroundrobin,
    asource,
    athrottle,
    atimeout,
    azip,
    batch_task,
    collect,
    from_sync,
    get_current_context,
    single_task,
    to_sync,
)
from funcpipe_rag.streams import (
    Ok,
    Report,
    RetryPolicy,
    as_source,
    batched,
    compose,
    count_distinct,
    ensure_contiguous,
    error_report,
    fdrop_while,
    fence_k,
    ffilter,
    fflat_map,
    fmap,
    fork2_lockstep,
    fork_lockstep,
    ftake_while,
    make_accumulate,
    make_batched,
    make_breaker,
    make_cast,
    make_chain,
    make_counter,
    make_csv_source,
    make_ext_filter,
    make_grouped,
    make_jsonl_source,
    make_keyed_join,
    make_lines_source,
    make_log_source,
    make_merge,
    make_merge_late,
    make_ngrams,
    make_pager_source,
    make_peek,
    make_progress,
    make_project,
    make_rate_limit,
    make_regex_filter,
    make_rolling_avg_by_device,
    make_rolling_mean,
    make_rolling_sum,
    make_roundrobin,
    make_router,
    make_sampler_bernoulli,
    make_sampler_periodic,
    make_sampler_stable,
    make_sha256_with_size,
    make_sliding,
    make_tap,
    make_text_source,
    make_throttle,
    make_timestamp,
    make_tokenize,
    make_walk_source,
    multicast_bounded,
    ok_only,
    parse_ts,
    recover,
    retry,
    sink,
    source,
    source_to_transform,
    split_results,
    stage,
    topk,
    try_map,
    until_error_rate,
    until_n_errors,
    values_after_w,
)


class Sample(NamedTuple):
    """`prepare(n, folder)` makes what the stream reads and gives a function that begins it; `most` bounds n.

    `beside` is what it is timed against.
    """

    prepare: Callable[[int, Path], Callable[[], Iterable[object]]]
    most: int | None = None
    beside: Callable[[int], Iterable[object]] = lambda n: map(abs, range(n))

    def begin(self, n: int, folder: Path) -> Callable[[], Iterable[object]]:
        return self.prepare(n if self.most is None else min(n, self.most), folder)


def _items(build: Callable[[range], Iterable[object]]) -> Sample:
    """Numbers go in."""
    return Sample(lambda n, _: lambda: build(range(n)))


def _sources(build: Callable[..., Callable[[], Iterable[object]]], many: int = 4) -> Sample:
    """Sources of rising numbers go in, each with its part of them."""
    return Sample(lambda n, _: build(*[as_source(range(at, n, many)) for at in range(many)]))


def _texts(text: str, build: Callable[[Iterable[str]], Iterable[object]]) -> Sample:
    return Sample(lambda n, _: lambda: build(repeat(text, n)))


def _rows(build: Callable[[Iterable[dict[str, str]]], Iterable[object]]) -> Sample:
    return Sample(lambda n, _: lambda: build(repeat({"device": "a", "value": "1"}, n)))


def _results(build: Callable[[Iterable[Ok[int]]], Iterable[object]]) -> Sample:
    return Sample(lambda n, _: lambda: build(map(Ok, range(n))))


def _file(line: str, read: Callable[[Path], Callable[[], Iterable[object]]]) -> Sample:
    """A file of n lines is read, by a source in small blocks, so that few lines are many blocks."""

    def prepare(n: int, folder: Path) -> Callable[[], Iterable[object]]:
        path = folder / f"{n}.txt"
        path.write_text(line * n, encoding="ascii")
        return read(path)

    return Sample(prepare)


def _tree(n: int, folder: Path) -> Path:
    root = folder / f"{n} files"
    for at in range(n):
        if at % 100 == 0:
            (root / str(at // 100)).mkdir(parents=True)
        (root / str(at // 100) / f"{at}.txt").touch()
    return root


def _pages(n: int, _: Path) -> Callable[[], Iterable[object]]:
    def fetch(cursor: int | None) -> tuple[Iterable[int], int | None]:
        page = cursor or 0
        return range(n // 10), page + 1 if page < 9 else None

    return make_pager_source(fetch)


def _hashed(n: int, folder: Path) -> Callable[[], Iterable[object]]:
    path = folder / "hashed.txt"
    path.write_bytes(b"text")
    return lambda: make_sha256_with_size()(repeat(path, n))


def _quietly(xs: range) -> Iterable[object]:
    with redirect_stderr(io.StringIO()):
        yield from make_progress(total=len(xs))(xs)


def _ignored(_: object) -> None:
    pass


async def _generated(xs: Iterable[int]) -> AsyncIterator[int]:
    for x in xs:
        yield abs(x)


def _run(main: Coroutine[Any, Any, object]) -> Iterable[object]:
    """A loop of its own for one stream; its items are not handed out."""
    asyncio.run(main)
    return ()


async def _drain(*streams: AsyncIterable[object]) -> None:
    """Read streams to their ends, in turns."""
    open_still = [aiter(one) for one in streams]
    while open_still:
        for one in tuple(open_still):
            try:
                await anext(one)
            except StopAsyncIteration:
                open_still.remove(one)


async def _read(xs: AsyncIterable[object]) -> None:
    async for _ in xs:
        pass


def _timed_against_a_generator(n: int) -> Iterable[object]:
    return _run(_read(_generated(range(n))))


def _async(build: Callable[[range], AsyncIterable[object]]) -> Sample:
    """Numbers go in, and come out under asyncio."""
    return Sample(lambda n, _: lambda: _run(_read(build(range(n)))), beside=_timed_against_a_generator)


def _async_sources(build: Callable[..., Callable[[], AsyncIterable[object]]], many: int = 4) -> Sample:
    """Async sources of rising numbers go in, each with its part of them."""

    def prepare(n: int, _: Path) -> Callable[[], Iterable[object]]:
        sources = [asource(lambda at=at: _generated(range(at, n, many))) for at in range(many)]
        return lambda: _run(_read(build(*sources)()))

    return Sample(prepare, beside=_timed_against_a_generator)


def _quietly_async(n: int, _: Path) -> Callable[[], Iterable[object]]:
    def begin() -> Iterable[object]:
        with redirect_stderr(io.StringIO()):
            return _run(_read(aprogress(total=n)(range(n))))

    return begin


async def _slept(_: float) -> None:
    pass


SAMPLES: dict[str, Sample] = {
    "as_source": _items(lambda xs: as_source(xs)()),
    "batched": _items(lambda xs: batched(xs, 10)),
    "compose": _items(compose(fmap(abs), fmap(abs))),
    "count_distinct": _items(lambda xs: [count_distinct()(map((7).__rmod__, xs))]),
    "ensure_contiguous": Sample(
        lambda n, _: lambda: ensure_contiguous((n // 10 + 1).__rfloordiv__)(range(n))
    ),
    "error_report": _results(lambda results: [error_report()(results)]),
    "fdrop_while": _items(fdrop_while((0).__gt__)),
    "fence_k": _items(lambda xs: fence_k(len(xs))(xs)),
    "ffilter": _items(ffilter((0).__le__)),
    "fflat_map": _items(fflat_map(lambda x: (x,))),
    "fmap": _items(fmap(abs)),
    "fork2_lockstep": _items(fork2_lockstep(fmap(abs), fmap(abs))),
    "fork_lockstep": _items(fork_lockstep(fmap(abs), fmap(abs), fmap(abs))),
    "ftake_while": _items(ftake_while((0).__le__)),
    "make_accumulate": _items(make_accumulate(max)),
    "make_batched": _items(make_batched(10)),
    "make_breaker": _items(lambda xs: map(make_breaker(failures=3, reset_after=1)(abs), xs)),
    "make_cast": _rows(make_cast({"value": int})),
    "make_chain": _sources(make_chain),
    "make_counter": _items(lambda xs: make_counter()(xs)),
    "make_csv_source": _file("1,2\n", lambda path: make_csv_source(path, columns=["a", "b"], block=8192)),
    "make_ext_filter": _texts("a.md", make_ext_filter(".md")),
    "make_grouped": _items(make_grouped((10).__rfloordiv__)),
    "make_jsonl_source": _file('{"a": 1}\n', lambda path: make_jsonl_source(path, block=8192)),
    "make_keyed_join": _items(make_keyed_join(abs, fmap(abs), fmap(abs))),
    "make_lines_source": _file("a line\n", lambda path: make_lines_source(path, block=8192)),
    "make_log_source": _file("a line\n", lambda path: make_log_source(path, block=8192)),
    "make_merge": _sources(make_merge),
    "make_merge_late": _sources(lambda *sources: make_merge_late(*sources, ts=abs, lateness=10)),
    "make_ngrams": _items(make_ngrams(2)),
    "make_pager_source": Sample(_pages),
    "make_peek": _items(make_peek(3, _ignored)),
    "make_progress": _items(_quietly),
    "make_project": _rows(make_project("value")),
    "make_rate_limit": _items(
        lambda xs: make_rate_limit(10, 10, clock=map(float, count()).__next__, sleeper=_ignored)(xs)
    ),
    "make_regex_filter": _texts("GET /a 200", make_regex_filter("^GET")),
    "make_rolling_avg_by_device": Sample(
        lambda n, _: lambda: make_rolling_avg_by_device(10)(repeat({"device": "a", "value": 1}, n))
    ),
    "make_rolling_mean": _items(make_rolling_mean(10)),
    "make_rolling_sum": _items(make_rolling_sum(10)),
    "make_roundrobin": _sources(make_roundrobin),
    "make_router": _items(make_router(lambda n: "abs", {"abs": abs})),
    "make_sampler_bernoulli": _items(make_sampler_bernoulli(0.5, seed=7)),
    "make_sampler_periodic": _items(make_sampler_periodic(2)),
    "make_sampler_stable": _items(make_sampler_stable(0.5, key=str)),
    "make_sha256_with_size": Sample(_hashed, most=2_000),
    "make_sliding": _items(make_sliding(5)),
    "make_tap": _items(make_tap(_ignored)),
    "make_text_source": _file("a line\n", lambda path: make_text_source(path, block=8192)),
    "make_throttle": _items(make_throttle(0, clock=repeat(0.0).__next__, sleeper=_ignored)),
    "make_timestamp": _items(make_timestamp(clock=repeat(0.0).__next__)),
    "make_tokenize": _texts("one word more", make_tokenize()),
    "make_walk_source": Sample(lambda n, folder: make_walk_source(_tree(n, folder)), most=2_000),
    "multicast_bounded": _items(lambda xs: zip(*multicast_bounded(xs, 2), strict=True)),
    "ok_only": _results(lambda results: ok_only(report=Report())(results)),
    "parse_ts": _texts("2024-05-01T12:00:00Z", lambda texts: map(parse_ts, texts)),
    "recover": _results(recover(lambda err: Ok(0))),
    "retry": _items(lambda xs: map(retry(RetryPolicy(attempts=3))(abs), xs)),
    "sink": _items(lambda xs: [(as_source(xs) | sink(max))()]),
    "source": _items(lambda xs: source(lambda: iter(xs))()),
    "source_to_transform": _items(lambda xs: source_to_transform(as_source(xs))(())),
    "split_results": _results(split_results(_ignored)),
    "stage": _items(stage(lambda xs: map(abs, xs))),
    "topk": _items(lambda xs: [topk(3, capacity=10)(map((100).__rmod__, xs))]),
    "try_map": _items(try_map(abs)),
    "until_error_rate": _results(until_error_rate(0.5, window=10)),
    "until_n_errors": _results(until_n_errors(3)),
    "values_after_w": _items(values_after_w(5)),
    "abatch": _async(abatch(10)),
    "abroadcast": Sample(
        lambda n, _: lambda: _run(_drain(*abroadcast(range(n), 2, maxlen=16))),
        beside=_timed_against_a_generator,
    ),
    "abuffer": _async(abuffer(16)),
    "achain": _async_sources(achain),
    "amap": _async(amap(abs, concurrency=16)),
    "amerge": _async_sources(amerge),
    "amerge_sorted": _async_sources(amerge_sorted),
    "aprogress": Sample(_quietly_async, beside=_timed_against_a_generator),
    "arate_limit": _async(
        lambda xs: arate_limit(10, 10, clock=map(float, count()).__next__, sleeper=_slept)(xs)
    ),
    "aroundrobin": _async_sources(aroundrobin),
    "asource": _async(lambda xs: asource(lambda: xs)()),
    "athrottle": _async(athrottle(0, clock=repeat(0.0).__next__, sleeper=_slept)),
    "atimeout": _async(atimeout(60)),
    "azip": _async_sources(azip),
    # All that it is given is what it holds.
    "collect": Sample(
        lambda n, _: lambda: _run(collect(_generated(range(n)))),
        most=100_000,
        beside=_timed_against_a_generator,
    ),
    "from_sync": _async(from_sync),
    "batch_task": _async(batch_task(max_size=100)(max)),
    "get_current_context": _async(single_task(lambda x: (get_current_context(), x))),
    "single_task": _async(single_task(abs)),
    "to_sync": Sample(lambda n, _: lambda: to_sync(range(n)), beside=_timed_against_a_generator),
}


def public_functions() -> dict[str, FunctionType]:
    """The public functions of the streams, by name; behind them those of the async ones."""
    named: list[tuple[str, Any]] = [
        (name, getattr(room, name)) for room in (streams, aio) for name in sorted(room.__all__)
    ]
    return {name: thing for name, thing in named if isinstance(thing, FunctionType)}


def samples() -> dict[str, Sample]:
    """SAMPLES, once it is sure that they are one for each public function."""
    functions = public_functions()
    lacking = sorted(functions.keys() - SAMPLES.keys())
    unknown = sorted(SAMPLES.keys() - functions.keys())
    if lacking:
        raise LookupError(
            f"no sample for {', '.join(lacking)}: add a row to SAMPLES in {Path(__file__).name}"
        )
    if unknown:
        raise LookupError(
            f"SAMPLES has rows for what is no public function of streams or aio: {', '.join(unknown)}"
        )
    return SAMPLES
