"""What a build did, with time and memory, as it goes: for a program that watches, and for a picture afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import NamedTuple

from funcpipe_rag.streams.ownership import Owned

from .ingest import Event


class Logged(NamedTuple):
    """An event of a build, the seconds since the build began, and the bytes of memory that the process then had."""

    t: float
    memory: int
    event: Event


def resident() -> int:
    """The bytes of memory that this process has; its greatest so far where the system tells no more."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def gen_logged(
    events: Iterable[Event],
    *,
    clock: Callable[[], float] = monotonic,
    memory: Callable[[], int] = resident,
) -> Iterator[Logged]:
    """The events of a build with time and memory.

    >>> events = [Event("indexed", "a.md", 2), Event("unchanged", "b.md")]
    >>> for logged in gen_logged(events, clock=iter([5.0, 5.5, 7.0]).__next__, memory=lambda: 1 << 20):
    ...     print(log_line(logged))
    {"t": 0.5, "memory": 1048576, "kind": "indexed", "source": "a.md", "chunks": 2}
    {"t": 2.0, "memory": 1048576, "kind": "unchanged", "source": "b.md"}

    Class: clocked. Demand: one event for each. Memory: O(1). Closing: closes the events. Errors: theirs.
    """
    with Owned() as owned:
        began = clock()
        for event in owned.opened(events):
            yield Logged(round(clock() - began, 6), memory(), event)


def log_line(logged: Logged) -> str:
    """One line of JSON, without what is nothing."""
    told = {name: value for name, value in logged.event._asdict().items() if value or name == "kind"}
    return json.dumps({"t": logged.t, "memory": logged.memory, **told}, ensure_ascii=False)


def read_build_log(path: str | os.PathLike[str]) -> Iterator[Logged]:
    """The events of a log that `build --log` wrote.

    Class: external. Demand: a line for each. Memory: a line. Closing: closes the file. Errors: OSError; ValueError that
    names the line for one that is none of ours (the last line of a build that was killed may be half a one).
    """

    def run() -> Iterator[Logged]:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    yield Logged(float(row.pop("t")), int(row.pop("memory")), Event(**row))
                except (ValueError, TypeError, KeyError, AttributeError):
                    raise ValueError(
                        f"{os.fspath(path)}:{number}: is no line of a build's log: {line[:80]!r}"
                    ) from None

    return run()
