"""The laws of the router: one item, one specialist, in order."""

from __future__ import annotations

from itertools import islice
from typing import Any

from .inputs import FUNCTIONS, Items, SourceSpec, booleans, integers, numbers
from .law import holds, law, same, times
from .stages import WHOLE, Family, laws_of
from .worlds import World

NAMES = ("add1", "double", "negate")


def _route(item: int) -> str:
    return NAMES[item % 3]


ROUTER = Family(
    "make_router",
    {},
    lambda world, make_router: make_router(_route, {name: world.fn(name) for name in NAMES}),
    lambda xs: [FUNCTIONS[_route(x)](x) for x in xs],
)
laws_of(ROUTER, WHOLE)


@law(
    "make-router-calls-one-handler-once",
    about="make_router",
    promise="same answer",
    says="Each item is routed once and handled once, by the handler of its name and no other.",
    hint="Who was called for this item, and how often?",
    items=numbers(),
)
def _(world: World, make_router: Any, items: Items) -> None:
    called: list[tuple[str, int]] = []

    def noting(name: str) -> Any:
        def handler(item: int) -> int:
            called.append((name, item))
            return item

        return handler

    def route(item: int) -> str:
        called.append(("route", item))
        return _route(item)

    xs, _probe = world.stream(SourceSpec(items))
    list(
        islice(world.iterator(world.run(make_router(route, {name: noting(name) for name in NAMES}), xs)), 99)
    )
    same(called, [call for item in items for call in (("route", item), (_route(item), item))], "called: {}")


@law(
    "make-router-refuses-a-name-it-does-not-know",
    about="make_router",
    promise="same answer",
    says="A name without a handler goes to the default; without a default it is a ValueError that shows the item.",
    hint="What does your lookup give for a name that is not there?",
    items=numbers(),
    unknown=integers(0, 5),
    default=booleans(),
)
def _(world: World, make_router: Any, items: Items, unknown: int, default: bool) -> None:
    def route(item: int) -> str:
        return "nobody" if item == unknown else "double"

    options = {"default": world.fn("negate")} if default else {}
    xs, _probe = world.stream(SourceSpec(items))
    expected = [-item if item == unknown else 2 * item for item in items]
    bad = next((at for at, item in enumerate(items) if item == unknown and not default), None)
    got = []
    try:
        for result in world.iterator(
            world.run(make_router(route, {"double": world.fn("double")}, **options), xs)
        ):
            got.append(result)
            holds(len(got) <= len(items), f"it gave more than {times(len(items))}", "an end")
    except ValueError as error:
        holds(bad is not None, f"ValueError: {error}", "no error")
        shown = "nobody" in str(error) and str(unknown) in str(error)
        holds(shown, f"ValueError: {error}", f"a ValueError that names 'nobody' and shows item {unknown}")
        same(got, expected[:bad], "before the error it gave {}")
    else:
        holds(bad is None, f"{got} and no error", f"a ValueError that shows item {unknown}")
        same(got, expected)
