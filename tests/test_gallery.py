"""The seven pipelines of the gallery, end to end, on real files and a real paging service, with input that goes wrong."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice, pairwise
from pathlib import Path
from urllib.error import HTTPError

import pytest

from funcpipe_rag import (
    Report,
    as_source,
    compose,
    make_log_source,
    make_ngrams,
    make_tokenize,
    multicast_bounded,
    topk,
)
from funcpipe_rag.course.paging import paging_service
from funcpipe_rag.rag import RagEnv, RawDoc, make_multi_rag_fn
from funcpipe_rag.streams.gallery import (
    make_fs_pipeline,
    make_multi_api_pipeline,
    make_multi_csv_pipeline,
    make_multi_log_pipeline,
    make_ngram_multi,
    make_telemetry_pipeline,
    stamped,
)
from funcpipe_rag.streams.probe import Probe

DAY = "2026-05-01T12:00"


def open_below(folder: Path) -> list[str]:
    """The files below `folder` that this process holds open."""
    held = Path("/proc/self/fd")
    if not held.exists():
        pytest.skip("needs /proc")
    targets = (os.readlink(held / one) for one in os.listdir(held) if (held / one).is_symlink())
    return [target for target in targets if target.startswith(str(folder.resolve()))]


def no_wait(seconds: float) -> None:
    """Nobody waits in a test."""


# CSV


def test_rows_come_file_after_file_cast_and_fenced(tmp_path: Path) -> None:
    for name, rows in {"a": "mon,3\ntue,4\n", "b": "wed,5\n", "c": "thu,6\n"}.items():
        (tmp_path / f"{name}.csv").write_text("day,rain\n" + rows)
    paths = sorted(tmp_path.glob("*.csv"))
    rows = make_multi_csv_pipeline(paths, 3, casts={"rain": int})
    wanted = [{"day": "mon", "rain": 3}, {"day": "tue", "rain": 4}, {"day": "wed", "rain": 5}]
    assert list(rows()) == wanted
    assert list(rows()) == wanted, "a second run starts afresh"


def test_no_file_behind_the_fence_is_opened_and_none_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,rain\nmon,3\ntue,4\n")
    rows = make_multi_csv_pipeline([tmp_path / "a.csv", tmp_path / "gone.csv"], 9)()
    assert next(rows)["day"] == "mon"
    assert open_below(tmp_path) == [str((tmp_path / "a.csv").resolve())]
    rows.close()
    assert open_below(tmp_path) == []
    assert len(list(make_multi_csv_pipeline([tmp_path / "a.csv", tmp_path / "gone.csv"], 2)())) == 2


def test_short_rows_bad_casts_and_bad_bytes_are_counted_and_told_where(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"day,rain\nmon,3\ntue\nwed,many\nthu,\xff\nfri,7\n")
    report = Report()
    rows = make_multi_csv_pipeline(
        [tmp_path / "a.csv"], 9, casts={"rain": int}, on_error="skip", report=report
    )
    assert [row["day"] for row in rows()] == ["mon", "fri"]
    assert report.total == 3
    with pytest.raises(ValueError, match=r"a\.csv:3"):
        list(make_multi_csv_pipeline([tmp_path / "a.csv"], 9)())


# logs


def log(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_log_lines_come_in_order_of_time_and_only_those_that_match(tmp_path: Path) -> None:
    web = log(tmp_path, "web.log", f"{DAY}:01Z GET a", "  File x, line 3", f"{DAY}:05Z GET b")
    db = log(tmp_path, "db.log", f"{DAY}:02Z SELECT", f"{DAY}:04Z GET c")
    report = Report()
    entries = list(make_multi_log_pipeline([web, db], "GET", 9, report=report)())
    assert [entry.line[-1] for entry in entries] == ["a", "c", "b"]
    assert report.total == 1
    assert [entry.line[-1] for entry in make_multi_log_pipeline([web, db], "GET", 2, report=report)()] == [
        "a",
        "c",
    ]


def test_a_log_out_of_order_is_named_or_put_right_within_its_lateness(tmp_path: Path) -> None:
    web = log(tmp_path, "web.log", f"{DAY}:04Z b", f"{DAY}:02Z a", f"{DAY}:09Z c", f"{DAY}:01Z too late")
    db = log(tmp_path, "db.log", f"{DAY}:03Z x")
    with pytest.raises(ValueError, match="source 0 is out of order at index 1"):
        list(make_multi_log_pipeline([web, db], ".", 9)())
    report = Report()
    entries = make_multi_log_pipeline([web, db], ".", 9, lateness=3, report=report)()
    assert [entry.line.partition(" ")[2] for entry in entries] == ["a", "x", "b", "c"]
    assert report.total == 1


def test_a_log_that_is_rotated_while_it_is_read_loses_no_line(tmp_path: Path) -> None:
    path = log(tmp_path, "web.log", f"{DAY}:01Z a", f"{DAY}:02Z b")
    asked = count()

    def rotates(seconds: float) -> None:
        if next(asked) == 0:
            path.rename(tmp_path / "web.log.1")
            log(tmp_path, "web.log", f"{DAY}:03Z c")

    waits = iter(range(100))
    lines = make_log_source(path, follow=True, sleeper=rotates, until=lambda: next(waits) >= 6)
    assert [line[-1] for line in lines()] == ["a", "b", "c"]
    assert open_below(tmp_path) == []


def test_a_log_is_read_no_further_than_it_is_wanted(tmp_path: Path) -> None:
    web = log(tmp_path, "web.log", *(f"{DAY}:{second:02}Z {second}" for second in range(60)))
    entries = make_multi_log_pipeline([web], ".", 2)()
    assert [entry.line[-1] for entry in islice(entries, 1)] == ["0"]
    entries.close()
    assert open_below(tmp_path) == []


def test_a_line_that_bears_no_time_is_no_entry() -> None:
    with pytest.raises(ValueError, match="parse_ts"):
        stamped("Traceback (most recent call last):")


# paging services


def test_pages_come_in_turns_and_no_page_is_fetched_that_is_not_needed() -> None:
    with paging_service(range(100)) as one, paging_service(range(100, 104)) as other:
        items = make_multi_api_pipeline([one.fetch, other.fetch], lambda n: n % 2 == 0, 3, sleeper=no_wait)
        assert list(items()) == [0, 100, 2]
        assert (one.asked, other.asked) == (["", "2"], [""])


def test_a_page_that_fails_twice_is_asked_for_again() -> None:
    waited: list[float] = []
    with paging_service(range(4), failing=[1, 2]) as service:
        items = make_multi_api_pipeline([service.fetch], lambda n: True, 9, sleeper=waited.append)
        assert list(items()) == [0, 1, 2, 3]
        assert service.asked == ["", "2", "2", "2"]
    assert len(waited) == 2


def test_a_page_that_fails_for_good_is_an_error_behind_the_items_before_it() -> None:
    with paging_service(range(4), failing=range(1, 9)) as service:
        items = make_multi_api_pipeline([service.fetch], lambda n: True, 9, sleeper=no_wait)()
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(HTTPError, match="503") as raised:
            next(items)
        assert any("page 1" in note for note in raised.value.__notes__)


def test_a_service_that_is_gone_is_an_error() -> None:
    with paging_service(range(4)) as service:
        fetch = service.fetch
    with pytest.raises(OSError, match="refused"):
        list(make_multi_api_pipeline([fetch], lambda n: True, 9, sleeper=no_wait)())


# telemetry


def test_the_mean_and_the_reading_go_in_step_on_a_sensor_without_end() -> None:
    sensor = Probe([4, 8, 6], endless=True, budget=4)
    pairs = make_telemetry_pipeline(sensor, 3)()
    assert list(islice(pairs, 2)) == [(6.0, 6), (14 / 3, 0)]
    pairs.close()
    assert sensor.pulls == 4
    assert sensor.closes == 1


# files


def test_each_file_is_hashed_and_sized_once_and_a_link_to_above_does_not_loop(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.md", "deep/a.md", "deep/c.txt"):
        (tmp_path / name).write_text(name * 1000)
    (tmp_path / "deep" / "loop").symlink_to("..", target_is_directory=True)
    found = list(make_fs_pipeline(tmp_path)())
    assert sorted(Path(path).name for path, *_ in found) == ["a.md", "b.md", "c.txt"]
    for path, sha256, size in found:
        data = Path(path).read_bytes()
        assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert [Path(path).name for path, *_ in make_fs_pipeline(tmp_path, ".txt")()] == ["c.txt"]


def test_a_file_that_vanishes_between_walk_and_hash_is_counted(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.md"):
        (tmp_path / name).write_text(name)
    report = Report()
    files = make_fs_pipeline(tmp_path, on_error="skip", report=report)()
    names = [Path(next(files)[0]).name]
    (tmp_path / "b.md").unlink()
    names += [Path(path).name for path, *_ in files]
    assert (names, report.total) == (["a.md", "c.md"], 1)

    files = make_fs_pipeline(tmp_path)()
    next(files)
    (tmp_path / "c.md").unlink()
    with pytest.raises(FileNotFoundError):
        next(files)
    assert open_below(tmp_path) == []


# n-grams


TEXTS = ["the tee keeps what the tee gave", "what the tee gave is kept", ""]


def test_the_two_counts_are_those_of_two_passes() -> None:
    words = [text.split() for text in TEXTS]
    pairs = Counter(pair for row in words for pair in pairwise(row))
    top, different = make_ngram_multi(2, 3)(TEXTS)
    assert [hit.count for hit in top] == [many for _, many in pairs.most_common(3)]
    assert all(pairs[hit.item] == hit.count for hit in top)
    assert different == len(pairs)
    assert (as_source(TEXTS) | make_ngram_multi(2, 3))() == (top, different)


def test_draining_one_branch_first_ends_in_a_clear_error() -> None:
    pairs = compose(make_tokenize(), make_ngrams(2))
    one, _other = multicast_bounded(pairs(["a b c d e f g"]), 2, maxlen=4)
    with pytest.raises(BufferError, match="branch 0 is 4 ahead of branch 1, the most that maxlen=4 allows"):
        topk(1, capacity=9)(one)


def test_the_input_is_closed_when_it_fails_and_bad_numbers_are_refused_at_once() -> None:
    texts = Probe(TEXTS, raises_at=1)
    with pytest.raises(Exception, match="raised in place of item 1"):
        (texts | make_ngram_multi(2, 3))()
    assert texts.closes == 1
    for bad in (
        {"n": 0, "k": 1},
        {"n": 1, "k": 0},
        {"n": 1, "k": 5, "capacity": 4},
        {"n": 1, "k": 1, "maxlen": 0},
    ):
        with pytest.raises(ValueError, match="must be >="):
            make_ngram_multi(**bad)


# RAG


def test_passages_of_several_sources_come_in_turns() -> None:
    def docs(name: str) -> Iterator[RawDoc]:
        for number in (1, 2):
            yield RawDoc(f"{name}{number}", "tee skew", f"{name}{number}.md")

    passages = make_multi_rag_fn(RagEnv(chunk_size=4), 5, [lambda: docs("a"), lambda: docs("b")])
    assert [passage.doc_id for passage in passages()] == ["a1", "a1", "b1", "b1", "a2"]
