"""The ingest dashboard: how fast a build went, what it made, what it could not read, and what it held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from funcpipe_rag.rag import Event, Logged, gen_logged

from .curves import LINES, drawn, plain
from .picture import Picture, padded, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# With twice as many, every other one is let go.
SAMPLES = 120


class Sample(NamedTuple):
    """Where a build stood: seconds since it began, documents, chunks and failures so far, bytes of memory."""

    t: float
    documents: int
    chunks: int
    failures: int
    memory: int


class IngestDashboard(Picture):
    """Documents a second, chunks, documents that could not be read, and memory, against the time of a build.

    >>> events = [Logged(float(n), (30 + n) << 20, Event("indexed", f"{n}.md", chunks=2)) for n in range(1, 4)]
    >>> print(IngestDashboard(events).to_text())
    seconds  documents  a second  chunks  failures  memory
        1.0          1       1.0       2         0  31 MiB
        2.0          2       1.0       4         0  32 MiB
        3.0          3       1.0       6         0  33 MiB

    `watch` shows a build as it goes; `IngestDashboard(read_build_log(FILE))` one that `build --log FILE` wrote down.

    Memory: 240 samples, however long the build; between two of them documents are counted and times averaged.
    """

    title = "Ingest dashboard"

    def __init__(self, logged: Iterable[Logged] = ()) -> None:
        self._samples: list[Sample] = []
        self._now = Sample(0.0, 0, 0, 0, 0)
        self._gap = 0.0
        for one in logged:
            self._see(one)

    def watch(self, events: Iterable[Event], **options: Any) -> Iterator[Event]:
        """Hand on the events of a build, and draw them; options as `gen_logged`."""
        for logged in gen_logged(events, **options):
            self._see(logged)
            yield logged.event

    def _see(self, logged: Logged) -> None:
        t, memory, event = logged
        now = self._now
        self._now = Sample(
            t,
            now.documents + (event.kind != "removed"),
            now.chunks + event.chunks,
            now.failures + (event.kind == "quarantined"),
            memory,
        )
        if not self._samples or t - self._samples[-1].t >= self._gap:
            self._samples.append(self._now)
        if len(self._samples) > 2 * SAMPLES:
            self._samples = self._samples[::2]
            self._gap = t / SAMPLES

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Where the build stood, from its first event to its last."""
        last = () if self._samples and self._samples[-1] == self._now else (self._now,)
        return (*self._samples, *last) if self._now.documents or self._samples else ()

    @property
    def alt(self) -> str:
        """What the build had done at its end, and its greatest memory."""
        if not self.samples:
            return "No document has been seen."
        t, documents, chunks, failures, _ = self.samples[-1]
        rate = f", {documents / t:,.0f} a second" if t else ""
        most = max(one.memory for one in self.samples)
        return printable(
            f"{documents:,} documents in {t:,.1f} seconds{rate}; {chunks:,} chunks; "
            f"{failures:,} could not be read; at most {most / 2**20:,.0f} MiB of memory"
        )

    def to_text(self) -> str:
        """At most a dozen moments of the build as a table."""
        table = [["seconds", "documents", "a second", "chunks", "failures", "memory"]]
        for one, rate in self._moments(12):
            table.append(
                [
                    f"{one.t:,.1f}",
                    f"{one.documents:,}",
                    f"{rate:,.1f}",
                    f"{one.chunks:,}",
                    f"{one.failures:,}",
                    f"{one.memory / 2**20:,.0f} MiB",
                ]
            )
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(padded("", width - len(cell)) + cell for cell, width in zip(line, widths, strict=True))
            for line in table
        )

    def _moments(self, most: int) -> list[tuple[Sample, float]]:
        """At most so many moments, as far apart in time as can be, each with the documents a second since the last."""
        # Events come in groups, as they are committed, so a rate needs some time to be one.
        samples = self.samples
        wide = samples[-1].t / most if samples else 0.0
        kept: list[Sample] = []
        for one in samples:
            if one.t - (kept[-1].t if kept else 0.0) >= wide:
                kept.append(one)
        # What is left at the end is too short a time for a rate of its own.
        kept[-1:] = samples[-1:]
        starts = [Sample(0.0, 0, 0, 0, 0), *kept]
        return [
            (one, (one.documents - last.documents) / (one.t - last.t) if one.t > last.t else 0.0)
            for last, one in zip(starts, kept, strict=False)
        ]

    def to_svg(self) -> str:
        """Four panels over one time. It needs matplotlib."""
        return drawn((9, 5.2), self._draw, title=self.title, alt=self.alt, what="an ingest dashboard")

    def _draw(self, figure: Figure) -> None:
        panels = figure.subplots(2, 2, sharex=True)
        figure.subplots_adjust(left=0.09, right=0.97, bottom=0.11, top=0.93, wspace=0.22, hspace=0.28)
        samples = self.samples
        times = [one.t for one in samples]
        moments = self._moments(40)
        drawn_ones: tuple[tuple[str, Sequence[float], Sequence[float]], ...] = (
            ("documents a second", [one.t for one, _ in moments], [rate for _, rate in moments]),
            ("chunks so far", times, [one.chunks for one in samples]),
            ("documents that could not be read", times, [one.failures for one in samples]),
            ("memory of the process, MiB", times, [one.memory / 2**20 for one in samples]),
        )
        for panel, (title, at, values), (colour, *_) in zip(panels.flat, drawn_ones, LINES, strict=True):
            stepped = title.startswith("documents")
            panel.plot(at, values, color=colour, linewidth=2, drawstyle="steps-pre" if stepped else "default")
            plain(panel, title)
            panel.set_ylim(bottom=0, top=None if any(values) else 1)
            panel.yaxis.set_major_formatter("{x:,.0f}")
        for panel in panels[1]:
            panel.set_xlabel("seconds")
