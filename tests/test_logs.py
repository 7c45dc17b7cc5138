"""A log that is followed: nothing sleeps, whatever happens to the file happens while it would."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag import Err, FakeTime, make_log_source
from funcpipe_rag.streams.decoding import UndecodableText


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def following(path: Path, *steps: Callable[[], object], **options: Any) -> Iterator[Any]:
    """A following log for which one step happens a sleep, and which ends behind the last one."""
    left = list(steps)
    return make_log_source(
        path, follow=True, until=lambda: not left, sleeper=lambda seconds: left.pop(0)(), **options
    )()


def test_a_log_that_is_not_followed_is_read_to_its_end(path: Path) -> None:
    write(path, b"one\r\ntwo")
    assert list(make_log_source(path)()) == ["one", "two"]


def test_it_sleeps_for_poll_seconds_between_two_looks(path: Path) -> None:
    time = FakeTime()
    write(path, b"one\n")
    lines = make_log_source(path, follow=True, poll=0.5, sleeper=time.sleep, until=lambda: time.clock() >= 2)
    assert list(lines()) == ["one"]
    assert time.sleeps == [0.5] * 4


def test_a_line_is_held_until_its_end_is_written_and_given_when_the_log_ends(path: Path) -> None:
    write(path, b"on")
    lines = following(
        path, lambda: write(path, b"e\ntw"), lambda: write(path, b"o\xc3"), lambda: write(path, b"\xa9")
    )
    assert list(lines) == ["one", "twoé"]


def test_a_return_may_be_half_of_a_line_end(path: Path) -> None:
    write(path, b"one\r")
    given = []
    lines = following(path, lambda: given.append("slept"), lambda: write(path, b"\ntwo\r\n"))
    for line in lines:
        given.append(line)
    assert given == ["slept", "one", "two"]


def test_renamed_and_created_anew_the_old_file_is_read_out_first(path: Path) -> None:
    write(path, b"one\n")
    old = path.with_suffix(".1")

    def rotate() -> None:
        path.rename(old)
        write(old, b"late\nlast, without an end")
        write(path, b"new\n")

    assert list(following(path, rotate)) == ["one", "late", "last, without an end", "new"]


def test_a_new_file_that_is_still_empty_does_not_end_the_old_one(path: Path) -> None:
    """logrotate creates the new file, and tells the program afterwards."""
    write(path, b"one\n")
    old = path.with_suffix(".1")
    lines = following(
        path,
        lambda: path.rename(old),
        path.touch,
        lambda: write(old, b"still here\n"),
        lambda: write(path, b"new\n"),
    )
    assert list(lines) == ["one", "still here", "new"]


def test_what_is_written_between_the_read_and_the_look_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, b"one\n")
    old = path.with_suffix(".1")
    stat = os.stat

    def slow_stat(name: Any, **options: Any) -> os.stat_result:
        if str(name) == str(path) and old.exists() and old.stat().st_size == 4:
            with old.open("ab") as file:
                file.write(b"in between\n")
        return stat(name, **options)

    def rotate() -> None:
        path.rename(old)
        write(path, b"new\n")

    monkeypatch.setattr("funcpipe_rag.streams.logs.os.stat", slow_stat)
    assert list(following(path, rotate)) == ["one", "in between", "new"]


def test_copied_and_truncated_it_starts_over(path: Path) -> None:
    write(path, b"one\ntwo\nhalf")
    lines = following(
        path, lambda: os.truncate(path, 0), lambda: write(path, b"three\n"), lambda: write(path, b"four\n")
    )
    assert list(lines) == ["one", "two", "half", "three", "four"]


def test_truncated_and_written_to_at_once_it_starts_over(path: Path) -> None:
    write(path, b"a long line\n")

    def rewrite() -> None:
        os.truncate(path, 0)
        write(path, b"short\n")

    assert list(following(path, rewrite)) == ["a long line", "short"]


def test_vanished_it_is_waited_for_and_the_file_that_is_still_open_is_read_on(path: Path) -> None:
    write(path, b"one\n")
    old = path.open("ab", buffering=0)
    lines = following(
        path,
        path.unlink,
        lambda: old.write(b"two\n"),
        lambda: None,
        lambda: write(path, b"three\n"),
    )
    with old:
        assert list(lines) == ["one", "two", "three"]


def test_what_is_not_there_yet_is_waited_for_as_tail_does(path: Path) -> None:
    lines = following(path, lambda: None, lambda: write(path, b"one\n"))
    assert list(lines) == ["one"]
    with pytest.raises(FileNotFoundError):
        next(make_log_source(path.with_suffix(".no"))())


def test_a_link_that_points_elsewhere_is_another_file(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "monday", b"one\n")
    write(tmp_path / "tuesday", b"two\n")
    path.symlink_to("monday")

    def turn() -> None:
        path.unlink()
        path.symlink_to("tuesday")

    assert list(following(path, turn)) == ["one", "two"]


def test_from_the_end_it_gives_only_what_becomes_whole_later_and_names_the_right_line(path: Path) -> None:
    write(path, b"one\n\xff\nhal")
    lines = following(
        path,
        lambda: write(path, b"f\n\xff\n"),
        lambda: os.truncate(path, 0),
        lambda: write(path, b"new\n"),
        from_end=True,
        on_error="collect",
    )
    half, bad, new = lines
    assert (half, new) == ("half", "new")
    assert isinstance(bad, Err)
    assert bad.error.line == 4
    assert list(following(path, from_end=True)) == []


def test_until_is_asked_before_the_read_so_that_nothing_written_before_it_is_lost(path: Path) -> None:
    write(path, b"one\n")

    def stop() -> bool:
        write(path, b"last\n")
        return True

    assert list(make_log_source(path, follow=True, until=stop, sleeper=pytest.fail)()) == ["one", "last"]


def test_an_event_ends_it_from_another_thread(path: Path) -> None:
    write(path, b"one\n")
    stop, begun, got = threading.Event(), threading.Event(), []

    def read() -> None:
        for line in make_log_source(path, follow=True, poll=60, until=stop.is_set, sleeper=stop.wait)():
            got.append(line)
            begun.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert begun.wait(10)
    stop.set()
    reader.join(10)
    assert not reader.is_alive()
    assert got == ["one"]


def test_lines_count_from_one_in_each_file_and_failures_from_nought_in_the_stream(path: Path) -> None:
    write(path, b"one\n\xff\n")

    def rotate() -> None:
        path.rename(path.with_suffix(".1"))
        write(path, b"\xfe\n")

    items = list(following(path, rotate, on_error="collect"))
    assert [(item.error.line, item.index) for item in items if isinstance(item, Err)] == [(2, 1), (1, 2)]


@pytest.mark.filterwarnings("error")
def test_the_file_is_closed_with_the_stream_and_at_each_rotation(path: Path) -> None:
    psutil = pytest.importorskip("psutil")

    def opened() -> int:
        return sum(file.path.startswith(str(path)) for file in psutil.Process().open_files())

    write(path, b"one\n")
    seen: list[int] = []

    def rotate() -> None:
        path.rename(path.with_suffix(".1"))
        write(path, b"two\n")

    lines = following(path, rotate, lambda: None)
    assert opened() == 0
    for _ in lines:
        seen.append(opened())
    assert (seen, opened()) == ([1, 1], 0)
    lines = following(path, lambda: None)
    next(lines)
    lines.close()  # type: ignore[attr-defined]
    assert opened() == 0
    write(path, b"\xff\n")
    with pytest.raises(UndecodableText):
        list(following(path))
    assert opened() == 0


def test_two_readers_do_not_share_their_place(path: Path) -> None:
    write(path, b"one\ntwo\n")
    log = make_log_source(path, follow=True, until=lambda: True)
    first = log()
    assert next(first) == "one"
    assert list(log()) == ["one", "two"]
    assert list(first) == ["two"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants named pipes")
def test_a_pipe_cannot_be_followed_nor_a_folder(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="Not a regular file, so it cannot be followed"):
        next(make_log_source(path, follow=True)())
    with pytest.raises((IsADirectoryError, PermissionError)):
        next(make_log_source(tmp_path, follow=True)())


def test_a_log_much_longer_than_a_block_is_followed_in_constant_memory(path: Path) -> None:
    import tracemalloc

    write(path, b"0123456789\n" * 200_000)
    tracemalloc.start()
    assert sum(1 for _ in islice(following(path, block=4096), 200_000)) == 200_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"poll": 0}, "poll must be > 0 and finite, got 0"),
        ({"poll": "1"}, "poll must be a number"),
        ({"sleeper": 1}, "sleeper must be a function"),
        ({"until": True}, "until must be a function"),
        ({"from_end": True, "follow": False}, "from_end and until are for follow=True"),
        ({"until": bool, "follow": False}, "from_end and until are for follow=True"),
        ({"on_error": "ignore"}, "on_error must be"),
        ({"encoding": "no-such"}, "encoding must be one that Python knows"),
        ({"block": 0}, "block must be >= 1"),
    ],
)
def test_bad_arguments_are_refused_at_construction(options: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make_log_source("a", **{"follow": True, **options})
