"""Judging from another process: the implementation runs in a child, every count is kept here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import TracebackType
from typing import Any

from funcpipe_rag.streams.probe import OverPulled

from .confinement import Limits
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
    The child's counts are not believed: pulls, openings and closings happen in this process, at the probes.

    With `confined`, the child may use no more than these limits, has an empty environment, reads nothing but the
    standard library and its own folder, writes nowhere, and starts no process and no connection; see
    `laws.confinement.protections` for what of it this system keeps. The text of the implementation is then given as
    `program`, and `target` is the name of the function in it. `withheld` names functions of the package that
    it cannot import.
    """

    def __init__(
        self,
        target: str,
        *,
        limit: float = 10.0,
        confined: Limits | None = None,
        program: str = "",
        withheld: tuple[str, ...] = (),
    ) -> None:
        self.target, self.limit = target, limit
        self.confined, self.program, self.withheld = confined, program, withheld
        self.folder: str | None = None

    def __enter__(self) -> Remote:
        self._left = ExitStack()
        command = [sys.executable, "-I", str(CHILD), self.target]
        alone: dict[str, Any] = {}
        if self.confined is not None:
            self.folder = self._left.enter_context(TemporaryDirectory(prefix="funcpipe-rag-judged-"))
            program = Path(self.folder) / "answer.py"
            program.write_text(self.program, encoding="utf-8")
            given = {"limits": asdict(self.confined), "folder": self.folder, "withheld": self.withheld}
            command = [sys.executable, "-I", "-S", "-X", "utf8", str(CHILD)]
            command += [f"{program}:{self.target}", json.dumps(given)]
            alone = {"cwd": self.folder, "env": {"LANG": "C.UTF-8"}, "start_new_session": True}
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            **alone,
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
        except OverPulled:
            self._end()
            # Nothing was there to be pulled; and it is no `Exception`.
            raise WireError("it raised OverPulled") from None
        except BaseException:
            self._end()
            raise
        # The loader and the implementation stay; what an example makes goes with it.
        self._keep = 2
        return self

    def world(self) -> RemoteWorld:
        """A fresh world for one example."""
        self.wire.deadline = monotonic() + self.limit
        try:
            self.wire.request("reset", self._keep)
        except (Exception, OverPulled):
            raise WireError("an answer came that makes no sense") from None
        self.wire.reset()
        return RemoteWorld(self.wire, self.folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._child.kill()
        self._child.communicate()
        self._left.close()


class RemoteWorld(LocalWorld):
    """The same probes as in a `LocalWorld`; the implementation reaches them over the wire."""

    most_items = 1_000

    def __init__(self, wire: Wire, folder: str | None = None) -> None:
        # What the implementation is to read must lie where it may.
        super().__init__(folder)
        self.wire = wire


__all__ = ["Remote", "RemoteWorld", "WireError"]
