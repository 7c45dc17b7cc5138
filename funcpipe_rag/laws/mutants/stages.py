"""What people write in place of any stage: a right one, with one wrong line around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import islice
from typing import Any

from funcpipe_rag.laws.law import LAWS, public
from funcpipe_rag.laws.stages import Family

from .mutant import mutant

Run = Callable[[Iterable[Any]], Iterator[Any]]
Wrap = Callable[[Run], Run]


def wrapped(family: Family, *more: Wrap) -> None:
    """Register a mutant of this stage for each law of every stage that it owes; of `more` too."""
    for wrap, clauses in {**WRAPPED, **{wrap: MORE[wrap] for wrap in more}}.items():
        ids = [f"{family.slug}-{clause}" for clause in clauses]
        for killed_by in [id for id in ids if id in LAWS][:1]:
            mutant(of=family.name, killed_by=killed_by)(_around(family, wrap))


def _around(family: Family, wrap: Wrap) -> Callable[..., Any]:
    right = public(family.name)

    @wraps(wrap)
    def factory(*given: Any, **options: Any) -> Any:
        return wrap(right(*given, **options))

    @wraps(wrap)
    def plain(xs: Any, *given: Any, **options: Any) -> Any:
        return wrap(lambda xs: right(xs, *given, **options))(xs)

    return plain if family.plain else factory


def eager_inside(run: Run) -> Run:
    """Builds the whole list first: `for x in list(xs)` still looks like a generator."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from list(run(xs))

    return stream


def born_eager(run: Run) -> Run:
    """Starts working when it is called: `return`, where a generator would `yield`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = run(xs)
        first = list(islice(it, 1))

        def rest() -> Iterator[Any]:
            yield from first
            yield from it

        return rest()

    return stream


def looks_ahead(run: Run) -> Run:
    """Fetches the next item before it gives this one, to learn whether this was the last."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = run(xs)
        try:
            held = next(it)
        except StopIteration:
            return
        for item in it:
            yield held
            held = item
        yield held

    return stream


def drops_the_last(run: Run) -> Run:
    """Leaves its loop when the input ends, with one item still in hand."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        held: list[Any] = []
        for item in run(xs):
            yield from held
            held = [item]

    return stream


def captured_iterator(run: Run) -> Run:
    """Keeps one iterator outside the function that runs for each stream."""
    kept: list[Iterator[Any]] = []

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        if not kept:
            kept.append(run(xs))
        yield from kept[0]

    return stream


def swallows_errors(run: Run) -> Run:
    """Takes every exception for the end of the stream."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from run(xs)
        except Exception:
            return

    return stream


def leaks_what_it_opened(run: Run) -> Run:
    """Calls iter() on a collection and never closes what that gave."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from run(iter(xs))

    return stream


def closes_what_it_was_handed(run: Run) -> Run:
    """Closes its input whoever made it: `with closing(xs)`, or a bare `yield from xs`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from run(xs)
        finally:
            if isinstance(xs, Iterator):
                xs.close()  # type: ignore[attr-defined]

    return stream


def asks_again_at_the_end(run: Run) -> Run:
    """Makes sure that the input has ended by asking once more."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = iter(xs)
        yield from run(it)
        yield from (x for x in it)

    return stream


WRAPPED: dict[Wrap, tuple[str, ...]] = {
    born_eager: ("starts-nothing-at-birth",),
    looks_ahead: ("asks-for-no-more-than-it-needs",),
    drops_the_last: ("equals-its-eager-twin",),
    captured_iterator: ("starts-afresh",),
    swallows_errors: ("passes-errors-on",),
    leaks_what_it_opened: ("closes-what-it-opened",),
    closes_what_it_was_handed: ("leaves-open-what-it-was-handed", "closes-what-it-opened"),
    asks_again_at_the_end: ("pays-once-for-the-end",),
}
"""Which law kills which: the first of these that the stage owes."""
MORE: dict[Wrap, tuple[str, ...]] = {eager_inside: ("asks-for-no-more-than-it-needs",)}


def drained(family: Family) -> None:
    """Register a mutant of this sink for each law that every sink owes."""
    for wrap, clause in DRAINED.items():
        mutant(of=family.name, killed_by=f"{family.slug}-{clause}")(_around(family, wrap))


def forgets_the_last(run: Run) -> Run:
    """Leaves its loop one item too early."""
    return lambda xs: run(list(xs)[:-1])


def goes_through_twice(run: Run) -> Run:
    """Counts the items in a loop of its own first: an iterator has nothing left after that."""

    def sink(xs: Iterable[Any]) -> Any:
        return run(xs) if sum(1 for _ in xs) else run([])

    return sink


def makes_do_with_what_it_got(run: Run) -> Run:
    """Takes an error of the input for its end, as if that had been all."""

    def sink(xs: Iterable[Any]) -> Any:
        return run(swallows_errors(iter)(xs))

    return sink


def leaves_its_input_open(run: Run) -> Run:
    """Loops over a collection with `for`, which closes nothing when it fails."""
    return lambda xs: run(iter(xs))


def goes_on_counting(run: Run) -> Run:
    """Keeps what it has counted when the stage is made: the second run begins where the first one ended."""
    seen: list[Any] = []

    def sink(xs: Iterable[Any]) -> Any:
        seen.extend(xs)
        return run(seen)

    return sink


DRAINED: dict[Wrap, str] = {
    forgets_the_last: "equals-its-eager-twin",
    goes_through_twice: "asks-once-for-each-item",
    makes_do_with_what_it_got: "passes-errors-on",
    leaves_its_input_open: "closes-what-it-opened",
    goes_on_counting: "starts-afresh",
}
"""Which law kills which, of sinks."""
