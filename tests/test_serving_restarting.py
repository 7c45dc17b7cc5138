"""A stage that fails: what really happens to a generator that raised, and how it is put in its place again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from funcpipe_rag.aio import abuffer, amap
from funcpipe_rag.aio.ownership import Owned
from funcpipe_rag.aio.testing import run
from funcpipe_rag.serving import (
    Features,
    MemoryConnection,
    Request,
    Response,
    Service,
    Trail,
    infer,
    replay,
    restarting,
)


def requests(many: int) -> list[Request]:
    return [Request(f"r{place}") for place in range(many)]


async def flowing(items: Iterable[Any], *, every: float = 0) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(every)
        yield item


async def through(stage: Any, items: Any) -> list[tuple[str, str]]:
    return [(item.request_id, "error" if isinstance(item, Response) else "ok") async for item in stage(items)]


def test_a_generator_that_raised_is_finished_and_the_others_do_not_simply_go_on() -> None:
    asked: list[str] = []

    async def upstream() -> AsyncIterator[str]:
        for name in "abcd":
            asked.append(name)
            yield name

    async def failing(names: AsyncIterator[str]) -> AsyncIterator[str]:
        async for name in names:
            if name == "b":
                raise OSError("no more handles")
            yield name

    async def downstream(names: AsyncIterator[str]) -> AsyncIterator[str]:
        async for name in names:
            yield name.upper()

    async def go() -> None:
        first = upstream()
        middle = failing(first)
        last = downstream(middle)
        assert await anext(last) == "A"
        with pytest.raises(OSError, match="no more handles"):
            await anext(last)
        # The error went through the stage behind it too, and so both are finished: asked again they end, in silence.
        assert [name async for name in middle] == [name async for name in last] == []
        # The one before it is well, and waits for somebody to ask: nobody does, and "c" and "d" are never served.
        assert asked == ["a", "b"]
        # It can be asked, by a new stage: that is what `restarting` does. "b" is lost to whoever does only this.
        assert [name async for name in downstream(first)] == ["C", "D"]

    run(go())


class Dies:
    """A stage that raises when it sees certain requests, so many times each: before or behind its yield of them."""

    def __init__(self, before: Iterable[str] = (), behind: Iterable[str] = (), *, times: int = 1) -> None:
        self.before = Counter(dict.fromkeys(before, times))
        self.behind = Counter(dict.fromkeys(behind, times))
        self.__name__ = "dies"
        self.made = self.closed = 0
        self.seen: list[str] = []

    def _raises(self, where: Counter[str], request_id: str) -> None:
        if where[request_id] > 0:
            where[request_id] -= 1
            raise OSError(f"at {request_id}")

    async def __call__(self, items: Any) -> AsyncIterator[Any]:
        self.made += 1
        try:
            async for item in items:
                self.seen.append(item.request_id)
                self._raises(self.before, item.request_id)
                yield item
                self._raises(self.behind, item.request_id)
        finally:
            self.closed += 1


def test_what_died_in_its_hands_is_given_to_the_new_one() -> None:
    dies = Dies(before=["r1", "r3"])
    assert run(through(restarting(dies), flowing(requests(5)))) == [(f"r{place}", "ok") for place in range(5)]
    assert dies.seen == ["r0", "r1", "r1", "r2", "r3", "r3", "r4"]
    assert (dies.made, dies.closed) == (3, 3)


def test_what_was_given_before_it_died_is_not_given_again() -> None:
    dies = Dies(behind=["r1", "r4"])
    assert run(through(restarting(dies), flowing(requests(5)))) == [(f"r{place}", "ok") for place in range(5)]
    assert dies.seen == ["r0", "r1", "r2", "r3", "r4"]


def test_what_kills_it_each_time_is_answered_with_an_error() -> None:
    dies = Dies(before=["r1"], times=99)
    told = run(through(restarting(dies, tries=3), flowing(requests(3))))
    assert told == [("r0", "ok"), ("r1", "error"), ("r2", "ok")]
    assert dies.seen.count("r1") == 3


def test_a_stage_that_dies_before_it_has_taken_anything_is_given_up_after_so_many_times() -> None:
    made = 0

    async def broken(items: Any) -> AsyncIterator[Any]:
        nonlocal made
        made += 1
        raise OSError("no model")
        yield

    async def go() -> None:
        with pytest.raises(OSError, match="no model"):
            await through(restarting(broken, in_a_row=4), flowing(requests(3)))

    run(go())
    assert made == 4


def test_failures_in_a_row_begin_anew_with_each_thing_that_it_gives() -> None:
    dies = Dies(before=[f"r{place}" for place in range(20)])
    told = run(through(restarting(dies, in_a_row=2), flowing(requests(20))))
    assert told == [(f"r{place}", "ok") for place in range(20)]


def test_requests_that_are_each_answered_with_an_error_are_no_failures_in_a_row() -> None:
    dies = Dies(before=[f"r{place}" for place in range(9)], times=99)
    told = run(through(restarting(dies, tries=1, in_a_row=2), flowing(requests(9))))
    assert told == [(f"r{place}", "error") for place in range(9)]


@pytest.mark.parametrize("ends", ["cancelled", "closed"])
def test_ending_it_ends_the_question_that_is_on_its_way(ends: str) -> None:
    closed = 0

    async def never() -> AsyncIterator[Any]:
        nonlocal closed
        try:
            yield Request("r0")
            await asyncio.sleep(3600)
        finally:
            closed += 1

    async def go() -> None:
        stream = restarting(some_at_a_time(2, Counter()))(never())
        assert (await anext(stream)).request_id == "r0"
        if ends == "cancelled":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 60)
        else:
            await asyncio.sleep(60)
        await stream.aclose()
        assert asyncio.get_running_loop().time() < 100

    run(go())
    assert closed == 1


def test_an_input_that_fails_is_not_the_stages_fault() -> None:
    dies = Dies()

    async def breaks() -> AsyncIterator[Any]:
        yield Request("r0")
        raise ConnectionResetError("gone")

    async def go() -> None:
        with pytest.raises(ConnectionResetError, match="gone"):
            await through(restarting(dies), breaks())

    run(go())
    assert (dies.made, dies.closed) == (1, 1)


def test_an_input_that_fails_inside_what_the_stage_makes_of_it_is_not_the_stages_fault_either() -> None:
    made = 0

    async def wraps(items: Any) -> AsyncIterator[Any]:
        nonlocal made
        made += 1
        try:
            async for item in items:
                yield item
        except ConnectionResetError as error:
            raise RuntimeError("the stage failed") from error

    async def breaks() -> AsyncIterator[Any]:
        yield Request("r0")
        raise ConnectionResetError("gone")

    async def go() -> None:
        with pytest.raises(RuntimeError, match="the stage failed"):
            await through(restarting(wraps), breaks())

    run(go())
    assert made == 1


def some_at_a_time(many: int, fails: Counter[str]) -> Callable[[Any], AsyncIterator[Any]]:
    """A stage with several requests in its hands, whose whole crew dies with one of them."""

    async def crew(items: Any) -> AsyncIterator[Any]:
        async def call(item: Any) -> Any:
            await asyncio.sleep(10 - int(item.request_id[1:]) % 7)
            if fails[item.request_id] > 0:
                fails[item.request_id] -= 1
                raise OSError(item.request_id)
            return item

        async with Owned() as owned:
            async for item in owned.opened(amap(call, concurrency=many)(items)):
                yield item

    return crew


# An input that is slow is being asked while the stage dies: what it then gives must not be lost.
@pytest.mark.parametrize("every", [0, 1, 4, 30])
@pytest.mark.parametrize("buffered", [0, 1, 3])
@pytest.mark.parametrize("many", [2, 5])
def test_one_that_dies_with_several_in_its_hands_loses_none_of_them(
    many: int, buffered: int, every: float
) -> None:
    fails = Counter({"r3": 1, "r4": 1, "r9": 1, "r19": 1})

    async def go() -> list[tuple[str, str]]:
        stage = restarting(some_at_a_time(many, fails), tries=5)
        return await through(stage, abuffer(buffered)(flowing(requests(20), every=every)))

    # Each of the four that die was in the hands together with others, which are then worked on once more.
    assert run(go()) == [(f"r{place}", "ok") for place in range(20)]


def test_those_who_were_beside_a_bad_one_are_not_answered_for_it() -> None:
    fails = Counter({"r2": 99})
    told = run(through(restarting(some_at_a_time(4, fails), tries=2), flowing(requests(8))))
    assert Counter(dict(told)) == Counter({f"r{place}": "ok" for place in range(8)} | {"r2": "error"}), told
    assert len(told) == 8


@given(
    many=st.integers(0, 8),
    before=st.dictionaries(st.integers(0, 7), st.integers(1, 4)),
    behind=st.sets(st.integers(0, 7)),
    tries=st.integers(1, 3),
    cut=st.integers(0, 9),
)
def test_whatever_fails_when_each_request_is_answered_once_and_nothing_is_left(
    many: int, before: dict[int, int], behind: set[int], tries: int, cut: int
) -> None:
    async def go() -> list[str]:
        dies = Dies(behind=[f"r{place}" for place in behind])
        dies.before.update({f"r{place}": times for place, times in before.items()})
        answered: list[str] = []
        async with amap(lambda item: item)(restarting(dies, tries=tries)(flowing(requests(many)))) as stream:
            async for item in stream:
                wrong = isinstance(item, Response)
                assert wrong == (before.get(int(item.request_id[1:]), 0) >= tries)
                answered.append(item.request_id)
                if len(answered) == cut:
                    break
        assert dies.made == dies.closed
        return answered

    expected = [f"r{place}" for place in range(many)]
    assert run(go()) == (expected[:cut] if cut else expected)


def test_the_same_id_twice_in_its_hands_is_answered_twice() -> None:
    fails = Counter({"r1": 1})
    told = run(
        through(
            restarting(some_at_a_time(3, fails), tries=3),
            flowing([Request("r1"), Request("r1"), Request("r2")]),
        )
    )
    assert told == [("r1", "ok"), ("r1", "ok"), ("r2", "ok")]


class Fickle:
    """A model client whose whole stage dies with its first calls."""

    def __init__(self, fails: Iterable[str]) -> None:
        self.fails = set(fails)
        self.asked: list[str] = []

    async def predict(self, features: Features) -> Any:
        self.asked.append(features.request_id)
        await asyncio.sleep(1)
        if features.request_id in self.fails:
            self.fails.discard(features.request_id)
            raise asyncio.InvalidStateError("the client is beside itself")
        return 1


async def unguarded(vectors: Any, model: Any, *, policy: Any) -> AsyncIterator[Any]:
    """An `infer` as it is written by hand: a model that raises kills it."""
    async for item in vectors:
        yield Response(item.request_id, await model.predict(item))


@pytest.mark.parametrize("overlap", [False, True])
def test_in_the_pipeline_a_restart_loses_nothing_and_answers_nothing_twice(overlap: bool) -> None:
    trail, model = Trail(), Fickle(["r1", "r4"])
    connection = MemoryConnection([Request(f"r{place}").to_json() for place in range(6)])
    stages = {"infer": restarting(unguarded, name="infer")}
    counted = run(Service(model, stages=stages, overlap=overlap, audit=trail).run(connection))
    assert counted == {"ok": 6}
    assert [one.request_id for one in connection.written] == [f"r{place}" for place in range(6)]
    assert Counter(model.asked) == {f"r{place}": 2 if place in (1, 4) else 1 for place in range(6)}
    assert replay(trail.records).gaps == []


def test_without_it_the_first_failure_ends_the_service() -> None:
    connection = MemoryConnection([Request(f"r{place}").to_json() for place in range(6)])
    with pytest.raises(asyncio.InvalidStateError):
        run(Service(Fickle(["r1"]), stages={"infer": unguarded}).run(connection))
    assert [one.request_id for one in connection.written] == ["r0"]


def test_an_answer_in_parts_that_broke_off_is_not_begun_again_behind_the_parts_that_were_sent() -> None:
    class Speaks:
        began = 0

        async def stream(self, features: Features) -> AsyncIterator[Any]:
            self.began += 1
            yield "one"
            yield "two"

    model, dead = Speaks(), False

    async def dies_between(items: Any, *given: Any, **settings: Any) -> AsyncIterator[Any]:
        nonlocal dead
        async with Owned() as owned:
            async for item in owned.opened(infer(items, *given, **settings)):
                yield item
                if not dead:
                    dead = True
                    raise OSError("between two parts")

    connection = MemoryConnection([Request(f"r{place}").to_json() for place in range(2)])
    run(Service(model, stages={"infer": restarting(dies_between, name="infer")}).run(connection))
    told = [(one.request_id, one.part, one.value, one.last, one.status) for one in connection.written]
    assert told == [
        ("r0", 0, "one", False, "ok"),
        ("r0", 1, None, True, "error"),
        ("r1", 0, "one", False, "ok"),
        ("r1", 1, "two", False, "ok"),
        ("r1", 2, None, True, "ok"),
    ]


@pytest.mark.parametrize("bad", [{"tries": 0}, {"in_a_row": 0}, {"tries": 1.5}])
def test_what_cannot_work_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=f"restarting: {next(iter(bad))} must be"):
        restarting(unguarded, **bad)
