"""Pages: a long answer that a service gives piece by piece, each piece with the cursor of the next one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from time import sleep
from typing import Any, Generic, Literal, NamedTuple, SupportsIndex, TypeVar, overload

from .arguments import a_function
from .ownership import Owned, shielded
from .reports import OnError, Told, policy
from .results import Err
from .retrying import RetryPolicy, retry
from .stages import Stage

T = TypeVar("T")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)


class Page(NamedTuple, Generic[T_co, C_co]):
    """Items, and the cursor of the next page: None behind the last one.

    >>> Page(["a", "b"], next=2)
    Page(items=['a', 'b'], next=2)
    >>> Page(["c"]).next is None
    True
    """

    items: Iterable[T_co]
    next: C_co | None = None


class RepeatedCursor(ValueError):
    """A page named a cursor as the next one that had been asked for before: the pages would never end."""


@overload
def make_pager_source(
    fetch_page: Callable[[C | None], tuple[Iterable[T], C | None]],
    *,
    first: C | None = ...,
    attempts: SupportsIndex | RetryPolicy = ...,
    seed: int = ...,
    sleeper: Callable[[float], object] = ...,
    on_error: Literal["fail", "skip"] = ...,
    report: Told | None = ...,
) -> Stage[[], Iterator[T]]: ...
@overload
def make_pager_source(
    fetch_page: Callable[[C | None], tuple[Iterable[T], C | None]],
    *,
    first: C | None = ...,
    attempts: SupportsIndex | RetryPolicy = ...,
    seed: int = ...,
    sleeper: Callable[[float], object] = ...,
    on_error: Literal["collect"],
    report: Told | None = ...,
) -> Stage[[], Iterator[T | Err[C | None]]]: ...
def make_pager_source(
    fetch_page: Callable[[Any], tuple[Iterable[Any], Any]],
    *,
    first: Any = None,
    attempts: SupportsIndex | RetryPolicy = 3,
    seed: int = 0,
    sleeper: Callable[[float], object] = sleep,
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[Any]]:
    """The items of all pages: `fetch_page(cursor)` gives a `Page`, whose `next` is the cursor of the one behind it.

    >>> pages = {None: Page(["a", "b"], next="p2"), "p2": Page(["c"])}
    >>> list(make_pager_source(pages.get)())
    ['a', 'b', 'c']

    A page is fetched when its first item is asked for, never ahead. One that fails is asked for again, `attempts`
    times in all; pass a `RetryPolicy` to say how long to wait, and after which errors.

    >>> answers = iter([ConnectionError("busy"), Page("ab")])
    >>> def fetch(cursor):
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> waited = []
    >>> list(make_pager_source(fetch, attempts=2, sleeper=waited.append)()), waited
    (['a', 'b'], [0.1])

    A page that fails for good is a failure that names it: raised ("fail"), dropped and counted ("skip"), or an `Err`
    with its cursor ("collect"). Each of them is the end: without the page, nobody knows the next cursor. A cursor that
    comes back is such a failure, for it would go round for ever.

    >>> looping = {None: Page([1], next="p2"), "p2": Page([2], next="p2")}
    >>> list(make_pager_source(looping.get)())
    Traceback (most recent call last):
    ...
    funcpipe_rag.streams.pages.RepeatedCursor: page 1 names 'p2' as the next cursor, and that was fetched before
    make_pager_source: page 2, cursor 'p2'
    >>> list(make_pager_source(looping.get, on_error="collect")())[2].item
    'p2'

    The first page has the cursor `first`. Pages count from 0. A plain pair `(items, next)` is a page too. Only None ends:
    0 and "" are cursors. `seed` and `sleeper` are those of `retry`.

    Class: clocked (pure in `fetch_page`, the seed and the sleeper). Demand: one call when the items before it are
    used up; a page's items are pulled one by one. Memory: one page, as it was given, and the cursors so far. Closing: closes
    the iterator over a page's items behind its last item, or where it is stopped. Errors: those of `fetch_page`
    and of a page's items, after the items before them; RepeatedCursor; TypeError for what is no page; the first three with a note that
    says which page. TypeError and ValueError for a bad argument, at construction.
    """
    a_function("make_pager_source", "fetch_page", fetch_page)
    rules = attempts if isinstance(attempts, RetryPolicy) else RetryPolicy(attempts)
    patient = retry(rules, seed=seed, sleeper=sleeper)
    failures_of = policy("make_pager_source", on_error, report=report)

    def run() -> Iterator[Any]:
        # Guarded anew, so that every run has the same waits.
        fetch = patient(fetch_page)
        asked: set[Hashable] = set()
        cursor, number = first, 0
        with failures_of() as failures, Owned() as owned:
            while cursor is not None or number == 0:
                failure = None
                try:
                    _once(cursor, number, asked)
                    items, following = _parts(fetch(cursor))
                except Exception as error:
                    failure = error
                if failure is not None:
                    failure.add_note(f"make_pager_source: page {number}, cursor {cursor!r}")
                    yield from failures.handle(failure, cursor, number)
                    return
                page = owned.take(items)
                yield from shielded(page)
                owned.release(page)
                cursor, number = following, number + 1

    options = {} if attempts == 3 else {"attempts": attempts}
    return Stage(run, "source", "make_pager_source", fetch_page, **options)


def _once(cursor: Any, number: int, asked: set[Hashable]) -> None:
    """RepeatedCursor if `cursor` was asked for before."""
    key = cursor
    try:
        hash(cursor)
    except TypeError:
        # Some services have a dict for a cursor; its text is as good as itself.
        key = repr(cursor)
    if key in asked:
        raise RepeatedCursor(
            f"page {number - 1} names {cursor!r} as the next cursor, and that was fetched before"
        )
    asked.add(key)


def _parts(page: Any) -> tuple[Iterator[Any], Any]:
    if not isinstance(page, tuple) or len(page) != 2:
        raise TypeError(f"fetch_page must return Page(items, next), got {type(page).__name__}")
    items, following = page
    return iter(items), following
