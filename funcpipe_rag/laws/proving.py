"""The laws for everybody's own functions: `prove` in a session, `each_law` in a test file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from .law import Law, of
from .running import Verdict, run

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Proof:
    """A verdict for every law: true when all of them hold."""

    like: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every law holds."""
        return all(self.verdicts)

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The laws that do not hold."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        kept = len(self.verdicts) - len(self.broken)
        lines = [f"{kept} of {len(self.verdicts)} laws of {self.like} hold"]
        return "\n".join([*lines, *(verdict.as_text() for verdict in self.verdicts)])

    def _repr_html_(self) -> str:
        kept = len(self.verdicts) - len(self.broken)
        head = f"<p>{kept} of {len(self.verdicts)} laws of <code>{escape(self.like)}</code> hold</p>"
        return head + "".join(verdict.as_html() for verdict in self.verdicts)


def prove(impl: Callable[..., Any], *, like: str, but: Collection[str] = (), examples: int = 100) -> Proof:
    """Run every law of the public function `like` on an implementation of yours.

    >>> from itertools import islice
    >>> def fence(k):
    ...     return lambda xs: islice(xs, k)
    >>> proof = prove(fence, like="fence_k")
    >>> [verdict.law.id for verdict in proof.broken][0]
    'fence-k-starts-nothing-at-birth'

    `but` names laws that yours does not promise. KeyError for a function without laws, ValueError for a law in
    `but` that is not one of them.
    """
    return Proof(like, tuple(run(law, impl, examples=examples) for law in _chosen(like, but)))


def each_law(like: str, *, but: Collection[str] = ()) -> pytest.MarkDecorator:
    """Parametrize a test over the laws of the public function `like`, one test a law.

    `@each_law("make_roundrobin")` over `def test_mine(law): assert_kept(law, my_roundrobin)`.
    """
    import pytest

    chosen = _chosen(like, but)
    return pytest.mark.parametrize("law", chosen, ids=[law.id for law in chosen])


def assert_kept(law: Law, impl: Callable[..., Any], *, examples: int = 100) -> None:
    """AssertionError, with the card as its text, unless `impl` keeps `law`."""
    verdict = run(law, impl, examples=examples)
    if not verdict.passed:
        raise AssertionError("\n" + verdict.as_text())


def deaths(function: str, *, examples: int = 100) -> Iterator[tuple[str, dict[str, bool]]]:
    """For each mutant of a function, in turn: its name, and by law id whether that law kills it."""
    from .mutants import mutants_of

    for mutant in mutants_of(function):
        yield (
            mutant.name,
            {law.id: not run(law, mutant.impl, examples=examples).passed for law in of(function)},
        )


def _chosen(like: str, but: Collection[str]) -> list[Law]:
    laws = of(like)
    strange = set(but) - {law.id for law in laws}
    if strange:
        raise ValueError(
            f"{like} has no law {', '.join(sorted(strange))}; it has {', '.join(law.id for law in laws)}"
        )
    return [law for law in laws if law.id not in but]
