"""Judging from another process: the implementation runs in a child, every count is kept here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from .wire import Wire, WireError
from .worlds import LocalWorld

CHILD = Path(__file__).with_name("child.py")


class Remote:
    """A child process that holds one implementation; leave it, and the child is gone.

    >>> from funcpipe_rag.laws import LAWS, run
    >>> with Remote("funcpipe_rag:make_chain") as remote:
    ...     run(LAWS["chain-keeps-source-order"], remote.impl, world=remote.world, examples=5).passed
    True

    `target` is `module:name`, or `file.py:name` for a file that nobody imports. `limit` is the number of seconds
    that one example may take; a child that is silent for longer is ended, and the law counts as broken.
    `round_trips` counts what went over the wire. The child's counts are not believed: pulls, openings and
    closings happen in this process, at the probes.
    """

    def __init__(self, target: str, *, limit: float = 10.0) -> None:
        self.target, self.limit = target, limit

    def __enter__(self) -> Remote:
        self._child = subprocess.Popen(
            [sys.executable, "-I", str(CHILD), self.target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self.wire = Wire(self._child.stdout.fileno(), self._child.stdin.fileno())
        try:
            # Starting Python is not the implementation's time; loading its file is, with its imports.
            self.wire.deadline = monotonic() + max(self.limit, 60.0)
            self.wire.request("reset", 1)
            self.wire.deadline = monotonic() + max(self.limit, 15.0)
            self.impl: Callable[..., Any] = self.wire.request("call", 0, (), {})
        except BaseException:
            self._end()
            raise
        # The loader and the implementation stay; what an example makes goes with it.
        self._keep = 2
        return self

    def world(self) -> RemoteWorld:
        """A fresh world for one example."""
        self.wire.deadline = monotonic() + self.limit
        self.wire.request("reset", self._keep)
        self.wire.reset()
        return RemoteWorld(self.wire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._child.kill()
        self._child.communicate()


class RemoteWorld(LocalWorld):
    """The same probes as in a `LocalWorld`; the implementation reaches them over the wire."""

    most_items = 1_000

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire


__all__ = ["Remote", "RemoteWorld", "WireError"]
