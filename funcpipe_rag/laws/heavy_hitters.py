"""The laws of counting with a bound: what a count may be off by, who is in the list, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .inputs import Items, SourceSpec, choice, integers, items_of
from .law import Law, holds, law, same
from .stages import SINK, Family, laws_of
from .worlds import World

Hit = tuple[Any, int, int, bool]


def _told(hits: Any) -> list[Hit]:
    return [tuple(hit) for hit in hits]


def _space_saved(items: list[Any], k: int, spare: int) -> list[Hit]:
    """Space-saving as it is told in words: of a list of [count, error, item], the least and oldest gives way."""
    held: list[list[Any]] = []
    gave_way = False
    for item in items:
        found = next((one for one in held if one[2] == item), None)
        if found is not None:
            found[0] += 1
        elif len(held) < k + spare:
            held.append([1, 0, item])
        else:
            gave_way = True
            least = min(held, key=lambda one: one[0])
            held.remove(least)
            held.append([least[0] + 1, least[0], item])
    ranked = sorted(held, key=lambda one: (-one[0], one[1]))
    # Who is in nobody's place has come no more often than the least of those who are.
    outside = ranked[k:] or (ranked[-1:] if gave_way else [])
    most = max((count for count, _error, _item in outside), default=0)
    return [(item, count, error, count - error >= most) for count, error, item in ranked[:k]]


TOPK = Family(
    "topk",
    {"k": integers(1, 3), "spare": integers(0, 2)},
    lambda world, topk, k, spare: topk(k, capacity=k + spare),
    _space_saved,
    items=lambda **how: items_of(integers(0, 5), **{"most": 12, **how}),
    told=_told,
)
DISTINCT = Family(
    "count_distinct", {}, lambda world, count_distinct: count_distinct(), lambda items: len(set(items))
)

for _family in (TOPK, DISTINCT):
    laws_of(_family, SINK)


Check = Callable[[list[Hit], Counter[Any], int, int], None]
_FEW: dict[str, Any] = {**TOPK.config, "items": TOPK.items()}
_FULL: dict[str, Any] = {
    "k": integers(2, 3),
    "spare": choice(0),
    "items": items_of(integers(0, 3), most=8),
}


def _of_topk(id: str, says: str, hint: str, inputs: dict[str, Any] = _FEW) -> Callable[[Check], Law]:
    """A law of what `topk` says of some items: its hits, the true counts, `k`, and the capacity."""

    def register(check: Check) -> Law:
        @law(id, about="topk", promise="same answer", says=says, hint=hint, **inputs)
        def made(world: World, topk: Any, k: int, spare: int, items: Items) -> None:
            xs, _probe = world.stream(SourceSpec(items))
            hits = _told(world.run(topk(k, capacity=k + spare), xs))
            check(hits, Counter(items), k, k + spare)

        return made

    return register


@_of_topk(
    "topk-never-reports-too-little",
    says="No item has come more often than its count says.",
    hint="A new item takes a place. How often may it have come before, when nobody was counting?",
)
def _(hits: list[Hit], true: Counter[Any], k: int, capacity: int) -> None:
    for item, count, _error, _guaranteed in hits:
        holds(true[item] <= count, f"{item!r} has count {count}", f"{true[item]}, or more")


@_of_topk(
    "topk-says-how-far-it-may-be-off",
    says="No item has come less often than its count less its error says.",
    hint="Whose count did the new item take over? That much of it may be another's.",
)
def _(hits: list[Hit], true: Counter[Any], k: int, capacity: int) -> None:
    for item, count, error, _guaranteed in hits:
        came = f"{item!r} came {true[item]} times; it has count {count}, error {error}"
        holds(count - error <= true[item], came, f"an error of {count - true[item]}, or more")


@_of_topk(
    "topk-keeps-its-error-small",
    says="No error is larger than N / capacity, for N items in all.",
    hint="Which of the counts that you hold is never larger than that?",
)
def _(hits: list[Hit], true: Counter[Any], k: int, capacity: int) -> None:
    for item, _count, error, _guaranteed in hits:
        came = f"{item!r} has error {error}, of {true.total()} items with capacity {capacity}"
        holds(error * capacity <= true.total(), came, f"{true.total() // capacity}, or less")


@_of_topk(
    "topk-is-exact-while-there-is-room",
    says="With no more different items than capacity, counts are exact; ties come in the order of first sight.",
    hint="Two items came equally often. Which one did you see first?",
)
def _(hits: list[Hit], true: Counter[Any], k: int, capacity: int) -> None:
    if len(true) <= capacity:
        same(hits, [(item, count, 0, True) for item, count in true.most_common(k)])


@_of_topk(
    "topk-misses-no-heavy-hitter",
    says="With k = capacity, every item that makes up more than 1 / capacity of the stream is in the list.",
    hint="What happens to an item that comes late, and then all the time?",
    inputs=_FULL,
)
def _(hits: list[Hit], true: Counter[Any], k: int, capacity: int) -> None:
    there = [hit[0] for hit in hits]
    missed = [item for item, count in true.items() if count * capacity > true.total() and item not in there]
    holds(not missed, f"the list is {there}", f"{missed} in it")


@_of_topk(
    "topk-guarantees-only-what-is-true",
    says="An item that is guaranteed has come at least as often as every item outside the list.",
    hint="What is the most that somebody outside the list can have come?",
)
def _(hits: list[Hit], true: Counter[Any], k: int, capacity: int) -> None:
    there = [hit[0] for hit in hits]
    for item, _count, _error, guaranteed in hits:
        more = [other for other in true if other not in there and true[other] > true[item]]
        holds(not (guaranteed and more), f"{item!r} is guaranteed", f"not: {more} came more often")
