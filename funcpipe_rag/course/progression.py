"""The progression map: every lesson with its functions, laws, exercises, minutes and tests.

A name that leads nowhere is an error that says in which line of which header it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import funcpipe_rag
from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.lessons import Lesson, LessonError, Page


class Law(Protocol):
    """What the map asks of a law of `funcpipe_rag.laws`."""

    @property
    def id(self) -> str: ...


class Mutant(Protocol):
    """What the map asks of a mutant."""

    @property
    def of(self) -> str: ...
    @property
    def name(self) -> str: ...


class Exercise(Protocol):
    """What the map asks of an exercise of `funcpipe_rag.course.exercises`."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def laws(self) -> Sequence[Law]: ...
    @property
    def starter(self) -> str: ...
    @property
    def mutants(self) -> Sequence[Mutant]: ...
    @property
    def all_laws(self) -> bool: ...
    @property
    def points(self) -> int: ...


@dataclass(frozen=True)
class Registries:
    """What a header may name: laws by function, exercises by id; and the text of each test file."""

    laws_of: Callable[[str], Iterable[Law]]
    exercises: Mapping[str, Exercise]
    tests: Mapping[str, str]

    def tests_naming(self, words: Collection[str]) -> list[str]:
        """The test files that name one of the words."""
        named = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])")
        return [path for path, text in self.tests.items() if words and named.search(text)]


def registries(clone: Path) -> Registries:
    """The package's own laws and exercises, and the tests of the clone."""
    from funcpipe_rag import laws
    from funcpipe_rag.course.exercises import EXERCISES

    def laws_of(function: str) -> Sequence[Law]:
        try:
            return laws.of(function)
        except KeyError:
            return ()

    tests = {
        path.relative_to(clone).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted((clone / "tests").rglob("test_*.py"))
    }
    return Registries(laws_of, EXERCISES, tests)


def dangling(pages: Sequence[Page], known: Registries) -> Iterator[LessonError]:
    """Whatever a header names and nobody knows, or the other way round; each with its file and line."""
    lessons = [page for page in pages if isinstance(page, Lesson)]
    for exercise in known.exercises:
        if not exercise.upper().startswith(tuple(lesson.id for lesson in lessons)):
            yield LessonError(f"funcpipe_rag.course.exercises: {exercise} is an exercise of no lesson")
    for page in pages:
        for name in page.functions:
            if not hasattr(funcpipe_rag, name):
                yield _wrong(page, "functions", name, f"funcpipe_rag has no {name}")
            elif not known.tests_naming([name, *(law.id for law in known.laws_of(name))]):
                yield _wrong(page, "functions", name, f"no test names {name} or a law of it")
        if isinstance(page, Lesson):
            yield from _dangling_in(page, {lesson.id for lesson in lessons}, known)
        elif page.path.name == "index.md":
            for lesson in lessons:
                if lesson.path.parent == page.path.parent and lesson.id not in page.text:
                    yield _wrong(
                        page, "title", "", f"{lesson.id} is a lesson of this module; name it on this page"
                    )


def _dangling_in(lesson: Lesson, ids: Collection[str], known: Registries) -> Iterator[LessonError]:
    for need in lesson.requires:
        if need not in ids and need not in lesson.requires_planned:
            yield _wrong(
                lesson, "requires", need, f"no lesson {need}; one still to come goes in requires_planned"
            )
    for need in lesson.requires_planned:
        if need in ids:
            yield _wrong(lesson, "requires_planned", need, f"lesson {need} is here; it goes in requires")
    about = {law.id for name in lesson.functions for law in known.laws_of(name)}
    for law in lesson.laws:
        if law not in about:
            yield _wrong(lesson, "laws", law, f"no law {law} about a function of this lesson")
    for exercise in lesson.exercises:
        if exercise not in known.exercises:
            yield _wrong(lesson, "exercises", exercise, f"funcpipe_rag.course.exercises has no {exercise}")
    asked = [exercise for id, exercise in known.exercises.items() if id in lesson.exercises]
    for name in lesson.functions:
        judged = known.laws_of(name) or any(exercise.function == name for exercise in asked)
        if hasattr(funcpipe_rag, name) and not judged:
            yield _wrong(lesson, "functions", name, f"no law is about {name}, and no exercise asks for it")
    for one in asked:
        if not one.laws:
            yield _wrong(lesson, "exercises", one.id, f"no law judges {one.id}")
        if not known.tests_naming([one.function, one.id, "EXERCISES"]):
            yield _wrong(lesson, "exercises", one.id, f"no test names {one.id}, or all EXERCISES")
    for exercise in known.exercises:
        if exercise.startswith(lesson.id.lower()) and exercise not in lesson.exercises:
            yield _wrong(lesson, "exercises", "", f"{exercise} is an exercise of this lesson; name it here")


def _wrong(page: Page, key: str, item: str, message: str) -> LessonError:
    return LessonError(f"{key}: {message}", path=page.path, line=page.line_of(key, item))


def progression_map(pages: Sequence[Page], known: Registries) -> str:
    """The page itself, as Markdown: a table of lessons, one of the other pages, then one of functions for each
    lesson.
    """
    lessons = [page for page in pages if isinstance(page, Lesson)]
    others = [page for page in pages if not isinstance(page, Lesson)]
    lines = [
        "# Progression map",
        "",
        "`funcpipe-rag course map` writes this page from the lessons, the laws, the exercises and the tests.",
        "",
        "| lesson | minutes (read + exercises) | needs | cells | functions | laws | exercises | mutants |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(_lesson_cells(lesson, known)) for lesson in lessons]
    if others:
        lines += ["", "| beside the lessons | functions |", "|---|---|"]
        lines += [_row([_link(page), ", ".join(f"`{name}`" for name in page.functions)]) for page in others]
    for lesson in lessons:
        lines += [
            "",
            f"## {lesson.id} {lesson.title}",
            "",
            "| function | laws | exercises | tests |",
            "|---|---|---|---|",
        ]
        lines += [_row(cells) for cells in _function_cells(lesson, known)]
    return "\n".join(lines) + "\n"


def _lesson_cells(lesson: Lesson, known: Registries) -> list[str]:
    """One lesson in numbers. The cells are the learner's; the laws are those taught and those that judge."""
    exercises = [known.exercises[exercise] for exercise in lesson.exercises]
    needs = [need for need in lesson.requires if need not in lesson.requires_planned]
    needs += [f"{need} (to come)" for need in lesson.requires_planned]
    return [
        _link(lesson),
        f"{lesson.read_minutes} + {lesson.exercise_minutes}",
        ", ".join(needs) or "nothing",
        str(len(cells_of(lesson, Edition.learner))),
        str(len(lesson.functions)),
        str(len({*lesson.laws, *(law.id for exercise in exercises for law in exercise.laws)})),
        str(len(exercises)),
        str(len({(mutant.of, mutant.name) for exercise in exercises for mutant in exercise.mutants})),
    ]


def _link(page: Page) -> str:
    here = f"{page.path.parent.name}/{page.path.stem}"
    return f"[{page.id} {page.title}](notebooks/{here}.ipynb) ([source](modules/{here}.md))"


def _function_cells(lesson: Lesson, known: Registries) -> Iterator[list[str]]:
    """A row for each function of the lesson, then one for each function that only an exercise asks for."""
    exercises = [known.exercises[exercise] for exercise in lesson.exercises]
    for name in dict.fromkeys((*lesson.functions, *(exercise.function for exercise in exercises))):
        asked = [exercise for exercise in exercises if exercise.function == name]
        laws = [law.id for law in known.laws_of(name) if law.id in lesson.laws]
        laws += [law.id for exercise in asked for law in exercise.laws]
        laws = list(dict.fromkeys(laws))
        # A test that goes through EXERCISES is about each of them.
        words = [name, *laws, *(exercise.id for exercise in asked), *(["EXERCISES"] if asked else [])]
        yield [
            f"`{name}`" if name in lesson.functions else f"`{name}`, the learner's own",
            ", ".join(f"`{law}`" for law in laws),
            ", ".join(f"`{e.id}` {e.title} ({e.points} point{'' if e.points == 1 else 's'})" for e in asked),
            ", ".join(f"[{Path(path).name}]({path})" for path in known.tests_naming(words)),
        ]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") or "–" for cell in cells) + " |"
