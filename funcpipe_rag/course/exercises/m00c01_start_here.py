"""The exercise of M00C01, Start here."""

from __future__ import annotations

from typing import Any

from funcpipe_rag.laws import Law, World, WrongKind, holds, kind_of, law
from funcpipe_rag.laws.inputs import integers
from funcpipe_rag.laws.mutants import Mutant, mutant

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []


@law(
    "batches-hold-everything",
    about="batches_needed",
    promise="same answer",
    says="Every note has a place in a batch.",
    hint="So many batches of that size: how many notes fit in? And how many are there?",
    among=LAWS,
    notes=integers(0, 12),
    size=integers(1, 5),
)
def _(world: World, batches_needed: Any, notes: int, size: int) -> None:
    number = _number(batches_needed(notes, size))
    fit = number * size
    holds(fit >= notes, f"{_batches(number)}, with room for {fit} notes", f"room for {notes}")


@law(
    "batches-stand-none-empty",
    about="batches_needed",
    promise="same answer",
    says="No batch stands empty: with one fewer, a note would have no place.",
    hint="Take one batch away. Has a note lost its place?",
    among=LAWS,
    notes=integers(0, 12),
    size=integers(1, 5),
)
def _(world: World, batches_needed: Any, notes: int, size: int) -> None:
    number = _number(batches_needed(notes, size))
    fewer = (number - 1) * size
    holds(number == 0 or notes > 0, f"{_batches(number)} for 0 notes", "0 batches")
    holds(
        fewer < notes or number == 0,
        f"{_batches(number)} for {notes} notes, and {number - 1} of them would have room for {fewer}",
        "as many as are needed, and none more",
    )


def _batches(number: int) -> str:
    return f"{number} batch{'es' * (number != 1)}"


def _number(answer: object) -> int:
    if not isinstance(answer, int):
        missing = " (is a return missing?)" if answer is None else f", not {kind_of(answer)}"
        hint = (
            "Which operator divides and gives a whole number?"
            if isinstance(answer, float)
            else "What does your return hand over?"
        )
        raise WrongKind(f"it returned {answer!r}", f"an int{missing}", hint)
    holds(answer >= 0, f"it returned {answer!r}", "0 or more")
    return answer


@mutant(of="batches_needed", killed_by="batches-hold-everything", among=MUTANTS, laws=LAWS)
def forgets_the_rest(notes: int, size: int) -> int:
    """Divides and rounds down: the notes that do not fill a batch are forgotten."""
    return notes // size


@mutant(of="batches_needed", killed_by="batches-stand-none-empty", among=MUTANTS, laws=LAWS)
def always_one_more(notes: int, size: int) -> int:
    """Adds one batch for the rest, also where there is no rest."""
    return notes // size + 1


@mutant(of="batches_needed", killed_by="batches-hold-everything", among=MUTANTS, laws=LAWS)
def rounds_to_the_nearest(notes: int, size: int) -> int:
    """Trusts round(): a small rest is rounded away."""
    return round(notes / size)


@mutant(of="batches_needed", killed_by="batches-stand-none-empty", among=MUTANTS, laws=LAWS)
def at_least_one(notes: int, size: int) -> int:
    """Rounds up, and insists on a batch where there is no note."""
    return max(1, -(-notes // size))


BATCHES_NEEDED = Exercise(
    id="m00c01e1",
    title="How many batches?",
    function="batches_needed",
    starter="""\
def batches_needed(notes, size):
    ...
""",
    laws=tuple(LAWS.values()),
    hints=(
        "One note and batches of two: how many batches do you need, and what does your line say?",
        "Add `size - 1` to the notes before you divide with `//`.",
    ),
    mutants=tuple(MUTANTS),
)

EXERCISES = (BATCHES_NEEDED,)
