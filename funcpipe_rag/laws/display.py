"""How a verdict reads: four lines in a terminal, a card in a notebook, and who pulled what when below it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
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

        @property
        def smallest(self) -> str: ...

    @property
    def promise(self) -> str:
        """The promise that is kept or broken, as a word."""
        return self.law.promise.capitalize()

    def facts(self, *, hint: bool = True) -> list[Part]:
        """The lines below the law's sentence."""
        facts = [Part("smallest input", self.smallest)] if self.smallest else []
        facts.append(Part("what came", f"{self.came}; expected {self.expected}"))
        return [*facts, Part("hint", self.hint)] if hint else facts

    def diagram(self) -> str:
        """Who gave what when, for a law about demand or closing; otherwise nothing."""
        shown = _SHOWN.get(self.law.promise, ())
        if not any(event.kind in shown for event in self.log.events):
            return ""
        drawn = self.log.diagram(shown=shown)
        if self.kept is None or not self.kept.events:
            return drawn
        return f"{drawn}\n\nthe same law, kept:\n{self.kept.diagram(shown=shown)}"

    def as_text(self, *, kept: str = "", hint: bool = True, diagram: bool = True) -> str:
        """The verdict in plain text; `kept` names what already holds."""
        if self.passed:
            return f"✓ {self.promise}: {self.law.says}"
        lines = [f"✗ {self.promise}: {self.law.says}{kept}"]
        lines += [f"  {part.name:<16} {part.text}" for part in self.facts(hint=hint)]
        drawn = self.diagram() if diagram else ""
        if drawn:
            lines += ["", *(f"  {line}".rstrip() for line in drawn.splitlines())]
            lines += ["", "  " + self.log.spoken(shown=_SHOWN[self.law.promise])]
        return "\n".join(lines)

    def as_html(self, *, kept: str = "", hint: bool = True, diagram: bool = True) -> str:
        """The verdict as HTML that an untrusted notebook shows as well: no script, no style sheet."""
        if self.passed:
            return f"<p>✓ <b>{self.promise}</b>: {escape(self.law.says)}</p>"
        facts = "".join(f"<li><b>{part.name}</b>: {escape(part.text)}</li>" for part in self.facts(hint=hint))
        drawn = self.diagram() if diagram else ""
        spoken = self.log.spoken(shown=_SHOWN[self.law.promise]) if drawn else ""
        below = f"<pre>{escape(drawn)}</pre><p>{escape(spoken)}</p>" if drawn else ""
        return f"<p>✗ <b>{self.promise}</b>: {escape(self.law.says)}{escape(kept)}</p><ul>{facts}</ul>{below}"

    def _repr_html_(self) -> str:
        return self.as_html()


_SHOWN: dict[str, Sequence[EventKind]] = {
    "on demand": ("yield", "refuse", "error"),
    "flat": ("yield", "refuse", "error"),
    "closed": ("open", "yield", "refuse", "error", "close"),
}
