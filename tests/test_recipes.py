"""Rows, words, files, heavy hitters and timestamps: what their laws do not say, and the pipelines they are for."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import time
import tracemalloc
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import count, islice
from math import fsum
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag import (
    Err,
    Report,
    SpaceSaving,
    as_source,
    count_distinct,
    fence_k,
    fflat_map,
    fmap,
    fork2_lockstep,
    make_cast,
    make_ext_filter,
    make_lines_source,
    make_merge,
    make_ngrams,
    make_project,
    make_regex_filter,
    make_rolling_avg_by_device,
    make_sha256_with_size,
    make_tokenize,
    make_walk_source,
    multicast_bounded,
    parse_ts,
    topk,
)
from funcpipe_rag.streams.probe import Boom, Probe

UTC = UTC


def test_project_and_cast_leave_the_row_that_they_were_given_alone() -> None:
    grows: defaultdict[str, int] = defaultdict(int, a=1)
    with pytest.raises(ValueError, match="item 0 has no field 'b'; it has 'a'"):
        list(make_project("a", "b")([grows]))
    row = {"a": "1", "b": "2"}
    (cast,) = make_cast({"a": int})([row])
    assert (row, cast, list(grows)) == ({"a": "1", "b": "2"}, {"a": 1, "b": "2"}, ["a"])
    assert list(make_cast({"a": int})([MappingProxyType(row)])) == [cast]


def test_cast_keeps_the_order_of_the_fields() -> None:
    (cast,) = make_cast({"z": int, "a": int})([{"a": "1", "m": "x", "z": "3"}])
    assert list(cast.items()) == [("a", 1), ("m", "x"), ("z", 3)]


@pytest.mark.parametrize(
    ("value", "function", "said"),
    [
        ("x", int, "int('x') raised ValueError: invalid literal for int() with base 10: 'x'"),
        (None, int, "int(None) raised TypeError: int() argument must be"),
        ("", lambda text: next(iter(text)), "<lambda>('') raised StopIteration: "),
        ("y" * 100, int, "int('" + "y" * 36 + "...) raised ValueError: "),
    ],
    ids=["ValueError", "TypeError", "StopIteration", "long"],
)
def test_cast_says_field_value_and_index_whatever_the_function_raised(value, function, said) -> None:
    good, bad = make_cast({"n": function}, on_error="collect")([{"n": "1"}, {"n": value}])
    assert str(good) in ("{'n': 1}", "{'n': '1'}")
    assert str(bad.error).startswith(f"make_cast: item 1, field 'n': {said}")
    assert type(bad.error.__cause__).__name__ in said


@pytest.mark.parametrize(
    "make", [lambda **how: make_project("a", **how), lambda **how: make_cast({"a": int}, **how)]
)
def test_an_item_that_is_no_row_is_a_mistake_under_every_policy(make: Callable[..., Any]) -> None:
    for on_error in ("fail", "skip", "collect"):
        with pytest.raises(TypeError, match="item 1 must be a mapping of fields, got str"):
            list(make(on_error=on_error)([{"a": "1"}, "a"]))


def test_a_failure_that_is_collected_has_the_row_and_its_place() -> None:
    rows: list[Mapping[str, str]] = [{"age": "36"}, {"age": "?"}]
    good, bad = make_cast({"age": int}, on_error="collect")(rows)
    assert good == {"age": 36}
    assert isinstance(bad, Err)
    assert (bad.item, bad.stage, bad.index) == (rows[1], "make_cast", 1)


def test_what_is_dropped_without_a_report_is_told_once() -> None:
    with pytest.warns(RuntimeWarning, match="make_cast dropped 2 items: 2 ValueError in make_cast") as told:
        assert list(make_cast({"n": int}, on_error="skip")([{"n": "?"}, {"n": "1"}, {}])) == [{"n": 1}]
    assert len(told) == 1
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: make_project(), ValueError, "wants the name of at least one field"),
        (lambda: make_project("a", "a"), ValueError, "two fields would have the name 'a'"),
        (lambda: make_project("a", "b", rename={"a": "b"}), ValueError, "two fields would have the name 'b'"),
        (lambda: make_project("a", rename={"b": "c"}), ValueError, "rename must name chosen fields, got 'b'"),
        (lambda: make_project(["a"]), TypeError, "a field's name must be a str"),  # type: ignore[arg-type]
        (lambda: make_project("a", on_error="drop"), ValueError, "on_error must be"),  # type: ignore[arg-type]
        (lambda: make_cast([("a", int)]), TypeError, "types must map fields to functions, got list"),  # type: ignore[arg-type]
        (lambda: make_cast({"a": "int"}), TypeError, "the function of field 'a' must be a function"),  # type: ignore[dict-item]
        (lambda: make_cast({}, report=3), TypeError, "report must be a function"),  # type: ignore[arg-type]
        (lambda: make_rolling_avg_by_device(0), ValueError, "w must be >= 1, got 0"),
        (lambda: make_tokenize(pattern="["), ValueError, "pattern must be a regular expression, got '\\['"),
        (lambda: make_regex_filter(3), TypeError, "pattern must be a regular expression, got 3"),  # type: ignore[arg-type]
        (lambda: make_ngrams(0), ValueError, "make_ngrams: n must be >= 1, got 0"),
        (lambda: make_ext_filter(), ValueError, "wants at least one suffix"),
        (lambda: make_ext_filter([".md"]), TypeError, "a suffix must be a str"),  # type: ignore[arg-type]
        (lambda: make_sha256_with_size(block=0), ValueError, "make_sha256_with_size: block must be >= 1"),
        (lambda: topk(0, capacity=3), ValueError, "topk: k must be >= 1, got 0"),
        (lambda: topk(3, capacity=2), ValueError, "topk: capacity must be >= k = 3, got 2"),
        (lambda: SpaceSaving(0), ValueError, "SpaceSaving: capacity must be >= 1"),
        (lambda: SpaceSaving(1).top(0), ValueError, "SpaceSaving.top: k must be >= 1"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_pull(wrong, error, said) -> None:
    with pytest.raises(error, match=said):
        wrong()


def test_a_stage_shows_its_configuration() -> None:
    shown = {
        make_project("a", "b", rename={"a": "c"}): "make_project('a', 'b', rename={'a': 'c'})",
        make_cast({"a": int}, on_error="skip"): "make_cast({'a': <class 'int'>}, on_error='skip')",
        make_rolling_avg_by_device(3, value="t"): "make_rolling_avg_by_device(3, value='t')",
        make_regex_filter("^a"): "make_regex_filter('^a')",
        make_tokenize(lower=False): "make_tokenize(lower=False)",
        make_ngrams(2): "make_ngrams(2)",
        make_ext_filter(".md"): "make_ext_filter('.md')",
        make_sha256_with_size(block=1): "make_sha256_with_size(block=1)",
        topk(2, capacity=5): "topk(2, capacity=5)",
    }
    for made, text in shown.items():
        assert repr(made) == text


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e16, 1e16))), st.integers(1, 4))
def test_the_rolling_average_is_that_of_each_device_alone(readings: list[tuple[str, float]], w: int) -> None:
    rows = [{"id": device, "t": value} for device, value in readings]
    expected = []
    for at, (device, _) in enumerate(readings):
        window = [value for d, value in readings[: at + 1] if d == device][-w:]
        expected.append((device, fsum(window) / len(window)))
    assert list(make_rolling_avg_by_device(w, device="id", value="t")(rows)) == expected


def test_whole_numbers_have_an_exact_average_however_large() -> None:
    rows = [{"device": 1, "value": value} for value in (10**30, 10**30 + 2)]
    assert list(make_rolling_avg_by_device(2)(rows))[1] == (1, (2 * 10**30 + 2) / 2)


def test_a_row_without_the_value_says_so() -> None:
    with pytest.raises(ValueError, match="make_rolling_avg_by_device: item 1 has no field 'value'"):
        list(make_rolling_avg_by_device(2)([{"device": 1, "value": 2}, {"device": 1}]))


class Item(dict[str, Any]):
    """A row that can be referred to weakly."""


ROW_STAGES: dict[str, Callable[[], Any]] = {
    "project": lambda: make_project("n"),
    "project, skip": lambda: make_project("n", on_error="skip", report=Report()),
    "cast": lambda: make_cast({"n": int}),
    "cast, collect": lambda: make_cast({"n": int}, on_error="collect"),
    "rolling": lambda: make_rolling_avg_by_device(2),
}


@pytest.mark.parametrize("make", ROW_STAGES.values(), ids=ROW_STAGES)
def test_a_row_that_is_through_is_not_held(make: Callable[[], Any]) -> None:
    alive: list[weakref.ref[Item]] = []

    def rows() -> Iterator[Item]:
        for n in range(10):
            row = Item(n=n, device="a", value=n)
            alive.append(weakref.ref(row))
            yield row
            del row

    it = make()(rows())
    for _ in range(5):
        next(it)
        gc.collect()
        # The generator above still holds its last row, as any `for` loop does.
        assert sum(ref() is not None for ref in alive) <= 1


@settings(deadline=None)
@given(st.lists(st.text(alphabet="aB1 _-'’é\n", max_size=12)))
def test_words_are_those_that_findall_finds(texts: list[str]) -> None:
    expected = [word.lower() for text in texts for word in re.findall(r"\w+(?:['’]\w+)*", text)]
    assert list(make_tokenize()(texts)) == expected
    assert list(make_tokenize(lower=False)(texts)) == re.findall(r"\w+(?:['’]\w+)*", "\n".join(texts))


def test_a_pattern_with_groups_gives_whole_words() -> None:
    assert list(make_tokenize(pattern=r"(a)(b)?")(["ab a"])) == ["ab", "a"]
    assert list(make_regex_filter(re.compile("B", re.IGNORECASE))(["ab", "a"])) == ["ab"]


def test_a_text_is_searched_only_as_far_as_it_is_asked_for() -> None:
    probe = Probe(["one two", "three"])
    words = make_tokenize()(probe())
    assert (next(words), next(words), probe.pulls) == ("one", "two", 1)
    tokens: Any = make_tokenize()(["a " * 1_000_000])
    tracemalloc.start()
    next(tokens)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab ", max_size=8)), st.integers(1, 4))
def test_ngrams_cross_the_borders_of_texts_unless_each_is_a_stream(texts: list[str], n: int) -> None:
    def grams(words: list[str]) -> list[tuple[str, ...]]:
        return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]

    stages = make_tokenize() | make_ngrams(n)
    assert list(stages(texts)) == grams(" ".join(texts).split())
    within = fflat_map(lambda text: stages([text]))
    assert list(within(texts)) == [gram for text in texts for gram in grams(text.split())]


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.integers(1, 100))
def test_digest_and_size_are_those_of_the_bytes_whatever_the_block(
    tmp_path_factory: Any, content: bytes, block: int
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(content)
    (result,) = make_sha256_with_size(block=block)([path])
    assert result == (path, hashlib.sha256(content).hexdigest(), len(content))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by /proc")
def test_a_file_is_closed_before_its_result_is_given_and_when_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    before = open_files()
    results = make_sha256_with_size(on_error="collect")(str(tmp_path / name) for name in ("a", "", "a"))
    next(results)
    assert open_files() == before
    # A folder can be opened and not read.
    assert isinstance(next(results).error, OSError)
    assert open_files() == before


def test_a_large_file_takes_a_block_of_memory(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(50_000_000)
    stage = make_sha256_with_size(block=1 << 16)
    list(stage([large]))
    tracemalloc.start()
    ((_, _, size),) = stage([large])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 50_000_000
    assert peak < 300_000


def test_a_tree_is_hashed_in_one_pass_and_a_file_that_vanishes_is_reported(tmp_path: Path) -> None:
    for name in ("a.md", "b.TXT", "c.png", "sub/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    report = Report()
    listed = list((make_walk_source(tmp_path) | make_ext_filter(".md", ".txt"))())
    (tmp_path / "b.TXT").unlink()
    results = list(make_sha256_with_size(on_error="skip", report=report)(listed))
    assert [(os.path.basename(path), size) for path, _, size in results] == [("a.md", 4), ("d.md", 8)]
    assert results[0][1] == hashlib.sha256(b"a.md").hexdigest()
    assert report.counts == {"make_sha256_with_size": {"FileNotFoundError": 1}}
    with pytest.raises(FileNotFoundError, match=r"b\.TXT"):
        list(make_sha256_with_size()(listed))


def test_what_is_no_path_is_a_mistake_under_every_policy() -> None:
    for on_error in ("fail", "skip", "collect"):
        with pytest.raises(TypeError, match="path must be a path, got 3"):
            list(make_sha256_with_size(on_error=on_error)([3]))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 8), st.integers(0, 8))
def test_a_count_is_never_too_small_and_its_error_bounded(items: list[int], k: int, spare: int) -> None:
    capacity = k + spare
    true = Counter(items)
    hits = topk(k, capacity=capacity)(items)
    outside = max((many for item, many in true.items() if item not in {hit.item for hit in hits}), default=0)
    for hit in hits:
        assert hit.count - hit.error <= true[hit.item] <= hit.count
        assert hit.error <= len(items) // capacity
        assert not hit.guaranteed or true[hit.item] >= outside
        assert hit.guaranteed or hit.error
    everyone = {hit.item for hit in topk(capacity, capacity=capacity)(items)}
    assert {item for item, many in true.items() if many * capacity > len(items)} <= everyone
    assert sum(hit.count for hit in topk(capacity, capacity=capacity)(items)) == len(items)
    if len(true) <= capacity:
        assert [(hit.item, hit.count, hit.error) for hit in hits] == [
            (*pair, 0) for pair in true.most_common(k)
        ]


def test_items_need_not_be_comparable_and_equal_ones_are_one() -> None:
    assert [hit.item for hit in topk(3, capacity=3)(["a", None, (1,), frozenset(), "a", None, None])] == [
        None,
        frozenset(),
        "a",
    ]
    assert topk(1, capacity=9)([1, 1.0, True, 2])[0] == (1, 3, 0, True)
    with pytest.raises(TypeError, match="unhashable"):
        topk(1, capacity=1)([[]])


def test_the_list_is_the_same_whatever_the_hash_seed() -> None:
    random = Random(7)
    words = [f"w{int(random.paretovariate(0.6)) % 500}" for _ in range(5000)]
    assert [tuple(hit)[:3] for hit in topk(8, capacity=20)(words)] == [
        ("w1", 1766, 0),
        ("w2", 706, 0),
        ("w3", 391, 0),
        ("w4", 233, 0),
        ("w5", 196, 0),
        ("w6", 144, 6),
        ("w7", 126, 23),
        ("w8", 115, 93),
    ]


def test_memory_stays_within_capacity_on_a_stream_of_ever_new_items() -> None:
    def peak(n: int) -> int:
        tracemalloc.start()
        topk(10, capacity=1000)(islice(count(), n))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(100_000) < 1.2 * peak(10_000)


def test_an_item_that_gave_way_is_not_held() -> None:
    class Word:
        pass

    summary: SpaceSaving[Word] = SpaceSaving(2)
    alive = []
    for _ in range(10):
        word = Word()
        alive.append(weakref.ref(word))
        summary.add(word)
        del word
    assert sum(ref() is not None for ref in alive) == 2
    assert (summary.total, repr(summary)) == (10, "<SpaceSaving: 2 of 2 places taken, 10 items>")


def make_ngram_multi(n: int, k: int, *, maxlen: int = 16) -> Callable[[Iterable[str]], tuple[list[Any], int]]:
    """The most frequent n-grams and how many there are, of one stream, in turns."""
    ngrams = make_tokenize() | make_ngrams(n)

    def run(texts: Iterable[str]) -> tuple[list[Any], int]:
        counts, different = SpaceSaving[Any](max(k, 1000)), set()
        for one, other in zip(*multicast_bounded(ngrams(texts), 2, maxlen=maxlen), strict=True):
            counts.add(one)
            different.add(other)
        return counts.top(k), len(different)

    return run


def test_two_questions_of_one_stream_of_ngrams_are_asked_in_turns(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a stream is read once\nand a stream is read lazily\n" * 50)
    (top, *_), different = make_ngram_multi(2, 3)(make_lines_source(path)())
    assert (top.item, top.count, different) == (("a", "stream"), 100, 8)
    assert top.guaranteed


def test_a_sink_that_drains_one_branch_first_ends_in_a_buffer_error() -> None:
    words = ["one", "two", "three", "four", "five"] * 10
    left, right = multicast_bounded(words, 2, maxlen=16)
    with pytest.raises(BufferError):
        topk(3, capacity=10)(left)
    assert count_distinct()(islice(right, 10)) == 5


def test_sinks_end_a_pipeline() -> None:
    grams = as_source(["a b a b a"]) | make_tokenize() | make_ngrams(2)
    assert (grams | topk(1, capacity=4))()[0].item == ("a", "b")
    assert (grams | count_distinct())() == 2
    probe = Probe(["a b"], raises_at=1)
    with pytest.raises(Boom):
        (probe | make_tokenize() | count_distinct())()
    assert probe.closes == 1


BERLIN = timezone(timedelta(hours=2), "Berlin in summer")
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=zones)


@given(moments, st.sampled_from(["T", " "]))
def test_what_isoformat_writes_is_read_back(moment: datetime, sep: str) -> None:
    text = moment.isoformat(sep)
    assert parse_ts(text) == parse_ts(text, tz=BERLIN) == moment.timestamp()
    assert parse_ts(text[:-6], tz=moment.tzinfo) == moment.timestamp()


@given(moments)
def test_what_a_web_server_writes_is_read_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][
        whole.month - 1
    ]
    text = whole.strftime(f"%d/{month}/%Y:%H:%M:%S %z")
    assert parse_ts(text) == parse_ts(f"[{text}]") == whole.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00z",
        " 2024-05-01 12:00:00 UTC\n",
        "2024-05-01 12:00:00.000 GMT",
        "2024-05-01 14:00:00,000+02:00",
        "2024-05-01T14:00+0200",
        "20240501T120000Z",
        "2024-W18-3T12:00:00Z",
        "2024/05/01 12:00:00Z",
        "01/May/2024:12:00:00 +0000",
        "[01/May/2024:05:00:00 -0700]",
    ],
)
def test_one_instant_in_many_forms(text: str) -> None:
    assert parse_ts(text) == 1714564800.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-05-01Z", 1714521600.0),
        ("2024-05-01 UTC", 1714521600.0),
        ("2024/05/01 GMT", 1714521600.0),
        ("20240501Z", 1714521600.0),
        ("2024-W18-3Z", 1714521600.0),
        ("2024-05-01+02:00", 1714514400.0),
    ],
)
def test_a_date_with_a_zone_is_midnight_there(text: str, seconds: float) -> None:
    """To datetime.fromisoformat the zone is a time of day."""
    assert parse_ts(text) == parse_ts(text, tz=BERLIN) == seconds


@pytest.mark.parametrize(
    ("text", "tz", "seconds"),
    [
        ("2024-05-01", UTC, 1714521600.0),
        ("2024-05-01 14:00", BERLIN, 1714564800.0),
        ("01/May/2024:14:00:00", BERLIN, 1714564800.0),
        ("2024/05/01 12:00:00", UTC, 1714564800.0),
    ],
)
def test_a_text_without_a_zone_takes_the_one_that_it_is_given(text: str, tz: tzinfo, seconds: float) -> None:
    assert parse_ts(text, tz=tz) == seconds
    with pytest.raises(ValueError, match="names no time zone"):
        parse_ts(text)


def test_the_hour_that_comes_twice_is_the_first_one() -> None:
    try:
        berlin = ZoneInfo("Europe/Berlin")
    except KeyError:
        pytest.skip("this system has no time zones")
    assert parse_ts("2024-10-27 02:30:00", tz=berlin) == parse_ts("2024-10-27 02:30:00+02:00")


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="cannot change the time zone here")
def test_the_machine_s_own_zone_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-05:00")
    time.tzset()
    try:
        assert parse_ts("2024-05-01T12:00:00Z") == parse_ts("2024-05-01 12:00", tz=UTC) == 1714564800.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "tz", "error", "said"),
    [
        ("soon", None, ValueError, "'soon' is no timestamp like 2024-05-01T12:00:00Z"),
        ("2024-02-30T00:00Z", None, ValueError, r"\(day is out of range for month\)"),
        ("x" * 1000, None, ValueError, r"'x+\.\.\. is no timestamp"),
        (1714564800, None, TypeError, "text must be a str, got int"),
        ("2024-05-01", "UTC", TypeError, "tz must be a tzinfo, like timezone.utc, got 'UTC'"),
    ],
)
def test_what_cannot_be_read_says_why(text: Any, tz: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_ts(text, tz=tz)


def test_logs_are_filtered_and_merged_by_time(tmp_path: Path) -> None:
    logs = {
        "web.log": '[01/May/2024:14:00:00 +0200] "GET /a" 200\n[01/May/2024:14:00:09 +0200] "GET /b" 404\n',
        "app.log": "[2024-05-01T12:00:05Z] 404 from cache\n[2024-05-01T12:00:20Z] done\n",
    }
    for name, text in logs.items():
        (tmp_path / name).write_text(text)

    def ts(line: str) -> float:
        return parse_ts(line[1 : line.index("]")])

    lines = (make_lines_source(tmp_path / name) for name in logs)
    found = make_merge(*lines, key=ts) | make_regex_filter(r"\b404\b") | fence_k(2)
    assert list(found()) == [
        "[2024-05-01T12:00:05Z] 404 from cache",
        '[01/May/2024:14:00:09 +0200] "GET /b" 404',
    ]


def test_telemetry_is_forked_into_average_and_value() -> None:
    report = Report()
    readings = [
        {"device": "a", "ts": "2024-05-01T12:00:00Z", "value": "1"},
        {"device": "a", "ts": "2024-05-01T12:00:01Z", "value": "broken"},
        {"device": "a", "ts": "2024-05-01T12:00:02Z", "value": "4"},
        {"device": "b", "ts": "2024-05-01T12:00:02Z", "value": "7"},
    ]
    cast = make_cast({"ts": parse_ts, "value": float}, on_error="skip", report=report)
    split = fork2_lockstep(make_rolling_avg_by_device(2), fmap(lambda row: row["value"]))
    assert list((as_source(readings) | cast | split)()) == [
        (("a", 1.0), 1.0),
        (("a", 2.5), 4.0),
        (("b", 7.0), 7.0),
    ]
    assert report.counts == {"make_cast": {"ValueError": 1}}
