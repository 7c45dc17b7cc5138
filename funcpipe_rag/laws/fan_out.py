"""The laws of fan-out: one stream, several readers, and nobody loses an item."""

from __future__ import annotations

import gc
from collections import deque
from itertools import islice
from typing import Any

from funcpipe_rag.streams.probe import Boom

from .inputs import STAGES, SourceSpec, booleans, choice, integers, numbers, several, sources, things
from .law import Broken, holds, law, same, times
from .stages import passes_errors_on, read_and_close
from .worlds import World

FORKS = ("fork2_lockstep", "fork_lockstep")
_PAIRS = several(choice(*STAGES), least=2, most=2)


def _laws_of(name: str) -> None:
    slug = name.replace("_", "-")
    branches = _PAIRS if name == "fork2_lockstep" else several(choice(*STAGES), least=1, most=4)

    def stages(world: World, does: list[str]) -> list[Any]:
        names = (
            ("left", "right") if len(does) == 2 else tuple(f"branch {place}" for place in range(len(does)))
        )
        return [world.stage(name, one) for name, one in zip(names, does, strict=True)]

    def rows(items: Any, does: list[str]) -> list[tuple[Any, ...]]:
        return list(zip(*(STAGES[one](list(items)) for one in does), strict=True))

    @law(
        f"{slug}-gives-what-each-branch-gives",
        about=name,
        promise="same answer",
        says="The k-th output is the tuple of what every branch makes of item k.",
        hint="Which branch's answer is missing, or stands beside the wrong item?",
        does=branches,
        source=sources(),
    )
    def _(world: World, fork: Any, does: list[str], source: SourceSpec) -> None:
        xs, _probe = world.stream(source)
        same(world.items(world.run(fork(*stages(world, does)), xs)), rows(source.items, does))

    @law(
        f"{slug}-starts-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building a fork pulls nothing and opens nothing.",
        hint="Which line runs before anybody has asked for an item?",
        does=branches,
        source=sources(numbers(most=3), "endless"),
    )
    def _(world: World, fork: Any, does: list[str], source: SourceSpec) -> None:
        xs, probe = world.stream(source, budget=0)
        opened = probe.opens
        world.iterator(world.run(fork(*stages(world, does)), xs))
        holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
        holds(probe.opens == opened, "it opened its input before the first question", "not yet")

    @law(
        f"{slug}-asks-once-for-each-tuple",
        about=name,
        promise="on demand",
        says="To give you k tuples, a fork asks its source for k items.",
        hint="Read the rows of the branches. Who should move second?",
        does=branches,
        source=sources(numbers(most=3), "endless", handed=["iterator"]),
        k=integers(0, 5),
    )
    def _(world: World, fork: Any, does: list[str], source: SourceSpec, k: int) -> None:
        xs, probe = world.stream(source, budget=k)
        got = list(islice(world.iterator(world.run(fork(*stages(world, does)), xs)), k))
        same(got, rows([*source.items, *range(k)][:k], does))
        holds(probe.pulls <= k, f"{probe.pulls} pulls", f"{k}")

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one fork do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        does=branches,
        first=sources(),
        second=sources(),
        ahead=integers(0, 3),
    )
    def _(
        world: World, fork: Any, does: list[str], first: SourceSpec, second: SourceSpec, ahead: int
    ) -> None:
        stage = fork(*(world.stage(f"branch {place}", one) for place, one in enumerate(does)))
        a = world.iterator(world.run(stage, world.stream(first)[0]))
        begun = list(islice(a, ahead))
        same(
            world.items(world.run(stage, world.stream(second)[0])),
            rows(second.items, does),
            "the second run gave {}",
        )
        same([*begun, *a], rows(first.items, does), "the first run gave {}")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="An error of the input reaches you as it is, behind the tuples before it.",
        hint="Where is the error caught, or an item kept back?",
        does=branches,
        source=sources(None, "raises", handed=["iterator"]),
    )
    def _(world: World, fork: Any, does: list[str], source: SourceSpec) -> None:
        xs, _probe = world.stream(source)
        passes_errors_on(world.run(fork(*stages(world, does)), xs), rows(source.given, does))

    @law(
        f"{slug}-leaves-open-what-it-was-handed",
        about=name,
        promise="closed",
        says="A fork closes its branches, and its input only where it opened it itself.",
        hint="Who made the iterator that you split?",
        does=branches,
        source=sources(None, "ends", "raises"),
        k=integers(0, 6),
    )
    def _(world: World, fork: Any, does: list[str], source: SourceSpec, k: int) -> None:
        xs, probe = world.stream(source)
        read_and_close(world.run(fork(*stages(world, does)), xs), k)
        expected = probe.opens if source.reiterable else 0
        holds(probe.closes == expected, f"the input was closed {times(probe.closes)}", times(expected))

    @law(
        f"{slug}-closes-its-branches",
        about=name,
        promise="closed",
        says="Every branch's stream that was begun is closed once, the last first.",
        hint="What happens to the streams that the transforms made, when you stop half-way?",
        does=branches,
        source=sources(numbers(most=3), "endless", handed=["iterator"]),
        k=integers(0, 4),
    )
    def _(world: World, fork: Any, does: list[str], source: SourceSpec, k: int) -> None:
        xs, _probe = world.stream(source)
        read_and_close(world.run(fork(*stages(world, does)), xs), k)
        told = [
            (event.stage, event.kind) for event in world.log.events if event.stage not in ("source", "you")
        ]
        opened = [stage for stage, kind in told if kind == "open"]
        closed = [stage for stage, kind in told if kind == "close"]
        same(closed, opened[::-1], "closed, in this order: {}")

    @law(
        f"{slug}-names-the-branch-out-of-step",
        about=name,
        promise="same answer",
        late=True,
        says="A branch that ends early or late is a ValueError that names it, never a short answer.",
        hint="One branch has ended and another has not. Who is told?",
        source=sources(),
        keep=integers(0, 5),
        short_first=booleans(),
    )
    def _(world: World, fork: Any, source: SourceSpec, keep: int, short_first: bool) -> None:
        xs, _probe = world.stream(source)
        pair = [world.stage("whole", "add1"), lambda xs: islice(xs, keep)]
        fits = keep >= len(source.items)
        try:
            got = world.items(world.run(fork(*(pair[::-1] if short_first else pair)), xs))
        except ValueError as error:
            named = "branch 0" in str(error) or "branch 1" in str(error)
            holds(not fits, f"ValueError: {error}", "no error, the branches are in step")
            holds(
                named and str(keep) in str(error), f"ValueError: {error}", f"the branch, and the index {keep}"
            )
        else:
            holds(fits, f"{got} and then an end in silence", "a ValueError that names the branch")

    @law(
        f"{slug}-stops-before-the-skew-passes-its-bound",
        about=name,
        promise="flat",
        says="A branch may read max_skew items that another has not: then BufferError, before the next pull.",
        hint="Who holds the items that one branch has read and the other has not?",
        ahead=integers(1, 5),
        max_skew=integers(1, 4),
    )
    def _(world: World, fork: Any, ahead: int, max_skew: int) -> None:
        xs, probe = world.stream(SourceSpec(endless=True), budget=max(ahead, max_skew))
        reads_ahead = [lambda xs: zip(*[iter(xs)] * ahead, strict=False), world.stage("plain", "add1")]
        it = world.iterator(world.run(fork(*reads_ahead, max_skew=max_skew), xs))
        try:
            got = next(it)
        except BufferError as error:
            holds(ahead > max_skew, f"BufferError: {error}", "no error within the bound")
            holds("branch 0" in str(error), f"BufferError: {error}", "the branch's name")
            holds(probe.pulls == max_skew, f"{probe.pulls} pulls before the BufferError", f"{max_skew}")
        else:
            holds(ahead <= max_skew, f"{got}, at an input skew of {ahead}", f"BufferError past {max_skew}")


for _name in FORKS:
    _laws_of(_name)


class _Model:
    """What `multicast_bounded` must do, written as plainly as possible: a list, and a place in it a branch."""

    def __init__(self, spec: SourceSpec, n: int, maxlen: int) -> None:
        self.items = [*spec.items, *range(50)] if spec.endless else list(spec.items)
        self.read = dict.fromkeys(range(n), 0)
        self.maxlen = maxlen
        self.pulled = 0

    def next(self, branch: int) -> str:
        at = self.read[branch]
        behind = [other for other, read in self.read.items() if at - read >= self.maxlen]
        settled = self.pulled > len(self.items)
        if at == self.pulled and behind and not settled:
            return "BufferError"
        if at >= len(self.items):
            self.pulled = len(self.items) + 1
            return "the end"
        self.read[branch] += 1
        self.pulled = max(self.pulled, at + 1)
        return repr(self.items[at])


def _came(it: Any) -> str:
    try:
        return repr(next(it))
    except StopIteration:
        return "the end"
    except BufferError:
        return "BufferError"
    except Boom:
        return "Boom"


_SOURCES = sources(things(), "endless", "ends")
_SCHEDULE = several(integers(0, 2), most=14)


@law(
    "multicast-never-loses-an-item",
    about="multicast_bounded",
    promise="same answer",
    says="Whatever order you ask the branches in, each gives every item, or says BufferError and goes on later.",
    hint="A pull was refused. Where is the item that had been pulled by then?",
    source=_SOURCES,
    n=integers(1, 3),
    maxlen=integers(1, 3),
    schedule=_SCHEDULE,
)
def _(
    world: World, multicast_bounded: Any, source: SourceSpec, n: int, maxlen: int, schedule: list[int]
) -> None:
    xs, _probe = world.stream(source)
    branches = multicast_bounded(xs, n, maxlen)
    model = _Model(source, n, maxlen)
    for step, asked in enumerate(schedule):
        branch = asked % n
        expected, came = model.next(branch), _came(branches[branch])
        holds(came == expected, f"step {step}: branch {branch} gave {came}", expected)


@law(
    "multicast-asks-once-for-each-item",
    about="multicast_bounded",
    promise="on demand",
    says="The stream is asked once for each item, by the branch that is ahead, and once for its end.",
    hint="In the row `source`, which item had nobody asked for yet?",
    source=_SOURCES,
    n=integers(1, 3),
    maxlen=integers(1, 3),
    schedule=_SCHEDULE,
)
def _(
    world: World, multicast_bounded: Any, source: SourceSpec, n: int, maxlen: int, schedule: list[int]
) -> None:
    xs, probe = world.stream(source)
    branches = multicast_bounded(xs, n, maxlen)
    model = _Model(source, n, maxlen)
    for step, asked in enumerate(schedule):
        model.next(asked % n)
        _came(branches[asked % n])
        holds(probe.pulls == model.pulled, f"step {step}: {probe.pulls} pulls by now", f"{model.pulled}")


@law(
    "multicast-goes-on-after-an-overflow",
    about="multicast_bounded",
    promise="same answer",
    says="A caught BufferError is never followed by a silent end: once the slower branch has read, all goes on.",
    hint="A generator that has raised is finished. What was raised inside it?",
    items=things(most=5),
    maxlen=integers(1, 3),
)
def _(world: World, multicast_bounded: Any, items: tuple[Any, ...], maxlen: int) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    leader, follower = multicast_bounded(xs, 2, maxlen=maxlen)
    got: tuple[list[str], list[str]] = ([], [])
    for _ in range(3 * len(items) + 3):
        came = _came(leader)
        got[0].append(came)
        if came == "BufferError":
            got[1].append(_came(follower))
    while (came := _came(follower)) != "the end":
        got[1].append(came)
        holds(len(got[1]) < 50, "the slower branch never ended", "an end")
    expected = [repr(item) for item in items]
    same([came for came in got[0] if came not in ("BufferError", "the end")], expected, "the leader got {}")
    same(got[1], expected, "the follower got {}")


@law(
    "multicast-starts-nothing-at-birth",
    about="multicast_bounded",
    promise="on demand",
    says="Splitting a stream pulls nothing and opens nothing.",
    hint="Which line runs before anybody has asked for an item?",
    source=sources(),
    n=integers(1, 3),
)
def _(world: World, multicast_bounded: Any, source: SourceSpec, n: int) -> None:
    xs, probe = world.stream(source, budget=0)
    opened = probe.opens
    same(len(multicast_bounded(xs, n)), n, "{} branches")
    holds(probe.pulls == 0, f"{probe.pulls} pulls", "0")
    holds(probe.opens == opened, "it opened its input", "not yet")


@law(
    "multicast-bounds-the-skew",
    about="multicast_bounded",
    promise="flat",
    says="No branch gets more than maxlen items ahead of another; the refused pull never touches the stream.",
    hint="How many items are pulled when one branch is read alone?",
    n=integers(2, 4),
    maxlen=integers(1, 6),
)
def _(world: World, multicast_bounded: Any, n: int, maxlen: int) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=maxlen)
    leader, *_others = multicast_bounded(xs, n, maxlen=maxlen)
    got = [_came(leader) for _ in range(maxlen + 2)]
    same(got, [*map(repr, range(maxlen)), "BufferError", "BufferError"], "the leader got {}")
    holds(probe.pulls == maxlen, f"{probe.pulls} pulls", f"{maxlen}")


@law(
    "multicast-forgets-a-branch-that-is-gone",
    about="multicast_bounded",
    promise="closed",
    says="A branch that is closed or dropped, also one never begun, holds nobody back and gives no more.",
    hint="Who still counts the branch that nobody reads?",
    read=integers(0, 2),
    how=choice("close", "drop"),
    items=things(most=5),
)
def _(world: World, multicast_bounded: Any, read: int, how: str, items: tuple[Any, ...]) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    leader, follower = multicast_bounded(xs, 2, maxlen=2)
    for _ in range(read):
        _came(leader)
        _came(follower)
    if how == "close":
        follower.close()
        same(_came(follower), "the end", "the closed branch gave {}")
    else:
        del follower
        gc.collect(0)
    same(world.items(leader), list(items[read:]), "the other branch gave {}")


@law(
    "multicast-closes-its-stream-with-the-last-branch",
    about="multicast_bounded",
    promise="closed",
    says="The stream is closed once, when the last branch is, or when it has ended; not before.",
    hint="You closed all branches. Who closes the stream they shared?",
    source=sources(things(), "ends", "raises", "endless"),
    n=integers(1, 3),
    schedule=_SCHEDULE,
)
def _(world: World, multicast_bounded: Any, source: SourceSpec, n: int, schedule: list[int]) -> None:
    xs, probe = world.stream(source._replace(reiterable=False))
    branches = multicast_bounded(xs, n, maxlen=3)
    over = False
    for asked in schedule:
        over |= _came(branches[asked % n]) in ("the end", "Boom")
    if not over:
        holds(probe.closes == 0, "the stream was closed while branches were open", "open")
    for branch in branches:
        branch.close()
    holds(probe.closes == 1, f"the stream was closed {times(probe.closes)}", "once")


@law(
    "multicast-tells-every-branch-of-the-error",
    about="multicast_bounded",
    promise="same answer",
    late=True,
    says="The stream's error reaches every branch, behind the items before it.",
    hint="One branch met the error. What do the others meet?",
    source=sources(None, "raises", handed=["iterator"]),
    n=integers(1, 3),
)
def _(world: World, multicast_bounded: Any, source: SourceSpec, n: int) -> None:
    xs, _probe = world.stream(source)
    branches = multicast_bounded(xs, n, maxlen=10)
    for place, branch in enumerate(branches):
        try:
            passes_errors_on(branch, source.given)
        except Broken as broke:
            raise Broken(f"branch {place}: {broke.came}", broke.expected) from None


@law(
    "multicast-lets-go-of-what-all-have-read",
    about="multicast_bounded",
    promise="flat",
    says="Read in step, the branches need no more room than their bound, however long the stream.",
    hint="What is kept after the last branch has read it?",
    n=integers(1, 3),
    rounds=integers(1, 20),
    items=numbers(most=2),
)
def _(world: World, multicast_bounded: Any, n: int, rounds: int, items: tuple[int, ...]) -> None:
    xs, probe = world.stream(SourceSpec(items, endless=True), budget=rounds)
    branches = multicast_bounded(xs, n, maxlen=1)
    rows = deque(([_came(branch) for branch in branches] for _ in range(rounds)), maxlen=1)
    expected = repr([*items, *range(rounds)][rounds - 1])
    same(rows.pop(), [expected] * n, "the last round gave {}")
    holds(probe.pulls == rounds, f"{probe.pulls} pulls", f"{rounds}")
