"""The memory curve: what a function holds at its peak, against the items it goes through; eager beside lazy."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from json import dumps, loads
from typing import TYPE_CHECKING, Any, NamedTuple

from .curves import LINES, drawn, needs, plain
from .picture import Picture, padded, printable, room, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Usage(NamedTuple):
    """What one run took: items, and bytes at the peak above the start, as Python counts them and as the system does."""

    items: int
    traced: int
    rss: int


def memory_curve(
    *ways: Callable[[int], object], items: Sequence[int] = (200_000, 400_000, 800_000)
) -> MemoryCurve:
    """Run each of these functions with each number of items, and measure its peak.

    >>> from funcpipe_rag.plots.memory_demos import total_from_generator, total_from_list
    >>> curve = memory_curve(total_from_list, total_from_generator, items=(10_000, 20_000))
    >>> round(curve.slope("total_from_list"), -1), round(curve.slope("total_from_generator"), -1)
    (40.0, 0.0)

    One size makes no curve.

    >>> memory_curve(total_from_list, items=[1000])
    Traceback (most recent call last):
    ...
    ValueError: memory_curve: items must be at least two different sizes, got [1000]

    Each point is measured in a fresh process, whose memory nothing has used before; so a function must stand in a
    module, as for `%mprun -f`. There it runs twice, since tracing takes memory too: `memory_profiler.memory_usage`
    looks at the process (RSS) two thousand times a second, and `tracemalloc` counts each byte that Python asks for.
    The first is what the machine has to pay, and rough: it may miss the peak of a short run.

    Class: external. Memory: that of the function, in its process. Errors: RuntimeError that names what a function
    raised; ValueError for a function of a cell, fewer than two sizes, or a size below 1; ModuleNotFoundError where
    memory-profiler is missing.
    """
    if len(set(items)) < 2:
        raise ValueError(f"memory_curve: items must be at least two different sizes, got {list(items)}")
    if min(items) < 1:
        raise ValueError(f"memory_curve: items must be >= 1, got {min(items)}")
    names = [getattr(way, "__name__", type(way).__name__) for way in ways]
    if not ways or len(set(names)) < len(names):
        raise ValueError(f"memory_curve: wants functions that differ in name, at least one, got {names}")
    needs("memory_profiler", "memory-profiler", "a memory curve")
    for name, way in zip(names, ways, strict=True):
        if not _importable(way):
            raise ValueError(
                f"memory_curve: {name} must stand in a module, so that a fresh process can import it; "
                "one of a cell or of another function cannot be"
            )
    return MemoryCurve(
        {
            name: [_in_a_fresh_process(way, many) for many in sorted(set(items))]
            for name, way in zip(names, ways, strict=True)
        }
    )


class MemoryCurve(Picture):
    """Peaks that were measured, a line for each function, and its slope in bytes an item.

    >>> eager = [Usage(1000, 36_000, 0), Usage(2000, 72_000, 40_960)]
    >>> print(MemoryCurve({"eager": eager, "lazy": [Usage(1000, 816, 0), Usage(2000, 816, 0)]}).to_text())
           items     traced        RSS
    eager  1,000  0.034 MiB  0.000 MiB
           2,000  0.069 MiB  0.039 MiB
    lazy   1,000  0.001 MiB  0.000 MiB
           2,000  0.001 MiB  0.000 MiB
    eager grows by 36.0 bytes an item; lazy grows by 0.0 bytes an item

    The slope is that of the line through the traced peaks that leaves the least squares.
    """

    title = "Memory curve"

    def __init__(self, measured: Mapping[str, Sequence[Usage]]) -> None:
        for name, usages in measured.items():
            if len({usage.items for usage in usages}) < 2:
                raise ValueError(
                    f"MemoryCurve: {name} wants at least two different sizes, got {list(usages)}"
                )
        if not measured:
            raise ValueError("MemoryCurve: wants the usage of at least one function")
        self.measured = {name: tuple(sorted(usages)) for name, usages in measured.items()}

    def slope(self, name: str) -> float:
        """By how many bytes the traced peak of `name` grows with each item."""
        usages = self.measured[name]
        middle = sum(usage.items for usage in usages) / len(usages)
        spread = sum((usage.items - middle) ** 2 for usage in usages)
        return sum((usage.items - middle) * usage.traced for usage in usages) / spread

    @property
    def alt(self) -> str:
        """For each function its slope, and its peaks at the largest size."""
        told = []
        for name, usages in self.measured.items():
            last = usages[-1]
            told.append(
                f"{self._grows(name)}, to {_mib(last.traced)} traced and {_mib(last.rss)} of RSS "
                f"at {last.items:,} items"
            )
        return printable("; ".join(told))

    def to_text(self) -> str:
        """The measurements as a table, and the slopes below it."""
        table = [["", "items", "traced", "RSS"]]
        for name, usages in self.measured.items():
            for at, (items, traced, rss) in enumerate(usages):
                first = "" if at else shortened(name, 40, tail=10)
                table.append([first, f"{items:,}", _mib(traced), _mib(rss)])
        widths = [max(map(room, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                [padded(line[0], widths[0]), *map(str.rjust, line[1:], widths[1:])],
            )
            for line in table
        ]
        return "\n".join([*lines, printable("; ".join(map(self._grows, self.measured)))])

    def to_svg(self) -> str:
        """Two panels on one scale: what Python asked for, and what the process grew by. It needs matplotlib.

        The same measurements give the same bytes, as far as one version of matplotlib goes.
        """
        foot = 0.7 + 0.24 * len(self.measured)
        size = 9, 2.8 + foot
        return drawn(
            size, partial(self._panels, foot / size[1]), title=self.title, alt=self.alt, what="a memory curve"
        )

    def _panels(self, foot: float, figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        top = 1 - 0.35 / figure.get_figheight()
        figure.subplots_adjust(left=0.08, right=0.97, bottom=foot, top=top, wspace=0.14)
        for panel, title, of in zip(panels, _PANELS, ("traced", "rss"), strict=True):
            self._draw(panel, title, of)
        panels[0].set_ylabel("MiB at the peak")
        # Below zero, so that a line that lies on it is seen.
        panels[0].set_ylim(bottom=-0.04 * panels[0].get_ylim()[1])
        lines = panels[0].get_lines()
        labels = [shortened(self._grows(name), 80, tail=30) for name in self.measured]
        figure.legend(lines, labels, loc="lower left", bbox_to_anchor=(0.07, 0), frameon=False, ncols=1)

    def _draw(self, panel: Axes, title: str, of: str) -> None:
        from matplotlib.ticker import MaxNLocator

        for at, usages in enumerate(self.measured.values()):
            colour, dashes, mark = LINES[at % len(LINES)]
            panel.plot(
                [usage.items for usage in usages],
                [getattr(usage, of) / 2**20 for usage in usages],
                color=colour,
                linestyle=dashes,
                marker=mark,
                linewidth=2,
                clip_on=False,
            )
        plain(panel, title)
        panel.set_xlabel("items")
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))

    def _grows(self, name: str) -> str:
        # Adding zero makes of a slope of -0.0 one of 0.0.
        return f"{name} grows by {round(self.slope(name), 1) + 0:,.1f} bytes an item"


_PANELS = ("traced by tracemalloc", "the process (RSS)")


def _importable(way: Callable[[int], object]) -> bool:
    module = getattr(way, "__module__", None) or "__main__"
    found: object = None if module == "__main__" else sys.modules.get(module)
    for part in getattr(way, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is way


def _in_a_fresh_process(way: Callable[[int], object], items: int) -> Usage:
    # Not multiprocessing, which would run a script without a main guard, or the standard input, once more.
    command = [sys.executable, "-c", _FRESH, dumps(sys.path), way.__module__, way.__qualname__, str(items)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise RuntimeError(f"memory_curve: {way.__qualname__} failed with {items} items: {why}")
    traced, rss = loads(done.stdout.strip().rpartition("\n")[2])
    return Usage(items, traced, rss)


_FRESH = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import funcpipe_rag.plots.memory as m; m.main()"
)


def main() -> None:
    """What the fresh process does: run a function by its name, and print its peaks."""
    from memory_profiler import memory_usage

    module, name, items = sys.argv[2], sys.argv[3], int(sys.argv[4])
    way: Any = import_module(module)
    for part in name.split("."):
        way = getattr(way, part)
    # The process first, while its memory is as good as new: what was freed may stay with it.
    looks: list[float] = memory_usage((way, (items,), {}), interval=0.0005, max_iterations=1)
    gc.collect()
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    way(items)
    _, peak = tracemalloc.get_traced_memory()
    print(f"\n{dumps([peak - start, round((max(looks) - looks[0]) * 2**20)])}")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.3f} MiB"
