"""What the laws of pacing and taps do not say: odd sleepers and odd numbers, who is told, what is held, what is refused."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from collections.abc import Callable, Iterator
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

import funcpipe_rag
from funcpipe_rag import as_source, fence_k, fmap
from funcpipe_rag.streams.pacing import FakeTime, make_rate_limit, make_throttle, make_timestamp
from funcpipe_rag.streams.probe import Boom, Probe
from funcpipe_rag.streams.taps import (
    make_counter,
    make_peek,
    make_progress,
    make_sampler_bernoulli,
    make_sampler_periodic,
    make_sampler_stable,
    make_tap,
)

ROOT = Path(funcpipe_rag.__file__).resolve().parents[1]


def when(stage: Any, time: FakeTime, items: Any) -> list[float]:
    return [time.clock() for _ in stage(items)]


class Drowsy(FakeTime):
    """Sleeps only half of what it is asked, and at least a millisecond."""

    def sleep(self, seconds: Any) -> None:
        super().sleep(max(seconds / 2, 0.001))


@pytest.mark.parametrize("time", [FakeTime(), Drowsy()], ids=["exact", "wakes early"])
@pytest.mark.parametrize("gap", [0.1, 1 / 3, 0.7])
def test_awkward_gaps_are_kept_to_the_last_bit(time: FakeTime, gap: float) -> None:
    at = when(make_throttle(gap, clock=time.clock, sleeper=time.sleep), time, range(300))
    assert all(then >= before + gap for before, then in pairwise(at))
    assert at[-1] - at[0] == pytest.approx(299 * gap, abs=299 * 0.001)


@pytest.mark.parametrize(("rate", "burst"), [(3, 1), (3, 4), (0.7, 2), (10, 1)])
def test_a_long_stream_does_not_drift_from_its_rate(rate: float, burst: int) -> None:
    time = FakeTime()
    at = when(make_rate_limit(rate, burst, clock=time.clock, sleeper=time.sleep), time, range(5000))
    assert at[:burst] == [0.0] * burst
    assert at[-1] == pytest.approx((5000 - burst) / rate, rel=1e-12)


def test_a_rate_limit_holds_although_its_sleeper_wakes_early() -> None:
    time = Drowsy()
    at = when(make_rate_limit(4, 2, clock=time.clock, sleeper=time.sleep), time, range(40))
    assert all(
        last - first + 1 <= 2 + 4 * (at[last] - at[first]) + 1e-9
        for last in range(40)
        for first in range(last + 1)
    )


@pytest.mark.parametrize(
    "stage",
    [
        lambda time: make_throttle(1, clock=time.clock, sleeper=time.sleeps.append),
        lambda time: make_rate_limit(1, 1, clock=time.clock, sleeper=time.sleeps.append),
    ],
)
def test_a_sleeper_that_never_moves_the_clock_is_an_error_and_no_endless_loop(stage: Any) -> None:
    it = stage(FakeTime())("ab")
    assert next(it) == "a"
    with pytest.raises(RuntimeError, match="clock has not moved; clock and sleeper must belong together"):
        next(it)


def test_a_gap_of_zero_and_a_stream_in_no_hurry_never_sleep() -> None:
    time = FakeTime()
    assert list(make_throttle(0, clock=time.clock, sleeper=time.sleep)("abc")) == ["a", "b", "c"]
    for _ in make_throttle(1, clock=time.clock, sleeper=time.sleep)("abc"):
        time.advance(5)
    assert time.sleeps == []


def test_the_usual_time_is_the_real_one() -> None:
    """Nothing here waits: a tenth of a microsecond is over before it is asked for."""
    assert list(make_throttle(1e-7)("abc")) == ["a", "b", "c"]
    assert list(make_rate_limit(1e7, 1)("abc")) == ["a", "b", "c"]
    stamps = [at for at, _ in make_timestamp()("abc")]
    assert stamps == sorted(stamps)


def test_an_interrupt_while_it_waits_comes_through() -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    probe = Probe("abc")
    source = probe()
    it = make_throttle(1, clock=FakeTime().clock, sleeper=interrupted)(source)
    assert next(it) == "a"
    with pytest.raises(KeyboardInterrupt):
        next(it)
    # What waited is gone with the run; the stream that was handed in goes on behind it.
    assert (probe.pulls, probe.closes, next(source)) == (2, 0, "c")


def test_fake_time_never_goes_back_and_shows_itself() -> None:
    time = FakeTime(5)
    time.sleep(0)
    time.advance(1.5)
    assert (time.clock(), time.sleeps, repr(time)) == (6.5, [0.0], "<FakeTime at 6.5 s, slept 0.0 s>")
    with pytest.raises(ValueError, match=r"FakeTime.sleep: seconds must be >= 0 and finite, got -1"):
        time.sleep(-1)
    with pytest.raises(ValueError, match=r"FakeTime.advance: seconds must be >= 0"):
        time.advance(-0.5)


def no(item: Any) -> None:
    raise LookupError(item)


def test_failures_that_a_tap_skips_are_told_once_at_the_end_and_to_the_reader() -> None:
    tap = make_tap(no, on_error="skip")
    with pytest.warns(RuntimeWarning) as told:
        assert list(tap("abc")) == ["a", "b", "c"]
    assert [str(one.message) for one in told] == ["make_tap: no failed on 3 items, first with LookupError: a"]
    assert told[0].filename == __file__
    half = tap("xyz")
    assert next(half) == "x"
    with pytest.warns(RuntimeWarning, match="no failed on 1 item, first with LookupError: x"):
        half.close()


def test_a_tap_that_skipped_nothing_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(make_tap(id, on_error="skip")("abc"))
        make_tap(no, on_error="skip")("abc").close()


def test_a_tap_never_skips_an_interrupt() -> None:
    def interrupted(item: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(make_tap(interrupted, on_error="skip")("abc"))


def test_counts_are_live_and_by_run_also_inside_a_pipeline() -> None:
    counter = make_counter()
    pipeline = as_source("abcde") | counter | fence_k(3)
    assert counter.counts == ()
    never_read, a, b = pipeline(), pipeline(), pipeline()
    assert [next(a), next(b), next(a)] == ["a", "a", "b"]
    assert counter.counts == (2, 1)
    assert list(b) == ["b", "c"]
    a.close()
    never_read.close()
    assert counter.counts == (2, 3)
    with pytest.raises(AttributeError, match="immutable"):
        counter.counts = (0,)  # type: ignore[misc]


def test_an_error_of_emit_hides_no_error_of_the_stream() -> None:
    with pytest.raises(Boom) as raised:
        list(make_counter(emit=no)(Probe("abc", raises_at=1)()))
    assert raised.value.__notes__ == ["and while closing: LookupError: 1"]
    with pytest.raises(LookupError, match="3"):
        list(make_counter(emit=no)("abc"))


def test_peek_does_not_ask_an_ended_stream_again() -> None:
    for items in (0, 1, 4, 5, 9):
        probe, shown = Probe(range(items)), []
        assert list(make_peek(3, shown.append, stride=2)(probe())) == list(range(items))
        assert probe.pulls == items + 1
        assert shown == list(range(items))[:5:2]


def test_a_large_stride_or_number_costs_no_memory_and_no_time() -> None:
    shown: list[int] = []
    assert list(make_peek(10**12, shown.append, stride=10**6)(range(3))) == [0, 1, 2]
    assert shown == [0]


CHOOSES = """
from funcpipe_rag.streams.taps import make_sampler_bernoulli, make_sampler_stable
notes = [f"note-{n}" for n in range(40)]
print(list(make_sampler_stable(0.3, key=str)(notes)))
print(list(make_sampler_stable(0.5, key=lambda n: (n, "é", None, 0.5, b"x"))(range(20))))
print(list(make_sampler_bernoulli(0.3, seed="notes")(range(40))))
"""


def test_samples_are_the_same_in_every_process() -> None:
    def said(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", CHOOSES],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first, second = said("1"), said("2")
    assert first == second
    assert "note-6" in first


def test_the_stable_choice_is_the_one_that_is_written_down() -> None:
    """Other languages and later versions must come to the same."""
    notes = [f"note-{n}" for n in range(12)]
    kept = ["note-0", "note-1", "note-6", "note-7", "note-8", "note-10"]
    assert list(make_sampler_stable(0.5, key=str)(notes)) == kept
    assert list(make_sampler_stable(0.5, key=str.encode)(notes)) == kept


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.9, 1.0])
def test_a_sample_has_about_its_share(rate: float) -> None:
    many = 20_000
    for sampler in (make_sampler_stable(rate, key=int), make_sampler_bernoulli(rate, seed=3)):
        share = sum(1 for _ in sampler(range(many))) / many
        assert abs(share - rate) <= 5 * (rate * (1 - rate) / many) ** 0.5


@pytest.mark.parametrize("key", [{1}, frozenset(), object(), [1], (1, {2}), Path("a")])
def test_a_key_that_may_look_different_elsewhere_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="key must give text, bytes, a number, None, or a tuple of them, got"):
        next(make_sampler_stable(0.5, key=lambda _: key)("a"))


class Bar:
    """Stands in for tqdm."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, *, total: int | None) -> None:
        self.total, self.seen, self.closed = total, 0, 0
        Bar.made.append(self)

    def update(self) -> None:
        self.seen += 1

    def close(self) -> None:
        self.closed += 1


def test_the_bar_counts_and_is_closed_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", type("tqdm", (), {"tqdm": Bar}))
    monkeypatch.setattr(Bar, "made", [])
    watched = make_progress(total=3)
    it = watched("abc")
    assert Bar.made == []
    assert next(it) == "a"
    assert [(bar.total, bar.seen, bar.closed) for bar in Bar.made] == [(3, 1, 0)]
    it.close()
    assert list(watched("abc")) == ["a", "b", "c"]
    with pytest.raises(Boom):
        list(make_progress()(Probe("ab", raises_at=1)()))
    assert [(bar.total, bar.seen, bar.closed) for bar in Bar.made] == [(3, 1, 1), (3, 3, 1), (None, 1, 1)]


def test_without_tqdm_the_items_go_through_and_what_was_opened_is_closed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    probe = Probe("abc")
    pipeline = (lambda: probe()) | make_progress()
    it = pipeline()
    assert next(it) == "a"
    it.close()
    assert (probe.pulls, probe.closes) == (1, 1)
    assert capfd.readouterr() == ("", "")


def test_with_tqdm_there_is_a_bar_on_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    assert list(make_progress(total=2)("ab")) == ["a", "b"]
    out, err = capfd.readouterr()
    assert out == ""
    assert "2/2" in err


def test_importing_them_brings_nothing_heavy() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            "import sys, funcpipe_rag.streams.pacing, funcpipe_rag.streams.taps; print(*sys.modules)",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"funcpipe_rag.streams.pacing", "funcpipe_rag.streams.taps"} <= set(loaded)
    assert {"tqdm", "random", "hashlib"} & set(loaded) == set()


class Item:
    """Something that a weak reference can point at."""


STREAMS: dict[str, Callable[[Any], Any]] = {
    "make_throttle": make_throttle(0),
    "make_rate_limit": make_rate_limit(1e9, 100),
    "make_timestamp": make_timestamp(),
    "make_tap": make_tap(id),
    "make_tap, skipping": make_tap(id, on_error="skip"),
    "make_counter": make_counter(emit=id),
    "make_peek": make_peek(3, id),
    "make_sampler_bernoulli": make_sampler_bernoulli(1, seed=0),
    "make_sampler_periodic": make_sampler_periodic(1),
    "make_sampler_stable": make_sampler_stable(1, key=lambda item: None),
    "make_progress": make_progress(total=10),
}


@pytest.mark.parametrize("stage", STREAMS.values(), ids=STREAMS)
def test_what_has_gone_through_is_not_held(stage: Callable[[Any], Any]) -> None:
    alive: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        while True:
            item = Item()
            alive.append(weakref.ref(item))
            yield item
            del item

    it = stage(items())
    for _ in range(5):
        next(it)
        # The generator above still holds its last item, as any `for` loop does.
        assert sum(ref() is not None for ref in alive) <= 1
    it.close()


@pytest.mark.parametrize("stage", STREAMS.values(), ids=STREAMS)
def test_memory_does_not_grow_with_the_stream(stage: Callable[[Any], Any]) -> None:
    def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        for _ in stage(range(n)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(10_000) - peak(100) < 64 * 1024


@pytest.mark.parametrize("stage", STREAMS.values(), ids=STREAMS)
def test_they_are_endless_where_their_input_is_and_join_into_a_pipeline(stage: Any) -> None:
    assert len(list(islice((count | fmap(abs) | stage | fence_k(3))(), 5))) == 3


@pytest.mark.parametrize(
    ("build", "kind", "said"),
    [
        (lambda: make_throttle(-1), ValueError, "make_throttle: min_delta must be >= 0 and finite, got -1"),
        (lambda: make_throttle(float("nan")), ValueError, "min_delta must be >= 0 and finite, got nan"),
        (lambda: make_throttle("1"), TypeError, "make_throttle: min_delta must be a number, got '1'"),
        (lambda: make_throttle(1, clock=3), TypeError, "make_throttle: clock must be a function, got int"),
        (lambda: make_throttle(1, sleeper=None), TypeError, "sleeper must be a function, got NoneType"),
        (lambda: make_rate_limit(0, 1), ValueError, "make_rate_limit: rate must be > 0 and finite, got 0"),
        (lambda: make_rate_limit(float("inf"), 1), ValueError, "rate must be > 0 and finite, got inf"),
        (lambda: make_rate_limit(1, 0), ValueError, "make_rate_limit: burst must be >= 1, got 0"),
        (lambda: make_rate_limit(1, 1.5), TypeError, "burst must be a whole number, got 1.5"),
        (lambda: make_timestamp(clock=1.0), TypeError, "make_timestamp: clock must be a function, got float"),
        (lambda: FakeTime(float("inf")), ValueError, "FakeTime: start must be finite, got inf"),
        (lambda: make_tap(None), TypeError, "make_tap: cb must be a function, got NoneType"),
        (lambda: make_tap(id, on_error="collect"), ValueError, 'must be "fail" or "skip", got \'collect\''),
        (lambda: make_counter(emit=3), TypeError, "make_counter: emit must be a function, got int"),
        (lambda: make_peek(-1, id), ValueError, "make_peek: n must be >= 0, got -1"),
        (lambda: make_peek(1, None), TypeError, "make_peek: emit must be a function, got NoneType"),
        (lambda: make_peek(1, id, stride=0), ValueError, "make_peek: stride must be >= 1, got 0"),
        (
            lambda: make_sampler_bernoulli(1.5, seed=0),
            ValueError,
            "make_sampler_bernoulli: rate must be >= 0 and <= 1, got 1.5",
        ),
        (
            lambda: make_sampler_bernoulli(0.5, seed=None),
            TypeError,
            "seed must be a whole number, text or bytes, got None",
        ),
        (lambda: make_sampler_periodic(0), ValueError, "make_sampler_periodic: k must be >= 1, got 0"),
        (lambda: make_sampler_periodic(2, offset=-1), ValueError, "offset must be >= 0, got -1"),
        (lambda: make_sampler_periodic(2, offset=2), ValueError, "offset must be below k = 2, got 2"),
        (lambda: make_sampler_stable(-0.1, key=id), ValueError, "rate must be >= 0 and <= 1, got -0.1"),
        (lambda: make_sampler_stable(0.1, key="id"), TypeError, "key must be a function, got str"),
        (lambda: make_progress(total=-1), ValueError, "make_progress: total must be >= 0, got -1"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(
    build: Callable[[], Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        build()


def test_a_stage_says_how_it_is_set_and_leaves_out_what_is_usual() -> None:
    time = FakeTime()
    assert repr(make_throttle(0.5)) == "make_throttle(0.5)"
    assert repr(make_rate_limit(2, 3, clock=time.clock)) == "make_rate_limit(2.0, 3, clock=FakeTime.clock)"
    assert repr(make_timestamp()) == "make_timestamp"
    assert repr(make_counter() | make_peek(2, print)) == "make_counter | make_peek(2, print)"
    assert repr(make_sampler_periodic(3, offset=1)) == "make_sampler_periodic(3, offset=1)"
