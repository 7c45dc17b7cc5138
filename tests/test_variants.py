"""Variants: the same exercise under another rule, from the hand-out to the grade."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import nbformat
import pytest
from typer.testing import CliRunner

from funcpipe_rag.course import check
from funcpipe_rag.course.answers import as_handed_out, read_notebook
from funcpipe_rag.course.commands import app
from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m03c10_watching_a_stream import share
from funcpipe_rag.course.exercises.variants import LAWS, MUTANTS, VARIANTS, Variant, find_exercise, variant_of
from funcpipe_rag.course.grading import Rules, grade
from funcpipe_rag.course.lessons import Lesson, find_pages, find_places
from funcpipe_rag.course.release import make_release
from funcpipe_rag.course.submissions import find_submissions
from funcpipe_rag.laws import run
from funcpipe_rag.laws.confinement import protections

LESSONS = {page.id: page for page in find_pages(find_places().modules) if isinstance(page, Lesson)}
EVERY = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
linux = pytest.mark.skipif(
    not all(one.by for one in protections()), reason="this system cannot confine a process"
)

RIGHT = {
    "m03c04e2b": """
def batched(xs, n):
    it = iter(xs)
    while len(batch := tuple(islice(it, n))) == n:
        yield batch
""",
    "m03c07e2b": """
END = object()

def make_roundrobin(*sources):
    def run():
        opened = [source() for source in reversed(sources)]
        live = list(opened)
        try:
            while live:
                for it in list(live):
                    item = next(it, END)
                    if item is END:
                        live.remove(it)
                    else:
                        yield item
        finally:
            for it in reversed(opened):
                it.close()
    return run
""",
    "m03c10e2b": """
def sample(xs, *, rate, key):
    for item in xs:
        if share(key(item)) >= 1 - rate:
            yield item
""",
}


def lesson_of(variant: Variant) -> Lesson:
    return LESSONS[variant.exercise.id[:6].upper()]


def secret_for(variant: Variant) -> str:
    return next(f"class {n}" for n in range(99) if variant_of(variant.exercise.id, f"class {n}"))


def solution(variant: Variant) -> str:
    """What the lesson itself gives as a solution of the exercise that everybody knows."""
    asked = f'check("{variant.exercise.id}"'
    solved = cells_of(lesson_of(variant), Edition.solved)
    return next(cell.source for cell in solved if "exercise" in cell.tags and asked in cell.source)


@EVERY
def test_a_right_answer_keeps_every_law_of_its_variant_and_breaks_one_of_the_exercise(
    variant: Variant,
) -> None:
    exercise, known = variant.exercise, EXERCISES[variant.exercise.id]
    assert check(exercise.asked, variant.right).passed
    assert not check(known.id, variant.right).passed
    assert (exercise.points, exercise.function) == (known.points, known.function)
    assert exercise.laws != known.laws


@EVERY
def test_the_lesson_s_solution_is_a_wrong_answer_to_the_variant(variant: Variant) -> None:
    scope: dict[str, Any] = {"check": lambda *_: None, "islice": islice, "share": share}
    exec(solution(variant), scope)
    card = check(variant.exercise.asked, scope[variant.exercise.function])
    assert card.broken is not None
    assert card.broken.law.id in LAWS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_a_variant_is_killed_by_its_law(mutant: Any) -> None:
    assert not run(LAWS[mutant.killed_by], mutant.impl).passed


def test_every_law_of_a_variant_kills_a_mutant_and_no_answer_is_without_one() -> None:
    assert {mutant.killed_by for mutant in MUTANTS} == set(LAWS)
    for variant in VARIANTS.values():
        assert len(variant.exercise.mutants) >= 2
        for mutant in variant.exercise.mutants:
            assert not check(variant.exercise.asked, mutant.impl).passed


def test_a_secret_decides_and_says_nothing_to_who_does_not_know_it() -> None:
    chosen = [
        tuple(variant_of(id, f"class {n}") for id in ("m03c04e2", "m03c07e2", "m03c10e2")) for n in range(40)
    ]
    assert len(set(chosen)) == 8
    assert variant_of("m03c07e2", "") == ""
    assert find_exercise("M03C07E2B") is VARIANTS["m03c07e2b"].exercise
    assert find_exercise("m03c07e2z") is None


@EVERY
def test_a_release_tells_of_the_variant_and_asks_for_its_check(variant: Variant, tmp_path: Path) -> None:
    exercise, lesson = variant.exercise, lesson_of(variant)
    files = make_release(find_places(), [lesson.id], secret=secret_for(variant))
    name = next(name for name in files if name.endswith(f"{lesson.path.stem}.ipynb"))
    notebook = nbformat.reads(files[name].decode(), as_version=4)
    told = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert variant.told in told
    assert variant.instead_of in variant.told or variant.instead_of not in " ".join(told.split())
    asked = [cell.source for cell in notebook.cells if "exercise" in cell.metadata.get("tags", ())]
    assert sum(f'check("{exercise.asked}"' in source for source in asked) == 1
    assert sum(f'check("{exercise.id}"' in source for source in asked) == 0
    page = next(page for page in json.loads(files["release.json"])["pages"] if page["id"] == lesson.id)
    assert {one["id"]: one["variant"] for one in page["exercises"]}[exercise.id] == "b"
    plain = make_release(find_places(), [lesson.id])
    assert exercise.asked.encode() not in b"".join(plain.values())


def handed_in(folder: Path, variant: Variant, program: str, *, released: bool = True) -> None:
    exercise, lesson = variant.exercise, lesson_of(variant)
    files = make_release(find_places(), [lesson.id], secret=secret_for(variant))
    name = next(name for name in files if name.endswith(f"{lesson.path.stem}.ipynb"))
    notebook = nbformat.reads(files[name].decode(), as_version=4)
    asked = f'check("{exercise.asked}"'
    cell = next(cell for cell in notebook.cells if asked in cell.source)
    cell.source = f"{program}\n\n\n{asked if released else asked.replace(exercise.asked, exercise.id)}, {exercise.function})"
    (folder / "ada").mkdir(parents=True)
    nbformat.write(notebook, folder / "ada" / "one.ipynb")


@linux
@EVERY
def test_a_variant_is_graded_by_its_own_laws_whatever_the_notebook_says(
    variant: Variant, tmp_path: Path
) -> None:
    id = variant.exercise.id
    rules = Rules((id,), secret=secret_for(variant))
    own = RIGHT[variant.exercise.asked]
    for place, (program, released) in enumerate(
        [(own, True), (solution(variant), True), (solution(variant), False)]
    ):
        handed_in(tmp_path / str(place), variant, program, released=released)
    right, copied, turned_back = (
        grade(find_submissions(tmp_path / str(place))[0], rules).results[0] for place in range(3)
    )
    assert right.points == right.of == variant.exercise.points
    assert (right.variant, copied.variant) == ("b", "b")
    assert copied.points < copied.of
    assert turned_back == copied or turned_back.points == copied.points


@linux
def test_grading_without_the_secret_of_the_release_is_refused(tmp_path: Path) -> None:
    variant = VARIANTS["m03c07e2b"]
    handed_in(tmp_path / "in", variant, RIGHT["m03c07e2b"])
    arguments = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "released with another secret: say --variant-secret" in " ".join(refused.output.split())
    graded = CliRunner().invoke(app, [*arguments, "--variant-secret", secret_for(variant)])
    assert graded.exit_code == 0, graded.output
    assert "judged     ada: 6 of 17" in graded.output
    assert "<code>the_first_one_first</code>" in (tmp_path / "out" / "class.html").read_text()


def test_the_command_writes_variants_and_not_for_nbgrader(tmp_path: Path) -> None:
    secret = secret_for(VARIANTS["m03c07e2b"])
    arguments = ["release", "M03C07", "--out", str(tmp_path / "out"), "--variant-secret", secret]
    assert CliRunner().invoke(app, [*arguments, "--nbgrader"]).exit_code == 1
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    path = next((tmp_path / "out").rglob("07-*.ipynb"))
    assert as_handed_out(read_notebook(path), EXERCISES["m03c07e2"]).variant == "b"
    assert secret not in path.read_text() and secret not in (tmp_path / "out" / "release.json").read_text()
