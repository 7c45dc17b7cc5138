"""Routing: one stream, several specialists by name, and for each item the one that its route names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from .arguments import a_function
from .ends import ending
from .ownership import Owned, named
from .stages import Stage

A = TypeVar("A")
B = TypeVar("B")
A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)


class Handler(Protocol[A_contra, B_co]):
    """What handles one item: any callable, without a class to inherit from."""

    def __call__(self, item: A_contra, /) -> B_co: ...


def make_router(
    route: Callable[[A], str], handlers: Mapping[str, Handler[A, B]], *, default: Handler[A, B] | None = None
) -> Stage[[Iterable[A]], Iterator[B]]:
    """Send each item to the handler that `route` names; results come in the order of the items.

    >>> kinds = {"number": int, "word": str.upper}
    >>> list(make_router(lambda s: "number" if s.isdigit() else "word", kinds)(["tee", "57"]))
    ['TEE', 57]

    A name without a handler goes to `default`; without one it is an error that shows the item.

    >>> list(make_router(lambda s: "date", kinds, default=len)(["tee"]))
    [3]
    >>> list(make_router(lambda s: "date", kinds)(["tee"]))
    Traceback (most recent call last):
    ...
    ValueError: make_router: no handler 'date' for item 'tee'; there are 'number', 'word'

    A handler takes one item and gives one result; one that gives several goes through `fflat_map` behind the
    router. A *transform* for each name would be a fan-out: it may read many items before its first result, so
    order and demand would be those of a fork, and are better asked for by name: `fork_lockstep`,
    `make_keyed_join`.

    Class: pure. Demand: one pull, one call of `route` and one of a handler for each result. Memory: O(1); `handlers` is copied.
    Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those of `route`,
    the handler and the input, after the results before them; ValueError as above; TypeError for a handler that
    cannot be called.
    """
    a_function("make_router", "route", route)
    if not isinstance(handlers, Mapping):
        raise TypeError(f"make_router: handlers must map names to functions, got {type(handlers).__name__}")
    for name, handler in handlers.items():
        a_function("make_router", f"handler {name!r}", handler)
    if default is not None:
        a_function("make_router", "default", default)
    known = dict(handlers)

    def routed(item: A) -> B:
        name = route(item)
        handler = known.get(name, default)
        if handler is None:
            there = ", ".join(map(repr, known)) or "none"
            raise ValueError(f"make_router: no handler {name!r} for item {named(item)}; there are {there}")
        return handler(item)

    def run(xs: Iterable[A], /) -> Iterator[B]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from map(routed, it)
            end.must_be_reached(
                "make_router", route, *known.values(), *([] if default is None else [default])
            )

    options: dict[str, Any] = {} if default is None else {"default": default}
    return Stage(run, "transform", "make_router", route, list(known), **options).made_of(*known.values())
