"""What a lesson says to a learner: `check`, and the card it answers with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from funcpipe_rag.laws import Verdict, run
from funcpipe_rag.laws.display import Part, with_code
from funcpipe_rag.laws.law import PROMISES

from .exercises import Exercise, all_ids
from .exercises.variants import find_exercise
from .progress import Progress, find_progress
from .waiting import Waiting

EXAMPLES = 60
"""Inputs tried for each law: an answer within about a second."""

SECONDS = 10.0
"""How long one law may take."""

REVEALED_AFTER = 4
"""After so many failures of one law a card says where the solution is."""


LABELS = ("your input", "your law")
"""What a card is headed with where no function is judged."""


@dataclass(frozen=True)
class Card:
    """The answer to a `check`: a verdict for each law, as text and as HTML.

    Where every law is judged, it begins with the points. Then it unfolds. The first failure of a law shows the
    smallest input; the second, who pulled what when; the third, a question about that input; the fourth, the tool to
    reach for, and where the solution is.
    """

    exercise: Exercise
    verdicts: tuple[Verdict, ...]
    failures: int = 0
    _on_screen: list[bool] = field(default_factory=list, compare=False, repr=False)

    @property
    def attempted(self) -> bool:
        """Whether there was anything to judge."""
        return bool(self.verdicts)

    @property
    def passed(self) -> bool:
        """Whether every law holds."""
        return len(self.verdicts) == len(self.exercise.laws) and all(self.verdicts)

    @property
    def broken(self) -> Verdict | None:
        """The first law that does not hold."""
        return first_broken(self.verdicts)

    @property
    def points(self) -> int:
        """The points of the laws that hold."""
        return sum(verdict.law.points for verdict in self.verdicts if verdict.passed)

    @property
    def promises(self) -> dict[str, str]:
        """Each promise of the exercise, and how it stands: "✓" kept so far, "✗" broken, "" not looked at yet."""
        owed = dict.fromkeys(law.label or law.promise for law in self.exercise.laws)
        known = [promise for promise in (*PROMISES, *LABELS) if promise in owed]
        seen = {verdict.law.label or verdict.law.promise: "✓" for verdict in self.verdicts}
        seen |= {
            verdict.law.label or verdict.law.promise: "✗" for verdict in self.verdicts if not verdict.passed
        }
        return {promise: seen.get(promise, "") for promise in dict.fromkeys([*known, *owed])}

    def __repr__(self) -> str:
        name = f"{self.exercise.asked} {self.exercise.function}"
        if not self.attempted:
            return f"{name}: not attempted yet"
        if self.passed:
            said = f"{self._of_all()}, every law holds." if self.exercise.all_laws else "every law holds."
            return "\n".join([f"✓ {name}: {said}", *self._rows()])
        assert self.broken is not None
        kept = [f"{promise.capitalize()} ✓" for promise, mark in self.promises.items() if mark == "✓"]
        card = self.broken.as_text(
            kept=f" ({', '.join(kept)})" if kept and not self.exercise.all_laws else "",
            hint=self.failures >= 3 or self.broken.kind or self.broken.slip,
            diagram=self.failures >= 2,
            more=self._more(),
        )
        if self.exercise.all_laws:
            card = "\n".join([f"✗ {name}: {self._of_all()}", *self._rows(), "", card])
        return f"{card}\n\n  {self._offer()}" if self._offer() else card

    def _repr_html_(self) -> str:
        name = f"<code>{self.exercise.asked}</code> <code>{self.exercise.function}</code>"
        if not self.attempted:
            return f"<p>{name}: not attempted yet</p>"
        if self.passed:
            if self.exercise.all_laws:
                return "\n".join([f"<h4>✓ {name}: {self._of_all()}, every law holds</h4>", self._list()])
            laws = [f"<li>✓ <b>{v.promise}</b>: {with_code(v.law.says)}</li>" for v in self.verdicts]
            return "\n".join([f"<h4>✓ {name}: every law holds</h4>", "<ul>", *laws, "</ul>"])
        assert self.broken is not None
        card = self.broken.as_html(
            hint=self.failures >= 3 or self.broken.kind or self.broken.slip,
            diagram=self.failures >= 2,
            more=self._more(),
            heading="h4",
        )
        offer = [f"<p>{with_code(self._offer())}</p>"] if self._offer() else []
        if self.exercise.all_laws:
            return "\n".join([f"<h4>✗ {name}: {self._of_all()}</h4>", self._list(), card, *offer])
        head, _, rest = card.partition("\n")
        # One promise alone stands in the heading already.
        stands = [f"<p>{self._in_words()}</p>"] if len(self.promises) > 1 else []
        return "\n".join([head, *stands, rest, *offer])

    def _ipython_display_(self) -> None:
        # A slow check has put the card where its progress stood; showing it there once more would make two of it.
        if not self._on_screen:
            raise NotImplementedError
        self._on_screen.clear()

    def _of_all(self) -> str:
        return f"{self.points} of {self.exercise.points} points"

    def _rows(self) -> list[str]:
        """A line for each law: where points are given, with those it got."""
        if not self.exercise.all_laws:
            return [f"  {verdict.as_text()}" for verdict in self.verdicts]
        wide = max(len(str(verdict.law.points)) for verdict in self.verdicts)
        return [
            f"  {'✓' if v.passed else '✗'} {number}  {v.law.points * v.passed:>{wide}} of {v.law.points:>{wide}}  "
            f"{v.promise}: {v.law.says}"
            for number, v in enumerate(self.verdicts, 1)
        ]

    def _list(self) -> str:
        """The same lines as HTML: a numbered list, since notebooks align the cells of a table as they like."""
        rows = [
            f"<li>{'✓' if v.passed else '✗'} {v.law.points * v.passed} of {v.law.points}, "
            f"<b>{v.promise}</b>: {with_code(v.law.says)}</li>"
            for v in self.verdicts
        ]
        return "\n".join(["<ol>", *rows, "</ol>"])

    def _in_words(self) -> str:
        """The promises as words and marks."""
        stands = {promise.capitalize(): mark for promise, mark in self.promises.items()}
        said = [f"{promise} {mark}" for promise, mark in stands.items() if mark]
        later = [promise for promise, mark in stands.items() if not mark]
        return " · ".join([*said, f"not looked at yet: {', '.join(later)}"] if later else said)

    def _more(self) -> list[Part]:
        return [Part("hint 2", self.exercise.hints[1])] if self.failures >= REVEALED_AFTER else []

    def _offer(self) -> str:
        # What stands in the lesson solves the exercise that everybody knows.
        if self.failures < REVEALED_AFTER or self.exercise.variant:
            return ""
        return (
            f"This one is hard to see. `funcpipe-rag course reveal {self.exercise.id}` in a terminal shows one way to "
            "write it. Read it, close it, and write it once more."
        )


def _NOTHING() -> None:
    """Stands for a function that was not passed."""


def check(exercise_id: str, impl: Callable[..., Any] = _NOTHING) -> Card:
    """Judge your answer to an exercise by its laws, in order, up to the first that does not hold.

    Where points are given law by law, as in a capstone, all of its laws are judged.

    The card names what already holds and the smallest input that breaks the law; the longer the same law
    resists, the more it tells. In a folder made by `funcpipe-rag course start` it remembers from one day to the
    next. A function of another name is somebody else's: its card tells everything but the hints to come, and is
    not counted.
    """
    if callable(exercise_id):
        raise TypeError("check: the exercise's id comes first, then your function")
    exercise = find_exercise(str(exercise_id))
    if exercise is None:
        raise ValueError(f"check: there is no exercise {exercise_id!r}; there are: {all_ids()}")
    if impl is _NOTHING:
        raise TypeError(f'check: pass your function, too: check("{exercise.id}", {exercise.function})')
    if not callable(impl):
        raise TypeError(f"check: pass the function itself, {exercise.function}, not {type(impl).__name__}")
    if exercise.untouched(impl):
        return Card(exercise, ())
    with Waiting(exercise.id) as waiting:
        verdicts = each_judged(exercise, lambda past: judged(exercise, impl, says=waiting.says, past=past))
    if getattr(impl, "__name__", "") != exercise.function:
        card = Card(exercise, verdicts, failures=3)
    else:
        card = remembered(exercise, verdicts, find_progress() or _IN_MEMORY)
    if waiting.shown:
        waiting.replace({"text/plain": repr(card), "text/html": card._repr_html_()})
        card._on_screen.append(True)
    return card


def judged(
    exercise: Exercise,
    impl: Callable[..., Any],
    *,
    says: Callable[[str], object] = lambda what: None,
    seconds: float = SECONDS,
    past: int = 0,
    **how: Any,
) -> tuple[Verdict, ...]:
    """The verdicts of an exercise's laws, in order, up to the first that is broken; `says` hears how far it is.

    Where an exercise has all its laws judged, the first law on which the answer did not come back ends it; with
    `past`, the laws behind that one are judged.
    """
    verdicts: list[Verdict] = []
    for number, law in enumerate(exercise.laws[past:], past + 1):

        def tried(count: int, number: int = number) -> None:
            says(f"law {number} of {len(exercise.laws)}, {count} inputs")

        how |= {"examples": EXAMPLES, "limit": seconds, "patience": seconds, "on_input": tried}
        verdicts.append(run(law, impl, **how))
        if verdicts[-1].final or not (verdicts[-1].passed or exercise.all_laws):
            break
    return tuple(verdicts)


def each_judged(exercise: Exercise, judge: Callable[[int], tuple[Verdict, ...]]) -> tuple[Verdict, ...]:
    """What `judge(past)` says of the laws of an exercise, from the first on; where all of them are judged, an answer
    that did not come back on one of them costs that law alone.
    """
    verdicts = judge(0)
    while exercise.all_laws and len(verdicts) < len(exercise.laws):
        verdicts += judge(len(verdicts))
    return verdicts


def first_broken(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The first verdict on a law that does not hold; None when all of them do."""
    return next((verdict for verdict in verdicts if not verdict.passed), None)


def remembered(exercise: Exercise, verdicts: Iterable[Verdict], progress: Progress) -> Card:
    """The card for these verdicts, which also go into the learner's progress."""
    verdicts = tuple(verdicts)
    first = first_broken(verdicts)
    # Before a law could look, nothing has been hard to see.
    if first is not None and (first.slip or first.kind):
        return Card(exercise, verdicts, failures=1)
    broken = "" if first is None else first.law.id
    # A full or read-only disk costs the memory, not the answer.
    try:
        progress.record("failed" if broken else "passed", exercise.id, broken)
    except OSError:
        return Card(exercise, verdicts, failures=1 if broken else 0)
    return Card(exercise, verdicts, failures=progress.failures(exercise.id, broken) if broken else 0)


_IN_MEMORY = Progress()
