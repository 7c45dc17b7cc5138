"""`funcpipe-rag laws …`: what must be true, who breaks it, and whether yours holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from difflib import get_close_matches
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import track

from .law import LAWS, of
from .mutants import MUTANTS, mutants_of
from .proving import Proof, deaths
from .remote import Remote, WireError
from .running import Verdict, run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="What must be true of each public function, and who breaks it.",
)
FUNCTIONS = list(dict.fromkeys(law.about for law in LAWS.values()))

Function = Annotated[
    str | None, typer.Argument(help="a public function, like make_roundrobin; all, if left out")
]


@app.command("list")
def list_laws(function: Function = None) -> None:
    """Say the laws of a function, promise by promise."""
    for name in _functions(function):
        typer.echo(f"{name}")
        for law in of(name):
            typer.echo(f"  {law.promise:<12} {law.id}\n{'':15}{law.says}")


@app.command()
def matrix(
    function: Function = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="for machines: {function: {mutant: [laws]}}")
    ] = False,
    examples: Annotated[int, typer.Option(min=1, help="inputs tried for each law")] = 100,
) -> None:
    """Run every mutant of a function against every law of it, and show which law kills which."""
    names = _functions(function)
    console = Console(stderr=True)
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        rows = track(
            deaths(name, examples=examples),
            description=name,
            total=len(mutants_of(name)),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        found[name] = {mutant: [law for law, dead in killed.items() if dead] for mutant, killed in rows}
        if not as_json:
            typer.echo("\n".join(_table(name, found[name])) + "\n")
    if as_json:
        typer.echo(json.dumps(found, indent=2))


@app.command()
def prove(
    target: Annotated[str, typer.Argument(help="yours: module:function, or file.py:function")],
    like: Annotated[str, typer.Option(help="the public function whose laws it should keep")],
    examples: Annotated[int, typer.Option(min=1, help="inputs tried for each law")] = 100,
) -> None:
    """Run the laws of a public function on a function of yours, in a process of its own. Exit 1 if one is broken."""
    _functions(like)
    proof = Proof(like, tuple(_verdicts(target, like, examples)))
    typer.echo(repr(proof))
    raise typer.Exit(0 if proof.passed else 1)


def _verdicts(target: str, like: str, examples: int) -> Iterator[Verdict]:
    with ExitStack() as stack:
        remote: Remote | None = None
        for law in of(like):
            if remote is None:
                try:
                    remote = stack.enter_context(Remote(target))
                except (Exception, WireError) as error:
                    _fail(f"cannot load {target}: {error}")
            verdict = run(law, remote.impl, world=remote.world, examples=examples)
            yield verdict
            if verdict.final:
                # A child that did not come back is gone; the laws behind get a new one.
                stack.close()
                remote = None


def _table(name: str, killed: dict[str, list[str]]) -> list[str]:
    laws = of(name)
    named = {mutant.name: mutant.killed_by for mutant in MUTANTS if mutant.of == name}
    lines = [name, *(f"  {number:>2}  {law.promise:<12} {law.id}" for number, law in enumerate(laws, 1))]
    width = max(map(len, killed), default=0)
    lines.append(f"  {'':<{width}}  {' '.join(f'{number:>2}' for number in range(1, len(laws) + 1))}")
    for mutant, by in killed.items():
        cells = [
            " ×" if law.id in by and law.id != named[mutant] else " X" if law.id in by else " ."
            for law in laws
        ]
        lines.append(f"  {mutant:<{width}}  {' '.join(cells)}")
    return [*lines, "  X = killed by the law it names, × = killed by this one too"]


def _functions(function: str | None) -> list[str]:
    if function is None:
        return FUNCTIONS
    if function not in FUNCTIONS:
        near = get_close_matches(function, FUNCTIONS, 1, 0.7)
        meant = f"did you mean {near[0]}?" if near else f"there are laws about {', '.join(FUNCTIONS)}"
        _fail(f"no law is about {function}; {meant}")
    return [function]


def _fail(message: str) -> NoReturn:
    typer.echo(f"error      {message}", err=True)
    raise typer.Exit(2)
