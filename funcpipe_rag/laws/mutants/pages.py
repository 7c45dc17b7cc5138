"""What people write in place of a pager."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from funcpipe_rag.streams.ownership import close

from .mutant import mutant

Source = Callable[[], Iterator[Any]]


def _fetched(fetch_page: Any, cursor: Any, attempts: int) -> Any:
    for left in reversed(range(attempts)):
        try:
            return fetch_page(cursor)
        except Exception:
            if not left:
                raise
    return None


def _pages(fetch_page: Any, *, attempts: int = 3, sleeper: Any = None) -> Iterator[Any]:
    """The pages as they should be asked for; what each mutant does with them is its own mistake."""
    cursor = None
    asked: set[Any] = set()
    while cursor not in asked:
        asked.add(cursor)
        items, cursor = _fetched(fetch_page, cursor, attempts)
        yield items
        if cursor is None:
            return
    raise ValueError(f"the cursor {cursor!r} came back")


def _given(items: Iterable[Any]) -> Iterator[Any]:
    it = iter(items)
    try:
        for item in it:  # noqa: UP028
            yield item
    finally:
        close(it)


@mutant(of="make_pager_source", killed_by="pager-source-gives-every-page-in-order")
def stops_at_an_empty_page(fetch_page: Any, **how: Any) -> Source:
    """Takes a page without items for the last one: a service that filters may well have an empty page in the middle."""

    def run() -> Iterator[Any]:
        for items in _pages(fetch_page, **how):
            if not items:
                return
            yield from _given(items)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-gives-every-page-in-order")
def forgets_the_last_page(fetch_page: Any, **how: Any) -> Source:
    """Looks at the next cursor before it gives the items: the page that names no next one is never given."""

    def run() -> Iterator[Any]:
        pages = _pages(fetch_page, **how)
        items = next(pages)
        for following in pages:
            yield from _given(items)
            items = following

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-for-a-page-with-its-first-item")
def fetches_ahead(fetch_page: Any, **how: Any) -> Source:
    """Fetches the next page before it gives the one in hand: a request that the reader may never need."""

    def run() -> Iterator[Any]:
        pages = _pages(fetch_page, **how)
        items = next(pages)
        for following in pages:
            yield from _given(items)
            items = following
        yield from _given(items)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-for-a-page-with-its-first-item")
def asks_at_birth(fetch_page: Any, **how: Any) -> Source:
    """Fetches the first page when the stream is built, and raises there what goes wrong with it."""

    def run() -> Iterator[Any]:
        pages = _pages(fetch_page, **how)
        first = next(pages)

        def given() -> Iterator[Any]:
            yield from _given(first)
            for items in pages:
                yield from _given(items)

        return given()

    return run


@mutant(of="make_pager_source", killed_by="pager-source-pulls-items-one-by-one")
def lists_each_page(fetch_page: Any, **how: Any) -> Source:
    """Makes a list of each page, though it may be a stream itself."""

    def run() -> Iterator[Any]:
        for items in _pages(fetch_page, **how):
            it = iter(items)
            got = list(it)
            close(it)
            yield from got

    return run


@mutant(of="make_pager_source", killed_by="pager-source-starts-afresh")
def one_cursor_for_all_runs(fetch_page: Any, **how: Any) -> Source:
    """Keeps the cursor beside the factory: a second reader goes on where the first one stopped."""
    pages = _pages(fetch_page, **how)

    def run() -> Iterator[Any]:
        for items in pages:
            yield from _given(items)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-closes-each-page-it-opened")
def leaves_pages_open(fetch_page: Any, **how: Any) -> Source:
    """Loops over the items with `for`, which closes nothing when the reader stops."""

    def run() -> Iterator[Any]:
        for items in _pages(fetch_page, **how):
            for item in items:  # noqa: UP028
                yield item

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-again-for-the-page-that-failed")
def begins_again_at_the_first_page(fetch_page: Any, *, attempts: int = 3, sleeper: Any = None) -> Source:
    """Tries the whole walk again: what was given before the failure is given twice."""

    def run() -> Iterator[Any]:
        for left in reversed(range(attempts)):
            try:
                for items in _pages(fetch_page, attempts=1):
                    yield from _given(items)
                return
            except Exception:
                if not left:
                    raise

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-again-for-the-page-that-failed")
def ends_in_silence(fetch_page: Any, **how: Any) -> Source:
    """Takes a page that has failed for good for the end: half of the items look like all of them."""

    def forgiving(cursor: Any) -> Any:
        try:
            return _fetched(fetch_page, cursor, how.get("attempts", 3))
        except Exception:
            return [], None

    def run() -> Iterator[Any]:
        for items in _pages(forgiving):
            yield from _given(items)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-goes-round-no-circle")
def compares_with_the_last_cursor(fetch_page: Any, *, attempts: int = 3, sleeper: Any = None) -> Source:
    """Looks whether the cursor has changed: a circle of two pages changes it every time."""

    def run() -> Iterator[Any]:
        cursor = None
        while True:
            items, following = _fetched(fetch_page, cursor, attempts)
            yield from _given(items)
            if following is None:
                return
            if following == cursor:
                raise ValueError(f"the cursor {cursor!r} came back")
            cursor = following

    return run
