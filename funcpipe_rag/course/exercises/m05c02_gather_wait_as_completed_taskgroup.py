"""The exercises of M05C02, gather, wait, as_completed, TaskGroup.

An answer is a list of seconds, and the right one is read off the package's own stage on the virtual clock. Delays are
halves of a second, which add up exactly.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import accumulate
from math import inf
from typing import Any

from funcpipe_rag.aio import amap, asource
from funcpipe_rag.aio.testing import run, schedule
from funcpipe_rag.laws import Law, World, holds, law, other_shape, same
from funcpipe_rag.laws.inputs import choice, integers, items_of
from funcpipe_rag.laws.mutants import Mutant, mutant, mutants_of

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

Seconds = tuple[float, ...]

_DELAYS = items_of(choice(1.0, 2.0, 3.0, 0.5), most=5)


async def _takes(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@cache
def _handed_on(delays: Seconds, concurrency: int) -> list[float]:
    """When the real stage hands each result on."""
    return [at for at, _ in run(schedule(amap(_takes, concurrency=concurrency)(delays)))]


def _times(answer: object) -> list[float]:
    numbers = isinstance(answer, list) and all(type(at) in (int, float) for at in answer)
    if not numbers or not isinstance(answer, list):
        raise other_shape(answer, "a list of times, in seconds")
    return [float(at) for at in answer]


@law(
    "in-order-waits-for-all-before-it",
    about="in_order",
    promise="same answer",
    says="A result is handed on at the moment when it and all before it are there.",
    hint="At that moment, which calls have ended? And which of their results may go already?",
    among=LAWS,
    delays=_DELAYS,
)
def _(world: World, in_order: Any, delays: Seconds) -> None:
    same(_times(in_order(list(delays))), _handed_on(delays, max(len(delays), 1)))


@law(
    "handed-on-with-room-for-all",
    about="handed_on",
    promise="same answer",
    says="With a place for every item, a result goes when it and all before it are there.",
    hint="Every call begins at 0. When is each there, and what may it still have to wait for?",
    among=LAWS,
    delays=_DELAYS,
)
def _(world: World, handed_on: Any, delays: Seconds) -> None:
    places = len(delays) + 1
    same(_times(handed_on(list(delays), concurrency=places)), _handed_on(delays, places))


@law(
    "handed-on-one-after-another",
    about="handed_on",
    promise="same answer",
    says="With one place, each call begins when the one before it has been handed on.",
    hint="There is one place. Who has it, and when does it become free?",
    among=LAWS,
    delays=_DELAYS,
)
def _(world: World, handed_on: Any, delays: Seconds) -> None:
    same(_times(handed_on(list(delays), concurrency=1)), _handed_on(delays, 1))


@law(
    "handed-on-frees-a-place",
    about="handed_on",
    promise="same answer",
    says="A call begins when a place is free, and a place is free when its result is handed on.",
    hint="A call has ended, and its result waits behind a slow one. Is its place free?",
    among=LAWS,
    delays=_DELAYS,
    concurrency=integers(2, 3),
)
def _(world: World, handed_on: Any, delays: Seconds, concurrency: int) -> None:
    same(_times(handed_on(list(delays), concurrency=concurrency)), _handed_on(delays, concurrency))


def _mutant(of: str, killed_by: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return mutant(of=of, killed_by=killed_by, among=MUTANTS, laws=LAWS)


@_mutant("in_order", "in-order-waits-for-all-before-it")
def waits_for_all(delays: Sequence[float]) -> list[float]:
    """Hands everything on at the end, as `gather` does."""
    return [max(delays)] * len(delays) if delays else []


@_mutant("in_order", "in-order-waits-for-all-before-it")
def each_at_its_own(delays: Sequence[float]) -> list[float]:
    """Lets nobody wait for anybody: what is there is handed on, whatever is missing before it."""
    return list(delays)


@_mutant("in_order", "in-order-waits-for-all-before-it")
def as_they_come(delays: Sequence[float]) -> list[float]:
    """Tells the times of `as_completed`, where the first to come is the first to go."""
    return sorted(delays)


@_mutant("in_order", "in-order-waits-for-all-before-it")
def one_after_another(delays: Sequence[float]) -> list[float]:
    """Adds the delays up: each call is awaited before the next one begins."""
    return list(accumulate(delays))


@_mutant("handed_on", "handed-on-with-room-for-all")
def in_batches(delays: Sequence[float], *, concurrency: int) -> list[float]:
    """Calls so many at a time with `gather`, and takes the next when all of them are there."""
    times: list[float] = []
    for at in range(0, len(delays), concurrency):
        batch = delays[at : at + concurrency]
        times += [(times[-1] if times else 0.0) + max(batch)] * len(batch)
    return times


@_mutant("handed_on", "handed-on-with-room-for-all")
def in_the_order_of_the_ends(delays: Sequence[float], *, concurrency: int) -> list[float]:
    """Keeps to its places, and forgets that there is an order to be kept."""
    return sorted(_ends(delays, concurrency))


@_mutant("handed_on", "handed-on-one-after-another")
def ignores_the_bound(delays: Sequence[float], *, concurrency: int) -> list[float]:
    """Lets every call begin at 0, however few places there are: the warm-up over again."""
    return list(accumulate(delays, max))


@_mutant("handed_on", "handed-on-one-after-another")
def one_place_too_many(delays: Sequence[float], *, concurrency: int) -> list[float]:
    """Begins the first call that has to wait when there is no place for it: `>` where `>=` belongs."""
    times: list[float] = []
    for place, seconds in enumerate(delays):
        begun = times[place - concurrency - 1] if place > concurrency else 0.0
        times.append(max([begun + seconds, *times[-1:]]))
    return times


@_mutant("handed_on", "handed-on-frees-a-place")
def frees_a_place_when_a_call_ends(delays: Sequence[float], *, concurrency: int) -> list[float]:
    """Counts calls alone, as a semaphore does: what is finished and waits behind a slow one is bounded by nothing."""
    return list(accumulate(_ends(delays, concurrency), max))


def _ends(delays: Iterable[float], concurrency: int) -> list[float]:
    """When each call ends, where the next begins as soon as any has ended."""
    free = [0.0] * concurrency
    ends = []
    for seconds in delays:
        ends.append(heapq.heapreplace(free, free[0] + seconds) + seconds)
    return ends


IN_ORDER = Exercise(
    id="m05c02e1",
    title="When does each result come, in order?",
    function="in_order",
    starter="""\
def in_order(delays):
    ...
""",
    laws=(LAWS["in-order-waits-for-all-before-it"],),
    hints=(
        "The fifth call has ended, and the fourth has not. What must the fifth result wait for?",
        "The largest delay so far, for each: `accumulate(delays, max)` gives them, and `list` makes a list of them.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "in_order"),
    withheld=("amap",),
)

HANDED_ON = Exercise(
    id="m05c02e2",
    title="When does each result come, with so many calls at a time?",
    function="handed_on",
    starter="""\
def handed_on(delays, *, concurrency):
    ...
""",
    laws=(
        LAWS["handed-on-with-room-for-all"],
        LAWS["handed-on-one-after-another"],
        LAWS["handed-on-frees-a-place"],
    ),
    hints=(
        "There are three places. Which result must be handed on before the fourth call can begin?",
        "One loop with `enumerate`. The call at `place` begins at `times[place - concurrency]`, or at 0 where there is "
        "no such item yet. `max` of its end and of the last time in `times` is what you append.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "handed_on"),
    withheld=("amap",),
)

PLACES, MOST = 2, 8
"""How many calls run at a time where the learner plays, and how many delays there may be."""

BATCHES = mutants_of("amap", "gathers")
gathers = BATCHES[0].impl
"""The wrong map that the learner unmasks: it calls two at a time with `gather`, and waits for both."""


def times_of(mapping: Callable[..., Any], delays: object) -> list[float]:
    """When `mapping`, with two calls at a time, hands on the result of each of these delays.

    >>> times_of(amap, [2, 1, 1]), times_of(gathers, [2, 1, 1])
    ([2.0, 2.0, 3.0], [2.0, 2.0, 3.0])

    What is no list of delays has no times: the card says what is wrong with it, and no error of ours stands below.

    >>> times_of(amap, [1, -2])
    []
    """
    if not isinstance(delays, list) or not _are_delays(delays):
        return []
    stage = mapping(_takes, concurrency=PLACES)
    return [at for at, _ in run(schedule(stage(asource(lambda: delays)())))]


def _are_delays(given: list[object]) -> bool:
    return all(type(one) in (int, float) and 0 <= one < inf for one in given)  # type: ignore[operator]


def _check_delays(world: World, delays: Callable[[], list[float]]) -> None:
    given = delays()
    if not isinstance(given, list) or len(given) > MOST:
        raise other_shape(given, f"a list of at most {MOST} delays, in seconds")
    if not _are_delays(list(given)):
        raise other_shape(given, "a list of delays, in seconds, like [1, 2, 0.5]")
    batches, ours = times_of(gathers, given), times_of(amap, given)
    holds(
        bool(given) and batches[-1] > ours[-1],
        f"with the delays {given} both give their last result at {ours[-1]} s"
        if given
        else "there is no delay, so there is no result",
        "a last result that comes later in batches",
    )


DELAYS = Exercise(
    id="m05c02e3",
    title="Unmask the map that works in batches",
    function="delays",
    starter="""\
def delays() -> list[float]:
    ...
""",
    laws=(
        Law(
            id="delays-unmask-the-batches",
            about="delays",
            promise="same answer",
            says="With these delays the last result of the batches comes later than that of the stage.",
            hint="In a batch of two, one is there and the other is not. Who could have begun meanwhile?",
            inputs={},
            label="your input",
            check=_check_delays,
        ),
    ),
    hints=(
        "Two calls run at a time. When may the third begin in batches, and when in the stage?",
        "Let the first call be quick and the second slow, and let a third one wait for a place.",
    ),
    mutants=BATCHES,
    withheld=("amap",),
)

EXERCISES = (IN_ORDER, HANDED_ON, DELAYS)
