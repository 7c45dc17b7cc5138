"""Which of our laws the neighbours keep: itertools, heapq, more_itertools and toolz, put through the suite that we keep.

    python tests/peers/keep_our_laws.py            print the tables
    python tests/peers/keep_our_laws.py --write    put them into README.md, beside this file
    python tests/peers/keep_our_laws.py --check    exit 1 if README.md says anything else

A library that is not installed is left out, and named. A row of tables is the unit of comparison, so `--check`
holds for whatever libraries there are.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import merge
from importlib import import_module, metadata
from itertools import chain, dropwhile, islice, takewhile, tee, zip_longest
from operator import call
from pathlib import Path
from typing import Any

import funcpipe_rag
from funcpipe_rag import laws
from funcpipe_rag.laws.inputs import Input, choice

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
EXAMPLES = 60
NO_CLOSE = re.compile(r"cannot be closed|has no attribute 'close'")


class Opened:
    """A source of ours as the peers want one: a thing to iterate, and iter() is what opens it."""

    def __init__(self, source: Callable[[], Iterator[Any]]) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        return self.source()


def fan_in(join: Callable[..., Any]) -> Callable[..., Any]:
    """`join`, which takes iterables and joins them at once, in the shape of a factory of ours."""
    return lambda *sources: lambda: join(*map(Opened, sources))


def roundrobin_recipe(*iterables: Any) -> Iterator[Any]:
    """The round-robin that most people write."""
    gone = object()
    for row in zip_longest(*iterables, fillvalue=gone):
        yield from (item for item in row if item is not gone)


def batched_recipe(xs: Any, n: int) -> Iterator[Any]:
    """The batches that most people write."""
    it = iter(xs)
    return iter(lambda: tuple(islice(it, n)), ())


@dataclass(frozen=True)
class Peer:
    """Somebody else's function, in the shape of ours.

    `adapted` is called as ours is. `asides` are laws that say nothing about this peer, and why; `fixed` narrows an
    input to what the peer can be asked.
    """

    of: str
    name: str
    adapted: Callable[..., Any]
    asides: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Input[Any]] = field(default_factory=dict)


TRUSTS = {"merge-refuses-a-source-out-of-order": "trusts that its inputs are sorted, as it says"}
NO_LOOKAHEAD = {"merge-looks-no-further-ahead-than-it-may": "has no lookahead option"}
# tee has no bound. Where the bound is not what a law is about, it is set out of reach.
NO_BOUND = {"maxlen": choice(100), "how": choice("drop")}
OWN_WORDS = {"fork-lockstep-names-the-branch-out-of-step": "raises ValueError too, in words of its own"}


def standard_library() -> list[Peer]:
    return [
        Peer("make_chain", "itertools.chain", fan_in(chain)),
        Peer("make_chain", "itertools.chain.from_iterable", fan_in(lambda *its: chain.from_iterable(its))),
        Peer("make_roundrobin", "a recipe with zip_longest", fan_in(roundrobin_recipe)),
        Peer(
            "make_merge",
            "heapq.merge",
            lambda *ss, key=None, reverse=False, **_: fan_in(partial(merge, key=key, reverse=reverse))(*ss),
            TRUSTS | NO_LOOKAHEAD,
        ),
        Peer("multicast_bounded", "itertools.tee", lambda xs, n, maxlen=0: tee(xs, n), fixed=NO_BOUND),
        Peer(
            "fork_lockstep",
            "zip(strict=True) over tee",
            lambda *ts, **_: lambda xs: zip(*map(call, ts, tee(xs, len(ts))), strict=True),
            OWN_WORDS,
        ),
        Peer("fmap", "map", lambda fn: partial(map, fn)),
        Peer("ffilter", "filter", lambda pred: partial(filter, pred)),
        Peer(
            "fflat_map",
            "chain.from_iterable over map",
            lambda fn: lambda xs: chain.from_iterable(map(fn, xs)),
        ),
        Peer("ftake_while", "itertools.takewhile", lambda pred: partial(takewhile, pred)),
        Peer("fdrop_while", "itertools.dropwhile", lambda pred: partial(dropwhile, pred)),
        Peer("fence_k", "itertools.islice", lambda k: lambda xs: islice(xs, k)),
        Peer("make_batched", "a recipe with iter and islice", lambda n: partial(batched_recipe, n=n)),
    ]


def of_more_itertools(more: Any) -> list[Peer]:
    return [
        Peer("make_chain", "more_itertools.flatten", fan_in(lambda *its: more.flatten(its))),
        Peer("make_roundrobin", "more_itertools.roundrobin", fan_in(more.roundrobin)),
        Peer("make_roundrobin", "more_itertools.interleave_longest", fan_in(more.interleave_longest)),
        Peer("fflat_map", "more_itertools.flatten over map", lambda fn: lambda xs: more.flatten(map(fn, xs))),
        Peer(
            "ftake_while",
            "more_itertools.before_and_after",
            lambda pred: lambda xs: more.before_and_after(pred, xs)[0],
        ),
        Peer("fdrop_while", "more_itertools.lstrip", lambda pred: lambda xs: more.lstrip(xs, pred)),
        Peer("fence_k", "more_itertools.islice_extended", lambda k: lambda xs: more.islice_extended(xs, k)),
        Peer("batched", "more_itertools.batched", more.batched),
    ]


def of_toolz(toolz: Any) -> list[Peer]:
    curried = import_module("toolz.curried")
    return [
        Peer("make_chain", "toolz.concat", fan_in(lambda *its: toolz.concat(its))),
        Peer("make_chain", "toolz.concatv", fan_in(toolz.concatv)),
        Peer("make_roundrobin", "toolz.interleave", fan_in(lambda *its: toolz.interleave(its))),
        Peer(
            "make_merge",
            "toolz.merge_sorted",
            lambda *ss, key=None, **_: fan_in(partial(toolz.merge_sorted, key=key))(*ss),
            TRUSTS | NO_LOOKAHEAD,
            {"reverse": choice(False)},
        ),
        Peer("fmap", "toolz.curried.map", curried.map),
        Peer("ffilter", "toolz.curried.filter", curried.filter),
        Peer("fflat_map", "toolz.curried.mapcat", curried.mapcat),
        Peer("fence_k", "toolz.curried.take", curried.take),
        Peer("make_batched", "toolz.curried.partition_all", curried.partition_all),
        Peer("compose", "toolz.compose_left", toolz.compose_left),
    ]


def installed() -> tuple[list[Peer], list[str]]:
    """The peers from outside the standard library, and the names of the libraries that are not here."""
    peers: list[Peer] = []
    missing = []
    for project, peers_of in OUTSIDE.items():
        try:
            peers += peers_of(import_module(project.replace("-", "_")))
        except ModuleNotFoundError:
            missing.append(project)
    return peers, missing


OUTSIDE = {"more-itertools": of_more_itertools, "toolz": of_toolz}


@dataclass(frozen=True)
class Kept:
    """What came of one peer and one promise."""

    cell: str
    broken: laws.Verdict | None = None
    asides: frozenset[str] = frozenset()


def kept(peer: Peer, promise: str) -> Kept:
    """Put a peer through every law of a promise; tell of the first that it breaks."""
    broken: list[laws.Verdict] = []
    asides: set[str] = set()
    passed, closable = 0, True
    for law in laws.of(peer.of):
        if law.promise != promise:
            continue
        if law.id in peer.asides:
            asides.add(f"`{peer.name}` {peer.asides[law.id]} (`{law.id}`)")
            continue
        verdict = laws.run(asked_of(peer, law), peer.adapted, examples=EXAMPLES)
        if verdict.passed:
            passed += 1
        elif NO_CLOSE.search(verdict.came):
            closable = False
        else:
            broken.append(verdict)
    said = []
    if broken:
        said.append(f"✗ `{broken[0].law.id}` ({passed} of {passed + len(broken)} kept)")
    elif passed:
        said.append("✓" + "\\*" * bool(asides))
    if not closable:
        said.append("no `close()`")
    return Kept(", ".join(said) or "–", broken[0] if broken else None, frozenset(asides))


def asked_of(peer: Peer, law: laws.Law) -> laws.Law:
    """The law, with its inputs narrowed to what the peer can be asked; but one about flat memory as it stands."""
    fixed = {} if law.promise == "flat" else peer.fixed
    return replace(law, inputs={name: fixed.get(name, kind) for name, kind in law.inputs.items()})


def ours(function: str) -> Peer:
    return Peer(function, f"funcpipe_rag.{function}", getattr(funcpipe_rag, function))


def tables(peers: list[Peer], *, with_ours: bool = True) -> list[str]:
    """The Markdown: who keeps what, and below it what the broken laws say and the smallest input that breaks them."""
    lines = [f"| in place of | | {' | '.join(laws.PROMISES)} |", "|---" * (2 + len(laws.PROMISES)) + "|"]
    broken: dict[str, None] = {}
    asides: set[str] = set()
    for function in dict.fromkeys(law.about for law in laws.LAWS.values()):
        same_shape = [peer for peer in peers if peer.of == function]
        for peer in [ours(function)] * (with_ours and bool(same_shape)) + same_shape:
            row = [kept(peer, promise) for promise in laws.PROMISES]
            lines.append(f"| {function} | `{peer.name}` | {' | '.join(one.cell for one in row)} |")
            broken |= dict.fromkeys(told(one.broken) for one in row if one.broken is not None)
            asides |= {aside for one in row for aside in one.asides}
    lines += ["", *(f"\\* {aside}.  " for aside in sorted(asides))]
    lines += [
        "",
        "| law | says | smallest input | what came | expected |",
        "|---|---|---|---|---|",
        *sorted(broken),
    ]
    return lines


def told(verdict: laws.Verdict) -> str:
    law = verdict.law
    cells = [f"`{law.id}`", law.says, f"`{verdict.smallest}`", verdict.came, verdict.expected]
    return f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |"


def rows(text: str, *, wording: bool = True) -> list[str]:
    """What is compared: the lines of tables, and the asides; without `wording`, of a broken law only its id and input."""
    found = [line.strip() for line in text.splitlines() if line.startswith(("| ", "\\* "))]
    if wording:
        return found
    return [" | ".join(row.split(" | ")[:3:2]) if row.count(" | ") == 4 else row for row in found]


def versions(missing: list[str]) -> str:
    here = ["hypothesis", *(project for project in OUTSIDE if project not in missing)]
    named = ", ".join(f"{project} {metadata.version(project)}" for project in here)
    return f"Python {platform.python_version()}, {named}; {EXAMPLES} examples a law, seed 0."


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--check", action="store_true", help="exit 1 if README.md says anything else")
    options.add_argument("--write", action="store_true", help="put the tables into README.md")
    chosen = options.parse_args()
    peers, missing = installed()
    if missing:
        said = f"left out, because not installed: {', '.join(missing)} (pip install {' '.join(missing)})"
        print(said, file=sys.stderr)
    made = "\n".join([versions(missing), "", *tables(standard_library() + peers)])
    if not (chosen.check or chosen.write):
        print(made)
        return 0
    page = README.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    if chosen.write:
        if missing:
            print("README.md is not written: it would lose their rows", file=sys.stderr)
            return 1
        README.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", "utf-8")
        return 0
    new, old = rows(made), rows(written)
    drift = [f"+ {row}" for row in new if row not in old]
    if not missing:
        drift += [f"- {row}" for row in old if row not in new]
    print("\n".join(drift) or f"README.md is in step: {len(new)} rows")
    return bool(drift)


if __name__ == "__main__":
    sys.exit(main())
