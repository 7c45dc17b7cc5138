"""What the laws of failures as data do not say: who is warned, what is kept, what a bad argument is told."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import re
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag.streams import as_source, fence_k, fmap
from funcpipe_rag.streams.ownership import Owned
from funcpipe_rag.streams.probe import Boom, Probe
from funcpipe_rag.streams.reports import POLICIES, Report, error_report, ok_only, policy
from funcpipe_rag.streams.results import (
    Err,
    Nothing,
    Ok,
    Some,
    recover,
    split_results,
    try_map,
    until_error_rate,
    until_n_errors,
)
from funcpipe_rag.streams.retrying import Backoff, BreakerOpen, RetryPolicy, make_breaker, retry

LOST = Err(LookupError("lost"), "x", "read", 3)


def kinds(results: Iterable[Any]) -> str:
    """O for a good result, E for a failure."""
    return "".join("O" if isinstance(result, Ok) else "E" for result in results)


def results(said: str) -> list[Any]:
    return [Ok(place) if mark == "O" else LOST for place, mark in enumerate(said)]


def test_each_kind_is_equal_to_its_own_alone() -> None:
    assert Ok(1) == Ok(1) != Ok(2)
    assert len({Ok(1), Ok(1), Some(1), Nothing(), Nothing()}) == 3
    assert Ok(1) != Some(1) and Ok(1) != (1,) and (1,) != Ok(1)
    assert Nothing() == Nothing() != ()
    assert Err(*LOST) == LOST != tuple(LOST)


def test_results_are_data() -> None:
    for result in (Ok([1]), Some(None), Nothing(), Err("no error", "x", "s", 1)):
        assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result
        with pytest.raises(AttributeError):
            result.value = 2
    assert type(pickle.loads(pickle.dumps(LOST)).error) is LookupError


def test_what_there_is_is_true_and_what_there_is_not_is_false() -> None:
    assert Some(None) and Some(0)
    assert not Nothing()


def test_try_map_reads_to_its_caller_as_one_result_an_item() -> None:
    made = try_map(int)(["1", "x", "2", None])
    assert kinds(islice(made, 2)) == "OE"
    failure = list(made)[-1]
    assert (failure.item, failure.stage, failure.index) == (None, "try_map(int)", 3)
    assert isinstance(failure.error, TypeError)


def test_a_stop_iteration_is_never_the_end() -> None:
    def ends(n: int) -> int:
        raise StopIteration

    assert kinds(try_map(ends)([1, 2])) == "EE"
    with pytest.raises(RuntimeError, match=r"ends\): it raised StopIteration at index 0"):
        list(try_map(ends, errors=ValueError)([1, 2]))


def test_what_is_no_exception_is_never_data() -> None:
    def stops(n: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(try_map(stops)([1]))


def test_a_pipeline_of_results_end_to_end() -> None:
    report = Report()
    pipeline = (
        as_source(["1", "", "x", "4"])
        | try_map(int)
        | recover(lambda failure: 0 if failure.item == "" else failure)
        | until_n_errors(9)
        | ok_only(report=report)
        | fmap(abs)
    )
    assert list(pipeline()) == [1, 0, 4]
    assert report.counts == {"try_map(int)": {"ValueError": 1}}
    assert list(pipeline()) == [1, 0, 4]
    assert report.total == 2


@pytest.mark.parametrize(
    ("rate", "window", "given", "expected"),
    [
        (1.0, 1, "OEO", "OE"),
        (0.5, 2, "OOE", "OOE"),
        (0.5, 4, "EOOOEOEO", "EOOOEOE"),
        (1.0, 3, "EEOEEEO", "EEOEEE"),
        (0.1, 30, "EEEO", "EEE"),
        (0.01, 1, "E", "E"),
        (1, 10**9, "E" * 50, "E" * 50),
    ],
)
def test_the_rate_is_that_of_the_last_results(rate: float, window: int, given: str, expected: str) -> None:
    assert kinds(until_error_rate(rate, window=window)(results(given))) == expected


def test_a_budget_of_any_size_costs_no_memory() -> None:
    assert kinds(until_n_errors(10**30)(results("EO" * 5))) == "EO" * 5
    assert kinds(until_error_rate(1.0, window=10**30)(results("EO" * 5))) == "EO" * 5


READERS: dict[str, Callable[[], Any]] = {
    "recover": lambda: recover(lambda failure: 0),
    "ok_only": ok_only,
    "split_results": lambda: split_results(lambda failure: None),
    "until_n_errors": lambda: until_n_errors(2),
    "until_error_rate": lambda: until_error_rate(0.5, window=2),
}


@pytest.mark.parametrize("name", [*READERS, "error_report"])
def test_what_is_no_result_is_named_behind_the_results_before_it(name: str) -> None:
    if name == "error_report":
        with pytest.raises(TypeError, match=r"error_report: wants Ok or Err, got int; try_map\(fn\) makes"):
            error_report()([Ok(1), 2])
        return
    made = READERS[name]()([Ok(1), 2])
    next(made)
    with pytest.raises(TypeError, match=rf"{name}: wants Ok or Err, got int; try_map\(fn\) makes"):
        next(made)


class Item:
    """Something that a weak reference can point at."""


@pytest.mark.parametrize("make", [*READERS.values(), None], ids=[*READERS, "try_map"])
def test_what_has_gone_through_is_not_held(make: Callable[[], Any] | None) -> None:
    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Any]:
        for _ in range(10):
            item = Item()
            alive.append(weakref.ref(item))
            yield item if make is None else Ok(item)
            del item

    made = (make() if make else try_map(lambda x: x))(items())
    for _ in range(5):
        next(made)
        # The generator above still holds its last item, as any `for` loop does.
        assert sum(ref() is not None for ref in alive) <= 1


FAILING = [*results("OOOE") * 10]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: try_map(lambda x: 1 // (x % 2))(range(n)),
        lambda n: recover(lambda failure: 0)(islice(chain.from_iterable(iter(lambda: FAILING, 0)), n)),
        lambda n: ok_only()(islice(chain.from_iterable(iter(lambda: FAILING, 0)), n)),
        lambda n: until_error_rate(0.9, window=100)(islice(chain.from_iterable(iter(lambda: FAILING, 0)), n)),
        lambda n: iter([error_report()(try_map(lambda x: 1 // (x % 2))(range(n)))]),
    ],
    ids=["try_map", "recover", "ok_only", "until_error_rate", "error_report"],
)
@pytest.mark.filterwarnings("ignore:ok_only dropped")
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
    assert peak(20_000) - peak(1000) < 64 * 1024


def test_a_report_keeps_text_and_no_item() -> None:
    item = Item()
    ref = weakref.ref(item)
    report = Report()
    report(Err(ValueError("x" * 1000), item, "parse", 0))
    del item
    gc.collect()
    assert ref() is None
    (example,) = report.as_dict()["stages"]["parse"]["ValueError"]["examples"]
    assert len(example["error"]) == 200
    assert len(example["item"]) <= 60


def test_a_report_bears_an_item_that_cannot_be_shown() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    report = Report()
    report(Err(ValueError("bad"), Shy(), "parse", 0))
    report(Err(ValueError("bad"), "x" * 10**6, "parse", 1))
    shy, long = report.as_dict()["stages"]["parse"]["ValueError"]["examples"]
    assert "Shy" in shy["item"]
    assert len(long["item"]) <= 60


def test_a_report_is_json_with_the_first_examples() -> None:
    report = Report(examples=1)
    list(ok_only(report=report)(try_map(int)(["é", "y", "3"])))
    assert json.loads(report.to_json()) == {
        "failed": 2,
        "stages": {
            "try_map(int)": {
                "ValueError": {
                    "count": 2,
                    "examples": [
                        {
                            "index": 0,
                            "item": "'é'",
                            "error": "invalid literal for int() with base 10: 'é'",
                        }
                    ],
                }
            }
        },
    }


def test_what_a_report_hands_out_is_a_copy() -> None:
    report = Report()
    report(LOST)
    report.counts.clear()
    report.as_dict()["stages"]["read"]["LookupError"]["examples"][0]["item"] = "changed"
    assert report.as_dict()["stages"]["read"]["LookupError"]["examples"][0]["item"] == "'x'"


def told(read: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read()
    return caught


def test_drops_without_a_report_are_told_once_at_the_end_of_the_stream() -> None:
    stage = ok_only()

    def read_in_steps() -> None:
        it = stage(results("EOEO"))
        assert next(it) == 1
        it.close()

    full, half, none = (
        told(lambda: list(stage(results("EOE")))),
        told(read_in_steps),
        told(lambda: list(stage(results("OO")))),
    )
    assert [str(one.message) for one in full] == [
        "ok_only dropped 2 items: 2 LookupError in read; pass report=Report()"
    ]
    assert [str(one.message) for one in half] == [
        "ok_only dropped 1 item: 1 LookupError in read; pass report=Report()"
    ]
    assert none == []
    assert {one.category for one in [*full, *half]} == {RuntimeWarning}


def test_the_warning_points_at_the_line_that_reads() -> None:
    pipeline = as_source(results("EOE")) | ok_only() | fence_k(5)
    (one,) = told(lambda: list(pipeline()))
    assert one.filename == __file__


def test_no_warning_where_somebody_is_told() -> None:
    heard: list[Any] = []
    assert told(lambda: list(ok_only(report=heard.append)(results("EOE")))) == []
    assert heard == [LOST, LOST]


def test_where_warnings_are_errors_the_stream_s_own_comes_first() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="dropped 1 item"):
            list(ok_only()(results("EO")))
        probe = Probe(results("EO"), raises_at=1)
        with pytest.raises(Boom) as raised:
            list(ok_only()(probe()))
        assert raised.value.__notes__ == [
            "ok_only dropped 1 item: 1 LookupError in read; pass report=Report()"
        ]


def halves(on_error: Any = "fail", report: Any = None) -> Callable[[Iterable[int]], Iterator[Any]]:
    """A stage as any file of the room would write it."""
    failures_of = policy("halves", on_error, stage="halves(10)", report=report)

    def run(xs: Iterable[int]) -> Iterator[Any]:
        with Owned() as owned, failures_of() as failures:
            for index, x in enumerate(owned.opened(xs)):
                try:
                    half = 10 // x
                except ZeroDivisionError as error:
                    yield from failures.handle(error, x, index)
                else:
                    yield half

    return run


def test_three_policies() -> None:
    it = halves("fail")([5, 0, 1])
    assert next(it) == 2
    with pytest.raises(ZeroDivisionError):
        next(it)
    report = Report()
    assert list(halves("skip", report)([5, 0, 1])) == [2, 10]
    assert report.counts == {"halves(10)": {"ZeroDivisionError": 1}}
    two, failure, ten = halves("collect")([5, 0, 1])
    assert (two, ten) == (2, 10)
    assert (failure.item, failure.stage, failure.index) == (0, "halves(10)", 1)
    (one,) = told(lambda: list(halves("skip")([0, 1, 0])))
    assert "halves(10) dropped 2 items: 2 ZeroDivisionError in halves(10)" in str(one.message)


def test_two_streams_of_one_policy_count_apart() -> None:
    made = halves("skip")
    assert [
        "dropped 1 item:" in str(one.message) for one in told(lambda: [list(made([0])), list(made([0]))])
    ] == [
        True,
        True,
    ]


def failing(times: int, error: Exception) -> Callable[[Any], Any]:
    left = iter(range(times))

    def fn(item: Any) -> Any:
        if next(left, None) is None:
            return item
        raise error

    return fn


def test_the_last_error_is_the_function_s_own_with_a_note() -> None:
    error = OSError("busy")
    with pytest.raises(OSError, match="busy") as raised:
        retry(RetryPolicy(3), sleeper=lambda wait: None)(failing(9, error))(1)
    assert raised.value is error
    assert raised.value.__notes__ == ["retry: that was try 3 of 3"]


def test_a_retried_function_keeps_its_name_and_all_its_arguments() -> None:
    @retry(RetryPolicy(2), sleeper=lambda wait: None)
    def fetch(page: int, *, size: int = 1) -> tuple[int, int]:
        """Fetches."""
        return page, size

    assert fetch(3, size=4) == (3, 4)
    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetches.")
    assert try_map(fetch)([1]).__next__() == Ok((1, 1))
    assert repr(try_map(fetch)) == "try_map(fetch)"


def test_jitter_is_each_function_s_own_and_comes_from_the_seed() -> None:
    def waits(seed: int) -> list[float]:
        waited: list[float] = []
        patient = retry(RetryPolicy(4, Backoff(1, 2, 60), jitter=0.5), seed=seed, sleeper=waited.append)
        with pytest.raises(OSError, match="busy"):
            patient(failing(9, OSError("busy")))(0)
        return waited

    assert waits(1) == waits(1) != waits(2)
    assert [round(wait, 3) for wait in waits(0)] == [0.578, 1.242, 3.159]


def test_a_long_row_of_waits_does_not_overflow() -> None:
    assert list(RetryPolicy(5000, Backoff(1, 10.0, 60)).waits())[-1] == 60
    assert list(RetryPolicy(3, Backoff(9, 2, 5)).waits()) == [5, 5]


def test_a_policy_is_data() -> None:
    policy = RetryPolicy(attempts=2, backoff=(1, 2, 3), jitter=0.5, retry_on=OSError)
    assert repr(policy) == (
        "RetryPolicy(attempts=2, backoff=Backoff(base=1, factor=2, max=3), jitter=0.5, "
        "retry_on=(<class 'OSError'>,))"
    )
    assert policy == pickle.loads(pickle.dumps(policy)) == policy._replace(attempts=2)
    with pytest.raises(ValueError, match="RetryPolicy: attempts must be >= 1, got 0"):
        retry(policy._replace(attempts=0))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_shows_its_state_through_a_whole_life() -> None:
    clock = Clock()
    guarded = make_breaker(failures=2, reset_after=10, clock=clock)(int)
    seen = []
    for now, item in [(0, "x"), (1, "x"), (2, "3"), (11, "x"), (20.5, "3"), (21, "3"), (22, "x")]:
        clock.now = now
        before = guarded.state
        (result,) = try_map(guarded)([item])
        said = result.value if isinstance(result, Ok) else type(result.error).__name__
        seen.append((now, before, said, guarded.state))
    assert seen == [
        (0, "closed", "ValueError", "closed"),
        (1, "closed", "ValueError", "open"),
        (2, "open", "BreakerOpen", "open"),
        (11, "half-open", "ValueError", "open"),
        (20.5, "open", "BreakerOpen", "open"),
        (21, "half-open", 3, "closed"),
        (22, "closed", "ValueError", "closed"),
    ]


def test_a_refusal_names_the_function_and_the_wait() -> None:
    clock = Clock()
    guarded = make_breaker(failures=1, reset_after=10, clock=clock)(int)
    with pytest.raises(ValueError, match="invalid literal"):
        guarded("x")
    clock.now = 7.5
    with pytest.raises(
        BreakerOpen, match=r"int was not called: its breaker is open for another 2\.5 s"
    ) as raised:
        guarded("x")
    assert (raised.value.function, raised.value.retry_in) == ("int", 2.5)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_one_trial_at_a_time_and_an_interrupt_leaves_the_next() -> None:
    clock = Clock()
    inside: list[str] = []

    def fetch(item: Any) -> Any:
        if item == "again":
            try:
                guarded("in the middle")
            except BreakerOpen as refused:
                inside.append(str(refused))
        if item == "stop":
            raise KeyboardInterrupt
        if item == "x":
            raise OSError("down")
        return item

    guarded = make_breaker(failures=1, reset_after=10, clock=clock)(fetch)
    with pytest.raises(OSError, match="down"):
        guarded("x")
    clock.now = 10
    with pytest.raises(KeyboardInterrupt):
        guarded("stop")
    assert guarded.state == "half-open"
    assert guarded("again") == "again"
    assert "open for another 0 s" in inside[0]
    assert guarded.state == "closed"


def test_breaker_retry_and_try_map_go_together() -> None:
    waited: list[float] = []
    calls = count()

    def fetch(page: int) -> int:
        next(calls)
        raise OSError("down")

    patient = retry(RetryPolicy(2, Backoff(base=1)), sleeper=waited.append)
    guarded = make_breaker(failures=2, reset_after=60, clock=Clock())(patient(fetch))
    stage = try_map(guarded)
    assert repr(stage) == "try_map(breaker(fetch))"
    got = [type(failure.error).__name__ for failure in stage(range(4))]
    assert got == ["OSError", "OSError", "BreakerOpen", "BreakerOpen"]
    assert (next(calls), waited) == (4, [1, 1])


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: try_map(None), TypeError, "try_map: fn must be a function, got NoneType"),
        (lambda: try_map(int, errors=()), ValueError, "try_map: errors must name at least one kind"),
        (lambda: try_map(int, errors=3), TypeError, "try_map: errors must be kinds of Exception, got 3"),
        (
            lambda: try_map(int, errors=(ValueError, KeyboardInterrupt)),
            TypeError,
            "try_map: errors must be kinds of Exception, got KeyboardInterrupt",
        ),
        (lambda: recover(0), TypeError, "recover: fn must be a function, got int"),
        (lambda: ok_only(report=3), TypeError, "ok_only: report must be a function, got int"),
        (lambda: split_results([]), TypeError, "split_results: on_err must be a function, got list"),
        (lambda: until_n_errors(0), ValueError, "until_n_errors: n must be >= 1, got 0"),
        (lambda: until_n_errors(1.5), TypeError, "until_n_errors: n must be a whole number, got 1.5"),
        (
            lambda: until_error_rate(0, window=3),
            ValueError,
            "until_error_rate: rate must be > 0 and <= 1, got 0",
        ),
        (lambda: until_error_rate(1.1, window=3), ValueError, "rate must be > 0 and <= 1, got 1.1"),
        (lambda: until_error_rate(float("nan"), window=3), ValueError, "rate must be > 0 and <= 1, got nan"),
        (lambda: until_error_rate("1", window=3), TypeError, "rate must be a number, got '1'"),
        (lambda: until_error_rate(0.5, window=0), ValueError, "until_error_rate: window must be >= 1, got 0"),
        (lambda: Report(examples=-1), ValueError, "Report: examples must be >= 0, got -1"),
        (lambda: error_report(examples=-1), ValueError, "error_report: examples must be >= 0, got -1"),
        (
            lambda: policy("f", "ignore"),
            ValueError,
            'f: on_error must be "fail", "skip" or "collect", got .ignore',
        ),
        (lambda: policy("f", "skip", of=("fail",)), ValueError, 'f: on_error must be "fail", got .skip'),
        (lambda: policy("f", ["skip"]), ValueError, "f: on_error must be"),
        (lambda: policy("f", "skip", report={}), TypeError, "f: report must be a function, got dict"),
        (lambda: RetryPolicy(0), ValueError, "RetryPolicy: attempts must be >= 1, got 0"),
        (lambda: RetryPolicy(jitter=2), ValueError, "RetryPolicy: jitter must be >= 0 and <= 1, got 2"),
        (lambda: RetryPolicy(backoff=1), TypeError, "RetryPolicy: backoff must be a Backoff, got int"),
        (lambda: RetryPolicy(retry_on=BaseException), TypeError, "retry_on must be kinds of Exception"),
        (lambda: Backoff(base=-1), ValueError, "Backoff: base must be >= 0 and finite, got -1"),
        (lambda: Backoff(max=float("inf")), ValueError, "Backoff: max must be >= 0 and finite, got inf"),
        (lambda: retry(3), TypeError, "retry: policy must be a RetryPolicy, got int"),
        (lambda: retry(RetryPolicy(), sleeper=1), TypeError, "retry: sleeper must be a function, got int"),
        (lambda: retry(RetryPolicy())(1), TypeError, "retry: fn must be a function, got int"),
        (lambda: make_breaker(failures=0, reset_after=1), ValueError, "failures must be >= 1, got 0"),
        (
            lambda: make_breaker(failures=1, reset_after=-1),
            ValueError,
            "reset_after must be >= 0 and finite, got -1",
        ),
        (lambda: make_breaker(failures=1, reset_after=1, clock=0), TypeError, "clock must be a function"),
        (
            lambda: make_breaker(failures=1, reset_after=1)(0),
            TypeError,
            "make_breaker: fn must be a function",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(
    build: Callable[[], Any], kind: type, said: str
) -> None:
    with pytest.raises(kind, match=said):
        build()


def test_stages_print_as_they_are_written() -> None:
    assert repr(try_map(int) | until_n_errors(3) | ok_only()) == "try_map(int) | until_n_errors(3) | ok_only"
    assert repr(try_map(int, errors=ValueError)) == "try_map(int, errors=(<class 'ValueError'>,))"
    assert repr(until_error_rate(0.5, window=10)) == "until_error_rate(0.5, window=10)"
    assert POLICIES == ("fail", "skip", "collect")


def test_failures_as_data_cost_little_to_import() -> None:
    # -S: what site-packages' own start-up files import must not hide what we import.
    statement = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import funcpipe_rag.streams.results, funcpipe_rag.streams.reports, funcpipe_rag.streams.retrying; "
        "print(*sys.modules)"
    )
    home = str(Path(sys.modules["funcpipe_rag"].__file__ or "").parents[1])
    done = subprocess.run(
        [sys.executable, "-IS", "-c", statement, home], capture_output=True, text=True, check=True
    )
    heavy = {"asyncio", "dataclasses", "fractions", "inspect", "json", "pathlib", "random"}
    assert set(done.stdout.split()) & heavy == set()


TYPED = """
from collections.abc import Iterator
from funcpipe_rag.streams import as_source, fmap
from funcpipe_rag.streams.reports import ok_only
from funcpipe_rag.streams.results import recover, try_map, until_n_errors
from funcpipe_rag.streams.retrying import RetryPolicy, make_breaker, retry

def parse(text: str) -> int:
    return int(text)

tried = as_source(["1"]) | try_map(parse)
reveal_type(tried())
reveal_type((tried | ok_only())())
reveal_type((tried | ok_only() | fmap(str))())
reveal_type((tried | until_n_errors(3))())
reveal_type((tried | recover(lambda failure: 0))())
reveal_type(retry(RetryPolicy())(parse))
reveal_type(make_breaker(failures=1, reset_after=1)(parse)("1"))
reveal_type(ok_only()(try_map(parse)(["1"])))
"""
REVEALED = [
    "typing.Iterator[Ok[int] | Err[str]]",
    "typing.Iterator[int]",
    "typing.Iterator[str]",
    "typing.Iterator[Ok[int] | Err[str]]",
    "typing.Iterator[Ok[int] | Err[Any]]",
    "def (text: str) -> int",
    "int",
    "typing.Iterator[int]",
]


@pytest.mark.slow
def test_types_go_through(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    path = tmp_path / "typed.py"
    path.write_text(TYPED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    said = [line.split('"')[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    plain = [re.sub(r"funcpipe_rag\.streams\.\w+\.|builtins\.", "", text) for text in said]
    plain = [text.replace("collections.abc.", "typing.") for text in plain]
    # mypy shows a named tuple as `tuple[int, fallback=Ok[int]]`.
    plain = [re.sub(r"tuple\[[^\[\]]*fallback=(\w+\[\w+\])\]", r"\1", text) for text in plain]
    assert "error:" not in done.stdout, done.stdout
    assert plain == REVEALED
