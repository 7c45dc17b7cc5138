"""A build as the command line runs it: its corpus, its progress, Ctrl-C, and what it says at the end."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from types import FrameType
from typing import IO, Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .build_log import gen_logged, log_line
from .console import DONE, INTERRUPTED, PARTLY, Usage, amount, err, fact, megabytes
from .embedding import make_embedder
from .index import BESIDE
from .ingest import Event, Report, gen_ingest
from .loading import SUFFIXES, corpus_roots, make_docs_source
from .quarantine import Loaded, Quarantined
from .types import RagEnv

# So many quarantined documents are listed after a build; `status` lists all.
LISTED = 20


class Corpus:
    """The folders and files of a build, by name."""

    def __init__(self, paths: list[str], encoding: str, embedder: str | None = None) -> None:
        for path in paths:
            if not path:
                raise Usage("PATHS has an empty path; give folders and files")
        try:
            roots = corpus_roots(paths)
            self.docs = make_docs_source(*paths, encoding=encoding, on_error="collect")
        except ValueError as error:
            raise Usage(str(error).removeprefix("make_docs_source: ")) from None
        if not any(os.path.exists(root.path) for root in roots):
            try:
                os.stat(roots[0].path)
            except FileNotFoundError:
                raise Usage(f"{roots[0].path}: there is no such folder or file") from None
        self._given = roots
        self.roots = {root.name: os.path.abspath(root.path) for root in roots}
        self.encoding = encoding
        self.spec = embedder
        self.embedder = None if embedder is None else make_embedder(embedder)

    def loaded(self) -> Iterator[Loaded]:
        """The documents, and what cannot be one."""
        return self.docs()

    def reads(self, file: str) -> bool:
        """Whether a file, written while the corpus is read, would be one of its documents."""
        path = os.path.realpath(file)
        for root in self._given:
            folder = os.path.realpath(root.path)
            below = os.path.relpath(path, folder).replace(os.sep, "/")
            if path == folder:
                return True
            kind = bool(root.patterns) or below.lower().endswith(SUFFIXES)
            if kind and not below.startswith("../") and root.wants(below):
                return True
        return False

    def settings(self) -> dict[str, Any]:
        """What the index keeps of where its documents came from, and of where the embedder is."""
        return {
            "corpus": sorted(self.roots),
            "roots": self.roots,
            "encoding": self.encoding,
            "embedder_spec": self.spec,
        }


class Built(NamedTuple):
    """How a build went."""

    report: Report
    quarantine: list[Quarantined]
    seconds: float
    interrupted: bool
    rebuilt: bool = False

    @property
    def holds(self) -> int:
        """How many documents the index has of what was there."""
        return self.report.indexed + self.report.unchanged + self.report.stale

    @property
    def seen(self) -> int:
        """How many documents were there, readable or not."""
        return self.holds + len(self.quarantine)

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        return PARTLY if self.quarantine else DONE

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": "interrupted" if self.interrupted else "complete",
            **self.report._asdict(),
            "seconds": round(self.seconds, 3),
            "quarantine": [trouble._asdict() for trouble in self.quarantine],
        }


def run_build(
    corpus: Corpus,
    index: str,
    env: RagEnv,
    *,
    rebuild: bool = False,
    fast_views: bool | None = None,
    quiet: bool = False,
    log: IO[str] | None = None,
) -> Built:
    """Build to the end or to Ctrl-C, with a progress bar where somebody can see it, and lines in a log."""
    report, quarantine = Report(), []
    began = perf_counter()
    shown = err.is_terminal and not quiet
    total = sum(1 for _ in corpus.docs()) if shown else None
    with stopped_by_ctrl_c() as stop, bar(shown, "+".join(corpus.roots), total) as advance:
        events = gen_ingest(
            index,
            corpus.loaded(),
            env,
            embedder=corpus.embedder,
            rebuild=rebuild,
            fast_views=fast_views,
            settings=corpus.settings(),
            stop=lambda: bool(stop),
        )
        try:
            for logged in gen_logged(events):
                event = logged.event
                if log is not None:
                    log.write(f"{log_line(logged)}\n")
                report = report.plus(event)
                if event.kind == "quarantined":
                    quarantine.append(Quarantined(event.source, event.reason, event.line))
                advance(event, report)
        except KeyboardInterrupt:
            stop.append(signal.SIGINT)
        finally:
            events.close()  # type: ignore[attr-defined]
    return Built(report, quarantine, perf_counter() - began, bool(stop), rebuild)


@contextmanager
def stopped_by_ctrl_c() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C is pressed; pressed again, it interrupts at once."""
    stop: list[int] = []

    def pressed(number: int, frame: FrameType | None) -> None:
        stop.append(number)
        if len(stop) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def bar(shown: bool, name: str, total: int | None) -> Iterator[Any]:
    """A progress bar with documents, MB/s and errors, as a function of events; nothing when not shown."""
    if not shown:
        yield lambda event, report: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[bad]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(name, total=total, rate="", bad="")
        began = perf_counter()

        def advance(event: Event, report: Report) -> None:
            rate = f"{report.size / 1e6 / max(perf_counter() - began, 0.001):.1f} MB/s"
            bad = f"{report.quarantined:,} quarantined" if report.quarantined else ""
            progress.update(task, advance=event.kind != "removed", rate=rate, bad=bad)

        yield advance


def tell(built: Built, index: str, encoding: str, *, listed: int = LISTED, next_step: bool = True) -> None:
    """What a build did, one line a fact, and what to do next."""
    report = built.report
    size = megabytes(os.path.getsize(index))
    rate = f"{report.size / 1e6 / built.seconds:.1f} MB/s" if built.seconds else ""
    made = f"{amount(report.indexed, 'document')}, {amount(report.chunks, 'chunk')} in {index} ({size})"
    fact("indexed", f"{made}, {built.seconds:.1f} s, {rate}")
    for kind in ("unchanged", "removed", "stale"):
        count = getattr(report, kind)
        if count:
            kept = ", kept as last read" if kind == "stale" else ""
            fact(kind, amount(count, "document") + kept)
    tell_troubles(built.quarantine, encoding, listed)
    if built.interrupted:
        # A rebuild that was given up earlier may lie there, too, and is not this build's.
        if built.rebuilt and os.path.exists(index + BESIDE):
            fact("stopped", "the index is as it was; the same command goes on with the new one from here")
        else:
            fact("stopped", "what is indexed stays; the same command goes on from here")
    elif not built.seen:
        fact("note", f"no {' '.join(SUFFIXES)} files there; other kinds are not read")
    elif next_step and built.holds:
        fact("next", f'funcpipe-rag ask "…" --index {shlex.quote(index)}')


def tell_troubles(troubles: list[Quarantined], encoding: str, listed: int) -> None:
    """The quarantined documents, each with where and why."""
    label = "quarantine"
    for source, reason, line in troubles[:listed]:
        hint = (
            " (try --encoding NAME, such as latin-1)"
            if reason.startswith("not utf-8") and encoding == "utf-8"
            else ""
        )
        fact(label, f"{source}{f':{line}' if line else ''}  {reason}{hint}")
        label = ""
    if len(troubles) > listed:
        fact(label, f"and {len(troubles) - listed:,} more")
