"""The laws of groups: neighbours with one key, together; and no key twice."""

from __future__ import annotations

from itertools import islice
from typing import Any

from .inputs import FUNCTIONS, Items, SourceSpec, choice, numbers, sources
from .law import holds, law, same
from .stages import WHOLE, Family, laws_of
from .worlds import World


def _grouped(xs: list[Any], key: str) -> list[Any]:
    key_of = FUNCTIONS[key]
    groups: list[tuple[Any, list[Any]]] = []
    for x in xs:
        if not groups or groups[-1][0] != key_of(x):
            groups.append((key_of(x), []))
        groups[-1][1].append(x)
    return [(found, tuple(items)) for found, items in groups]


def _by_key(world: World, make: Any, key: str) -> Any:
    return make(world.fn(key))


GROUPS = (
    Family(
        "make_grouped",
        {"key": choice("is_even", "is_small", "add1", "to_none")},
        _by_key,
        _grouped,
        # The last group may go on.
        settled=lambda xs, key: max(0, len(_grouped(xs, key)) - 1),
    ),
    Family(
        "ensure_contiguous",
        {"key": choice("add1", "is_small", "to_none")},
        _by_key,
        lambda xs, key: xs,
        items=lambda **how: numbers(rising=True, **how),
    ),
)

for _family in GROUPS:
    laws_of(_family, WHOLE)


@law(
    "make-grouped-loses-no-saved-group",
    about="make_grouped",
    promise="same answer",
    says="A group that you keep has all its items, also when you read it after the stream has ended.",
    hint="`itertools.groupby` says: the group shares the underlying iterable. What is left of it by then?",
    items=numbers(),
)
def _(world: World, make_grouped: Any, items: Items) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    stream = world.iterator(world.run(make_grouped(world.fn("is_even")), xs))
    kept = list(islice(stream, len(items) + 1))
    got = [item for _key, group in kept for item in list(islice(group, len(items) + 1))]
    same(got, list(items), "the saved groups together have {}")


@law(
    "ensure-contiguous-refuses-a-key-that-returns",
    about="ensure_contiguous",
    promise="same answer",
    says="A key that comes back after another is a ValueError that names the key and the index, behind the items before.",
    hint="Which keys had ended when this one came? What did you keep of them?",
    source=sources(),
    key=choice("add1", "is_even", "is_small"),
)
def _(world: World, ensure_contiguous: Any, source: SourceSpec, key: str) -> None:
    keys = [FUNCTIONS[key](item) for item in source.items]
    again = next(
        (at for at in range(1, len(keys)) if keys[at] != keys[at - 1] and keys[at] in keys[:at]), None
    )
    xs, _probe = world.stream(source)
    got = []
    try:
        for item in world.iterator(world.run(ensure_contiguous(world.fn(key)), xs)):
            got.append(item)
            holds(len(got) <= len(keys), f"it gave more than {len(keys)} items", "an end")
    except ValueError as error:
        holds(again is not None, f"ValueError: {error}", "no error")
        assert again is not None
        wanted = f"key {keys[again]!r} and index {again}"
        named = f"key {keys[again]!r}" in str(error) and f"index {again}" in str(error)
        holds(named, f"ValueError: {error}", f"a ValueError that names {wanted}")
        same(got, list(source.items[:again]), "before the error it gave {}")
    else:
        holds(again is None, f"{got} and no error", f"a ValueError at index {again}")
        same(got, list(source.items))
