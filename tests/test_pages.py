"""Pages of a service: what is asked, when, and what comes of a page that fails."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest

from funcpipe_rag import Err, Page, Report, RetryPolicy, make_pager_source
from funcpipe_rag.streams.pages import RepeatedCursor
from funcpipe_rag.streams.retrying import Backoff

PAGES: dict[Any, Page[str, str]] = {None: Page("ab", "p2"), "p2": Page("", "p3"), "p3": Page("c")}


class Busy(Exception):
    """The service wants to be left in peace."""


def failing(at: object, times: int) -> tuple[Any, list[Any]]:
    """A service that fails `times` times at one cursor, and what it was asked."""
    asked: list[Any] = []

    def fetch(cursor: Any) -> Page[str, str]:
        asked.append(cursor)
        if cursor == at and asked.count(at) <= times:
            raise Busy("later")
        return PAGES[cursor]

    return fetch, asked


def test_an_empty_page_in_the_middle_is_not_the_end() -> None:
    assert list(make_pager_source(PAGES.__getitem__)()) == ["a", "b", "c"]


def test_a_page_is_fetched_with_its_first_item() -> None:
    fetch, asked = failing("nowhere", 0)
    it = make_pager_source(fetch)()
    assert asked == []
    assert [next(it), next(it), list(asked)] == ["a", "b", [None]]
    assert [next(it), list(asked)] == ["c", [None, "p2", "p3"]]


def test_pages_without_end_are_read_one_by_one() -> None:
    pages = make_pager_source(lambda cursor: Page([cursor], cursor + 1), first=0)
    assert list(islice(pages(), 3)) == [0, 1, 2]


def test_nought_and_the_empty_text_are_cursors() -> None:
    pages: dict[Any, Any] = {None: Page("a", 0), 0: Page("b", ""), "": Page("c")}
    assert list(make_pager_source(pages.get)()) == ["a", "b", "c"]


def test_each_page_has_all_of_its_tries_and_each_run_the_same_waits() -> None:
    policy = RetryPolicy(3, Backoff(base=1), jitter=1.0, retry_on=Busy)
    waits: list[list[float]] = []
    for _ in range(2):
        waits.append([])
        fetch, asked = failing("p3", 2)
        pages = make_pager_source(fetch, attempts=policy, sleeper=lambda s: waits[-1].append(s))
        assert list(pages()) == ["a", "b", "c"]
        assert asked == [None, "p2", "p3", "p3", "p3"]
    assert waits[0] == waits[1]
    assert len(waits[0]) == 2


def test_a_page_that_fails_for_good_is_named_by_the_error_itself() -> None:
    fetch, asked = failing("p2", 9)
    it = make_pager_source(fetch, attempts=2, sleeper=lambda seconds: None)()
    assert [next(it), next(it)] == ["a", "b"]
    with pytest.raises(Busy, match="later") as caught:
        next(it)
    assert caught.value.__notes__ == ["retry: that was try 2 of 2", "make_pager_source: page 1, cursor 'p2'"]
    assert asked == [None, "p2", "p2"]


def test_without_the_page_nobody_knows_the_next_one_so_every_policy_ends_there() -> None:
    def pages(**options: Any) -> list[Any]:
        return list(make_pager_source(failing("p2", 9)[0], attempts=1, **options)())

    dropped = Report()
    assert pages(on_error="skip", report=dropped) == ["a", "b"]
    assert dropped.counts == {"make_pager_source": {"Busy": 1}}
    with pytest.warns(RuntimeWarning, match="make_pager_source dropped 1 item: 1 Busy"):
        pages(on_error="skip")
    *items, failed = pages(on_error="collect")
    assert items == ["a", "b"]
    assert isinstance(failed, Err)
    assert (type(failed.error), failed.item, failed.index) == (Busy, "p2", 1)


def test_an_error_that_is_not_to_be_tried_again_comes_at_once() -> None:
    asked = []

    def fetch(cursor: Any) -> Any:
        asked.append(cursor)
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        next(make_pager_source(fetch, attempts=RetryPolicy(5, retry_on=Busy), sleeper=pytest.fail)())
    assert asked == [None]


@pytest.mark.parametrize("cursor", ["p2", 7, {"key": ["p2"]}, (1, [2])])
def test_a_cursor_that_comes_back_is_an_error_and_is_not_fetched_again(cursor: Any) -> None:
    asked = []

    def fetch(at: Any) -> Page[str, Any]:
        asked.append(at)
        return Page("a", cursor)

    it = make_pager_source(fetch)()
    assert [next(it), next(it)] == ["a", "a"]
    with pytest.raises(RepeatedCursor, match=r"page 1 names .* as the next cursor"):
        next(it)
    assert asked == [None, cursor]


@pytest.mark.parametrize("page", [None, ["a", "b"], ("a",), ("a", None, None), (3, None)])
def test_what_is_no_page_is_said_to_be_none_and_not_asked_for_again(page: Any) -> None:
    with pytest.raises(TypeError, match=r"must return Page\(items, next\), got|is not iterable") as caught:
        next(make_pager_source(lambda cursor: page, sleeper=pytest.fail)())
    assert "make_pager_source: page 0, cursor None" in caught.value.__notes__


def test_an_error_among_the_items_comes_behind_those_before_it_and_closes_the_page() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
            raise Busy
        finally:
            closed.append(True)

    it = make_pager_source(lambda cursor: Page(items()), on_error="collect")()
    assert next(it) == 1
    with pytest.raises(Busy):
        next(it)
    assert closed == [True]


def test_a_page_is_closed_before_the_next_one_is_fetched() -> None:
    told: list[str] = []

    class Items(list[int]):
        """Items that say when they are closed; iterating them takes nothing away from the page."""

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            if not self:
                raise StopIteration
            return self.pop(0)

        def close(self) -> None:
            told.append("closed")

    def fetch(cursor: Any) -> Page[int, int]:
        told.append("fetched")
        return Page(Items([1, 2]), None if cursor else 1)

    assert list(make_pager_source(fetch)()) == [1, 2, 1, 2]
    assert told == ["fetched", "closed"] * 2


def test_a_page_is_not_held_once_it_is_through() -> None:
    import gc
    import weakref

    class Item:
        """What a weak reference can point at."""

    held: list[Any] = []

    def fetch(cursor: Any) -> Page[Item, int]:
        items = [Item()]
        held.append(weakref.ref(items[0]))
        return Page(items, (cursor or 0) + 1)

    it = make_pager_source(fetch)()
    for _ in range(3):
        next(it)
    gc.collect()
    assert [ref() is None for ref in held] == [True, True, False]


def test_a_pager_goes_on_in_a_pipeline() -> None:
    from funcpipe_rag import fence_k, fmap

    numbers = count()
    pages = make_pager_source(lambda cursor: Page([next(numbers)], next(numbers)))
    assert list((pages | fmap(str) | fence_k(3))()) == ["0", "2", "4"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_pager_source(3), "fetch_page must be a function"),
        (lambda: make_pager_source(PAGES.get, attempts=0), "attempts must be >= 1"),
        (lambda: make_pager_source(PAGES.get, attempts="3"), "attempts must be a whole number"),
        (lambda: make_pager_source(PAGES.get, sleeper=3), "sleeper must be a function"),
        (lambda: make_pager_source(PAGES.get, on_error="ignore"), "on_error must be"),
    ],
)
def test_bad_arguments_are_refused_at_construction(make: Any, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make()
