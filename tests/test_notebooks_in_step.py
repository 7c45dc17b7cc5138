"""The notebooks and the progression map are what `funcpipe-rag course build` and `course map` would write."""

import re
from pathlib import Path

import nbformat
import pytest

from funcpipe_rag.course.build import build_lesson, differences, notebook_path, strays
from funcpipe_rag.course.lessons import Lesson, Page, find_pages
from funcpipe_rag.course.progression import dangling, progression_map, registries
from funcpipe_rag.course.traces import traces

ROOT = Path(__file__).resolve().parents[1]
PAGES = find_pages(ROOT / "modules")
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.id)


def built(page: Page) -> nbformat.NotebookNode:
    return nbformat.read(notebook_path(page, ROOT / "notebooks"), as_version=4)


def test_every_page_has_its_notebook() -> None:
    assert PAGES
    said = [line for page in PAGES for line in differences(page, ROOT / "notebooks")]
    assert not said, "\n".join([*said, "run: funcpipe-rag course build"])


def test_every_notebook_has_its_page() -> None:
    assert strays(PAGES, ROOT / "notebooks") == []


def test_the_progression_map_is_in_step_and_nothing_dangles() -> None:
    known = registries(ROOT)
    assert [str(error) for error in dangling(PAGES, known)] == []
    page = (ROOT / "progression-map.md").read_text(encoding="utf-8")
    assert page == progression_map(PAGES, known), "run: funcpipe-rag course map"


@EACH
def test_a_notebook_holds_no_solution(page: Page) -> None:
    assert [f"{cell.id} stands in {where}" for cell, where in traces(page, built(page))] == []
    assert {tag for cell in built(page).cells for tag in cell.metadata.get("tags", ())}.isdisjoint(
        {"solution", "instructor"}
    )


@EACH
def test_a_notebook_ran_to_its_end_and_no_exercise_was_attempted(page: Page) -> None:
    cells = [cell for cell in built(page).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    left = []
    for cell in cells:
        if "raises-exception" not in cell.metadata.get("tags", ()):
            assert [output for output in cell.outputs if output.output_type == "error"] == [], cell.id
        if "exercise" in cell.metadata.get("tags", ()):
            card = next(output for output in cell.outputs if "data" in output)
            said = re.fullmatch(r"(\w+) \w+: not attempted yet", card.data["text/plain"])
            assert said, cell.id
            left.append(said[1])
    assert left == (list(page.exercises) if isinstance(page, Lesson) else [])


def test_the_first_lesson_built_twice_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    lesson = next(page for page in PAGES if isinstance(page, Lesson))
    for out in "one", "two":
        assert build_lesson(lesson, tmp_path / out, force=True)
    one, two = (notebook_path(lesson, tmp_path / out).read_bytes() for out in ("one", "two"))
    assert one == two
