"""What people write in place of the router."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from funcpipe_rag.laws.routing import ROUTER

from .mutant import mutant
from .stages import Run, wrapped

Handlers = Mapping[str, Callable[[Any], Any]]
Route = Callable[[Any], str]

wrapped(ROUTER)


@mutant(of="make_router", killed_by="make-router-calls-one-handler-once")
def asks_every_specialist(route: Route, handlers: Handlers, *, default: Any = None) -> Run:
    """Lets every handler work on the item, and then takes the answer of one."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            answers = {name: handler(x) for name, handler in handlers.items()}
            yield answers[route(x)]

    return stream


@mutant(of="make_router", killed_by="make-router-calls-one-handler-once")
def routes_twice(route: Route, handlers: Handlers, *, default: Any = None) -> Run:
    """Asks for the route once to see whether it is known, and once more to go there."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            if route(x) not in handlers and default is None:
                raise ValueError(f"no handler {route(x)!r} for {x!r}")
            yield handlers.get(route(x), default)(x)

    return stream


@mutant(of="make_router", killed_by="make-router-refuses-a-name-it-does-not-know")
def leaves_out_the_unknown(route: Route, handlers: Handlers, *, default: Any = None) -> Run:
    """Skips an item whose name has no handler, and tells nobody."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            handler = handlers.get(route(x), default)
            if handler is not None:
                yield handler(x)

    return stream


@mutant(of="make_router", killed_by="make-router-equals-its-eager-twin")
def one_specialist_after_the_other(route: Route, handlers: Handlers, *, default: Any = None) -> Run:
    """Sorts the items to their handlers first: each works through its own, and the order is gone."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        items = list(xs)
        for name, handler in handlers.items():
            yield from [handler(x) for x in items if route(x) == name]

    return stream
