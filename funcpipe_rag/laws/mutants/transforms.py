"""What people write in place of the plain transforms.

The first set is made of a right one by one wrong line around it, so it stands for every transform alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import islice
from typing import Any

from funcpipe_rag import streams
from funcpipe_rag.laws.law import LAWS
from funcpipe_rag.laws.transforms import FAMILIES

from .mutant import mutant

Run = Callable[[Iterable[Any]], Iterator[Any]]


def eager_inside(run: Run) -> Run:
    """Builds the whole list first: `for x in list(xs)` still looks like a generator."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from list(run(xs))

    return stream


def born_eager(run: Run) -> Run:
    """Starts working when it is called: `return`, where a generator would `yield`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = run(xs)
        first = list(islice(it, 1))

        def rest() -> Iterator[Any]:
            yield from first
            yield from it

        return rest()

    return stream


def looks_ahead(run: Run) -> Run:
    """Fetches the next item before it gives this one, to learn whether this was the last."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = run(xs)
        try:
            held = next(it)
        except StopIteration:
            return
        for item in it:
            yield held
            held = item
        yield held

    return stream


def drops_the_last(run: Run) -> Run:
    """Leaves its loop when the input ends, with one item still in hand."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        held: list[Any] = []
        for item in run(xs):
            yield from held
            held = [item]

    return stream


def captured_iterator(run: Run) -> Run:
    """Keeps one iterator outside the function that runs for each stream."""
    kept: list[Iterator[Any]] = []

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        if not kept:
            kept.append(run(xs))
        yield from kept[0]

    return stream


def swallows_errors(run: Run) -> Run:
    """Takes every exception for the end of the stream."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from run(xs)
        except Exception:
            return

    return stream


def leaks_what_it_opened(run: Run) -> Run:
    """Calls iter() on a collection and never closes what that gave."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from run(iter(xs))

    return stream


def closes_what_it_was_handed(run: Run) -> Run:
    """Closes its input whoever made it: `with closing(xs)`, or a bare `yield from xs`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from run(xs)
        finally:
            if isinstance(xs, Iterator):
                xs.close()  # type: ignore[attr-defined]

    return stream


WRAPPED = {
    "starts-nothing-at-birth": born_eager,
    "asks-for-no-more-than-it-needs": looks_ahead,
    "equals-its-eager-twin": drops_the_last,
    "starts-afresh": captured_iterator,
    "passes-errors-on": swallows_errors,
    "closes-what-it-opened": leaks_what_it_opened,
    "leaves-open-what-it-was-handed": closes_what_it_was_handed,
}


def _around(name: str, wrap: Callable[[Run], Run]) -> Callable[[Any], Run]:
    @wraps(wrap)
    def factory(*given: Any) -> Any:
        *stream, config = given
        if stream:
            return wrap(lambda xs: getattr(streams, name)(xs, config))(stream[0])
        return wrap(getattr(streams, name)(config))

    return factory


for _family in FAMILIES:
    _slug = _family.name.replace("_", "-")
    for _law, _wrap in WRAPPED.items():
        if f"{_slug}-{_law}" not in LAWS:
            continue
        mutant(of=_family.name, killed_by=f"{_slug}-{_law}")(_around(_family.name, _wrap))
    mutant(of=_family.name, killed_by=f"{_slug}-asks-for-no-more-than-it-needs")(
        _around(_family.name, eager_inside)
    )


@mutant(of="fence_k", killed_by="fence-k-never-asks-again")
def one_pull_too_many(k: int) -> Run:
    """Counts after pulling: `for i, x in enumerate(xs): if i >= k: break`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for i, x in enumerate(xs):
            if i >= k:
                break
            yield x

    return stream


@mutant(of="fence_k", killed_by="fence-k-goes-on-where-it-stopped")
def zip_wrong_way(k: int) -> Run:
    """Writes `zip(xs, range(k))`: zip asks its first argument first, and loses that answer."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x, _ in zip(xs, range(k), strict=False):
            yield x

    return stream


@mutant(of="fence_k", killed_by="fence-k-equals-its-eager-twin")
def zero_is_forever(k: int) -> Run:
    """Stops when the count has come down to zero, after giving: zero never comes."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        left = k
        for x in islice(xs, k or None):
            yield x
            left -= 1
            if left == 0:
                return

    return stream


@mutant(of="fence_k", killed_by="fence-k-never-asks-again")
def fence_after(k: int) -> Run:
    """Fences the list instead of the stream: `iter(list(xs)[:k])`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from list(xs)[:k]

    return stream


@mutant(of="fflat_map", killed_by="fflat-map-reads-each-result-as-it-is-asked-for")
def lists_each_result(fn: Callable[[Any], Iterable[Any]]) -> Run:
    """Turns each result into a list before it gives the first item of it."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield from list(fn(x))

    return stream


@mutant(of="fflat_map", killed_by="fflat-map-closes-each-result")
def leaves_results_open(fn: Callable[[Any], Iterable[Any]]) -> Run:
    """Loops over each result with `for`, which closes nothing."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            for y in fn(x):  # noqa: UP028
                yield y

    return stream


@mutant(of="make_batched", killed_by="make-batched-equals-its-eager-twin")
def lost_tail(n: int) -> Run:
    """Writes `zip(*[iter(xs)] * n)`: the last items never arrive, and there is no error."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from zip(*[iter(xs)] * n, strict=False)

    return stream


@mutant(of="make_batched", killed_by="make-batched-asks-for-no-more-than-it-needs")
def yields_before_appending(n: int) -> Run:
    """Gives a full batch when the next item comes, and so has to fetch that item first."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        batch: list[Any] = []
        for x in xs:
            if len(batch) == n:
                yield tuple(batch)
                batch = []
            batch.append(x)
        if batch:
            yield tuple(batch)

    return stream


@mutant(of="make_batched", killed_by="make-batched-equals-its-eager-twin")
def reiterates(n: int) -> Run:
    """Slices its input again and again, without iter(): on a list every slice is the first one."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        while batch := tuple(islice(xs, n)):
            yield batch

    return stream


@mutant(of="make_batched", killed_by="make-batched-equals-its-eager-twin")
def window_reuse(n: int) -> Run:
    """Gives the same list each time and clears it: whoever kept a batch finds it empty."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        batch: list[Any] = []
        for x in xs:
            batch.append(x)
            if len(batch) == n:
                yield batch
                batch.clear()
        if batch:
            yield batch

    return stream


@mutant(of="batched", killed_by="batched-strict-refuses-a-short-tail")
def strict_in_name_only(xs: Iterable[Any], n: int, *, strict: bool = False) -> Iterator[Any]:
    """Takes the argument and forgets it."""
    return streams.batched(xs, n)
