"""The laws of pages: every item once, a page no earlier than its first item, and an end.

No service is asked and nobody sleeps: a `Service` answers, and counts what it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from funcpipe_rag.streams.ownership import close
from funcpipe_rag.streams.pages import Page
from funcpipe_rag.streams.probe import Boom

from .inputs import SourceSpec, integers, several
from .law import holds, law, same, times
from .worlds import World

SIZES = several(integers(0, 3), least=1, most=4)
FULL = several(integers(1, 3), least=1, most=4)


class Service:
    """Gives its pages by number, under None the first; the last one may name an earlier page as the next."""

    def __init__(self, pages: list[Any], *, back: int | None = None) -> None:
        self.pages, self.back = pages, back
        self.asked: list[int | None] = []
        self.fails_at, self.failures = -1, 0

    def __call__(self, cursor: int | None) -> Page[Any, int]:
        self.asked.append(cursor)
        at = cursor or 0
        if at == self.fails_at and self.failures:
            self.failures -= 1
            raise Boom("busy")
        page = self.pages[at]
        following = at + 1 if at + 1 < len(self.pages) else self.back
        return Page(page() if callable(page) else page, following)


def _numbered(sizes: list[int]) -> list[list[int]]:
    numbers = iter(range(sum(sizes)))
    return [list(islice(numbers, size)) for size in sizes]


def _until_error(it: Iterator[Any], most: int) -> tuple[list[Any], str]:
    """What came, and the kind of error that ended it: "" for none."""
    got = []
    try:
        for item in islice(it, most):
            got.append(item)
    except Exception as error:
        return got, type(error).__name__
    return got, ""


def _awake(seconds: float) -> None:
    """A sleeper that does not sleep."""


@law(
    "pager-source-gives-every-page-in-order",
    about="make_pager_source",
    promise="same answer",
    says="All items of the first page, then all of the next, up to the page that names no next one.",
    hint="What tells you that a page is the last: its cursor, or its size?",
    sizes=SIZES,
)
def _(world: World, make_pager_source: Any, sizes: list[int]) -> None:
    service = Service(_numbered(sizes))
    same(world.items(world.run(make_pager_source(service))), list(range(sum(sizes))))
    same(service.asked, [None, *range(1, len(sizes))], "it asked for the cursors {}")


@law(
    "pager-source-asks-for-a-page-with-its-first-item",
    about="make_pager_source",
    promise="on demand",
    says="A page is fetched when its first item is asked for, and not while the page before it lasts.",
    hint="You have given the last item of a page. Did anybody ask for the next one?",
    sizes=FULL,
    taken=integers(0, 6),
)
def _(world: World, make_pager_source: Any, sizes: list[int], taken: int) -> None:
    service = Service(_numbered(sizes))
    it = world.iterator(world.run(make_pager_source(service)))
    got = len(list(islice(it, min(taken, sum(sizes)))))
    needed = sum(sum(sizes[:place]) < got for place in range(len(sizes)))
    fetched = len(service.asked)
    holds(fetched == needed, f"{got} items given, and it had asked {times(fetched)}", times(needed))


@law(
    "pager-source-pulls-items-one-by-one",
    about="make_pager_source",
    promise="on demand",
    says="The items of a page may be a stream themselves: each is pulled when you ask for it.",
    hint="Which line turns the page's items into a list?",
    taken=integers(1, 4),
)
def _(world: World, make_pager_source: Any, taken: int) -> None:
    probe = world.source(SourceSpec(endless=True), "page", budget=taken)
    it = world.iterator(world.run(make_pager_source(Service([probe]))))
    same(list(islice(it, taken)), list(range(taken)))


@law(
    "pager-source-starts-afresh",
    about="make_pager_source",
    promise="fresh",
    says="Each call asks for the first page anew, and two readers do not share their place.",
    hint="Where does the cursor stand: in the reader, or outside it?",
    sizes=SIZES,
    ahead=integers(0, 3),
)
def _(world: World, make_pager_source: Any, sizes: list[int], ahead: int) -> None:
    made = make_pager_source(Service(_numbered(sizes)))
    whole = list(range(sum(sizes)))
    begun = world.iterator(world.run(made))
    got = list(islice(begun, ahead))
    same(world.items(world.run(made)), whole, "the second call gave {}")
    same([*got, *begun], whole, "the first call gave {}")


@law(
    "pager-source-closes-each-page-it-opened",
    about="make_pager_source",
    promise="closed",
    says="Read to the end or closed early, each page that was fetched is closed, once.",
    hint="Who closes the items of a page when the reader stops in the middle of it?",
    sizes=FULL,
    taken=integers(1, 5),
)
def _(world: World, make_pager_source: Any, sizes: list[int], taken: int) -> None:
    probes = world.sources(SourceSpec(tuple(page)) for page in _numbered(sizes))
    # The iterators are held past the end: nobody else's tidying up is to be counted.
    opened: list[Any] = []

    def keeping(probe: Any) -> Any:
        def open_page() -> Any:
            opened.append(probe())
            return opened[-1]

        return open_page

    it = world.iterator(world.run(make_pager_source(Service([keeping(probe) for probe in probes]))))
    list(islice(it, taken))
    close(it)
    for place, probe in enumerate(probes):
        expected = int(place < len(opened))
        holds(
            probe.closes == expected,
            f"page {place} was closed {times(probe.closes)}",
            times(expected) + ("" if expected else ", for it was never fetched"),
        )


@law(
    "pager-source-asks-again-for-the-page-that-failed",
    about="make_pager_source",
    promise="same answer",
    late=True,
    says="A page that fails is asked for `attempts` times in all, and no other page again; then its error comes, "
    "behind the items before it.",
    hint="Which cursor does the second try have?",
    sizes=FULL,
    at=integers(0, 3),
    failures=integers(0, 3),
    attempts=integers(1, 3),
)
def _(world: World, make_pager_source: Any, sizes: list[int], at: int, failures: int, attempts: int) -> None:
    at = min(at, len(sizes) - 1)
    service = Service(_numbered(sizes))
    service.fails_at, service.failures = at, failures
    made = make_pager_source(service, attempts=attempts, sleeper=_awake)
    came = _until_error(world.iterator(world.run(made)), 50)
    cursors: list[int | None] = [None, *range(1, len(sizes))]
    tries = [cursors[at]] * min(failures + 1, attempts)
    if failures < attempts:
        same(came, (list(range(sum(sizes))), ""))
        same(service.asked, [*cursors[:at], *tries, *cursors[at + 1 :]], "it asked for the cursors {}")
    else:
        same(came, (list(range(sum(sizes[:at]))), "Boom"))
        same(service.asked, [*cursors[:at], *tries], "it asked for the cursors {}")


@law(
    "pager-source-goes-round-no-circle",
    about="make_pager_source",
    promise="same answer",
    late=True,
    says="A cursor that comes back is an error, behind the items of each page once.",
    hint="How do you know that you have been at this cursor before?",
    sizes=FULL,
    back=integers(1, 3),
)
def _(world: World, make_pager_source: Any, sizes: list[int], back: int) -> None:
    # Page 0 goes by None, so a service can send you back to page 1 at the earliest.
    sizes = [1, *sizes]
    service = Service(_numbered(sizes), back=min(back, len(sizes) - 1))
    it = world.iterator(world.run(make_pager_source(service)))
    got, error = _until_error(it, 3 * sum(sizes))
    same(got, list(range(sum(sizes))))
    holds(bool(error), "it ended in silence", "an error")
