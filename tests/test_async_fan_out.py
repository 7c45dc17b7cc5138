"""`abroadcast` in whatever order it is used, against a model too plain to be wrong; and exact schedules of the rest."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, configuration, given, settings, strategies as st

from funcpipe_rag import AsyncBranch, AsyncStream, Report, abroadcast, amap
from funcpipe_rag.aio.testing import Deadlock, run, schedule
from funcpipe_rag.streams.probe import Boom


@pytest.fixture(autouse=True, scope="module")
def hypothesis_at_home_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hypothesis keeps notes in the working folder unless it is told of another."""
    configuration.set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))


class Source:
    """Numbers, one a second; then, as long again, the end or an error. Counts what happens to it."""

    def __init__(self, many: int = 10**9, fails: bool = False, cleanup: float = 0.0) -> None:
        self.many, self.fails, self.cleanup = many, fails, cleanup
        self.asked = self.closed = 0
        self.tasks: set[str] = set()

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for number in range(self.many):
                await self.works()
                yield number
            await self.works()
            if self.fails:
                raise Boom("the source failed")
        finally:
            self.tasks.add(self.task())
            await asyncio.sleep(self.cleanup)
            self.closed += 1

    async def works(self) -> None:
        self.tasks.add(self.task())
        self.asked += 1
        await asyncio.sleep(1)

    def task(self) -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()


class Model:
    """What must come of it, for a stream that takes a second for each item."""

    def __init__(self, n: int, maxlen: int, when_full: str, many: int, fails: bool) -> None:
        self.maxlen, self.when_full, self.many, self.fails = maxlen, when_full, many, fails
        self.queues: dict[int, list[int]] = {place: [] for place in range(n)}
        self.came: dict[int, list[str]] = {place: [] for place in range(n)}
        self.dropped = dict.fromkeys(range(n), 0)
        self.waiting: list[int] = []
        self.pulling = self.over = False
        self.given = self.asked = 0

    def answer(self, place: int) -> str | None:
        """What a branch that asks is told, if that is known."""
        queue = self.queues.get(place)
        if queue is None:
            return "the end"
        if queue:
            return str(queue.pop(0))
        if self.over:
            self.leave(place)
            return "Boom" if self.fails else "the end"
        if self.pulling:
            return None
        if self.when_full != "drop_oldest" and any(len(q) >= self.maxlen for q in self.queues.values()):
            return "BufferError" if self.when_full == "raise" else None
        self.pulling = True
        self.asked += 1
        return None

    def settle(self) -> None:
        """Whoever waits looks again, until nobody learns anything new."""
        before = None
        while before != (before := (list(self.waiting), self.asked)):
            for place in list(self.waiting):
                if (answer := self.answer(place)) is not None:
                    self.came[place].append(answer)
                    self.waiting.remove(place)

    def leave(self, place: int) -> None:
        self.queues.pop(place, None)
        if not self.queues:
            self.pulling, self.over = False, True

    def second(self) -> None:
        if not self.pulling:
            return
        self.pulling = False
        if self.given == self.many:
            self.over = True
            return
        for place, queue in self.queues.items():
            if len(queue) == self.maxlen:
                self.dropped[place] += 1
                del queue[0]
            queue.append(self.given)
        self.given += 1


async def play(
    n: int, maxlen: int, when_full: Any, many: int, fails: bool, steps: list[tuple[str, int]]
) -> None:
    """Each step is done to the branches and to the model; then both must say the same."""
    source, model = Source(many, fails), Model(n, maxlen, when_full, many, fails)
    branches = dict(enumerate(abroadcast(source(), n, maxlen=maxlen, when_full=when_full, report=Report())))
    came: dict[int, list[str]] = {place: [] for place in branches}
    readers: dict[int, asyncio.Task[None]] = {}

    async def read(branch: AsyncBranch[int], told: list[str]) -> None:
        try:
            told.append(str(await anext(branch)))
        except StopAsyncIteration:
            told.append("the end")
        except (BufferError, Boom) as error:
            told.append(type(error).__name__)

    async def settle() -> None:
        for _ in range(30):
            await asyncio.sleep(0)
        for place in [place for place, reader in readers.items() if reader.done()]:
            readers.pop(place).result()

    for what, drawn in [*steps, *[("close", place) for place in range(n)]]:
        place = drawn % n
        if what == "second":
            await asyncio.sleep(1)
            model.second()
        elif place not in branches:
            continue
        elif what == "read" and place not in readers:
            readers[place] = asyncio.create_task(read(branches[place], came[place]))
            model.waiting.append(place)
        elif what == "cancel" and place in readers:
            readers[place].cancel()
            with suppress(asyncio.CancelledError):
                await readers.pop(place)
            model.waiting.remove(place)
        elif what == "close":
            await branches[place].aclose()
            model.leave(place)
        elif what == "drop" and place not in readers:
            del branches[place]
            model.leave(place)
        await settle()
        model.settle()
        assert came == model.came
        assert source.asked == model.asked
        assert {place: branch.dropped for place, branch in branches.items()} == {
            place: model.dropped[place] for place in branches
        }
        assert source.closed == int(model.asked > 0 and model.over)
        assert len(source.tasks) <= 1
        if when_full != "drop_oldest":
            got = [sum(one.isdigit() for one in came[place]) for place in model.queues]
            assert max(got, default=0) - min(got, default=0) <= maxlen


PLACES = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["read", "second", "cancel", "close", "drop"]), PLACES).map(
        lambda step: [step]
    ),
    # In most of what is worth looking at, somebody gets on.
    *[st.tuples(PLACES, st.integers(1, 4)).map(lambda drawn: [("read", drawn[0]), ("second", 0)] * drawn[1])]
    * 2,
)


@settings(
    max_examples=400,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
@given(
    n=st.integers(1, 3),
    maxlen=st.integers(1, 3),
    when_full=st.sampled_from(["wait", "wait", "raise", "drop_oldest"]),
    many=st.sampled_from([10**9, 0, 3, 6]),
    fails=st.booleans(),
    steps=st.lists(STEPS, min_size=4, max_size=16).map(
        lambda parts: [step for part in parts for step in part]
    ),
)
def test_abroadcast_keeps_its_promises_in_whatever_order_it_is_used(
    n: int, maxlen: int, when_full: str, many: int, fails: bool, steps: list[tuple[str, int]]
) -> None:
    run(play(n, maxlen, when_full, many, fails, steps))


async def paced(branch: AsyncBranch[Any], seconds: float) -> list[tuple[float, Any]]:
    """Read a branch to its end, busy for so long with each item: when each came."""
    got = []
    async for item in branch:
        got.append((asyncio.get_running_loop().time(), item))
        await asyncio.sleep(seconds)
    return got


def test_the_leader_is_held_back_to_the_second() -> None:
    async def main() -> list[Any]:
        fast, slow = abroadcast(Source(4)(), 2, maxlen=1)
        return await asyncio.gather(paced(fast, 0), paced(slow, 3))

    # The slow one has 0 at 1 s and comes back at 4 s. Only then is there room for 2, which takes a second.
    assert run(main()) == [
        [(1.0, 0), (2.0, 1), (5.0, 2), (8.0, 3)],
        [(1.0, 0), (4.0, 1), (7.0, 2), (10.0, 3)],
    ]


def test_with_drop_oldest_nobody_waits() -> None:
    report = Report()

    async def main() -> list[Any]:
        fast, slow = abroadcast(Source(6)(), 2, maxlen=1, when_full="drop_oldest", report=report)
        return [*await asyncio.gather(paced(fast, 0), paced(slow, 2.5)), fast.dropped, slow.dropped]

    assert run(main()) == [
        [(1.0, 0), (2.0, 1), (3.0, 2), (4.0, 3), (5.0, 4), (6.0, 5)],
        [(1.0, 0), (3.5, 2), (6.0, 4), (8.5, 5)],
        0,
        2,
    ]
    assert report.counts == {"abroadcast, branch 1": {"BufferError": 2}}


def test_what_was_dropped_is_told_once_to_the_reader_when_it_leaves() -> None:
    async def main() -> None:
        fast, slow, idle = abroadcast(range(5), 3, maxlen=2, when_full="drop_oldest")
        assert await fast.collect() == [0, 1, 2, 3, 4]
        assert await slow.collect() == [3, 4]
        await slow.aclose()
        del idle

    with pytest.warns(RuntimeWarning) as told:
        run(main())
    assert [str(one.message) for one in told] == [
        f"abroadcast, branch {place} dropped 3 items: 3 BufferError in abroadcast, branch {place}; "
        "pass report=Report()"
        for place in (1, 2)
    ]
    assert {one.filename for one in told} == {__file__}


def test_where_warnings_are_errors_the_end_of_a_branch_is_one() -> None:
    async def main() -> None:
        fast, slow = abroadcast(range(3), 2, maxlen=1, when_full="drop_oldest")
        await fast.collect()
        assert await anext(slow) == 2
        with pytest.raises(RuntimeWarning, match="dropped 2 items"):
            await anext(slow)
        assert await anext(slow, "the end") == "the end"

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())


def test_one_branch_after_the_other_waits_for_itself() -> None:
    async def main() -> None:
        left, right = abroadcast(Source(3)(), 2, maxlen=2)
        await left.collect()
        await right.collect()

    with pytest.raises(Deadlock, match="task 'abroadcast'"):
        run(main())


def test_a_bound_that_is_long_enough_needs_no_second_task() -> None:
    async def main() -> list[list[int]]:
        # One more than there are items: that there are no more is learned by asking.
        left, right = abroadcast(Source(3)(), 2, maxlen=4)
        return [await left.collect(), await right.collect()]

    assert run(main()) == [[0, 1, 2], [0, 1, 2]]


def test_the_last_close_cancels_the_pull_and_waits_for_the_streams_own_cleanup() -> None:
    source = Source(cleanup=3)

    async def main() -> list[Any]:
        clock = asyncio.get_running_loop().time
        left, right = abroadcast(source(), 2, maxlen=1)
        reader = asyncio.create_task(anext(left, "the end"))
        await asyncio.sleep(0.5)
        await left.aclose()
        told = [(clock(), await reader)]
        assert source.closed == 0
        closers = []
        for branch in (right, right, left):
            # Who comes later waits as well, and disturbs nothing.
            closers.append(asyncio.create_task(branch.aclose()))
            await asyncio.sleep(0.5)
        assert source.closed == 0
        await asyncio.wait(closers)
        assert source.closed == 1
        return [*told, clock()]

    # The reader that waited was told at once; the pull that it had begun went on for the other branch.
    assert run(main()) == [(0.5, "the end"), 3.5]


def test_whoever_closes_last_and_is_cancelled_waits_all_the_same() -> None:
    source = Source(cleanup=3)

    async def main() -> float:
        (branch,) = abroadcast(source(), 1, maxlen=1)
        assert await anext(branch) == 0
        closing = asyncio.create_task(branch.aclose())
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert source.closed == 1
        return asyncio.get_running_loop().time()

    assert run(main()) == 4.0


@pytest.mark.parametrize("waiting", [False, True])
def test_an_error_of_the_closing_is_told_to_whoever_closes_last(waiting: bool) -> None:
    async def breaks() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
                await asyncio.sleep(1)
        finally:
            raise Boom("the connection was gone")

    async def main() -> None:
        left, right = abroadcast(breaks(), 2, maxlen=1)
        async with asyncio.TaskGroup() as group:
            for branch in (left, right):
                group.create_task(anext(branch))
        if waiting:
            reader = asyncio.create_task(anext(left, "the end"))
            await asyncio.sleep(0.5)
        await left.aclose()
        with pytest.raises(Boom, match="the connection was gone"):
            await right.aclose()
        if waiting:
            assert await reader == "the end"
        await right.aclose()

    run(main())


def test_the_stream_lives_in_one_task_whoever_reads() -> None:
    async def guarded() -> AsyncIterator[int]:
        # Nobody should; but many do, and a task of its own is what they need.
        async with asyncio.timeout(100):
            for number in range(4):
                yield number

    async def main() -> list[list[int]]:
        branches = abroadcast(guarded(), 2, maxlen=1)
        got: list[list[int]] = [[], []]
        for _ in range(3):
            for branch, mine in zip(branches, got, strict=True):
                mine.append(await asyncio.create_task(anext(branch)))
        for branch in branches:
            await asyncio.create_task(branch.aclose())
        return got

    assert run(main()) == [[0, 1, 2], [0, 1, 2]]


def test_the_error_is_one_for_all_and_does_not_grow() -> None:
    async def main() -> None:
        depths, errors = [], set()
        for branch in abroadcast(Source(0, fails=True)(), 3, maxlen=1):
            with pytest.raises(Boom) as raised:
                await branch.collect()
            errors.add(id(raised.value))
            depths.append(len(raised.traceback))
            assert await anext(branch, "the end") == "the end"
        assert len(errors) == 1
        assert len(set(depths)) == 1

    run(main())


class Stop(BaseException):
    """Meant for whoever reads, like Ctrl-C."""


def test_what_stops_a_reader_is_an_error_to_the_others() -> None:
    async def stops() -> AsyncIterator[int]:
        yield 0
        raise Stop

    async def main() -> None:
        left, right = abroadcast(stops(), 2, maxlen=2)
        with pytest.raises(Stop):
            await left.collect()
        assert await anext(right) == 0
        with pytest.raises(RuntimeError, match="the stream was stopped by Stop"):
            await anext(right)

    run(main())


def test_two_tasks_do_not_read_one_branch() -> None:
    async def main() -> None:
        (branch,) = abroadcast(Source()(), 1, maxlen=1)
        reader = asyncio.create_task(anext(branch))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="branch 0 is read by two tasks at the same time"):
            await anext(branch)
        assert await reader == 0
        await branch.aclose()

    run(main())


def test_a_refusal_names_both_branches_and_the_way_on() -> None:
    async def main() -> None:
        left, right = abroadcast("abc", 2, maxlen=2, when_full="raise")
        assert [await anext(right), await anext(right)] == ["a", "b"]
        with pytest.raises(BufferError) as refused:
            await anext(right)
        assert str(refused.value) == (
            "abroadcast: branch 1 is 2 ahead of branch 0, the most that maxlen=2 allows; "
            "read branch 0 first, or close it"
        )
        await left.aclose()
        assert await right.collect() == ["c"]

    run(main())


def test_a_branch_is_kept_by_whoever_waits_for_it() -> None:
    source = Source()

    async def main() -> None:
        branches = list(abroadcast(source(), 1, maxlen=1))
        waiting = asyncio.create_task(anext(branches.pop()))
        await asyncio.sleep(0)
        gc.collect()
        assert await waiting == 0
        # The branch is gone with its reader, and its stream with it.
        del waiting
        await asyncio.sleep(0.5)
        assert source.closed == 1

    run(main())


def test_a_leader_goes_on_when_the_branch_that_held_it_back_is_dropped() -> None:
    async def main() -> list[tuple[float, int]]:
        leader, follower = abroadcast(Source(3)(), 2, maxlen=1)
        reader = asyncio.create_task(schedule(leader))
        await asyncio.sleep(5)
        del follower
        return await reader

    assert run(main()) == [(1.0, 0), (6.0, 1), (7.0, 2)]


@pytest.mark.parametrize("seconds", [0.5, 1.5], ids=["in the middle of a pull", "between two"])
def test_branches_dropped_in_a_cycle_end_their_stream(seconds: float) -> None:
    source = Source(cleanup=0.25)

    class Owner:
        branches: Any = None
        me: Any = None

    async def main() -> None:
        owner = Owner()
        owner.me = owner
        owner.branches = abroadcast(source(), 2, maxlen=1)
        reader = asyncio.create_task(anext(owner.branches[0]))
        await asyncio.sleep(seconds)
        reader.cancel()
        await asyncio.wait([reader])
        del owner, reader
        gc.collect()
        await asyncio.sleep(0.5)

    run(main())
    assert source.closed == 1


def test_closing_what_was_never_asked() -> None:
    async def main() -> None:
        numbers = Source()()
        assert await anext(numbers) == 0
        opened: list[str] = []

        class Opens:
            def __iter__(self) -> Iterator[int]:
                opened.append("opened")
                return iter(())

        for branch in abroadcast(Opens(), 2, maxlen=1):
            await branch.aclose()
            assert await branch.collect() == []
        assert opened == []
        # What is half read has been handed over, and nobody else will close it.
        left, right = abroadcast(numbers, 2, maxlen=1)
        await left.aclose()
        await right.aclose()
        assert await anext(numbers, "closed") == "closed"

    run(main())


def test_closing_what_was_asked_this_moment_closes_what_was_handed_over_half_read() -> None:
    async def program() -> None:
        numbers = Source()()
        assert await anext(numbers) == 0
        (branch,) = abroadcast(numbers, 1, maxlen=1)
        asking = asyncio.create_task(anext(branch, None))  # type: ignore[arg-type]
        # It has begun the task that reads, which has not made a step.
        await asyncio.sleep(0)
        await branch.aclose()
        assert await anext(numbers, "closed") == "closed"
        assert await asking is None

    run(program())


def test_items_that_all_have_read_are_let_go() -> None:
    class Item:
        pass

    alive: weakref.WeakSet[Item] = weakref.WeakSet()

    def watched() -> Item:
        item = Item()
        alive.add(item)
        return item

    async def items() -> AsyncIterator[Item]:
        while True:
            yield watched()

    async def main() -> int:
        left, right = abroadcast(items(), 2, maxlen=3)
        most = 0
        for _ in range(15):
            for branch in (left, left, left, right, right, right):
                await anext(branch)
                await asyncio.sleep(0)
                most = max(most, len(alive))
        assert len(alive) == 0
        await left.aclose()
        await right.aclose()
        return most

    assert run(main()) == 3


VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


def test_what_the_stream_sets_stays_its_own() -> None:
    async def sets() -> AsyncIterator[str]:
        VARIABLE.set("the stream's")
        for _ in range(2):
            yield VARIABLE.get()

    async def main() -> None:
        (branch,) = abroadcast(sets(), 1, maxlen=1)
        assert await branch.collect() == ["the stream's"] * 2
        assert VARIABLE.get() == "unset"

    run(main())


def test_a_branch_is_a_stream_and_goes_into_stages() -> None:
    async def main() -> Any:
        left, right = abroadcast(amap(abs, concurrency=2)(range(-3, 0)), 2, maxlen=1)
        assert isinstance(left, AsyncStream)
        assert repr(left) == "<async stream of abroadcast, branch 0>"
        return await asyncio.gather(schedule(amap(str)(left)), right.collect())

    assert run(main()) == [[(0.0, "3"), (0.0, "2"), (0.0, "1")], [3, 2, 1]]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: abroadcast("a", 0, maxlen=1), ValueError, "abroadcast: n must be >= 1, got 0"),
        (lambda: abroadcast("a", 1, maxlen=0), ValueError, "abroadcast: maxlen must be >= 1, got 0"),
        (lambda: abroadcast("a", 1, maxlen=1.5), TypeError, "abroadcast: maxlen must be a whole number"),
        (
            lambda: abroadcast("a", 1, maxlen=1, when_full="drop"),
            ValueError,
            'abroadcast: when_full must be "wait", "raise" or "drop_oldest", got \'drop\'',
        ),
        (
            lambda: abroadcast(3, 1, maxlen=1),
            TypeError,
            "abroadcast: wants an iterable, sync or async, got int",
        ),
        (lambda: abroadcast(Source(), 1, maxlen=1), TypeError, "got Source; call it first"),
        (lambda: abroadcast("a", 1, maxlen=1, report=3), TypeError, "abroadcast: report must be a function"),
    ],
)
def test_what_cannot_work_is_refused_at_once(call: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as refused:
        call()
    assert said in str(refused.value)
