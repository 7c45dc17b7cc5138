"""What the laws do not say: ten thousand sources, what is held, what a bad argument is told, and the notes."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from operator import itemgetter
from random import Random
from typing import Any

import pytest

from funcpipe_rag import (
    Pipeline,
    as_source,
    batched,
    compose,
    fdrop_while,
    fence_k,
    ffilter,
    fflat_map,
    fmap,
    fork2_lockstep,
    fork_lockstep,
    ftake_while,
    laws,
    make_batched,
    make_chain,
    make_merge,
    make_roundrobin,
    make_sliding,
    multicast_bounded,
    sink,
    source,
    source_to_transform,
    stage,
    streams,
)
from funcpipe_rag.streams import branches, merging
from funcpipe_rag.streams.probe import Boom, Log, OverPulled, Probe

FAN_INS = [make_chain, make_roundrobin, make_merge]
BLOCKS = pytest.param(lambda *sources: make_merge(*sources, lookahead=4), id="make_merge-lookahead")


@pytest.mark.parametrize("fan_in", [*FAN_INS, BLOCKS])
def test_ten_thousand_sources(fan_in: Callable[..., Any]) -> None:
    many = 10_000
    made = fan_in(*(as_source([place]) for place in range(many)))
    assert list(made()) == list(range(many))


@pytest.mark.parametrize("fan_in", [*FAN_INS, BLOCKS])
def test_ten_thousand_empty_sources(fan_in: Callable[..., Any]) -> None:
    assert list(fan_in(*[as_source(())] * 10_000)()) == []


@pytest.mark.parametrize("fan_in", [make_roundrobin, make_merge, BLOCKS])
def test_ten_thousand_half_read_sources_are_closed_once_in_reverse(fan_in: Callable[..., Any]) -> None:
    log = Log()
    probes = [Probe([place, place], name=f"{place}", log=log) for place in range(10_000)]
    it = fan_in(*probes)()
    assert next(it) == 0
    it.close()
    opened = [event.stage for event in log.events if event.kind == "open"]
    closed = [event.stage for event in log.events if event.kind == "close"]
    assert closed == opened[::-1]
    assert all(probe.opens == probe.closes <= 1 for probe in probes)


def test_a_half_read_merge_closes_its_sources_while_the_test_still_holds_them() -> None:
    closed: list[str] = []

    def numbers(name: str) -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.append(name)

    held = [numbers("a"), numbers("b"), numbers("c")]
    it = make_merge(*(lambda it=it: it for it in held))()
    assert [next(it), next(it)] == [0, 0]
    it.close()
    assert closed == ["c", "b", "a"]
    assert [list(it) for it in held] == [[], [], []]


@pytest.mark.parametrize("fan_in", [*FAN_INS, BLOCKS])
def test_a_stream_never_started_touches_nothing(fan_in: Callable[..., Any]) -> None:
    probe = Probe(budget=0)
    fan_in(probe, probe)().close()
    assert (probe.opens, probe.pulls, probe.closes) == (0, 0, 0)


# The merge of two, the tree, the sorted list, and blocks: whichever form is taken, the result is that of sorted().
FORMS = [
    pytest.param(many, tree_upto, options, id=f"{many}-{tree_upto}-{'-'.join(options) or 'plain'}")
    for many in (1, 2, 3, 4, 5, 8, 13)
    for tree_upto in (0, 32)
    for options in ({}, {"key": -1}, {"reverse": True}, {"key": -1, "reverse": True}, {"lookahead": 3})
]


@pytest.mark.parametrize(("many", "tree_upto", "options"), FORMS)
def test_every_form_of_merge_keeps_the_order_the_ties_and_the_check(
    many: int, tree_upto: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_TREE_UPTO", tree_upto)
    random = Random(many)
    by: Any = itemgetter(options["key"]) if "key" in options else None
    options = {**options, **({"key": by} if by else {})}
    for _ in range(30):
        rows = [
            [(random.randrange(6), random.randrange(6)) for _ in range(random.randrange(7))]
            for _ in range(many)
        ]
        for items in rows:
            items.sort(key=by, reverse=options.get("reverse", False))
        given = [item for items in rows for item in items]
        probes = [Probe(items) for items in rows]
        # By identity: a tie is told from its neighbours by nothing else.
        expected = sorted(given, key=by, reverse=options.get("reverse", False))
        assert list(map(id, make_merge(*probes, **options)())) == list(map(id, expected))
        assert [probe.pulls for probe in probes] == [len(items) + 1 for items in rows]
        assert all(probe.opens == probe.closes == 1 for probe in probes)
        at = random.randrange(many)
        if len(rows[at]) > 1 and rows[at][0] != rows[at][-1] and not by:
            rows[at].append(rows[at][0])
            with pytest.raises(
                ValueError, match=f"source {at} is out of order at index {len(rows[at]) - 1}: "
            ):
                list(make_merge(*map(Probe, rows), **options)())


@pytest.mark.parametrize("tree_upto", [0, 32])
@pytest.mark.parametrize("options", [{}, {"key": abs}])
@pytest.mark.parametrize("many", [2, 3, 4, 5, 9])
def test_every_form_of_merge_says_who_raised_and_what_was_held(
    many: int, options: dict[str, Any], tree_upto: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_TREE_UPTO", tree_upto)
    for bad in range(many):
        probes = [Probe([1, 2, 3], raises_at=1 if place == bad else None) for place in range(many)]
        got = []
        with pytest.raises(Boom) as raised:
            got.extend(make_merge(*probes, **options)())
        assert got == [1] * (bad + 1)
        assert raised.value.__notes__ == [
            f"make_merge: raised by source {bad}; {many - 1} items held from the other sources were not given"
        ]
        assert all(probe.opens == probe.closes == 1 for probe in probes)


def test_merge_counts_what_it_held_when_a_source_raised() -> None:
    it = make_merge(Probe([1, 4]), Probe([2, 3], raises_at=1), Probe([9]))()
    assert [next(it), next(it)] == [1, 2]
    with pytest.raises(Boom) as raised:
        next(it)
    assert raised.value.__notes__ == [
        "make_merge: raised by source 1; 2 items held from the other sources were not given"
    ]


@pytest.mark.parametrize("lookahead", [1, 2, 3, 100])
def test_merge_names_the_place_whatever_the_lookahead(lookahead: int) -> None:
    made = make_merge(as_source([1, 2, 3]), as_source([5, 6, 9, 4]), lookahead=lookahead)
    it = made()
    got = []
    with pytest.raises(ValueError, match="source 1 is out of order at index 3: 4 came after 9"):
        got.extend(it)
    assert got == [1, 2, 3, 5, 6, 9]


class Item:
    """Something that a weak reference can point at."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __lt__(self, other: Item) -> bool:
        return self.n < other.n


STREAMS: dict[str, tuple[Callable[[Iterator[Item]], Any], int]] = {
    "fmap": (fmap(lambda x: x), 0),
    "ffilter": (ffilter(lambda x: True), 0),
    "fflat_map": (fflat_map(lambda x: (x,)), 1),
    "ftake_while": (ftake_while(lambda x: True), 0),
    "fdrop_while": (fdrop_while(lambda x: False), 0),
    "fence_k": (fence_k(100), 0),
    "make_batched": (make_batched(1), 0),
    "compose": (compose(fmap(lambda x: x), fence_k(100)), 0),
    "pipeline": (lambda xs: ((lambda: xs) | fmap(lambda x: x) | fence_k(100))(), 0),
    "source_to_transform": (lambda xs: source_to_transform(lambda: xs)(()), 0),
    "make_chain": (lambda xs: make_chain(lambda: xs)(), 0),
    "make_roundrobin": (lambda xs: make_roundrobin(lambda: xs)(), 0),
    "make_merge": (lambda xs: make_merge(lambda: xs)(), 0),
    "make_merge, of two": (lambda xs: make_merge(lambda: xs, as_source([Item(99)]))(), 0),
    "make_merge, of many": (lambda xs: make_merge(*[as_source([Item(99)])] * 2, lambda: xs)(), 0),
    "make_merge, of many, with key": (
        lambda xs: make_merge(*[as_source([Item(99)])] * 2, lambda: xs, key=lambda x: x.n)(),
        0,
    ),
    "make_merge, the last of two": (lambda xs: make_merge(as_source([]), lambda: xs)(), 0),
    "make_merge, the last of many": (lambda xs: make_merge(*[as_source([])] * 2, lambda: xs)(), 0),
    "multicast_bounded": (lambda xs: multicast_bounded(xs, 1)[0], 0),
    "multicast of two": (
        lambda xs: (pair[0] for pair in zip(*multicast_bounded(xs, 2, maxlen=31), strict=True)),
        1,
    ),
    "fork2_lockstep": (lambda xs: fork2_lockstep(fmap(id), fmap(lambda x: x), max_skew=31)(xs), 1),
}


@pytest.mark.parametrize(("make", "held"), STREAMS.values(), ids=STREAMS)
def test_what_has_gone_through_is_not_held(make: Callable[[Iterator[Item]], Any], held: int) -> None:
    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for n in range(10):
            item = Item(n)
            alive.append(weakref.ref(item))
            yield item
            del item

    it = iter(make(items()))
    for _ in range(5):
        next(it)
        # The generator above still holds its last item, as any `for` loop does.
        assert sum(ref() is not None for ref in alive) <= 1 + held


SPACE: dict[str, Callable[[int], Any]] = {
    "fmap": lambda n: fmap(abs)(range(n)),
    "ffilter": lambda n: ffilter(lambda x: x % 2)(range(n)),
    "fflat_map": lambda n: fflat_map(lambda x: (x,))(range(n)),
    "make_batched": lambda n: make_batched(10)(range(n)),
    "pipeline": lambda n: (as_source(range(n)) | fmap(abs) | fence_k(n))(),
    "make_chain": lambda n: make_chain(*[as_source(range(n // 10))] * 10)(),
    "make_roundrobin": lambda n: make_roundrobin(*[as_source(range(n // 10))] * 10)(),
    "make_merge": lambda n: make_merge(*[as_source(range(n // 10))] * 10)(),
    "make_merge, blocks": lambda n: make_merge(*[as_source(range(n // 10))] * 10, lookahead=64)(),
    "multicast_bounded": lambda n: zip(*multicast_bounded(range(n), 3, maxlen=1), strict=True),
    "fork_lockstep": lambda n: fork_lockstep(fmap(abs), fmap(str), fmap(bool))(range(n)),
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
    assert peak(100_000) - peak(1000) < 64 * 1024


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: fence_k(-3), ValueError, "fence_k: k must be >= 0, got -3"),
        (lambda: fence_k(2.5), TypeError, "fence_k: k must be a whole number, got 2.5"),
        (lambda: fence_k("3"), TypeError, "fence_k: k must be a whole number, got '3'"),
        (lambda: fmap(None), TypeError, "fmap: fn must be a function, got NoneType"),
        (lambda: ffilter([1]), TypeError, "ffilter: pred must be a function, got list"),
        (lambda: make_chain([1, 2]), TypeError, "make_chain: source 0 .* got list; write as_source"),
        (
            lambda: make_roundrobin(as_source("a"), (x for x in "a")),
            TypeError,
            "source 1 .* one-shot iterator",
        ),
        (lambda: make_merge(lookahead=0), ValueError, "make_merge: lookahead must be >= 1, got 0"),
        (lambda: make_merge(key="n"), TypeError, "make_merge: key must be a function, got str"),
        (lambda: fork_lockstep(), ValueError, "fork_lockstep: wants at least one transform"),
        (
            lambda: fork2_lockstep(len, 3),
            TypeError,
            "fork2_lockstep: transform 1 must be a function, got int",
        ),
        (
            lambda: fork2_lockstep(fmap(len), fmap(len), max_skew=0),
            ValueError,
            "max_skew must be >= 1, got 0",
        ),
        (lambda: multicast_bounded([1], 0), ValueError, "multicast_bounded: n must be >= 1, got 0"),
        (lambda: multicast_bounded([1], 2, maxlen=0), ValueError, "maxlen must be >= 1, got 0"),
        (lambda: multicast_bounded(3, 2), TypeError, "multicast_bounded: wants an iterable, got int"),
        (lambda: make_batched(0), ValueError, "make_batched: n must be >= 1, got 0"),
        (lambda: batched("abc", 1.5), TypeError, "batched: n must be a whole number, got 1.5"),
        (lambda: compose(), ValueError, "compose: wants at least one transform"),
        (lambda: compose(fmap(len), 3), TypeError, "compose: transform 1 must be a function"),
        (lambda: compose(as_source("a")), TypeError, "transform 0, as_source.'a'., is a source"),
        (lambda: as_source(3), TypeError, "as_source: wants something it can iterate, got int"),
        (lambda: source_to_transform([1]), TypeError, "source_to_transform: wants a source, got list"),
        (lambda: source([1]), TypeError, "source: .*got list; as_source"),
        (lambda: source(lambda x: x), TypeError, "source: wants a function without arguments"),
        (lambda: stage(3), TypeError, "stage: wants a function of one stream"),
        (lambda: stage(lambda: 1), TypeError, "stage: wants a function of one stream"),
        (lambda: sink(3), TypeError, "sink: wants a function of one stream, got int"),
        (lambda: [1, 2] | fmap(len), TypeError, r"\[1, 2\] \| fmap\(len\): .* write as_source"),
        (lambda: as_source("a") | [1], TypeError, "the right side must be a transform or a sink, not a list"),
        (lambda: fmap(len) | as_source("a"), TypeError, "can only stand first; source_to_transform"),
        (lambda: as_source("a") | sink(list) | fmap(len), TypeError, "is a sink: nothing can follow it"),
        (lambda: fmap(len)(3), TypeError, r"fmap\(len\): wants an iterable, got int"),
        (lambda: fmap(len)(as_source("a")), TypeError, "wants an iterable, got Stage; call it first"),
        (lambda: as_source("a")("b"), TypeError, "takes nothing, it begins with a source; got 1 arguments"),
        (lambda: fmap(len)(), TypeError, "takes one iterable, it is a transform; got 0 arguments"),
        (lambda: as_source("a").as_function(single_in=True), TypeError, "single_in has no meaning"),
        (lambda: sink(list).as_function(single_out=True), TypeError, "single_out has no meaning"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(
    build: Callable[[], Any], kind: type, said: str
) -> None:
    with pytest.raises(kind, match=said):
        build()


def test_a_stage_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        fence_k(3).args = (4,)
    with pytest.raises(AttributeError, match="immutable"):
        del fence_k(3).name


def test_joining_never_changes_what_is_joined() -> None:
    a, b = as_source("abc"), fmap(str.upper)
    before = list(a()), list(b("x"))
    joined = a | b | fence_k(2)
    assert (list(a()), list(b("x"))) == before
    assert list(joined()) == ["A", "B"]
    assert isinstance(joined, Pipeline)
    assert [step.name for step in joined.stages] == ["as_source", "fmap", "fence_k"]


def test_a_pipeline_of_pipelines_is_flat_and_prints_as_it_is_written() -> None:
    left, right = fmap(len) | fmap(abs), fence_k(2) | ffilter(bool)
    assert repr(left | right) == "fmap(len) | fmap(abs) | fence_k(2) | ffilter(bool)"


def test_bare_functions_join_on_either_side() -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)

    def evens(xs: Iterator[int]) -> Iterator[int]:
        return (x for x in xs if x % 2 == 0)

    assert list((numbers | fmap(str))()) == list("01234")
    assert list((evens | fmap(str))(range(5))) == ["0", "2", "4"]
    assert list((numbers | fmap(abs) | evens)()) == [0, 2, 4]
    assert list((as_source("cab") | sorted)()) == ["a", "b", "c"]


def test_classes_are_sources_and_stages() -> None:
    class Numbers:
        def __init__(self, most: int = 3) -> None:
            self.most = most

        def generate(self) -> Iterator[int]:
            yield from range(self.most)

    class Doubled:
        def transform(self, xs: Iterator[int]) -> Iterator[int]:
            return (2 * x for x in xs)

    assert list((source(Numbers) | stage(Doubled))()) == [0, 2, 4]
    assert list((source(Numbers(2)) | stage(Doubled()))()) == [0, 2]


def test_a_stage_that_gives_back_what_it_was_given_made_nothing() -> None:
    probe = Probe("abc")
    it = probe()
    through = compose(lambda xs: xs, fence_k(1))
    assert list(through(it)) == ["a"]
    assert (probe.closes, next(it)) == (0, "b")


def test_a_pipeline_that_begins_with_a_source_closes_it() -> None:
    probe = Probe("abc")
    it = ((lambda: probe()) | fmap(str.upper))()
    assert next(it) == "A"
    it.close()
    assert probe.closes == 1


def test_a_stage_that_forgot_to_yield_is_named() -> None:
    def shouts(xs: Iterator[str]) -> None:
        for x in xs:
            print(x)

    with pytest.raises(TypeError, match="shouts gave NoneType, which cannot be iterated"):
        list((as_source("a") | shouts)())


@pytest.mark.parametrize("place", [1, 2, 3])
def test_an_error_names_its_stage(place: int) -> None:
    def fails(n: int) -> int:
        raise LookupError(n)

    steps = [fmap(abs), fmap(int), fmap(float)]
    steps[place - 1] = fmap(fails)
    pipeline = as_source([1]) | steps[0] | steps[1] | steps[2]
    with pytest.raises(LookupError) as raised:
        list(pipeline())
    (note,) = raised.value.__notes__
    assert note.startswith(f"raised in stage {place + 1} of 4, fmap(")
    assert note.endswith(f"of: {pipeline!r}")


def test_an_error_of_the_source_of_an_eager_stage_and_of_a_sink_is_named_too() -> None:
    def eager(xs: Any) -> list[Any]:
        return [1 // x for x in xs]

    cases = {
        1: Probe("a", raises_at=0) | fmap(str) | sorted,
        2: as_source([0]) | eager | fmap(str),
        3: as_source("ab") | fmap(str) | sink(sum),
    }
    for place, pipeline in cases.items():
        with pytest.raises((Boom, ZeroDivisionError, TypeError)) as raised:
            list(pipeline())
        assert raised.value.__notes__[0].startswith(f"raised in stage {place} of 3"), raised.value.__notes__


def test_closing_raises_the_first_error_and_notes_the_others() -> None:
    probes = [Probe([1, 2], name=name, raises_on_close=True) for name in "abc"]
    it = make_roundrobin(*probes)()
    assert [next(it) for _ in probes] == [1, 1, 1]
    with pytest.raises(Boom, match="c raised while it was closed") as raised:
        it.close()
    assert raised.value.__notes__ == [
        "and while closing: Boom: b raised while it was closed",
        "and while closing: Boom: a raised while it was closed",
    ]
    assert [probe.closes for probe in probes] == [1, 1, 1]


def test_as_function_closes_what_it_made() -> None:
    probe = Probe([1, 2, 3])
    with pytest.raises(ValueError, match="exactly one output, got 2 or more"):
        source(probe).as_function(single_out=True)()
    assert (probe.pulls, probe.closes) == (2, 1)


def test_a_refused_pull_loses_nothing() -> None:
    """The defect of the usual queue-a-branch form: the item in hand is gone for the others."""
    leader, follower = multicast_bounded(count(), 2, maxlen=2)
    assert [next(leader), next(leader)] == [0, 1]
    for _ in range(3):
        with pytest.raises(BufferError, match="branch 0 is 2 ahead of branch 1"):
            next(leader)
    assert [next(follower), next(follower), next(follower)] == [0, 1, 2]
    assert list(islice(leader, 1)) == [2]


def test_a_dropped_branch_and_a_closed_one_hold_nobody_back() -> None:
    a, b, c = multicast_bounded(range(100), 3, maxlen=1)
    del b
    c.close()
    assert list(a) == list(range(100))


def test_a_branch_collected_in_the_middle_of_a_pull_loses_nothing() -> None:
    """The collector may run between any two steps, and a branch that dies in it leaves the feed being read."""
    a, b, c = multicast_bounded(iter("abc"), 3, maxlen=10)
    gone = weakref.ref(a)
    cycle: list[Any] = [a]
    cycle.append(cycle)
    del a, cycle
    steps: list[bool] = []

    def collect_once_the_item_is_there(frame: Any, event: str, value: Any) -> Any:
        # The item is there, and is being handed to the first branch.
        now = frame.f_locals
        if "item" in now and now["queues"] and now["queue"] is now["queues"][0]:
            gc.collect()
            steps.append(gone() is None)
        return collect_once_the_item_is_there

    def trace(frame: Any, event: str, value: Any) -> Any:
        if (frame.f_code.co_filename, frame.f_code.co_name) != (branches.__file__, "window"):
            return None
        frame.f_trace_opcodes = True
        return collect_once_the_item_is_there

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        first = next(c)
    finally:
        sys.settrace(before)
        gc.enable()
    assert any(steps), "nothing was collected in the middle of the pull"
    assert [first, *c] == list("abc")
    assert list(b) == list("abc")


def test_multicast_never_asks_for_the_truth_of_its_stream() -> None:
    class Peeks:
        pulls = closes = 0

        def __iter__(self) -> Peeks:
            return self

        def __next__(self) -> int:
            self.pulls += 1
            return self.pulls

        def __bool__(self) -> bool:
            return next(self) < 0

        def close(self) -> None:
            self.closes += 1

    stream = Peeks()
    (branch,) = multicast_bounded(stream, 1)
    assert next(branch) == 1
    branch.close()
    assert (stream.pulls, stream.closes) == (1, 1)


def test_the_remembered_error_does_not_grow() -> None:
    for maxlen in (1, 100):
        for branch in multicast_bounded(Probe("a", raises_at=0)(), 50, maxlen):
            with pytest.raises(Boom) as raised:
                next(branch)
            assert next(branch, "the end") == "the end"
        assert len(raised.traceback) <= 4


def test_an_interrupt_is_an_error_for_the_other_branch_and_no_second_interrupt() -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    a, b = multicast_bounded(interrupted(), 2)
    assert next(a) == 1
    with pytest.raises(KeyboardInterrupt):
        next(a)
    assert next(b) == 1
    with pytest.raises(RuntimeError, match="the stream was stopped by KeyboardInterrupt"):
        next(b)


@pytest.mark.parametrize(
    "law",
    [law for name in ("multicast_bounded", "fork2_lockstep", "fork_lockstep") for law in laws.of(name)],
    ids=lambda law: law.id,
)
def test_the_form_in_windows_keeps_the_same_laws(law: laws.Law, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves large bounds; the laws draw small ones, so here it serves those."""
    monkeypatch.setattr(branches, "WINDOWS_FROM", 1)
    verdict = laws.run(law, getattr(streams, law.about))
    assert verdict.passed, verdict


@pytest.mark.parametrize("windows_from", [1, 1000])
def test_an_error_of_a_split_stream_keeps_its_cause(
    windows_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "WINDOWS_FROM", windows_from)

    def fails() -> Iterator[int]:
        yield 1
        raise LookupError("here") from ZeroDivisionError("there")

    a, b = multicast_bounded(fails(), 2)
    for branch in (a, b):
        assert next(branch) == 1
        with pytest.raises(LookupError) as raised:
            next(branch)
        assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("maxlen", [1, 1024])
def test_a_stream_that_cannot_be_opened_tells_every_branch(maxlen: int) -> None:
    class Shut:
        asked = 0

        def __iter__(self) -> Iterator[int]:
            self.asked += 1
            raise Boom("shut")

    shut = Shut()
    for branch in multicast_bounded(shut, 2, maxlen):
        with pytest.raises(Boom, match="shut"):
            next(branch)
        assert list(branch) == []
    assert shut.asked == 1


@pytest.mark.parametrize("maxlen", [3, 1024])
def test_a_branch_may_be_closed_by_the_stream_that_it_is_reading(maxlen: int) -> None:
    def items() -> Iterator[int]:
        yield 0
        left.close()
        yield 1
        yield 2

    left, right = multicast_bounded(items(), 2, maxlen)
    assert [next(right), next(right)] == [0, 1]
    assert list(left) == []
    assert list(right) == [2]


@pytest.mark.parametrize("max_skew", [3, 1024])
def test_a_fork_asks_an_ended_input_once(max_skew: int) -> None:
    for many in (1, 2, 3):
        probe = Probe(range(2000))
        assert len(list(fork_lockstep(*[fmap(abs)] * many, max_skew=max_skew)(probe()))) == 2000
        assert probe.pulls == 2001


@pytest.mark.parametrize("max_skew", [3, 40, 1024])
@pytest.mark.parametrize("keep", [0, 1, 2, 5])
@pytest.mark.parametrize("short", [0, 1, 2])
def test_a_fork_names_the_first_branch_that_ends_early(max_skew: int, keep: int, short: int) -> None:
    stages = [fence_k(keep) if place == short else fmap(abs) for place in range(3)]
    got = []
    other = 1 if short == 0 else 0
    with pytest.raises(
        ValueError, match=rf"branch {short}, .*, ended before index {keep}, and branch {other}, "
    ):
        got.extend(fork_lockstep(*stages, max_skew=max_skew)(range(6)))
    assert got == [(n, n, n) for n in range(keep)]
    stages = [fence_k(keep) if place != short else fmap(abs) for place in range(3)]
    first = 1 if short == 0 else 0
    with pytest.raises(
        ValueError, match=rf"branch {first}, .*, ended before index {keep}, and branch {short}, "
    ):
        list(fork_lockstep(*stages, max_skew=max_skew)(range(6)))


@pytest.mark.parametrize("max_skew", [32, 50, 1024])
def test_the_skew_of_a_fork_is_bounded_to_the_item(max_skew: int) -> None:
    for ahead in (0, 1):
        for w, fits in ((max_skew, True), (max_skew + 1, False)):
            probe = Probe(endless=True)
            stages: list[Any] = [fmap(abs)] * 2
            stages[ahead] = make_sliding(w)
            # The one that needs w items for its first output is ahead by all of them when the other has read none.
            stream = fork2_lockstep(*stages, max_skew=max_skew)(probe())
            if fits or ahead:
                assert next(stream)[ahead] == tuple(range(w))
                assert probe.pulls == w
            else:
                with pytest.raises(
                    BufferError, match=f"branch 0, .* has read {max_skew} more than branch 1,"
                ):
                    next(stream)
                assert probe.pulls == max_skew


def test_a_closed_branch_lets_go_of_what_waits_for_it() -> None:
    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for n in range(500):
            item = Item(n)
            alive.append(weakref.ref(item))
            yield item
            del item

    leader, laggard = multicast_bounded(items(), 2, maxlen=400)
    deque(islice(leader, 300), maxlen=0)
    assert sum(ref() is not None for ref in alive) >= 300
    laggard.close()
    deque(islice(leader, 100), maxlen=0)
    assert sum(ref() is not None for ref in alive) <= 58


def test_a_bound_beyond_every_stream_costs_nothing() -> None:
    assert [list(branch) for branch in multicast_bounded("ab", 2, maxlen=2**70)] == [["a", "b"]] * 2
    assert list(fork2_lockstep(fmap(str), fmap(str), max_skew=2**70)("a")) == [("a", "a")]
    left, right = multicast_bounded(count(), 2, maxlen=sys.maxsize)
    assert next(left) == next(right) == 0
    left.close()  # it would count down what is left of the bound
    assert next(right) == 1
    right.close()


@pytest.mark.parametrize("bound", [4095, 4096, 4097, 9000])
def test_a_large_bound_is_kept_to_the_item(bound: int) -> None:
    leader, laggard = multicast_bounded(count(), 2, maxlen=bound)
    assert sum(1 for _ in islice(leader, bound)) == bound
    with pytest.raises(BufferError, match=f"branch 0 is {bound} ahead of branch 1"):
        next(leader)
    assert [next(laggard) for _ in range(5000 % bound)] == list(range(5000 % bound))
    assert next(leader) == bound


def test_multicast_takes_over_an_iterator_never_read() -> None:
    probe = Probe("abc")
    for branch in multicast_bounded(probe(), 2):
        branch.close()
    assert (probe.pulls, probe.closes) == (0, 1)


def test_a_probe_remembers_that_it_was_overpulled() -> None:
    probe = Probe("abc", budget=1)
    it = probe()
    next(it)
    for _ in range(2):
        with pytest.raises(OverPulled):
            next(it)
    assert probe.over


def test_the_diagram_shows_refusals_and_rows_that_gave_nothing() -> None:
    log = Log()
    probe = Probe(log=log, budget=1, endless=True)
    log.join("right")
    it = log.watch("left", lambda xs: iter(xs))(probe())
    assert next(it) == 0
    with pytest.raises(OverPulled):
        next(it)
    assert log.diagram().splitlines() == [
        "        1  2  3",
        "source  0  .  1!",
        "right   .  .  .",
        "left    .  0  .",
        "! = asked for past the budget, and refused here",
    ]
    assert (
        log.spoken()
        == "source gave 0; left gave 0; source was asked for 1, past its budget; right has given nothing"
    )


def test_a_log_is_json_lines() -> None:
    probe = Probe(["a", None], budget=3, raises_at=2)
    it = probe()
    assert [next(it), next(it)] == ["a", None]
    with pytest.raises(Boom):
        next(it)
    with pytest.raises(OverPulled):
        next(it)
    it.close()
    assert probe.log.to_jsonl().splitlines() == [
        '{"t": 0, "stage": "source", "item": null, "kind": "open"}',
        '{"t": 1, "stage": "source", "item": null, "kind": "pull"}',
        '{"t": 2, "stage": "source", "item": "\'a\'", "kind": "yield"}',
        '{"t": 3, "stage": "source", "item": null, "kind": "pull"}',
        '{"t": 4, "stage": "source", "item": "None", "kind": "yield"}',
        '{"t": 5, "stage": "source", "item": null, "kind": "pull"}',
        '{"t": 6, "stage": "source", "item": "Boom(\'source raised in place of item 2\')", "kind": "error"}',
        '{"t": 7, "stage": "source", "item": null, "kind": "pull"}',
        '{"t": 8, "stage": "source", "item": "OverPulled(more)", "kind": "error"}',
        '{"t": 9, "stage": "source", "item": null, "kind": "close"}',
    ]
