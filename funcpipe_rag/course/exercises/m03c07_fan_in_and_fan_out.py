"""The exercises of M03C07, Fan-in and fan-out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funcpipe_rag.laws import LAWS, Law, World, holds, other_shape
from funcpipe_rag.laws.mutants import mutants_of

from .exercise import Exercise

MAKE_CHAIN = Exercise(
    id="m03c07e1",
    title="All of the first, then all of the second",
    function="make_chain",
    starter="""\
def make_chain(*sources):
    def run():
        ...
    return run
""",
    laws=(
        LAWS["chain-keeps-source-order"],
        LAWS["chain-opens-nothing-at-birth"],
        LAWS["chain-opens-the-next-only-when-needed"],
        LAWS["chain-asks-for-no-more-than-it-gives"],
        LAWS["chain-starts-afresh"],
    ),
    hints=(
        "A source is a function: what do you get when you call it, and when should that happen?",
        "One `for` over the sources, one `yield from` inside it. Both stand inside `run`.",
    ),
    mutants=mutants_of(
        "make_chain",
        "takes_turns_instead",
        "opens_at_birth",
        "opens_all_at_once",
        "lists_each_source",
        "opens_each_source_once",
    ),
    withheld=("make_chain",),
)

MAKE_ROUNDROBIN = Exercise(
    id="m03c07e2",
    title="One item from each, in turn",
    function="make_roundrobin",
    starter="""\
def make_roundrobin(*sources):
    def run():
        ...
    return run
""",
    laws=(
        LAWS["roundrobin-passes-nobody-over"],
        LAWS["roundrobin-takes-turns"],
        LAWS["roundrobin-opens-nothing-at-birth"],
        LAWS["roundrobin-asks-for-no-more-than-it-gives"],
        LAWS["roundrobin-starts-afresh"],
        LAWS["roundrobin-closes-what-it-opened-last-first"],
    ),
    hints=(
        "A source has ended. Who has the next turn, and does your loop know?",
        "Loop over a copy of the list, and take ended iterators out of the list itself. "
        "`next(it, END)` with `END = object()` tells an end from every item. "
        "Whoever stops you half-way makes `yield` raise, so `try: ... finally:` around the loop is the place "
        "to call `it.close()`, for every `it` in `reversed(opened)`.",
    ),
    mutants=mutants_of(
        "make_roundrobin",
        "stops_with_the_shortest",
        "treats_none_as_end",
        "removes_while_looping",
        "chains_instead",
        "reads_a_row_ahead",
        "leaks_its_sources",
    ),
    withheld=("make_roundrobin",),
)

FORK2 = Exercise(
    id="m03c07e3",
    title="One stream, two stages, in step",
    function="fork2",
    starter="""\
def fork2(t, u):
    def run(xs):
        ...
    return run
""",
    laws=(
        LAWS["fork2-lockstep-gives-what-each-branch-gives"],
        LAWS["fork2-lockstep-asks-once-for-each-tuple"],
        LAWS["fork2-lockstep-starts-nothing-at-birth"],
        LAWS["fork2-lockstep-passes-errors-on"],
        LAWS["fork2-lockstep-starts-afresh"],
    ),
    hints=(
        "Which branch may move second, and what is the most that one may be ahead?",
        "`multicast_bounded(xs, 2, maxlen=1)` splits, `zip` asks in turns, `yield from` gives. "
        "All of it stands inside `run`.",
    ),
    mutants=mutants_of(
        "fork2_lockstep",
        "drains_one_branch_first",
        "restarts_for_each_item",
        "starts_at_birth",
        "splits_once",
        "ends_on_an_error",
    ),
    withheld=("fork2_lockstep", "fork_lockstep"),
)


def ask_in_order(multicast: Callable[..., Any], schedule: object) -> list[tuple[int, object]] | str:
    """Split 0, 1, 2 ... in two with maxlen=1, and ask the branches in the order of `schedule`.

    >>> from funcpipe_rag import multicast_bounded
    >>> ask_in_order(multicast_bounded, [0, 0, 1])
    [(0, 0), (0, 'BufferError'), (1, 0)]

    Of anything else it says so.

    >>> ask_in_order(multicast_bounded, "LLR")
    'nobody was asked: an order is a list of 0 and 1'
    """
    if not _is_order(schedule):
        return "nobody was asked: an order is a list of 0 and 1"
    assert isinstance(schedule, list)
    branches = multicast(range(len(schedule) + 1), 2, maxlen=1)
    came: list[tuple[int, object]] = []
    for branch in schedule:
        try:
            came.append((branch, next(branches[branch])))
        except BufferError:
            came.append((branch, "BufferError"))
    return came


def _is_order(given: object) -> bool:
    return isinstance(given, list) and set(map(repr, given)) <= {"0", "1"}


LOST = mutants_of("multicast_bounded", "loses_item_on_overflow")
loses_item_on_overflow = LOST[0].impl
"""The wrong split that the learner unmasks: it pulls first, and looks for room afterwards."""


def _check_schedule(world: World, schedule: Callable[[], list[int]]) -> None:
    order = schedule()
    if not _is_order(order) or len(order) > 20:
        raise other_shape(order, "a list of at most 20 numbers, each 0 or 1")
    came = ask_in_order(loses_item_on_overflow, order)
    assert isinstance(came, list)
    skips = any(items != list(range(len(items))) for items in map(_given(came), (0, 1)))
    holds(skips, f"asked in the order {order}, it answered as it should: {came}", "an item that is skipped")


def _given(came: list[tuple[int, object]]) -> Callable[[int], list[object]]:
    return lambda branch: [item for asked, item in came if asked == branch and item != "BufferError"]


SCHEDULE = Exercise(
    id="m03c07e4",
    title="Unmask the split that loses an item",
    function="schedule",
    starter="""\
def schedule() -> list[int]:
    ...
""",
    laws=(
        Law(
            id="schedule-unmasks-the-lost-item",
            about="schedule",
            promise="same answer",
            says="Asked in this order, the wrong multicast skips an item: a branch does not give 0, 1, 2 ...",
            hint="It pulls first and looks for room afterwards. When is there no room? And who asks next?",
            inputs={},
            label="your input",
            check=_check_schedule,
        ),
    ),
    hints=(
        "With maxlen=1 one branch may be one item ahead. What happens when it asks again?",
        "Ask branch 0 until it is refused. Then let branch 1 catch up, and ask for one item more.",
    ),
    mutants=LOST,
)

EXERCISES = (MAKE_CHAIN, MAKE_ROUNDROBIN, FORK2, SCHEDULE)
