"""Who opened it closes it.

One rule (law C1) and one mechanism for the whole room: what a stream opens or takes over stands in an
`Owned`, and leaving the `Owned` closes all of it, exactly once, last opened first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import GeneratorType, TracebackType
from typing import TypeVar

T = TypeVar("T")


class Owned:
    """The iterators that a stream has opened and must close.

    >>> def letters():
    ...     try:
    ...         yield from "ab"
    ...     finally:
    ...         print("closed")
    >>> with Owned() as owned:
    ...     next(owned.called(letters))
    'a'
    closed

    What was an iterator already was handed over by somebody who still holds it, and stays open.

    >>> mine = letters()
    >>> with Owned() as owned:
    ...     next(owned.opened(mine))
    'a'
    >>> mine.close()
    closed

    An iterator that raises while it is closed does not keep the others from being closed. The first error
    is raised, the later ones are notes on it. Memory: one reference an open iterator.
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, Iterator[object]] = {}

    def opened(self, xs: Iterable[T]) -> Iterator[T]:
        """An iterator over `xs`: owned if it was made here, left alone if `xs` is one itself."""
        it = iter(xs)
        return it if it is xs else self.take(it)

    def take(self, it: Iterator[T]) -> Iterator[T]:
        """Own `it`, whoever made it."""
        self._open[id(it)] = it
        return it

    def called(self, make: Callable[..., Iterable[T]], *given: Iterable[object]) -> Iterator[T]:
        """Call a source or a stage and own the iterator it made.

        A stage that hands back what it was given made nothing. TypeError, naming `make`, when the result
        cannot be iterated.
        """
        made = make(*given)
        if given and made is given[0]:
            return iter(made)
        try:
            return self.take(iter(made))
        except TypeError:
            if hasattr(made, "__iter__"):
                raise
            raise TypeError(
                f"{named(make)} gave {type(made).__name__}, which cannot be iterated; "
                "a source or stage yields its items, or returns an iterator over them"
            ) from None

    def release(self, it: Iterator[object]) -> None:
        """Close `it` now, ahead of the rest."""
        if self._open.pop(id(it), None) is not None:
            close(it)

    def __enter__(self) -> Owned:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        first = None if isinstance(error, GeneratorExit) else error
        while self._open:
            _, it = self._open.popitem()
            try:
                close(it)
            except BaseException as failure:
                if first is None:
                    first = failure
                elif failure is not first:
                    first.add_note(f"and while closing: {type(failure).__name__}: {failure}")
        if first is not None and first is not error:
            raise first


def close(it: object) -> None:
    """Close `it` if it can be closed."""
    closing = getattr(it, "close", None)
    if closing is not None:
        closing()


def shielded(it: Iterator[T]) -> Iterator[T]:
    """`it` for a `yield from` that must not close it.

    `yield from` closes what it delegates to when it is closed itself. That would be a second time for an
    iterator in an `Owned`: a generator bears it, anything else that can be closed gets a shield.
    """
    if type(it) is GeneratorType or not hasattr(it, "close"):
        return it
    return islice(it, None)


def named(thing: object) -> str:
    """A short name for a function, a stage or a value: what repr() would be if it were kind.

    >>> named(len), named(str.upper), named([3])
    ('len', 'str.upper', '[3]')

    It is for error messages, so it does not fail where repr() does.

    >>> class Broken:
    ...     def __repr__(self):
    ...         return self.name
    >>> named(Broken())
    '<Broken>'
    """
    name = getattr(thing, "__qualname__", None)
    if isinstance(name, str):
        return name.rpartition("<locals>.")[2]
    try:
        text = repr(thing)
    except Exception:
        return f"<{type(thing).__name__}>"
    return text if len(text) <= 40 else f"{text[:37]}..."
