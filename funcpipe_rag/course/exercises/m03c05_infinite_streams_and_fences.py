"""The exercises of M03C05, Infinite streams and fences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from funcpipe_rag.laws import Broken, Law, SourceSpec, World, holds, law, same
from funcpipe_rag.laws.inputs import choice, integers, sources, things
from funcpipe_rag.laws.mutants import Mutant, mutant
from funcpipe_rag.streams.probe import Boom

from .exercise import Exercise
from .predicates import predicate_laws

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

_DEFAULT = choice("nothing")


@law(
    "first-is-the-first-item-or-the-default",
    about="first",
    promise="same answer",
    says="You get the first item, whatever it is; the default is for a stream without items.",
    hint="Is this stream empty? And how does your line find that out?",
    among=LAWS,
    source=sources(things(most=3)),
    default=_DEFAULT,
)
def _(world: World, first: Any, source: SourceSpec, default: str) -> None:
    xs, _probe = world.stream(source)
    same(first(xs, default), [*source.items, default][0])


@law(
    "first-asks-once",
    about="first",
    promise="on demand",
    says="The first item costs one question.",
    hint="You had the first item. Who asked for the second?",
    among=LAWS,
    source=sources(things(most=3)),
    default=_DEFAULT,
)
def _(world: World, first: Any, source: SourceSpec, default: str) -> None:
    xs, probe = world.stream(source, budget=1)
    first(xs, default)
    holds(probe.pulls <= 1, f"it asked {probe.pulls} times", "once")


@law(
    "first-takes-no-error-for-the-end",
    about="first",
    promise="same answer",
    says="A source that breaks is not empty: its error is yours to see.",
    hint="Which errors does your line catch? And which of them says that there is no item?",
    among=LAWS,
    source=sources(things(most=0), "raises"),
    default=_DEFAULT,
)
def _(world: World, first: Any, source: SourceSpec, default: str) -> None:
    xs, _probe = world.stream(source)
    try:
        got = first(xs, default)
    except Boom:
        return
    raise Broken(f"it returned {got!r}", "the error of the source")


@law(
    "fence-gives-the-first-k",
    about="fence",
    promise="same answer",
    says="A fence of k gives the first k items, or all of them where there are fewer.",
    hint="Count down with k, item by item. Where should it end, and does it?",
    among=LAWS,
    source=sources(things(most=4)),
    k=integers(0, 4),
)
def _(world: World, fence: Any, source: SourceSpec, k: int) -> None:
    xs, _probe = world.stream(source)
    same(world.items(fence(xs, k)), list(source.items)[:k])


@law(
    "fence-never-asks-for-item-k-plus-1",
    about="fence",
    promise="on demand",
    says="A fence of k never asks for item k + 1, not even to learn that it may stop.",
    hint="Your fence gave item k. What does it do before it notices that this was the last one?",
    among=LAWS,
    k=choice(1, 2, 3, 4, 0),
)
def _(world: World, fence: Any, k: int) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=k)
    same(world.items(fence(xs, k)), list(range(k)))
    holds(probe.pulls <= k, f"it asked for {probe.pulls} items", f"at most {k}")


@law(
    "fence-hands-each-item-on-at-once",
    about="fence",
    promise="on demand",
    says="An item from behind the fence costs one pull: it is handed on before the next one is asked for.",
    hint="You asked for one item. Which line goes on to the next one by itself?",
    among=LAWS,
    k=integers(0, 4),
    taken=integers(0, 4),
)
def _(world: World, fence: Any, k: int, taken: int) -> None:
    wanted = min(k, taken)
    xs, probe = world.stream(SourceSpec(endless=True), budget=wanted)
    same(list(islice(world.iterator(fence(xs, k)), wanted)), list(range(wanted)))
    holds(probe.pulls <= wanted, f"it asked for {probe.pulls} items", f"at most {wanted}")


@mutant(of="first", killed_by="first-is-the-first-item-or-the-default", among=MUTANTS, laws=LAWS)
def default_for_what_is_false(xs: Iterable[Any], default: Any) -> Any:
    """Writes `next(it, None) or default`: a first item of 0 or "" is false, too."""
    return next(iter(xs), None) or default


@mutant(of="first", killed_by="first-is-the-first-item-or-the-default", among=MUTANTS, laws=LAWS)
def none_means_empty(xs: Iterable[Any], default: Any) -> Any:
    """Takes a first item of None for the end."""
    item = next(iter(xs), None)
    return default if item is None else item


@mutant(of="first", killed_by="first-is-the-first-item-or-the-default", among=MUTANTS, laws=LAWS)
def looks_and_loses(xs: Iterable[Any], default: Any) -> Any:
    """Asks once whether there is an item, and once more for the item."""
    it = iter(xs)
    if next(it, default) == default:
        return default
    return next(it, default)


@mutant(of="first", killed_by="first-is-the-first-item-or-the-default", among=MUTANTS, laws=LAWS)
def keeps_the_last(xs: Iterable[Any], default: Any) -> Any:
    """Loops and forgets to stop."""
    found = default
    for item in xs:
        found = item
    return found


@mutant(of="first", killed_by="first-takes-no-error-for-the-end", among=MUTANTS, laws=LAWS)
def catches_everything(xs: Iterable[Any], default: Any) -> Any:
    """Takes any error for the end of the stream."""
    try:
        return next(iter(xs))
    except Exception:
        return default


@mutant(of="first", killed_by="first-asks-once", among=MUTANTS, laws=LAWS)
def lists_everything(xs: Iterable[Any], default: Any) -> Any:
    """Makes a list for its item 0."""
    items = list(xs)
    return items[0] if items else default


@mutant(of="fence", killed_by="fence-never-asks-for-item-k-plus-1", among=MUTANTS, laws=LAWS)
def one_pull_too_many(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """Takes an item first and counts afterwards: the item too many is pulled, and gone."""
    for i, item in enumerate(xs):
        if i >= k:
            return
        yield item


@mutant(of="fence", killed_by="fence-never-asks-for-item-k-plus-1", among=MUTANTS, laws=LAWS)
def zip_wrong_way(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """Zips `xs` with `range(k)` in this order: `zip` asks its first argument first."""
    for item, _ in zip(xs, range(k), strict=False):
        yield item


@mutant(of="fence", killed_by="fence-gives-the-first-k", among=MUTANTS, laws=LAWS)
def zero_is_forever(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """Stops when the count has come down to zero, and looks after giving: from zero it goes down for ever."""
    for item in xs:
        yield item
        k -= 1
        if k == 0:
            return


@mutant(of="fence", killed_by="fence-never-asks-for-item-k-plus-1", among=MUTANTS, laws=LAWS)
def fence_after(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """Reads everything, then cuts: a fence behind the explosion."""
    return iter(list(xs)[:k])


@mutant(of="fence", killed_by="fence-gives-the-first-k", among=MUTANTS, laws=LAWS)
def runs_dry(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """Calls next() k times, where there may be fewer items: the generator ends in RuntimeError."""
    it = iter(xs)
    for _ in range(k):
        yield next(it)


@mutant(of="fence", killed_by="fence-hands-each-item-on-at-once", among=MUTANTS, laws=LAWS)
def fills_a_list(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """Collects the k items before it hands on the first."""
    yield from list(islice(xs, k))


FIRST = Exercise(
    id="m03c05e1",
    title="The first item, or a default",
    function="first",
    starter="""\
def first(xs, default):
    ...
""",
    laws=(
        LAWS["first-is-the-first-item-or-the-default"],
        LAWS["first-asks-once"],
        LAWS["first-takes-no-error-for-the-end"],
    ),
    hints=(
        "How does next() tell you that there is no item? And what may an item look like?",
        "`next` takes a second argument, which it gives at the end; `iter(xs)` serves a list as well.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "first"),
    withheld=("fence_k",),
)

FENCE = Exercise(
    id="m03c05e2",
    title="A fence that never asks once too often",
    function="fence",
    starter="""\
def fence(xs, k):
    ...
""",
    laws=(
        LAWS["fence-gives-the-first-k"],
        LAWS["fence-never-asks-for-item-k-plus-1"],
        LAWS["fence-hands-each-item-on-at-once"],
    ),
    hints=(
        "Whom do you ask first, the stream or the count? And which of the two should say that it is over?",
        "`islice` counts for you. By hand: `zip` asks its arguments from left to right, "
        "and stops at the first that has ended.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "fence"),
    withheld=("fence_k",),
)


def _with_a_probe(world: World, program: Callable[..., Any], *, k: int) -> tuple[Any, ...]:
    return program, k, world.source(SourceSpec(endless=True), "probe")


def fence(xs: Iterable[Any], k: int) -> Iterator[Any]:
    """The right fence, for the law that the learner writes.

    >>> numbers = iter(range(9))
    >>> list(fence(numbers, 2)), next(numbers)
    ([0, 1], 2)
    """
    return islice(xs, k)


ACCEPTS, REFUSES = predicate_laws(
    "pulls-of-a-fence",
    right=fence,
    wrong=one_pull_too_many,
    asked=_with_a_probe,
    k=integers(0, 4),
    differ_on={"k": 2},
    promise="on demand",
    hints=(
        "Read the row `probe`. How often may a fence of k ask?",
        "Both programs give the same items. Did your law read the fence to its end, and then count?",
    ),
)

LAW = Exercise(
    id="m03c05e3",
    title="Write the law that counts the pulls",
    function="law",
    starter="""\
def law(fence, k, probe):
    ...
""",
    laws=(ACCEPTS, REFUSES),
    hints=(
        "The items are equal. What else can you see of a fence once it has been read to its end?",
        "Two lines: `list(fence(probe(), k))` reads it, and `probe.pulls` is compared with `k` in the `return`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.name == "one_pull_too_many"),
)

EXERCISES = (FIRST, FENCE, LAW)
