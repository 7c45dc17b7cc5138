"""What each public function of the streams costs, sync and async: the page COSTS.md.

    python tests/benchmarks/bench_cost.py [--rounds 7] [--items 100000] [--only NAME] [--write]

CPU time an item, as a ratio to `map(abs, ...)` over the same items in turns with it, best of several rounds; for an
async function, to an async generator that does the same. What a function says of its demand, its memory and its closing is taken from its docstring. With `--write`, the page is written.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from samples import Sample, public_functions, samples

PAGE = Path(__file__).with_name("COSTS.md")
SAID = ("Demand", "Memory", "Closing")
PAGE_OF_TWO = """\
# What each function costs

Time is CPU time an item, as a ratio to `map(abs, ...)` over the same items: 1 is what `map` takes, 3 is three times that. Where
the function takes another function it is given `abs`, or as little; what reads a file is timed by the line. How each one was run
stands in [samples.py](samples.py).
A ratio says what to expect and no more: another machine or another Python moves it by a third. Demand, memory and closing are
what the docstrings say. `make costs` writes this page anew.

{sync}
## Under asyncio

Here 1 is what an async generator takes, `async for` and all, that gives `abs` of the same items one after the other. It is
several times what `map` takes, and next to nothing beside the shortest wait for a network. `amap` was run with sixteen calls at a
time, `abuffer` and `abroadcast` with room for sixteen items, `get_current_context` in a `single_task`.

{aio}"""
TABLE = """\
| function | time | demand | memory | closing |
|---|---:|---|---|---|
"""


def said(name: str, functions: dict[str, Callable[..., object]]) -> dict[str, str]:
    """What the docstring says of demand, memory and closing; where it points to another function, what that one says."""
    doc = " ".join((inspect.getdoc(functions[name]) or "").split())
    heading = re.compile(
        r"\b(Class|Demand|Memory|Time|Closing|Errors)((?:,| and) (?:demand|memory|closing|errors))*: "
    )
    found = list(heading.finditer(doc))
    told = {}
    for at, match in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(doc)
        text = doc[match.end() : end].strip().rstrip(".")
        other = re.match(r"(?:those|that) of `(\w+)`(?:,|$)", text)
        for subject in re.findall(r"demand|memory|closing", match[0].lower()):
            told[subject.capitalize()] = (
                said(other[1], functions)[subject.capitalize()] if other and other[1] in functions else text
            )
    return {subject: told.get(subject, "") for subject in SAID}


def row(name: str, cost: str, functions: dict[str, Callable[..., object]]) -> str:
    cells = [f"`{name}`", cost, *said(name, functions).values()]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rounded(ratio: float) -> str:
    """Two figures: what lies behind them is the machine's.

    >>> rounded(0.0123), rounded(1.26), rounded(9.97), rounded(123)
    ('0.01', '1.3', '10', '120')
    """
    return (
        f"{ratio:.2f}"
        if ratio < 0.095
        else f"{ratio:.1f}"
        if ratio < 9.95
        else f"{float(f'{ratio:.2g}'):.0f}"
    )


def cost(sample: Sample, n: int, rounds: int) -> float:
    """The time that n items take, as a ratio to what they take beside it."""
    n = n if sample.most is None else min(n, sample.most)
    best = [float("inf"), float("inf")]
    with TemporaryDirectory() as folder:
        begin = sample.begin(n, Path(folder))
        for _ in range(rounds):
            for side, make in enumerate((begin, lambda: sample.beside(n))):
                best[side] = min(best[side], seconds(make))
    return best[0] / best[1]


def seconds(make: Callable[[], Iterable[object]]) -> float:
    gc.collect()
    start = process_time()
    deque(make(), maxlen=0)
    return process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = parser.parse_args()
    functions = public_functions()
    rows: dict[str, list[str]] = {"streams": [], "aio": []}
    try:
        wanted = {name: sample for name, sample in samples().items() if asked.only in name}
    except LookupError as error:
        sys.exit(f"bench_cost: {error.args[0]}")
    for name in (name for name in functions if name in wanted):
        ratio = cost(wanted[name], asked.items, asked.rounds)
        rows[functions[name].__module__.split(".")[1]].append(row(name, rounded(ratio), functions))
        print(f"{ratio:8.2f}  {name}", flush=True)
    if asked.write:
        if asked.only:
            sys.exit("bench_cost: --write wants every function, so not --only")
        tables = {room: TABLE + "\n".join(lines) + "\n" for room, lines in rows.items()}
        PAGE.write_text(PAGE_OF_TWO.format(sync=tables["streams"], aio=tables["aio"]), encoding="utf-8")


if __name__ == "__main__":
    main()
