"""What people write in place of a fork and of a bounded multicast."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import tee, zip_longest
from typing import Any

from funcpipe_rag import streams

from .mutant import mutant

Transform = Callable[[Iterable[Any]], Iterable[Any]]
Run = Callable[[Iterable[Any]], Iterator[Any]]


def drains_one_branch_first(*transforms: Transform, **_: Any) -> Run:
    """Reads the first branch to its end before the second: tee keeps every item in between."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        copies = tee(xs, len(transforms))
        yield from zip(*[list(t(copy)) for t, copy in zip(transforms, copies, strict=True)], strict=False)

    return stream


def pads_the_short_branch(*transforms: Transform, **_: Any) -> Run:
    """Uses `zip_longest`, and hands on None where a branch has nothing to say."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        copies = tee(xs, len(transforms))
        yield from zip_longest(*(t(copy) for t, copy in zip(transforms, copies, strict=True)))

    return stream


def starts_at_birth(*transforms: Transform, **_: Any) -> Run:
    """Looks at the first item while the stream is still being built."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        copies = tee(xs, len(transforms) + 1)
        next(copies[0], None)
        return zip(*(t(copy) for t, copy in zip(transforms, copies[1:], strict=True)), strict=False)

    return stream


def wrong_branch_first(*transforms: Transform, **_: Any) -> Run:
    """Zips the branches in the order in which they happened to be built: the last one first."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        copies = tee(xs, len(transforms))
        rows = zip(*(t(copy) for t, copy in zip(transforms, copies, strict=True)), strict=False)
        yield from (row[::-1] for row in rows)

    return stream


def splits_once(*transforms: Transform, **_: Any) -> Run:
    """Splits the first stream it meets, and hands out the same branches ever after."""
    kept: list[Iterator[Any]] = []

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        if not kept:
            copies = tee(xs, len(transforms))
            kept.append(zip(*(t(copy) for t, copy in zip(transforms, copies, strict=True)), strict=False))
        yield from kept[0]

    return stream


def ends_on_an_error(*transforms: Transform, **_: Any) -> Run:
    """Takes the input's error for its end."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from zip(
                *(t(copy) for t, copy in zip(transforms, tee(xs, len(transforms)), strict=True)), strict=False
            )
        except Exception:
            return

    return stream


def closes_its_input(*transforms: Transform, **_: Any) -> Run:
    """Takes its input over: closes what somebody else goes on reading."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        branches = streams.multicast_bounded(iter(xs), len(transforms))
        yield from zip(*(t(branch) for t, branch in zip(transforms, branches, strict=True)), strict=False)

    return stream


def forgets_its_branches(*transforms: Transform, **_: Any) -> Run:
    """Closes nothing that the transforms have opened."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        copies = tee(xs, len(transforms))
        yield from zip(*(t(copy) for t, copy in zip(transforms, copies, strict=True)), strict=False)

    return stream


def lets_the_skew_grow(*transforms: Transform, **_: Any) -> Run:
    """Splits with tee and keeps whatever one branch has read and the other has not."""
    return forgets_its_branches(*transforms)


def stops_with_the_shortest_branch(*transforms: Transform, **_: Any) -> Run:
    """Uses a plain `zip`: a branch that ends early cuts the others off in silence."""
    return forgets_its_branches(*transforms)


def restarts_for_each_item(*transforms: Transform, **_: Any) -> Run:
    """Hands each item to the stages on its own: a stage that remembers what it has seen starts anew each time."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield from zip(*(t([x]) for t in transforms), strict=True)

    return stream


FORK_MUTANTS = {
    drains_one_branch_first: "asks-once-for-each-tuple",
    pads_the_short_branch: "names-the-branch-out-of-step",
    starts_at_birth: "starts-nothing-at-birth",
    wrong_branch_first: "gives-what-each-branch-gives",
    restarts_for_each_item: "gives-what-each-branch-gives",
    splits_once: "starts-afresh",
    ends_on_an_error: "passes-errors-on",
    closes_its_input: "leaves-open-what-it-was-handed",
    forgets_its_branches: "closes-its-branches",
    lets_the_skew_grow: "stops-before-the-skew-passes-its-bound",
    stops_with_the_shortest_branch: "names-the-branch-out-of-step",
}
for _fork in ("fork2_lockstep", "fork_lockstep"):
    for _impl, _law in FORK_MUTANTS.items():
        mutant(of=_fork, killed_by=f"{_fork.replace('_', '-')}-{_law}")(_impl)


class _Queues:
    """A bounded multicast as it is usually written: a queue a branch. Mutants change one line of it."""

    def __init__(self, xs: Iterable[Any], n: int, maxlen: int) -> None:
        self.xs, self.maxlen = xs, maxlen
        self.it: Iterator[Any] | None = None
        self.queues: dict[int, deque[Any]] = {place: deque() for place in range(n)}

    def full(self, place: int) -> bool:
        return any(len(queue) >= self.maxlen for other, queue in self.queues.items() if other != place)

    def pull(self, place: int) -> None:
        if self.full(place):
            raise BufferError("a branch is full")
        if self.it is None:
            self.it = iter(self.xs)
        item = next(self.it)
        for queue in self.queues.values():
            queue.append(item)

    def branch(self, place: int) -> Iterator[Any]:
        while True:
            if not self.queues[place]:
                try:
                    self.pull(place)
                except StopIteration:
                    return
            yield self.queues[place].popleft()

    def branches(self) -> tuple[Iterator[Any], ...]:
        return tuple(map(self.branch, self.queues))


@mutant(of="multicast_bounded", killed_by="multicast-never-loses-an-item")
def loses_item_on_overflow(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Pulls first and checks the bound behind it: the item in hand is gone for everybody."""
    it, queues = (x for x in xs), [deque[Any]() for _ in range(n)]

    class Branch:
        def __init__(self, mine: deque[Any]) -> None:
            self.mine = mine

        def __iter__(self) -> Branch:
            return self

        def __next__(self) -> Any:
            if not self.mine:
                item = next(it)
                if any(len(queue) >= maxlen for queue in queues):
                    raise BufferError("a branch is full")
                for queue in queues:
                    queue.append(item)
            return self.mine.popleft()

    return tuple(map(Branch, queues))


@mutant(of="multicast_bounded", killed_by="multicast-goes-on-after-an-overflow")
def ends_in_silence_after_an_overflow(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Raises BufferError inside a generator, which is finished from then on."""
    return _Queues(xs, n, maxlen).branches()


@mutant(of="multicast_bounded", killed_by="multicast-asks-once-for-each-item")
def keeps_one_in_stock(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Fetches the next item before anybody asks, so that it is there when somebody does."""

    def stocked() -> Iterator[Any]:
        it = iter(xs)
        for held in it:
            for item in it:
                yield held
                held = item
            yield held

    return streams.multicast_bounded(stocked(), n, maxlen)


@mutant(of="multicast_bounded", killed_by="multicast-bounds-the-skew")
def unbounded(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Hands out `tee` and calls it bounded."""
    return tee(xs, n)


@mutant(of="multicast_bounded", killed_by="multicast-bounds-the-skew")
def drops_the_oldest(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Uses deque(maxlen=...): a full queue throws the oldest item away and tells nobody."""

    class Drops(_Queues):
        def full(self, place: int) -> bool:
            for queue in self.queues.values():
                if len(queue) >= self.maxlen:
                    queue.popleft()
            return False

    return Drops(xs, n, maxlen).branches()


@mutant(of="multicast_bounded", killed_by="multicast-starts-nothing-at-birth")
def fills_its_queues_at_birth(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Fetches the first item for everybody while it splits the stream."""
    queues = _Queues(xs, n, maxlen)
    for _ in zip(range(1), iter(xs), strict=False):
        pass
    return queues.branches()


@mutant(of="multicast_bounded", killed_by="multicast-forgets-a-branch-that-is-gone")
def remembers_the_gone(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Keeps filling the queue of a branch that was closed, until that stops everybody else."""
    return _Queues(xs, n, maxlen).branches()


@mutant(of="multicast_bounded", killed_by="multicast-closes-its-stream-with-the-last-branch")
def leaves_the_stream_open(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Closes branches and never the stream behind them."""
    return _Queues(xs, n, maxlen).branches()


@mutant(of="multicast_bounded", killed_by="multicast-tells-every-branch-of-the-error")
def tells_one_branch_only(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Lets the error out of the branch that met it; the others see a stream that has ended."""
    return _Queues(xs, n, maxlen).branches()


@mutant(of="multicast_bounded", killed_by="multicast-lets-go-of-what-all-have-read")
def counts_what_was_pulled(xs: Iterable[Any], n: int, maxlen: int = 1024) -> Any:
    """Counts items pulled, where the bound is on items waiting: the stream stops for good."""

    class Counts(_Queues):
        pulled = 0

        def full(self, place: int) -> bool:
            self.pulled += 1
            return self.pulled > self.maxlen + 1

    return Counts(xs, n, maxlen).branches()
