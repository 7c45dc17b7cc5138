"""The notebooks and the progression map are what `funcpipe-rag course build` and `course map` would write."""

from pathlib import Path

from funcpipe_rag.course.build import differences, strays
from funcpipe_rag.course.lessons import find_pages
from funcpipe_rag.course.progression import dangling, progression_map, registries

ROOT = Path(__file__).resolve().parents[1]
PAGES = find_pages(ROOT / "modules")


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
