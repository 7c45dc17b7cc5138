"""A check that takes more than a second says how far it is, and leaves nothing behind.

In a notebook the line stands where the card will stand, and the card takes its place; in a terminal it is wiped.
Nothing is shown where nobody watches: in a build, a test run or a pipe.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Protocol

FIRST, THEN = 1.0, 0.5
"""Seconds until something is shown, and between two looks at it."""


class Waiting:
    """A line for somebody who waits: `with Waiting("m03c07e2") as waiting: ...; waiting.says("law 2 of 6")`."""

    def __init__(self, name: str) -> None:
        self._name, self._said = name, ""
        self._surface = _surface()
        self._over = Event()
        self._thread: Thread | None = None
        self.shown = False

    def __enter__(self) -> Waiting:
        if self._surface is not None:
            self._thread = Thread(target=self._watch, name="funcpipe-rag-waiting", daemon=True)
            # Where there are no threads (Python in a browser), there is no line.
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None
        return self

    def says(self, what: str) -> None:
        """What is being done now; it is shown at the next look."""
        self._said = what

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self.shown and kind is not None:
            self.replace({"text/plain": ""})

    def replace(self, bundle: dict[str, str]) -> None:
        """Put the result in the line's place."""
        if self._surface is not None:
            self._surface.replace(bundle)

    def _watch(self) -> None:
        began = monotonic()
        wait = FIRST
        # A line that cannot be shown is no reason to lose the answer.
        with suppress(Exception):
            while not self._over.wait(wait):
                assert self._surface is not None
                said = f"{self._name}: {self._said}, {monotonic() - began:.0f} s"
                self._surface.show(said)
                self.shown, wait = True, THEN


class _Surface(Protocol):
    def show(self, line: str) -> None: ...

    def replace(self, bundle: dict[str, str]) -> None: ...


class _Terminal:
    def show(self, line: str) -> None:
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def replace(self, bundle: dict[str, str]) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Notebook:
    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, line: str) -> None:
        from IPython.display import DisplayHandle

        first = self._handle is None
        self._handle = self._handle or DisplayHandle()  # type: ignore[no-untyped-call]
        self._handle.display({"text/plain": line}, raw=True, update=not first)

    def replace(self, bundle: dict[str, str]) -> None:
        self._handle.display(bundle, raw=True, update=True)


def _surface() -> _Surface | None:
    """Where a person sees a line that changes: a notebook whose front end may ask questions back, or a terminal.

    nbclient and nbval say that nobody is there to answer, so what they keep does not depend on the clock.
    """
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return _Notebook() if getattr(kernel, "_allow_stdin", False) else None
    return _Terminal() if sys.stderr is not None and sys.stderr.isatty() else None
