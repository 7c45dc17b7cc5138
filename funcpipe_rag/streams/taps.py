"""Taps: looking at a stream without touching it.

A tap sees an item before you do, and changes no item, no order and no pull. A sampler leaves items out, and adds
nothing. What an observer has seen is told by run: two runs of one stage do not know of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import compress, count, islice
from sys import maxsize
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypeVar

from .arguments import a_function, a_number, a_whole_number
from .counting import counted
from .ends import ending, not_the_end
from .ownership import Owned, named, shielded
from .stages import PassingStage

T = TypeVar("T")

Key: TypeAlias = str | bytes | int | float | tuple[Any, ...] | None
"""What tells items apart for a stable choice: its bytes or its repr are the same everywhere."""


def make_tap(cb: Callable[[Any], object], *, on_error: Literal["fail", "skip"] = "fail") -> PassingStage:
    """Show each item to `cb`, then pass it on as it is.

    >>> for word in make_tap(print)(["fence", "tee"]):
    ...     print("got", word)
    fence
    got fence
    tee
    got tee

    What `cb` returns is of no account. When it fails, so does the stream; with `on_error="skip"` the item goes on
    all the same, and one RuntimeWarning at the end of the run says how often `cb` failed, and how first.

    >>> from warnings import catch_warnings
    >>> with catch_warnings(record=True) as warned:
    ...     list(make_tap(lambda n: 1 / n, on_error="skip")([2, 0]))
    [2, 0]
    >>> print(warned[0].message)
    make_tap: <lambda> failed on 1 item, first with ZeroDivisionError: division by zero

    Class: observer. Demand: one pull an item. Memory: O(1). Closing: closes the iterator it made of its input;
    one that it was handed stays open. Errors: those of the input, and of `cb` in place of its item, after the
    items before them; ValueError for another `on_error`.
    """
    a_function("make_tap", "cb", cb)
    if on_error not in ("fail", "skip"):
        raise ValueError(f'make_tap: on_error must be "fail" or "skip", got {on_error!r}')

    def failing(xs: Iterable[T], /) -> Iterator[T]:
        def seen(item: T) -> T:
            try:
                cb(item)
            except StopIteration as error:
                raise not_the_end("make_tap", cb) from error
            return item

        with Owned() as owned:
            yield from map(seen, owned.opened(xs))

    def skipping(xs: Iterable[T], /) -> Iterator[T]:
        failures, first = 0, ""

        def seen(item: T) -> T:
            nonlocal failures, first
            try:
                cb(item)
            except Exception as error:
                # As text: the error itself would hold the item.
                first = first or f"{type(error).__name__}: {error}"
                failures += 1
            return item

        def told() -> None:
            if failures:
                from warnings import warn

                items = "1 item" if failures == 1 else f"{failures} items"
                said = f"make_tap: {named(cb)} failed on {items}, first with {first}"
                # Past Owned, its close() and this generator, to the loop that reads the stream.
                warn(said, RuntimeWarning, stacklevel=5)

        with Owned() as owned:
            owned.take(_AtTheEnd(told))
            yield from map(seen, owned.opened(xs))

    if on_error == "fail":
        return PassingStage(failing, "transform", "make_tap", cb)
    return PassingStage(skipping, "transform", "make_tap", cb, on_error=on_error)


def make_counter(*, emit: Callable[[int], object] | None = None) -> Counter:
    """Count the items that go through; `counts` tells how many, run by run.

    >>> passed = make_counter()
    >>> list(passed("abc")), list(passed("de"))
    (['a', 'b', 'c'], ['d', 'e'])
    >>> passed.counts
    (3, 2)

    A run counts while it goes on, so a half-read stream tells how far it is. `emit` is called with the count of
    each run when that run ends: read to its end, failed, or closed half-way.

    >>> counting = make_counter(emit=print)
    >>> letters = counting("abc")
    >>> next(letters), counting.counts
    ('a', (1,))
    >>> letters.close()
    1

    Class: observer. Demand: one pull an item, at no Python call. Memory: one small object a run. Closing: closes
    the iterator it made of its input; one that it was handed stays open. Errors: those of the input, and of
    `emit` at the end of a run.
    """
    if emit is not None:
        a_function("make_counter", "emit", emit)
    return Counter(emit)


class Counter(PassingStage):
    """The stage that `make_counter` gives."""

    __slots__ = ("_so_far",)

    _so_far: list[Callable[[], int]]

    def __init__(self, emit: Callable[[int], object] | None) -> None:
        runs: list[Callable[[], int]] = []

        def run(xs: Iterable[T], /) -> Iterator[T]:
            with Owned() as owned:
                it, so_far = counted(owned.opened(xs))
                runs.append(so_far)
                if emit is not None:
                    owned.take(_AtTheEnd(lambda: emit(so_far())))
                yield from it

        options = {} if emit is None else {"emit": emit}
        super().__init__(run, "transform", "make_counter", **options)
        self.set_once(_so_far=runs)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many items have gone through, for each run in the order in which they began."""
        return tuple(so_far() for so_far in self._so_far)


def make_peek(n: SupportsIndex, emit: Callable[[Any], object], *, stride: SupportsIndex = 1) -> PassingStage:
    """Show the first `n` items to `emit`, and pass all of them on.

    >>> sum(make_peek(2, print)(range(5)))
    0
    1
    10

    With `stride`, every stride-th item is shown: `n` of them, and then no more.

    >>> sum(make_peek(2, print, stride=3)(range(100)))
    0
    3
    4950

    An item is shown when you ask for it, not before. Class: observer. Demand: one pull an item; behind the last
    one shown, at no Python call. Memory: O(1). Closing: closes the iterator it made of its input; one that it was
    handed stays open. Errors: those of the input, and of `emit` in place of its item; ValueError for n < 0 and
    for stride < 1.
    """
    many = a_whole_number("make_peek", "n", n, least=0)
    a_function("make_peek", "emit", emit)
    step = a_whole_number("make_peek", "stride", stride, least=1)
    watched = (many - 1) * step + 1 if many else 0

    def shown(item: T, place: int) -> T:
        if place % step == 0:
            try:
                emit(item)
            except StopIteration as error:
                raise not_the_end("make_peek", emit) from error
        return item

    def run(xs: Iterable[T], /) -> Iterator[T]:
        with Owned() as owned:
            it, passed = counted(owned.opened(xs))
            yield from map(shown, islice(it, min(watched, maxsize)), count())
            # An input that has ended is not asked again.
            if passed() == watched:
                yield from it

    options = {} if step == 1 else {"stride": step}
    return PassingStage(run, "transform", "make_peek", many, emit, **options)


def make_sampler_bernoulli(rate: SupportsFloat, *, seed: int | str | bytes) -> PassingStage:
    """Keep each item with probability `rate`, by numbers drawn from `seed`: each run draws the same ones.

    >>> some = make_sampler_bernoulli(0.5, seed=7)
    >>> list(some(range(10)))
    [0, 1, 3, 5, 6, 8, 9]

    The choice is by place alone: other items in the same places meet the same fate.

    >>> "".join(some("abcdefghij"))
    'abdfgij'

    Class: pure; random only in its looks. One draw of `random.Random(seed).random()` an item, which Python
    promises to keep from version to version. Demand: one pull for each item looked at, kept or not. Memory:
    one generator of random numbers a run. Closing: closes the iterator it made of its input; one that it was
    handed stays open. Errors: those of the input; ValueError for a rate that is not between 0 and 1; TypeError
    for a seed that is no whole number and no text.
    """
    share = _share("make_sampler_bernoulli", rate)
    if not isinstance(seed, (int, str, bytes)):
        raise TypeError(f"make_sampler_bernoulli: seed must be a whole number, text or bytes, got {seed!r}")

    def run(xs: Iterable[T], /) -> Iterator[T]:
        # Imported here: random costs more than all of this room.
        from random import Random

        draws = iter(Random(seed).random, None)
        with Owned() as owned:
            yield from compress(owned.opened(xs), map(share.__gt__, draws))

    return PassingStage(run, "transform", "make_sampler_bernoulli", share, seed=seed)


def make_sampler_periodic(k: SupportsIndex, *, offset: SupportsIndex = 0) -> PassingStage:
    """Keep every `k`-th item: those at `offset`, `offset + k`, `offset + 2 * k` ...

    >>> list(make_sampler_periodic(3)(range(8)))
    [0, 3, 6]
    >>> list(make_sampler_periodic(3, offset=2)(range(8)))
    [2, 5]

    An item is given as soon as it comes; those behind it wait until you ask for the next.

    >>> numbers = iter(range(8))
    >>> next(make_sampler_periodic(3)(numbers)), next(numbers)
    (0, 1)

    Class: pure. Beware of data with a period of its own. Demand: `offset` + 1 pulls for the first item, `k` for
    each other one. Memory: O(1). Closing: closes the iterator it made of its input; one that it was handed stays
    open. Errors: those of the input; ValueError for k < 1 and for an offset that is not below k.
    """
    period = a_whole_number("make_sampler_periodic", "k", k, least=1)
    start = a_whole_number("make_sampler_periodic", "offset", offset, least=0)
    if start >= period:
        raise ValueError(f"make_sampler_periodic: offset must be below k = {period}, got {start}")

    def run(xs: Iterable[T], /) -> Iterator[T]:
        with Owned() as owned:
            yield from islice(owned.opened(xs), min(start, maxsize), None, min(period, maxsize))

    options = {"offset": start} if start else {}
    return PassingStage(run, "transform", "make_sampler_periodic", period, **options)


def make_sampler_stable(rate: SupportsFloat, *, key: Callable[[Any], Key]) -> PassingStage:
    """Keep about `rate` of the keys, and the same ones in every order, run, process and machine.

    >>> notes = ["note-1", "note-2", "note-3", "note-4", "note-5", "note-6"]
    >>> half = make_sampler_stable(0.5, key=str)
    >>> list(half(notes))
    ['note-1', 'note-6']

    Items with one key share one fate, and a larger rate keeps all that a smaller one kept.

    >>> list(half(reversed(notes)))
    ['note-6', 'note-1']
    >>> list(make_sampler_stable(0.75, key=str)(notes))
    ['note-1', 'note-2', 'note-4', 'note-5', 'note-6']

    A key is kept when the first 8 bytes of its BLAKE2b digest (`digest_size=8`, big-endian) are below rate *
    2**64. Text counts as its UTF-8, bytes as they are; a number, None, or a tuple of such things as its repr.
    Not `hash()`: that differs in every process.

    Class: pure. Demand: one pull for each item looked at, kept or not. Memory: O(1). Closing: closes the iterator
    it made of its input; one that it was handed stays open. Errors: those of `key` and of the input; TypeError
    for a key of another type, whose repr might change; ValueError for a rate that is not between 0 and 1.
    """
    share = _share("make_sampler_stable", rate)
    a_function("make_sampler_stable", "key", key)
    bound = int(share * 2**64)

    def run(xs: Iterable[T], /) -> Iterator[T]:
        # Imported here: hashlib costs more than all of this room.
        from hashlib import blake2b

        def kept(item: T) -> bool:
            digest = blake2b(_as_bytes(key(item)), digest_size=8).digest()
            return int.from_bytes(digest, "big") < bound

        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from filter(kept, it)
            end.must_be_reached("make_sampler_stable", key)

    return PassingStage(run, "transform", "make_sampler_stable", share, key=key)


def _share(where: str, rate: SupportsFloat) -> float:
    return a_number(where, "rate", rate, least=0, most=1)


def _as_bytes(key: Key) -> bytes:
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return key
    if _lasting(key):
        return repr(key).encode()
    raise TypeError(
        "make_sampler_stable: key must give text, bytes, a number, None, or a tuple of them, "
        f"got {type(key).__name__}; make text of what tells the items apart"
    )


def _lasting(key: object) -> bool:
    """Whether the repr of `key` is the same in every process: that of a set, or of most objects, is not."""
    if type(key) is tuple:
        return all(map(_lasting, key))
    return key is None or type(key) in (str, bytes, bool, int, float)


def make_progress(*, total: SupportsIndex | None = None) -> PassingStage:
    """Show a tqdm bar while items go through, where tqdm is installed; nothing otherwise.

    >>> list(make_progress(total=3)("abc"))
    ['a', 'b', 'c']

    `total` is the number of items to come: with it the bar shows how much is left, without it how many came.

    >>> make_progress(total=3)
    make_progress(total=3)

    The bar stands on stderr, one a run, from the first pull until the run ends. Class: observer. Demand: one pull
    an item. Memory: O(1). Closing: closes the bar, and the iterator it made of its input; one that it was handed
    stays open. Errors: those of the input; ValueError for total < 0.
    """
    whole = None if total is None else a_whole_number("make_progress", "total", total, least=0)

    def run(xs: Iterable[T], /) -> Iterator[T]:
        with Owned() as owned:
            it = owned.opened(xs)
            # Imported here, and done without: this room is the standard library's.
            try:
                from tqdm import tqdm
            except ImportError:
                yield from shielded(it)
                return
            bar = tqdm(total=whole)
            owned.take(bar)

            def passed(item: T) -> T:
                bar.update()
                return item

            yield from map(passed, it)

    options = {} if whole is None else {"total": whole}
    return PassingStage(run, "transform", "make_progress", **options)


class _AtTheEnd(Iterator[Any]):
    """Something to be done when a run ends, owned like an iterator: once, and its error hides no other."""

    __slots__ = ("close",)

    def __init__(self, close: Callable[[], object]) -> None:
        self.close = close

    def __next__(self) -> Any:
        raise StopIteration
