"""A mutant: a wrong implementation that stands for a misconception, and the law that catches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from funcpipe_rag.laws.law import LAWS, Law


@dataclass(frozen=True)
class Mutant:
    """A known wrong answer: `impl` stands in for `of`, and the law `killed_by` must catch it."""

    name: str
    of: str
    killed_by: str
    who: str
    impl: Callable[..., Any]

    @property
    def id(self) -> str:
        """Its name and whose place it takes: no two have the same."""
        return f"{self.of}.{self.name}"


MUTANTS: list[Mutant] = []


def mutant(
    *,
    of: str,
    killed_by: str,
    name: str = "",
    among: list[Mutant] = MUTANTS,
    laws: Mapping[str, Law] = LAWS,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as a mutant of `of`; its docstring says who makes this mistake.

    `among` is where it is kept, and `laws` where its law is: an exercise has its own. ValueError for a law that does not exist or is about another function, and for a mutant without a docstring.
    """

    def register(impl: Callable[..., Any]) -> Callable[..., Any]:
        if killed_by not in laws or laws[killed_by].about != of:
            raise ValueError(f"mutant {impl.__name__}: there is no law {killed_by!r} about {of}")
        who = " ".join((impl.__doc__ or "").split())
        if not who:
            raise ValueError(f"mutant {impl.__name__}: say in a docstring who makes this mistake")
        among.append(Mutant(name or impl.__name__, of, killed_by, who, impl))
        return impl

    return register


def mutants_of(function: str, *names: str) -> tuple[Mutant, ...]:
    """The mutants of a function, in the order they were written; or those that are named, in the order of their names.

    KeyError, naming what there is, for a name that none of them has.
    """
    found = {mutant.name: mutant for mutant in MUTANTS if mutant.of == function}
    if unknown := set(names) - set(found):
        raise KeyError(f"{function} has no mutant {min(unknown)!r}; it has {', '.join(found)}")
    return tuple(found[name] for name in names or found)
