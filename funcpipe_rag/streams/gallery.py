"""Streams at work: six pipelines over real files, services and sensors, each of a few stages.

They are what the stages of this room are for; `modules/03-lazy-iteration/gallery.md` runs them. The seventh is
`funcpipe_rag.rag.make_multi_rag_fn`. Read them as patterns: most people will want one that is nearly like these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import sleep
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeVar

from .arguments import a_whole_number
from .fan_in import make_chain, make_roundrobin
from .fan_out import fork2_lockstep, multicast_bounded
from .heavy_hitters import HeavyHitter, SpaceSaving
from .lateness import make_merge_late
from .logs import make_log_source
from .merging import make_merge
from .ownership import Owned
from .pages import make_pager_source
from .pipelines import Pipeline, compose
from .recipes import make_ext_filter, make_ngrams, make_sha256_with_size, make_tokenize
from .records import make_csv_source
from .reports import Report, ok_only
from .results import try_map
from .rolling import make_rolling_mean
from .rows import make_cast
from .sources import make_walk_source
from .stages import SinkStage, source
from .timestamps import parse_ts
from .transforms import fence_k, ffilter, fflat_map
from .windows import values_after_w

T = TypeVar("T")
Path = str | os.PathLike[str]


def make_multi_csv_pipeline(
    paths: Iterable[Path],
    max_rows: SupportsIndex,
    *,
    casts: Mapping[str, Callable[[str], Any]] | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    report: Report | None = None,
) -> Pipeline[[], Iterator[dict[str, Any]]]:
    """The first `max_rows` good rows of several CSV files, file after file, with their fields cast.

    >>> from pathlib import Path; from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     a, b = Path(folder, "a.csv"), Path(folder, "b.csv")
    ...     _ = a.write_text("day,rain\\nmon,3\\ntue,?\\n"), b.write_text("day,rain\\nwed,5\\nthu,1\\n")
    ...     rows = make_multi_csv_pipeline([a, b], 2, casts={"rain": int}, on_error="skip", report=Report())
    ...     list(rows())
    [{'day': 'mon', 'rain': 3}, {'day': 'wed', 'rain': 5}]

    A file is opened when the one before it is used up, and none behind the fence: here `b` is not even there.

    >>> with TemporaryDirectory() as folder:
    ...     a, b = Path(folder, "a.csv"), Path(folder, "b.csv")
    ...     _ = a.write_text("day,rain\\nmon,3\\n")
    ...     len(list(make_multi_csv_pipeline([a, b], 1)()))
    1

    Class: external. Demand: one row of a file for each row given, and one for each that is dropped. Memory: one
    row. Closing: closes each file, also where it is stopped. Errors: under "fail" a short row, a cast that fails or a
    bad byte is raised with its place; under "skip" it is dropped and counted in `report`.
    """
    files = [make_csv_source(path, on_error=on_error, report=report) for path in paths]
    return make_chain(*files) | make_cast(casts or {}, on_error=on_error, report=report) | fence_k(max_rows)


class Entry(NamedTuple):
    """A line of a log: when, in seconds since 1970-01-01T00:00:00Z, and what."""

    ts: float
    line: str


def stamped(line: str) -> Entry:
    """A log line with the time that stands first in it.

    >>> stamped("2024-05-01T12:00:00Z web started")
    Entry(ts=1714564800.0, line='2024-05-01T12:00:00Z web started')

    Class: pure. Errors: ValueError for a line that does not begin with a timestamp.
    """
    return Entry(parse_ts(line.partition(" ")[0]), line)


def make_multi_log_pipeline(
    paths: Iterable[Path],
    pattern: str,
    k: SupportsIndex,
    *,
    read: Callable[[str], Entry] = stamped,
    lateness: float | None = None,
    report: Report | None = None,
) -> Pipeline[[], Iterator[Entry]]:
    """The first `k` lines that match `pattern` in several logs, in order of time.

    >>> from pathlib import Path; from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     web, db = Path(folder, "web.log"), Path(folder, "db.log")
    ...     _ = web.write_text("2024-05-01T12:00:01Z web up\\n2024-05-01T12:00:04Z web busy\\n")
    ...     _ = db.write_text("2024-05-01T12:00:02Z db up\\n")
    ...     [entry.line for entry in make_multi_log_pipeline([web, db], "up", 9)()]
    ['2024-05-01T12:00:01Z web up', '2024-05-01T12:00:02Z db up']

    A log out of order is an error that names it and the line. With `lateness`, in seconds, a log may be that
    much out of order, and what comes later than that is dropped and counted in `report`.

    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "web.log")
    ...     _ = path.write_text("2024-05-01T12:00:04Z second\\n2024-05-01T12:00:01Z first\\n")
    ...     [entry.line[21:] for entry in make_multi_log_pipeline([path], ".", 9, lateness=5)()]
    ['first', 'second']

    A line without a timestamp (the lines of a traceback) is dropped and counted in `report`.

    Class: external. Demand: at most one line a log ahead of the lines that were looked at; with `lateness`, what lies
    within it. Memory: that. Closing: closes every log, last first, also where it is stopped. Errors: ValueError for a
    log out of order; those of the files.
    """
    told = Report() if report is None else report
    entries = [
        make_log_source(path) | try_map(read, errors=(ValueError,)) | ok_only(report=told) for path in paths
    ]
    merged = (
        make_merge(*entries, key=lambda entry: entry.ts)
        if lateness is None
        else make_merge_late(
            *entries, ts=lambda entry: entry.ts, lateness=lateness, on_late="skip", report=told
        )
    )
    return merged | ffilter(lambda entry: re.search(pattern, entry.line)) | fence_k(k)


def make_multi_api_pipeline(
    fetch_pages: Iterable[Callable[[Any], tuple[Iterable[T], Any]]],
    pred: Callable[[T], object],
    k: SupportsIndex,
    *,
    attempts: SupportsIndex = 3,
    sleeper: Callable[[float], object] = sleep,
) -> Pipeline[[], Iterator[T]]:
    """The first `k` items for which `pred` holds, from several paging services in turn.

    >>> from funcpipe_rag.streams import Page
    >>> north, south = {None: Page([1, 2], 1), 1: Page([3])}, {None: Page([10, 20])}
    >>> list(make_multi_api_pipeline([north.get, south.get], lambda n: n != 2, 4)())
    [1, 10, 20, 3]

    A page that fails is asked for again, `attempts` times in all.

    Class: clocked (pure in the services and the sleeper). Demand: a page when its first item is asked for, so never
    one ahead. Memory: one page a service. Closing: closes every service's pages, last first. Errors: those of a page
    that fails for good, with a note that says which page.
    """
    services = [make_pager_source(fetch, attempts=attempts, sleeper=sleeper) for fetch in fetch_pages]
    return make_roundrobin(*services) | ffilter(pred) | fence_k(k)


def make_telemetry_pipeline(
    src: Callable[[], Iterable[float]], w: SupportsIndex
) -> Pipeline[[], Iterator[tuple[float, float]]]:
    """For each reading of a sensor, from the w-th on: the mean of the last `w`, and the reading.

    >>> from funcpipe_rag.streams import as_source
    >>> list(make_telemetry_pipeline(as_source([1, 2, 6, 1]), 2)())
    [(1.5, 2), (4.0, 6), (3.5, 1)]

    Two stages that know nothing of each other read one stream, in step, so a sensor that never ends is no trouble.

    Class: pure. Demand: `w` readings for the first pair, one for each later. Memory: `w` readings, and one of skew.
    Closing: closes the sensor's iterator. Errors: those of the sensor, after the pairs before them.
    """
    return source(src) | fork2_lockstep(make_rolling_mean(w), values_after_w(w))


def make_fs_pipeline(
    root: Path,
    *suffixes: str,
    on_error: Literal["fail", "skip"] = "fail",
    report: Report | None = None,
) -> Pipeline[[], Iterator[tuple[str, str, int]]]:
    """Every file below a folder as (path, SHA-256, size), each read once; with `suffixes`, those files alone.

    >>> from pathlib import Path; from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_bytes(b"tee"), Path(folder, "b.bin").write_bytes(b"skew")
    ...     [(os.path.basename(path), sha256[:8], size) for path, sha256, size in make_fs_pipeline(folder, ".txt")()]
    [('a.txt', 'c4b86508', 3)]

    A link that leads back to a folder above does not send it round in a circle. A file that has vanished since it was
    listed is a failure, under `on_error`.

    Class: external. Demand: one file a result. Memory: one block of a file, and what the walk holds. Closing: closes
    the file it is reading. Errors: OSError under "fail"; dropped and counted in `report` under "skip".
    """
    walk = make_walk_source(root, on_error=on_error, report=report)
    chosen = walk | make_ext_filter(*suffixes) if suffixes else walk
    return chosen | make_sha256_with_size(on_error=on_error, report=report)


def make_ngram_multi(
    n: SupportsIndex, k: SupportsIndex, *, capacity: SupportsIndex = 1024, maxlen: SupportsIndex = 1
) -> SinkStage[str, tuple[list[HeavyHitter[tuple[str, ...]]], int]]:
    """Of texts: the `k` most frequent runs of `n` words, and how many different runs there are, in one pass.

    >>> top, different = make_ngram_multi(2, 1)(["one tee one tee one", "one tee"])
    >>> top[0].item, top[0].count, different
    (('one', 'tee'), 3, 2)

    The runs are split in two, and the two questions are asked in turns. Whoever reads one branch to its end first is
    stopped by `maxlen`, with a BufferError.

    Class: pure. Demand: all of the input. Memory: `capacity` counts, every different run once, and `maxlen` of skew.
    Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those of the input;
    ValueError for bad arguments.
    """
    many = a_whole_number("make_ngram_multi", "k", k, least=1)
    held = a_whole_number("make_ngram_multi", "capacity", capacity, least=many)
    bound = a_whole_number("make_ngram_multi", "maxlen", maxlen, least=1)
    inside = compose(make_tokenize(), make_ngrams(n))
    # Text by text: the last word of one and the first of the next are no run.
    runs = fflat_map(lambda text: inside([text]))

    def run(texts: Iterable[str], /) -> tuple[list[HeavyHitter[tuple[str, ...]]], int]:
        counts: SpaceSaving[tuple[str, ...]] = SpaceSaving(held)
        different: set[tuple[str, ...]] = set()
        with Owned() as owned:
            branches = multicast_bounded(owned.take(runs(texts)), 2, bound)
            for one, other in zip(*branches, strict=True):
                counts.add(one)
                different.add(other)
        return counts.top(many), len(different)

    return SinkStage(run, "sink", "make_ngram_multi", n, k)
