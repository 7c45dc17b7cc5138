"""A class, graded: each submission is judged in a confined child by the same laws that answered the learner.

What is judged is kept learner by learner as it goes, so a run that was stopped goes on where it was. The results are
the same bytes whether it was stopped or not, and say nothing that the machine's mood decides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from runpy import run_path
from time import perf_counter
from typing import Any

import funcpipe_rag
from funcpipe_rag.laws import LAWS, Law, Verdict, run
from funcpipe_rag.laws.confinement import Limits
from funcpipe_rag.laws.remote import Remote, WireError

from .answers import Answer
from .exercises import EXERCISES, Exercise
from .exercises.variants import VARIANTS, variant_of
from .submissions import Submission, find_answers

LIMIT, PATIENCE, EXAMPLES = 5.0, 20.0, 60
"""Seconds for one input, seconds for one law, and the number of inputs."""

LONGEST = 400
"""Letters of what an answer gave that are kept."""


@dataclass(frozen=True)
class Judged:
    """One law's verdict on one answer, as it is told: with its points, and the smallest input that breaks it."""

    law: str
    promise: str
    says: str
    points: int
    of: int
    state: str
    """`kept`, `broken`, or `not looked at` behind a first law that is broken."""
    smallest: str = ""
    came: str = ""
    expected: str = ""
    hint: str = ""
    diagram: str = ""


@dataclass(frozen=True)
class Result:
    """One exercise of one learner: where the answer stands, what it earned, and law by law why."""

    exercise: str
    function: str
    title: str
    where: str
    state: str
    """`judged`, `not attempted`, `not found` or `does not load`."""
    laws: tuple[Judged, ...]
    variant: str = ""

    @property
    def points(self) -> int:
        """What it earned."""
        return sum(law.points for law in self.laws)

    @property
    def of(self) -> int:
        """What there was to earn."""
        return sum(law.of for law in self.laws)


@dataclass(frozen=True)
class Graded:
    """One learner, graded; `notes` say what of the submission could not be read."""

    learner: str
    notes: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def points(self) -> int:
        """What all exercises earned."""
        return sum(result.points for result in self.results)

    @property
    def of(self) -> int:
        """What there was to earn."""
        return sum(result.of for result in self.results)

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Graded:
        """What `asdict` made of it, as it was."""
        results = [
            Result(**{**result, "laws": tuple(Judged(**law) for law in result["laws"])})
            for result in data["results"]
        ]
        return cls(data["learner"], tuple(data["notes"]), tuple(results))


@dataclass(frozen=True)
class Rules:
    """By what a class is graded: the exercises, the seed of the inputs, the limits of a child, an extra file of laws,
    and the secret that its release was made with.
    """

    exercises: tuple[str, ...]
    seed: int = 1
    limits: Limits = field(default_factory=Limits)
    extra: Path | None = None
    secret: str = ""

    def exercise(self, id: str) -> Exercise:
        """The exercise as it was set to this class, whatever a notebook says of it."""
        letter = variant_of(id, self.secret)
        return VARIANTS[f"{id}{letter}"].exercise if letter else EXERCISES[id]

    def laws(self) -> dict[str, tuple[Law, ...]]:
        """The laws of each exercise, in order: its own, and behind them those of the extra file about its function."""
        extra = extra_laws(self.extra) if self.extra else ()
        return {
            id: (*self.exercise(id).laws, *(law for law in extra if law.about in _subjects(EXERCISES[id])))
            for id in self.exercises
        }

    def fingerprint(self) -> str:
        """A digest of all that decides a grade beside the submission itself."""
        told = [funcpipe_rag.__version__, self.seed, asdict(self.limits), LIMIT, PATIENCE, EXAMPLES]
        laws = [[id, [[law.id, law.says, law.points] for law in laws]] for id, laws in self.laws().items()]
        extra = self.extra.read_text(encoding="utf-8") if self.extra else ""
        return sha256(json.dumps([told, laws, extra]).encode()).hexdigest()


def extra_laws(path: Path) -> tuple[Law, ...]:
    """The laws that a file defines, in their order; it is run by the judge, and no submission can read it.

    ValueError when it defines none, or one about nothing that is graded.
    """
    before = set(LAWS)
    known = {law.id: law for law in _LOADED.get(path.resolve(), ())}
    if not known:
        run_path(str(path))
        known = {id: law for id, law in LAWS.items() if id not in before}
        for id in known:
            # They are this run's alone: no other suite of laws should meet them.
            del LAWS[id]
        _LOADED[path.resolve()] = tuple(known.values())
    if not known:
        raise ValueError(f"{path} defines no law: decorate a check with funcpipe_rag.laws.law(...)")
    subjects = {name for exercise in EXERCISES.values() for name in _subjects(exercise)}
    for law in known.values():
        if law.about not in subjects:
            raise ValueError(f"{path}: {law.id} is about {law.about!r}, which no exercise asks for")
    return tuple(known.values())


_LOADED: dict[Path, tuple[Law, ...]] = {}


def _subjects(exercise: Exercise) -> set[str]:
    return {exercise.function, *(law.about for law in exercise.laws)}


def grade(submission: Submission, rules: Rules) -> Graded:
    """Judge one submission, exercise by exercise; whatever it does, there is a result.

    The first law of an exercise is its door: who gives wrong values has no points for giving them lazily. Where an
    exercise gives points law by law, as a capstone does, each law stands alone.
    """
    exercises = [rules.exercise(id) for id in rules.exercises]
    found, notes = find_answers(submission, exercises)
    laws = rules.laws()
    results = []
    for exercise in exercises:
        answer, where = found[exercise.id].answer, found[exercise.id].where
        if answer is None:
            state, judged = "not found", _nothing(laws[exercise.id])
        elif answer.untouched:
            state, judged = "not attempted", _nothing(laws[exercise.id])
        else:
            state, judged, trouble = _judge(answer, laws[exercise.id], rules)
            where = f"{where}: {trouble}" if trouble else where
        where = where if len(where) <= 2 * LONGEST else f"{where[: 2 * LONGEST]}…"
        results.append(
            Result(
                exercise.id,
                exercise.function,
                exercise.title,
                where,
                state,
                tuple(judged),
                exercise.variant,
            )
        )
    return Graded(submission.learner, tuple(notes), tuple(results))


def _nothing(laws: Iterable[Law]) -> list[Judged]:
    return [_told(law, "not looked at") for law in laws]


def _told(law: Law, state: str, verdict: Verdict | None = None) -> Judged:
    promise = (law.label or law.promise).capitalize()
    if verdict is None or verdict.passed:
        earned = law.points if verdict is not None else 0
        return Judged(law.id, promise, law.says, earned, law.points, state)
    return Judged(
        law.id,
        promise,
        law.says,
        0,
        law.points,
        state,
        smallest=_plain(verdict.smallest),
        came=_plain(verdict.came),
        expected=_plain(verdict.expected),
        hint=_plain(verdict.hint),
        diagram=verdict.diagram(),
    )


def _plain(text: str) -> str:
    """What a learner may read: no path of this machine, no more letters than a page holds."""
    text = re.sub(r"(?<![\w<])/(?:[\w.@+~-]+/)+[\w.@+~-]*", "a file", text)
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _judge(answer: Answer, laws: Sequence[Law], rules: Rules) -> tuple[str, list[Judged], str]:
    exercise = answer.exercise
    judged: list[Judged] = []
    open_door = True
    with ExitStack() as stack:
        remote: Remote | None = None
        for law in laws:
            if not open_door:
                judged.append(_told(law, "not looked at"))
                continue
            try:
                if remote is None:
                    remote = stack.enter_context(
                        Remote(
                            exercise.function,
                            limit=LIMIT,
                            confined=rules.limits,
                            program=answer.program,
                            withheld=exercise.withheld,
                        )
                    )
            except WireError as silence:
                return "does not load", _nothing(laws), f"it could not be loaded: {silence}"
            except Exception as error:
                said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                return "does not load", _nothing(laws), _plain(said)
            verdict = run(
                law,
                remote.impl,
                world=remote.world,
                seed=rules.seed,
                examples=EXAMPLES,
                limit=LIMIT,
                patience=PATIENCE,
            )
            if verdict.final:
                # A child that did not come back is gone; the laws behind get a new one.
                stack.close()
                remote = None
            judged.append(_told(law, "kept" if verdict.passed else "broken", verdict))
            open_door = open_door and (verdict.passed or exercise.all_laws or len(judged) > 1)
    return "judged", judged, ""


def grade_all(
    submissions: Sequence[Submission], rules: Rules, folder: Path, *, again: bool = False, jobs: int = 0
) -> Iterator[tuple[Graded, float]]:
    """Grade submissions as they come through, each with the seconds that it took; 0 for one that was graded before.

    Each is kept in `folder` under a key of all that decides its grade; with `again` it is judged anew. `jobs`
    judges work at a time, one a processor when it is 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = rules.fingerprint()
    waiting: list[tuple[Submission, Path, str]] = []
    for submission in submissions:
        place = folder / f"{file_name(submission.learner)}.json"
        mark = f"{key} {submission.fingerprint()}"
        kept = None if again else _kept(place, mark)
        if kept is not None:
            yield kept, 0.0
        else:
            waiting.append((submission, place, mark))
    if not waiting:
        return
    workers = min(jobs or os.cpu_count() or 1, len(waiting))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        work = partial(_graded, rules)
        doing = {pool.submit(work, one): (place, mark) for one, place, mark in waiting}
        try:
            for done in as_completed(doing):
                place, mark = doing[done]
                graded, seconds = done.result()
                _keep(place, mark, graded)
                yield graded, seconds
        finally:
            pool.shutdown(cancel_futures=True)


def _graded(rules: Rules, submission: Submission) -> tuple[Graded, float]:
    began = perf_counter()
    return grade(submission, rules), perf_counter() - began


def _kept(place: Path, mark: str) -> Graded | None:
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
        return Graded.of_json(data["graded"]) if data["mark"] == mark else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _keep(place: Path, mark: str, graded: Graded) -> None:
    write(place, json.dumps({"mark": mark, "graded": asdict(graded)}, ensure_ascii=False, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    half = path.with_name(f".{path.name}.half")
    half.write_text(text, encoding="utf-8", newline="\n")
    half.replace(path)


def file_name(learner: str) -> str:
    """A learner's name as the name of a file: letters, digits and dashes, and a digest where that lost something.

    >>> file_name("ada-lovelace"), file_name("../../etc/passwd")
    ('ada-lovelace', 'etc-passwd-3754d6cb3a38')
    """
    plain = re.sub(r"[^\w-]+", "-", learner).strip("-")
    # A system counts a name's bytes, not its letters.
    plain = plain.encode()[:80].decode(errors="ignore")
    if plain == learner and not re.search(r"-[0-9a-f]{12}$", learner):
        return plain
    return f"{plain}-{sha256(learner.encode('utf-8', 'replace')).hexdigest()[:12]}"


def results_text(rules: Rules, graded: Sequence[Graded]) -> str:
    """`results.json`: all that was judged, learner by learner in the order of their names."""
    data = {
        "course": funcpipe_rag.__version__,
        "seed": rules.seed,
        "exercises": list(rules.exercises),
        "extra laws": rules.extra.name if rules.extra else "",
        "learners": [
            {**asdict(one), "points": one.points, "of": one.of}
            for one in sorted(graded, key=lambda one: one.learner)
        ],
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"
