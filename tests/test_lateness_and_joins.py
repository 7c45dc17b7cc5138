"""What the laws of the late merge and the keyed join do not say: notes, warnings, bounds, and what is refused."""

from __future__ import annotations

import gc
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count, islice
from random import Random
from typing import Any

import pytest

from funcpipe_rag.streams.joining import make_keyed_join
from funcpipe_rag.streams.lateness import make_merge_late
from funcpipe_rag.streams.merging import make_merge
from funcpipe_rag.streams.probe import Boom, Log, Probe
from funcpipe_rag.streams.reports import Report
from funcpipe_rag.streams.stages import as_source
from funcpipe_rag.streams.transforms import fence_k, ffilter, fflat_map, fmap


def itself(n: Any) -> Any:
    return n


def late_merge(*sources: Any, lateness: Any = 0, **how: Any) -> Any:
    return make_merge_late(*sources, ts=itself, lateness=lateness, **how)


def test_with_no_lateness_it_asks_as_merge_does() -> None:
    for k in range(12):
        probes = [Probe(endless=True, name=f"{place}") for place in range(3)]
        twins = [Probe(endless=True, name=f"{place}") for place in range(3)]
        assert list(islice(late_merge(*probes)(), k)) == list(islice(make_merge(*twins)(), k))
        assert [probe.pulls for probe in probes] == [probe.pulls for probe in twins]


def test_ten_thousand_sources() -> None:
    many = 10_000
    assert list(late_merge(*(as_source([place]) for place in range(many)))()) == list(range(many))
    log = Log()
    probes = [Probe([place, place], name=f"{place}", log=log) for place in range(many)]
    it = late_merge(*probes)()
    assert next(it) == 0
    it.close()
    opened = [event.stage for event in log.events if event.kind == "open"]
    assert [event.stage for event in log.events if event.kind == "close"] == opened[::-1]


def test_no_source_gives_nothing_and_one_never_started_touches_nothing() -> None:
    assert list(late_merge()()) == []
    probe = Probe(budget=0)
    late_merge(probe)().close()
    assert (probe.opens, probe.closes) == (0, 0)


def test_shuffled_within_a_bound_it_sorts() -> None:
    random = Random(7)
    for bound in (0, 1, 5, 20):
        lists = [
            sorted((n for n in range(300)), key=lambda n: n + random.uniform(0, bound)) for _ in range(3)
        ]
        made = late_merge(*map(as_source, lists), lateness=bound)
        assert list(made()) == sorted(n for numbers in lists for n in numbers)


def test_it_holds_what_lies_within_its_lateness() -> None:
    def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in late_merge(as_source(range(n)), as_source(range(0, n, 7)), lateness=10)():
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000)
    assert peak(30_000) - peak(1000) < 64 * 1024
    probe = Probe(endless=True)
    it = late_merge(probe, lateness=10)()
    for n in range(5):
        assert next(it) == n
        assert probe.pulls == n + 11


def test_a_source_far_ahead_is_not_asked_until_the_others_have_caught_up() -> None:
    ahead, behind = Probe([1000, 1001]), Probe(endless=True)
    it = late_merge(ahead, behind, lateness=3)()
    assert list(islice(it, 100)) == list(range(100))
    assert ahead.pulls == 1


def test_datetimes_and_a_timedelta() -> None:
    start = datetime(2026, 1, 1)
    times = [start + timedelta(seconds=seconds) for seconds in (0, 3, 1, 9)]
    assert list(late_merge(as_source(times), lateness=timedelta(seconds=2))()) == sorted(times)


def test_skipped_items_are_counted_in_one_warning_at_the_end() -> None:
    made = late_merge(as_source([5, 1, 6, 2, 9]), on_late="skip")
    with pytest.warns(RuntimeWarning, match="make_merge_late dropped 2 items: 2 ValueError") as warned:
        assert list(made()) == [5, 6, 9]
    assert len(warned) == 1
    assert warned[0].filename == __file__
    it = made()
    assert list(islice(it, 2)) == [5, 6]
    with pytest.warns(RuntimeWarning, match="make_merge_late dropped 1 item"):
        it.close()


def test_a_report_counts_in_place_of_the_warning() -> None:
    report = Report()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = late_merge(as_source([5, 1, 6]), on_late="skip", report=report)
        assert list(made()) == [5, 6]
        assert list(late_merge(as_source([1, 2]), on_late="skip")()) == [1, 2]
    assert report.counts == {"make_merge_late": {"ValueError": 1}}


def test_a_late_item_names_its_source_and_index_behind_what_that_source_gave() -> None:
    got = []
    made = late_merge(as_source([5, 7, 1, 8]), as_source([6, 9]))
    with pytest.raises(
        ValueError, match="source 0 is late at index 2: 1 came after 7 had been given"
    ) as raised:
        got.extend(made())
    assert got == [5, 6, 7]
    assert raised.value.__notes__ == [
        "make_merge_late: raised by source 0; 1 items held from the other sources were not given"
    ]


def test_an_error_waits_for_the_items_of_its_source_alone() -> None:
    log = Log()
    bad, good = Probe([1, 2], raises_at=2, log=log, name="bad"), Probe(endless=True, log=log, name="good")
    it = late_merge(bad, good, lateness=3)()
    got = []
    with pytest.raises(Boom) as raised:
        got.extend(it)
    assert got == [0, 1, 1, 2]
    assert "make_merge_late: raised by source 0" in raised.value.__notes__[0]
    assert (bad.closes, good.closes) == (1, 1)


def test_what_on_late_raises_is_raised() -> None:
    def refuses(item: int) -> None:
        raise KeyError(item)

    with pytest.raises(KeyError):
        list(late_merge(as_source([3, 1]), on_late=refuses)())


def words_and_sizes(**how: Any) -> Any:
    words = fflat_map(lambda line: [(line, word) for word in line.split()])
    sizes = fmap(lambda line: (line, len(line)))
    return make_keyed_join(lambda row: row[0], words, sizes, **how)


def test_a_pair_of_one_to_one_branches_costs_one_pull() -> None:
    probe = Probe(endless=True)
    joined = make_keyed_join(abs, fmap(int), fmap(abs))(probe())
    for n in range(5):
        assert next(joined) == (n, n)
        assert probe.pulls == n + 1


def test_the_branch_that_has_read_less_is_asked() -> None:
    log = Log()
    left, right = log.watch("left", fmap(int)), log.watch("right", fmap(abs))
    list(make_keyed_join(abs, left, right)(range(3)))
    given = [event.stage for event in log.events if event.kind == "yield"]
    assert given == ["left", "right"] * 3


def test_what_is_left_over_is_counted_in_one_warning_or_a_report() -> None:
    with pytest.warns(RuntimeWarning, match="make_keyed_join dropped 2 items"):
        assert list(words_and_sizes(on_unmatched="skip")(["a b", "", ""])) == [
            (("a b", "a"), ("a b", 3)),
            (("a b", "b"), ("a b", 3)),
        ]
    report = Report()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(words_and_sizes(on_unmatched="skip", report=report)(["a", ""]))
    assert report.counts == {"make_keyed_join": {"ValueError": 1}}


def test_an_unmatched_result_names_its_branch_its_place_and_its_key() -> None:
    joined = make_keyed_join(abs, fmap(abs), ffilter(bool), window=2)(count())
    with pytest.raises(
        ValueError, match="left result 0 has met no other with its key, 0, within a window of 2"
    ):
        list(joined)


def test_a_branch_may_not_read_further_ahead_than_the_window() -> None:
    def reads_five_first(xs: Iterator[int]) -> Iterator[int]:
        yield from list(islice(xs, 5))

    assert next(make_keyed_join(abs, reads_five_first, fmap(abs), window=5)(count())) == (0, 0)
    probe = Probe(endless=True)
    with pytest.raises(BufferError):
        next(make_keyed_join(abs, reads_five_first, fmap(abs), window=4)(probe()))
    assert probe.pulls == 4


def test_a_branch_that_ends_early_lets_the_other_go_on() -> None:
    alone: list[int] = []
    joined = make_keyed_join(abs, fence_k(1), fmap(abs), window=2, on_unmatched=alone.append)
    assert list(joined(range(50))) == [(0, 0)]
    assert alone == list(range(1, 50))


def test_a_join_holds_its_windows() -> None:
    def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in make_keyed_join(itself, fmap(itself), fmap(itself), window=16)(range(n)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1000)
    assert peak(20_000) - peak(1000) < 64 * 1024


def test_a_join_closes_its_branches_and_what_it_opened() -> None:
    closed: list[str] = []

    def branch(name: str) -> Callable[[Iterator[int]], Iterator[int]]:
        def transform(xs: Iterator[int]) -> Iterator[int]:
            try:
                yield from xs
            finally:
                closed.append(name)

        return transform

    handed = Probe(endless=True)
    it = handed()
    joined = make_keyed_join(abs, branch("left"), branch("right"))(it)
    assert next(joined) == (0, 0)
    joined.close()
    assert closed == ["right", "left"]
    assert (handed.closes, next(it)) == (0, 1)


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: late_merge([1]), TypeError, "make_merge_late: source 0 .* got list; write as_source"),
        (
            lambda: make_merge_late(ts=3, lateness=0),
            TypeError,
            "make_merge_late: ts must be a function, got int",
        ),
        (lambda: late_merge(lateness=-1), ValueError, "make_merge_late: lateness must be >= 0, got -1"),
        (lambda: late_merge(lateness=-float("inf")), ValueError, "lateness must be >= 0, got -inf"),
        (lambda: late_merge(lateness=float("nan")), ValueError, "lateness must be >= 0, got nan"),
        (lambda: late_merge(lateness=timedelta(-1)), ValueError, "lateness must be >= 0"),
        (
            lambda: late_merge(lateness="1 s"),
            TypeError,
            "lateness must be a number or a timedelta, got '1 s'",
        ),
        (lambda: late_merge(lateness=None), TypeError, "lateness must be a number or a timedelta, got None"),
        (
            lambda: late_merge(on_late="drop"),
            ValueError,
            "on_late must be 'fail', 'skip' or a function, got 'drop'",
        ),
        (lambda: late_merge(report=3), TypeError, "make_merge_late: report must be a function, got int"),
        (lambda: make_keyed_join(1, abs, abs), TypeError, "make_keyed_join: key must be a function, got int"),
        (
            lambda: make_keyed_join(abs, 1, abs),
            TypeError,
            "make_keyed_join: left must be a function, got int",
        ),
        (lambda: make_keyed_join(abs, abs, abs, window=0), ValueError, "window must be >= 1, got 0"),
        (
            lambda: make_keyed_join(abs, abs, abs, on_unmatched="drop"),
            ValueError,
            "on_unmatched must be 'fail', 'skip' or a function, got 'drop'",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(
    build: Callable[[], Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        build()


def test_they_print_as_they_are_written() -> None:
    numbers = as_source([1])
    assert (
        repr(make_merge_late(numbers, ts=abs, lateness=2))
        == "make_merge_late(as_source([1]), ts=abs, lateness=2)"
    )
    assert repr(make_keyed_join(abs, fmap(abs), fmap(abs), window=3)) == (
        "make_keyed_join(abs, fmap(abs), fmap(abs), window=3)"
    )
