"""What a lesson says to a learner: `check`, and the card it answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from funcpipe_rag.laws import Verdict, judge

from .exercises import EXERCISES, Exercise


@dataclass(frozen=True)
class Card:
    """The answer to a `check`: a verdict for each law, as text and as HTML."""

    exercise: Exercise
    verdicts: tuple[Verdict, ...]

    @property
    def attempted(self) -> bool:
        """Whether there was anything to judge."""
        return bool(self.verdicts)

    @property
    def passed(self) -> bool:
        """Whether every law holds."""
        return len(self.verdicts) == len(self.exercise.laws) and all(self.verdicts)

    def __repr__(self) -> str:
        if not self.attempted:
            return f"{self.exercise.id} {self.exercise.function}: not attempted yet"
        if self.passed:
            rows = [f"  ✓ {_promise(verdict)}: {verdict.law.says}" for verdict in self.verdicts]
            return "\n".join([f"✓ {self.exercise.id} {self.exercise.function}: every law holds.", *rows])
        broken = self.verdicts[-1]
        lines = [f"✗ {_promise(broken)}: {broken.law.says}{_kept(self.verdicts)}"]
        lines += [f"  {name:<16} {text}" for name, text in _facts(broken)]
        diagram = _diagram(broken)
        if diagram:
            lines += ["", *(f"  {line}" for line in diagram.splitlines()), f"  {broken.log.spoken()}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        exercise = f"<code>{self.exercise.id}</code> <code>{self.exercise.function}</code>"
        if not self.attempted:
            return f"<p>{exercise}: not attempted yet</p>"
        if self.passed:
            rows = "".join(
                f"<li>✓ <b>{_promise(verdict)}</b>: {escape(verdict.law.says)}</li>"
                for verdict in self.verdicts
            )
            return f"<p><b>✓</b> {exercise}: every law holds.</p><ul>{rows}</ul>"
        broken = self.verdicts[-1]
        facts = "".join(
            f'<tr><th align="left" valign="top">{name}</th><td align="left">{escape(text)}</td></tr>'
            for name, text in _facts(broken)
        )
        diagram = _diagram(broken)
        drawn = f"<pre>{escape(diagram)}</pre><p>{escape(broken.log.spoken())}</p>" if diagram else ""
        return (
            f"<p><b>✗ {_promise(broken)}</b>: {escape(broken.law.says)}{escape(_kept(self.verdicts))}</p>"
            f"<table>{facts}</table>{drawn}"
        )


def check(exercise_id: str, impl: Callable[..., Any]) -> Card:
    """Judge your answer to an exercise by its laws, in order, up to the first that does not hold.

    The card names what already holds, the smallest input that breaks the law, what came and what was expected,
    a question, and who pulled what when.
    """
    if exercise_id not in EXERCISES:
        raise ValueError(f"check: there is no exercise {exercise_id!r}; there are: {', '.join(EXERCISES)}")
    exercise = EXERCISES[exercise_id]
    if not callable(impl):
        raise TypeError(f"check: pass the function itself, {exercise.function}, not {type(impl).__name__}")
    verdicts = () if exercise.untouched(impl) else tuple(judge(exercise.laws, impl, examples=60))
    return Card(exercise, verdicts)


def _promise(verdict: Verdict) -> str:
    return verdict.law.promise.capitalize()


def _kept(verdicts: tuple[Verdict, ...]) -> str:
    kept = dict.fromkeys(_promise(verdict) for verdict in verdicts[:-1])
    kept.pop(_promise(verdicts[-1]), None)
    return f" ({', '.join(f'{promise} ✓' for promise in kept)})" if kept else ""


def _facts(broken: Verdict) -> list[tuple[str, str]]:
    facts = [("smallest input", broken.smallest)] if broken.smallest else []
    return [*facts, ("what came", f"{broken.came}; expected {broken.expected}"), ("hint", broken.law.hint)]


def _diagram(broken: Verdict) -> str:
    return broken.log.diagram() if broken.law.promise in ("on demand", "closed") and broken.log.events else ""
