"""What people write in place of a pager."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .mutant import mutant

Source = Callable[[], Iterator[Any]]


@mutant(of="make_pager_source", killed_by="pager-source-gives-every-page-in-order")
def stops_at_an_empty_page(fetch_page: Any) -> Source:
    """Takes a page without items for the last one: a service that filters may well have an empty page in the middle."""

    def run() -> Iterator[Any]:
        items, cursor = fetch_page(None)
        while items:
            yield from items
            if cursor is None:
                return
            items, cursor = fetch_page(cursor)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-gives-every-page-in-order")
def forgets_the_last_page(fetch_page: Any) -> Source:
    """Looks at the next cursor before it gives the items: the page that names no next one is never given."""

    def run() -> Iterator[Any]:
        items, cursor = fetch_page(None)
        while cursor is not None:
            yield from items
            items, cursor = fetch_page(cursor)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-for-a-page-with-its-first-item")
def fetches_ahead(fetch_page: Any) -> Source:
    """Fetches the next page before it gives the one in hand: a request that the reader may never need."""

    def run() -> Iterator[Any]:
        items, cursor = fetch_page(None)
        while cursor is not None:
            following = fetch_page(cursor)
            yield from items
            items, cursor = following
        yield from items

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-for-a-page-with-its-first-item")
def asks_at_birth(fetch_page: Any) -> Source:
    """Fetches the first page when the stream is built."""

    def run() -> Iterator[Any]:
        first = fetch_page(None)

        def pages() -> Iterator[Any]:
            items, cursor = first
            yield from items
            while cursor is not None:
                items, cursor = fetch_page(cursor)
                yield from items

        return pages()

    return run


@mutant(of="make_pager_source", killed_by="pager-source-pulls-items-one-by-one")
def lists_each_page(fetch_page: Any) -> Source:
    """Makes a list of each page, though it may be a stream itself."""

    def run() -> Iterator[Any]:
        items, cursor = fetch_page(None)
        yield from list(items)
        while cursor is not None:
            items, cursor = fetch_page(cursor)
            yield from list(items)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-starts-afresh")
def one_cursor_for_all_runs(fetch_page: Any) -> Source:
    """Keeps the cursor beside the factory: a second reader goes on where the first one stopped."""
    cursor = None
    done = False

    def run() -> Iterator[Any]:
        nonlocal cursor, done
        while not done:
            items, cursor = fetch_page(cursor)
            done = cursor is None
            yield from items

    return run


@mutant(of="make_pager_source", killed_by="pager-source-closes-each-page-it-opened")
def leaves_pages_open(fetch_page: Any) -> Source:
    """Loops over the items with `for`, which closes nothing when the reader stops."""

    def run() -> Iterator[Any]:
        items, cursor = fetch_page(None)
        while True:
            for item in items:  # noqa: UP028
                yield item
            if cursor is None:
                return
            items, cursor = fetch_page(cursor)

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-again-for-the-page-that-failed")
def begins_again_at_the_first_page(fetch_page: Any, *, attempts: int = 3, sleeper: Any = None) -> Source:
    """Tries the whole walk again: what was given before the failure is given twice."""

    def run() -> Iterator[Any]:
        for left in reversed(range(attempts)):
            try:
                yield from leaves_pages_open(fetch_page)()
                return
            except Exception:
                if not left:
                    raise

    return run


@mutant(of="make_pager_source", killed_by="pager-source-asks-again-for-the-page-that-failed")
def ends_in_silence(fetch_page: Any, *, attempts: int = 3, sleeper: Any = None) -> Source:
    """Gives up without a word when a page has failed for good: half of the items look like all of them."""

    def run() -> Iterator[Any]:
        cursor = None
        while True:
            for _ in range(attempts):
                try:
                    items, following = fetch_page(cursor)
                    break
                except Exception:
                    pass
            else:
                return
            yield from items
            if following is None:
                return
            cursor = following

    return run


@mutant(of="make_pager_source", killed_by="pager-source-goes-round-no-circle")
def trusts_every_cursor(fetch_page: Any) -> Source:
    """Follows whatever cursor comes: a service that sends you back sends you round for ever."""
    return leaves_pages_open(fetch_page)  # type: ignore[no-any-return]


@mutant(of="make_pager_source", killed_by="pager-source-goes-round-no-circle")
def compares_with_the_last_cursor(fetch_page: Any) -> Source:
    """Looks whether the cursor has changed: a circle of two pages changes it every time."""

    def run() -> Iterator[Any]:
        cursor = None
        while True:
            items, following = fetch_page(cursor)
            yield from items
            if following is None:
                return
            if following == cursor:
                raise ValueError(f"the cursor {cursor!r} came back")
            cursor = following

    return run
