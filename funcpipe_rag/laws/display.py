"""How a verdict reads: four lines in a terminal, a card in a notebook, and who pulled what when below it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from funcpipe_rag.streams.probe import EventKind, Log

    from .law import Law


class Part(NamedTuple):
    """One line of a card: what it is, and what it says."""

    name: str
    text: str


class Displayed:
    """The display of a verdict. The law speaks, not a grader: what came, what should have come, a question."""

    if TYPE_CHECKING:
        law: Law
        passed: bool
        came: str
        expected: str
        hint: str
        log: Log
        kept: Log | None
        kind: bool
        final: bool

        @property
        def smallest(self) -> str: ...

    @property
    def promise(self) -> str:
        """The promise that is kept or broken, as a word."""
        return (self.law.label or self.law.promise).capitalize()

    @property
    def _title(self) -> str:
        """The promise and the law's sentence; where a law about values has nothing to compare, what is wanted first."""
        if self.kind and self.law.promise == "same answer":
            return "Before the law can look: what came is of another kind."
        return f"{self.promise}: {self.law.says}"

    def facts(self, *, hint: bool = True) -> list[Part]:
        """The lines below the law's sentence."""
        # What did not come back was not tried on smaller inputs.
        facts = (
            [Part("on the input" if self.final else "smallest input", self.smallest)] if self.smallest else []
        )
        facts.append(Part("what came", f"{self.came}; expected {self.expected}"))
        return [*facts, Part("hint", self.hint)] if hint else facts

    def diagram(self) -> str:
        """Who gave what when, for a law about demand or closing; otherwise nothing."""
        if self.kind:
            return ""
        shown = self._shown()
        # An error before anything came: there is nothing to see that the error does not say.
        if not any(event.kind in shown and event.kind != "error" for event in self.log.events):
            return ""
        drawn = self.log.diagram(shown=shown)
        if self.kept is None or not self.kept.events:
            return drawn
        return _side_by_side(f"broken:\n{drawn}", f"the same law, kept:\n{self.kept.diagram(shown=shown)}")

    def spoken(self) -> str:
        """The diagram in words, for a reader who does not see it."""
        shown = self._shown()
        said = f"In words: {self.log.spoken(shown=shown)}."
        if self.kept is None or not self.kept.events:
            return said
        return f"{said} Kept: {self.kept.spoken(shown=shown)}."

    def _shown(self) -> Sequence[EventKind]:
        """Items alone where they tell the broken law from the kept one; otherwise openings and closings too."""
        shown = _SHOWN.get(self.law.promise, _ITEMS)
        silent = not any(event.kind in shown for event in self.log.events)
        alike = self.kept is not None and self.kept.diagram(shown=shown) == self.log.diagram(shown=shown)
        return _LIVES if silent or alike else shown

    def as_text(
        self, *, kept: str = "", hint: bool = True, diagram: bool = True, more: Sequence[Part] = ()
    ) -> str:
        """The verdict in plain text; `kept` names what already holds, `more` are further lines."""
        if self.passed:
            return f"✓ {self.promise}: {self.law.says}"
        lines = [f"✗ {self._title}{kept}"]
        lines += [f"  {part.name:<16} {part.text}" for part in (*self.facts(hint=hint), *more)]
        drawn = self.diagram() if diagram else ""
        if drawn:
            lines += ["", *(f"  {line}".rstrip() for line in drawn.splitlines()), "", f"  {self.spoken()}"]
        return "\n".join(lines)

    def as_html(
        self,
        *,
        kept: str = "",
        hint: bool = True,
        diagram: bool = True,
        more: Sequence[Part] = (),
        heading: str = "p",
    ) -> str:
        """The verdict as HTML that an untrusted notebook shows as well: no script, no style sheet.

        It reads in lines when the tags are taken out, too.
        """
        mark = "✓" if self.passed else "✗"
        name, _, says = self._title.partition(": ")
        head = f"<{heading}>{mark} <b>{name}</b>: {with_code(says)}{escape(kept)}</{heading}>"
        if self.passed:
            return head
        parts = (*self.facts(hint=hint), *more)
        facts = [f"<li><b>{part.name}</b>: {with_code(part.text)}</li>" for part in parts]
        drawn = self.diagram() if diagram else ""
        below = [f"<pre>{escape(drawn)}</pre>", f"<p>{escape(self.spoken())}</p>"] if drawn else []
        return "\n".join([head, "<ul>", *facts, "</ul>", *below])

    def _repr_html_(self) -> str:
        return self.as_html()


def with_code(text: str) -> str:
    """HTML for a line with `code` in it.

    >>> with_code("`a < b`, or not")
    '<code>a &lt; b</code>, or not'
    """
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _side_by_side(left: str, right: str) -> str:
    """Two blocks of lines beside each other where a screen has room for both, otherwise one below the other."""
    pairs = list(zip_longest(left.splitlines(), right.splitlines(), fillvalue=""))
    # A key below a diagram may be longer than the diagram, and has no neighbour.
    width = max(len(line) for line, beside in pairs if beside)
    lines = [f"{line:<{width}}      {beside}".rstrip() for line, beside in pairs]
    return "\n".join(lines) if max(map(len, lines)) <= WIDEST else f"{left}\n\n{right}"


WIDEST = 96
"""Columns that a notebook and a terminal have."""

_ITEMS: Sequence[EventKind] = ("yield", "refuse", "error")
_LIVES: Sequence[EventKind] = ("open", "yield", "refuse", "error", "close")
_SHOWN: dict[str, Sequence[EventKind]] = {"closed": _LIVES}
