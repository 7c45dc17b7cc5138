"""An answer from a saved notebook, judged: it runs in a child process, and every count is kept in this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from funcpipe_rag.laws import Verdict
from funcpipe_rag.laws.remote import Remote, WireError

from .answers import Answer, AnswerError
from .cards import SECONDS, each_judged, judged


def judge_answer(
    answer: Answer, *, says: Callable[[str], object] = lambda what: None, seconds: float = SECONDS
) -> tuple[Verdict, ...]:
    """The verdicts on an answer, up to the first law that is broken; on all laws where the exercise has all judged.

    A law may take `seconds`. What the answer prints is thrown away. AnswerError when its code stops, or does not
    come to an end, before there is a function to call.
    """
    exercise = answer.exercise
    with TemporaryDirectory(prefix="funcpipe-rag-answer-") as folder:
        program = Path(folder) / "answer.py"
        program.write_text(answer.program, encoding="utf-8")

        def judge(past: int) -> tuple[Verdict, ...]:
            # A child that did not come back is gone; the laws behind get a new one.
            with Remote(f"{program}:{exercise.function}", limit=seconds) as remote:
                return judged(
                    exercise, remote.impl, says=says, seconds=seconds, past=past, world=remote.world
                )

        says("starting")
        try:
            return each_judged(exercise, judge)
        except WireError as silence:
            raise AnswerError(
                f"cell {answer.cell}: {exercise.function} could not be loaded: {silence}. Does a line outside of "
                "the function loop, wait or exit?"
            ) from None
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise AnswerError(f"cell {answer.cell}: {said}; run the cells that it needs, and save") from None
