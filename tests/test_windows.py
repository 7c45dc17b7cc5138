"""What the laws of windows, groups and running results do not say: what is held, what is refused, and the numbers."""

from __future__ import annotations

import gc
import math
import struct
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import count, islice
from operator import add
from random import Random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from funcpipe_rag.streams.fan_out import fork2_lockstep
from funcpipe_rag.streams.groups import ensure_contiguous, make_grouped
from funcpipe_rag.streams.probe import Boom, Probe
from funcpipe_rag.streams.rolling import make_accumulate, make_rolling_mean, make_rolling_sum
from funcpipe_rag.streams.routing import Handler, make_router
from funcpipe_rag.streams.taps import make_peek, make_sampler_periodic
from funcpipe_rag.streams.transforms import fence_k
from funcpipe_rag.streams.windows import batched, make_batched, make_sliding, values_after_w


class Collection:
    """A re-iterable that is no built-in one."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        yield from self.items


INPUTS: dict[str, Callable[[range], Iterable[Any]]] = {
    "range": lambda items: items,
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda items: (x for x in items),
    "collection": Collection,
}


@pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 40])
def test_batches_are_the_same_whichever_way_they_are_made(make: Callable[[range], Any], n: int) -> None:
    for size in (0, 1, n - 1, n, n + 1, 3 * n, 3 * n + 1):
        items = range(size)
        expected = [tuple(items[at : at + n]) for at in range(0, size, n)]
        assert list(make_batched(n)(make(items))) == expected
        if size % n:
            with pytest.raises(ValueError, match=f"the last batch has {size % n} of {n} items"):
                list(batched(make(items), n, strict=True))
        else:
            assert list(batched(make(items), n, strict=True)) == expected


@pytest.mark.parametrize("n", [1, 2, 16, 17, 40])
def test_a_batch_asks_for_its_items_and_once_for_the_end(n: int) -> None:
    for size in (0, 1, n, n + 1, 2 * n):
        probe = Probe(range(size))
        got = make_batched(n)(probe())
        for batch, _ in zip(got, range(size // n), strict=False):
            assert probe.pulls == batch[-1] + 1
        list(got)
        assert probe.pulls == size + 1


@pytest.mark.parametrize("n", [2, 16, 17, 40])
@pytest.mark.parametrize("strict", [False, True])
def test_an_error_comes_behind_the_short_batch_before_it(n: int, strict: bool) -> None:
    for at in (0, 1, n - 1, n, n + 1):
        probe = Probe(range(3 * n), raises_at=at)
        got = []
        with pytest.raises(Boom):
            got.extend(make_batched(n, strict=strict)(probe()))
        assert [x for batch in got for x in batch] == list(range(at))
        assert probe.pulls == at + 1


def test_items_are_never_asked_whether_they_are_equal() -> None:
    class Strange:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked")

        __hash__ = object.__hash__

    items = [Strange() for _ in range(5)]
    assert [len(batch) for batch in make_batched(3)(items)] == [3, 2]
    assert [len(batch) for batch in make_batched(3)(iter(items))] == [3, 2]
    assert len(list(make_sliding(2)(items))) == 4


@pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS)
def test_every_window_of_every_width_and_step(make: Callable[[range], Any]) -> None:
    for size in range(9):
        for w in range(1, 6):
            for step in range(1, 8):
                items = range(size)
                expected = [tuple(items[at : at + w]) for at in range(0, size - w + 1, step)]
                assert list(make_sliding(w, step=step)(make(items))) == expected, (size, w, step)


@pytest.mark.parametrize(("w", "step"), [(1, 1), (3, 1), (20, 1), (3, 2), (3, 3), (3, 5)])
def test_a_window_costs_what_it_says(w: int, step: int) -> None:
    probe = Probe(endless=True)
    stream = make_sliding(w, step=step)(probe())
    for k in range(5):
        next(stream)
        assert probe.pulls == w + k * step


def test_a_wide_window_goes_far() -> None:
    assert sum(1 for _ in make_sliding(2000)(range(3000))) == 1001
    assert next(make_sliding(500, step=250)(count())) == tuple(range(500))


def test_rolling_and_value_go_in_lockstep() -> None:
    fork = fork2_lockstep(make_rolling_mean(3), values_after_w(3))
    assert list(fork([3, 3, 3, 6, 9])) == [(3.0, 3), (4.0, 6), (6.0, 9)]
    assert list(fork([3, 3])) == []


class Item:
    """Something that a weak reference can point at."""

    def __init__(self, n: int) -> None:
        self.n = n


HELD: dict[str, tuple[Callable[[Iterator[Item]], Any], int]] = {
    "values_after_w": (values_after_w(1), 0),
    "ensure_contiguous": (ensure_contiguous(id), 0),
    "make_router": (make_router(lambda x: "same", {"same": lambda x: x}), 0),
    "make_accumulate": (make_accumulate(lambda result, x: x), 0),
    "make_accumulate, key": (make_accumulate(lambda result, x: x, key=lambda x: x.n), 0),
    "make_grouped": (make_grouped(lambda x: x.n), 1),
    "make_sliding, step": (make_sliding(3, step=2), 2),
    "make_batched": (make_batched(1), 0),
    "make_batched, large": (make_batched(17), 17),
}


@pytest.mark.parametrize(("make", "held"), HELD.values(), ids=HELD)
def test_what_has_gone_through_is_not_held(make: Callable[[Iterator[Item]], Any], held: int) -> None:
    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for n in range(200):
            item = Item(n)
            alive.append(weakref.ref(item))
            yield item
            del item

    it = make(items())
    for _ in range(5):
        next(it)
        # The generator above still holds its last item, as any `for` loop does.
        assert sum(ref() is not None for ref in alive) <= 1 + held


def test_sliding_holds_its_window_and_a_block_of_tee() -> None:
    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for n in range(1000):
            item = Item(n)
            alive.append(weakref.ref(item))
            yield item

    it = make_sliding(4)(items())
    most = 0
    for _ in it:
        most = max(most, sum(ref() is not None for ref in alive))
    assert most <= 4 + 57 + 4 + 1


SPACE: dict[str, Callable[[int], Any]] = {
    "make_sliding": lambda n: make_sliding(5)(range(n)),
    "make_sliding, step": lambda n: make_sliding(5, step=2)(range(n)),
    "make_sliding, apart": lambda n: make_sliding(2, step=5)(range(n)),
    "make_batched, iterator": lambda n: make_batched(3)(x for x in range(n)),
    "make_batched, large": lambda n: make_batched(50)(x for x in range(n)),
    "make_grouped": lambda n: make_grouped(lambda x: x // 10)(range(n)),
    "make_rolling_sum": lambda n: make_rolling_sum(5)(map(float, range(n))),
    "make_accumulate": lambda n: make_accumulate(max)(range(n)),
    "ensure_contiguous": lambda n: ensure_contiguous(lambda x: x // 50_000)(range(n)),
}


@pytest.mark.parametrize("make", SPACE.values(), ids=SPACE)
def test_memory_does_not_grow_with_the_stream(make: Callable[[int], Any]) -> None:
    def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in make(n):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000)
    assert peak(30_000) - peak(1000) < 64 * 1024


def test_a_saved_group_is_whole_and_the_partial_one_comes_before_the_error() -> None:
    probe = Probe([1, 1, 2, 2, 3], raises_at=4)
    stream = make_grouped(abs)(probe())
    assert next(stream) == (1, (1, 1))
    assert probe.pulls == 3
    assert next(stream) == (2, (2, 2))
    with pytest.raises(Boom):
        next(stream)
    assert list(stream) == []


def test_an_error_of_the_key_comes_behind_the_items_before_it() -> None:
    got = []
    with pytest.raises(ZeroDivisionError):
        got.extend(make_grouped(lambda n: 1 // n)([2, 3, 0, 4]))
    assert got == [(0, (2, 3))]


def test_a_key_that_is_not_equal_to_itself_is_still_one_key() -> None:
    nan = math.nan
    assert list(make_grouped(lambda x: nan)([1, 2])) == [(nan, (1, 2))]
    assert list(ensure_contiguous(lambda x: nan)([1, 2])) == [1, 2]
    assert list(make_accumulate(add, key=lambda x: nan)([1, 2])) == [1, 3]


def test_a_returning_key_is_named_with_both_places() -> None:
    got = []
    with pytest.raises(ValueError, match="key 'a' returns at index 4; its items ended at index 1") as raised:
        got.extend(ensure_contiguous(str.lower)("aAbca"))
    assert got == list("aAbc")
    assert str(raised.value).startswith("ensure_contiguous: ")
    with pytest.raises(TypeError, match="unhashable"):
        list(ensure_contiguous(lambda x: [x])([1, 2, 3]))


def test_contiguous_groups_are_one_a_key() -> None:
    chained = (ensure_contiguous(len) | make_grouped(len))(["a", "b", "cc"])
    assert dict(chained) == {1: ("a", "b"), 2: ("cc",)}


def test_the_sum_of_floats_is_that_of_fsum_to_the_last_bit() -> None:
    random = Random(3)
    items = [random.uniform(-1, 1) * 10.0 ** random.randint(-200, 200) for _ in range(2000)]
    for w in (1, 2, 7, 100):
        expected = [math.fsum(items[at : at + w]) for at in range(len(items) - w + 1)]
        assert list(make_rolling_sum(w)(items)) == expected
        assert list(make_rolling_mean(w)(items)) == [total / w for total in expected]


def test_a_million_steps_leave_no_drift() -> None:
    tenths = (0.1 for _ in range(100_000))
    assert set(make_rolling_sum(10)(tenths)) == {1.0}


def test_whole_numbers_fractions_and_decimals_stay_what_they_are() -> None:
    assert list(make_rolling_sum(2)([10**30, 1, -(10**30)])) == [10**30 + 1, 1 - 10**30]
    assert list(make_rolling_sum(2)([Fraction(1, 3), Fraction(1, 6)])) == [Fraction(1, 2)]
    assert list(make_rolling_mean(2)([Decimal("0.1"), Decimal("0.3")])) == [Decimal("0.2")]
    assert list(map(type, make_rolling_sum(2)([0.5, 1, 2, 3]))) == [float, int, int]
    assert list(make_rolling_sum(2)([0.5, 1, 2])) == [1.5, 3]


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan, 1.7e308])
def test_what_is_not_finite_goes_with_its_window(odd: float) -> None:
    sums = list(make_rolling_sum(2)([1.0, odd, odd, 2.0, 3.0, 0.1, 0.2]))
    assert sums[3:] == [5.0, 3.1, 0.1 + 0.2]
    assert not math.isfinite(sums[1])
    both = list(make_rolling_sum(2)([math.inf, -math.inf, 1.0, 2.0]))
    assert math.isnan(both[0])
    assert both[1:] == [-math.inf, 3.0]


class Single:
    """A number that rounds after each sum, and is no float: numpy's float32, which this room does not know."""

    def __init__(self, value: float) -> None:
        self.value = struct.unpack("f", struct.pack("f", value))[0]

    def __add__(self, other: Any) -> Single:
        return Single(self.value + (other.value if isinstance(other, Single) else other))

    __radd__ = __add__

    def __sub__(self, other: Single) -> Single:
        return Single(self.value - other.value)


@pytest.mark.parametrize("kind", [Single, Decimal, complex])
def test_what_rounds_in_its_own_way_leaves_nothing_behind(kind: Any) -> None:
    def told(items: list[Any]) -> list[Any]:
        sums = make_rolling_sum(2)(map(kind, items))
        return [total.value if kind is Single else total for total in sums]

    large = 2**40 if kind is Single else 10**60
    assert told([large, 1, 2, 3, 4])[1:] == [3, 5, 7]
    assert told([1, math.nan, 2, 3, 4])[2:] == [5, 7]
    assert told([1, math.inf, 2, 3, 4])[2:] == [5, 7]


@given(st.lists(st.one_of(st.integers(0, 10**9), st.integers(0, 9).map(Decimal))), st.integers(1, 9))
def test_numbers_of_several_kinds_are_summed_as_their_window_is(items: list[Any], w: int) -> None:
    sums = list(make_rolling_sum(w)(items))
    assert sums == [sum(items[at : at + w]) for at in range(len(items) - w + 1)]


def test_what_cannot_be_added_is_told_behind_the_sums_before_it() -> None:
    stream = make_rolling_sum(1)([1, "2"])
    assert next(stream) == 1
    with pytest.raises(TypeError):
        next(stream)


def test_accumulate_begins_anew_for_each_run_of_a_key() -> None:
    steps = [("a", 1), ("a", 2), ("b", 5), ("a", 7)]
    longest = make_accumulate(lambda one, two: (two[0], one[1] + two[1]), key=lambda step: step[0])
    assert list(longest(steps)) == [("a", 1), ("a", 3), ("b", 5), ("a", 7)]
    assert list(make_accumulate(add)([])) == []
    assert next(make_accumulate(add, key=abs)(count(3))) == 3


def test_a_router_takes_any_callable_and_keeps_its_own_table() -> None:
    class Doubler:
        def __call__(self, item: int, /) -> int:
            return 2 * item

    doubler: Handler[int, int] = Doubler()
    table = {"even": doubler, "odd": abs}
    router = make_router(lambda n: "odd" if n % 2 else "even", table)
    table.clear()
    assert list(router([1, 2, -3])) == [1, 4, 3]
    assert repr(make_router(len, {"a": abs}, default=abs)) == "make_router(len, ['a'], default=abs)"


def test_a_router_calls_nobody_before_it_is_asked() -> None:
    asked: list[int] = []
    stream = make_router(lambda n: "one", {"one": lambda n: asked.append(n) or n})(count())
    assert asked == []
    assert list(islice(stream, 2)) == [0, 1]
    assert asked == [0, 1]


def test_a_name_that_nobody_has_shows_the_item_and_who_there_is() -> None:
    stream = make_router(lambda n: "mail" if n else "date", {"date": abs})([0, 7])
    assert next(stream) == 0
    with pytest.raises(ValueError, match="make_router: no handler 'mail' for item 7; there are 'date'"):
        next(stream)


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: make_sliding(0), ValueError, "make_sliding: w must be >= 1, got 0"),
        (lambda: make_sliding(2, step=0), ValueError, "make_sliding: step must be >= 1, got 0"),
        (lambda: make_sliding(2.0), TypeError, "make_sliding: w must be a whole number, got 2.0"),
        (lambda: values_after_w(0), ValueError, "values_after_w: w must be >= 1, got 0"),
        (lambda: make_rolling_sum(0), ValueError, "make_rolling_sum: w must be >= 1, got 0"),
        (lambda: make_rolling_mean("3"), TypeError, "make_rolling_mean: w must be a whole number, got '3'"),
        (lambda: make_grouped(3), TypeError, "make_grouped: key must be a function, got int"),
        (
            lambda: ensure_contiguous(None),
            TypeError,
            "ensure_contiguous: key must be a function, got NoneType",
        ),
        (lambda: make_accumulate(0), TypeError, "make_accumulate: fn must be a function, got int"),
        (lambda: make_accumulate(add, key=0), TypeError, "make_accumulate: key must be a function, got int"),
        (lambda: make_router("a", {}), TypeError, "make_router: route must be a function, got str"),
        (lambda: make_router(len, [abs]), TypeError, "make_router: handlers must map names .* got list"),
        (
            lambda: make_router(len, {"a": 1}),
            TypeError,
            "make_router: handler 'a' must be a function, got int",
        ),
        (lambda: make_router(len, {}, default=1), TypeError, "make_router: default must be a function"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(
    build: Callable[[], Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        build()


def test_stages_print_as_they_are_written() -> None:
    assert repr(make_sliding(3)) == "make_sliding(3)"
    assert repr(make_sliding(3, step=2) | make_grouped(len)) == "make_sliding(3, step=2) | make_grouped(len)"
    assert repr(make_accumulate(add, key=len)) == "make_accumulate(add, key=len)"


HUGE = 2**70


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: values_after_w(HUGE), []),
        (lambda: make_batched(HUGE), [("a", "b")]),
        (lambda: make_batched(sys.maxsize), [("a", "b")]),
        (lambda: make_sliding(HUGE), []),
        (lambda: make_sliding(HUGE, step=HUGE), []),
        (lambda: make_sliding(HUGE, step=2), []),
        (lambda: make_sliding(2, step=HUGE), [("a", "b")]),
        (lambda: make_rolling_sum(HUGE), []),
        (lambda: fence_k(HUGE), ["a", "b"]),
        (lambda: make_peek(HUGE, id), ["a", "b"]),
        (lambda: make_sampler_periodic(HUGE), ["a"]),
        (lambda: make_sampler_periodic(HUGE, offset=sys.maxsize + 1), []),
    ],
)
def test_a_number_beyond_every_stream_is_a_number(make: Callable[[], Any], expected: list[Any]) -> None:
    assert list(make()("ab" if make().name != "make_rolling_sum" else [1, 2])) == expected


@pytest.mark.parametrize("make", [make_batched, lambda n: make_sliding(n, step=n + 1)])
def test_a_short_stream_takes_no_memory_for_a_large_batch(make: Callable[[int], Any]) -> None:
    tracemalloc.start()
    try:
        list(make(10**6)([1, 2]))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("between", [0, 1, 5])
def test_large_windows_apart_cost_what_small_ones_do(between: int) -> None:
    asked: list[int] = []
    items = (asked.append(n) or n for n in range(5000))
    windows = make_sliding(1025, step=1025 + between)(items)
    assert next(windows) == tuple(range(1025))
    assert len(asked) == 1025
    assert next(windows)[0] == 1025 + between
    assert len(asked) == 2050 + between
    assert len(list(windows)) == 2
    assert len(asked) == 5000
