"""The field notes: every example runs, every link leads somewhere, and every note keeps the house form."""

import doctest
import re
from pathlib import Path

import pytest

import funcpipe_rag

FOLDER = Path(funcpipe_rag.__file__).parent / "course" / "data" / "notes"
NOTES = sorted(FOLDER.glob("*.md"))
CONCEPTUAL: frozenset[str] = frozenset()  # slugs of notes that need no example
BANNED = re.compile(r"\b(simply|just|obvious|obviously|easy|easily|easier)\b", re.IGNORECASE)
FENCE = "```"

each_note = pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)


def split(text: str) -> tuple[list[str], list[str]]:
    """Lines outside the fences and lines inside Python fences; each list keeps the file's line numbers."""
    prose, code, fence = [], [], None
    for line in text.splitlines():
        if line.startswith(FENCE):
            fence = line.removeprefix(FENCE) if fence is None else None
            prose.append("")
            code.append("")
        else:
            prose.append(line if fence is None else "")
            code.append(line if fence == "python" else "")
    assert fence is None, "a fence is left open"
    return prose, code


def examples_of(note: Path) -> doctest.DocTest:
    _, code = split(note.read_text(encoding="utf-8"))
    return doctest.DocTestParser().get_doctest(
        "\n".join(code) + "\n", {"__name__": note.stem}, note.stem, str(note), 0
    )


def links_in(prose: list[str]) -> list[str]:
    return re.findall(r"\]\(([^)]*)\)", "\n".join(prose))


def test_there_are_enough_notes() -> None:
    assert len(NOTES) >= 24
    assert CONCEPTUAL <= {note.stem for note in NOTES}


@each_note
def test_it_shows_an_example(note: Path) -> None:
    assert bool(examples_of(note).examples) is (note.stem not in CONCEPTUAL)


@each_note
def test_its_examples_give_what_they_say(note: Path) -> None:
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples_of(note), out=report.append)
    assert result.failed == 0, "".join(report)


@each_note
def test_its_examples_stand_in_python_fences(note: Path) -> None:
    text = note.read_text(encoding="utf-8")
    prose, _ = split(text)
    assert ">>>" not in "\n".join(prose)
    assert set(re.findall(rf"^{FENCE}(\w*)$", text, re.MULTILINE)) <= {"python", "text", ""}


@each_note
def test_its_name_is_kebab_case(note: Path) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", note.stem)


@each_note
def test_its_length_is_that_of_a_note(note: Path) -> None:
    words = [word for word in note.read_text(encoding="utf-8").split() if re.search(r"\w", word)]
    assert 150 <= len(words) <= 600


@each_note
def test_it_has_one_title_and_a_few_sections(note: Path) -> None:
    prose, _ = split(note.read_text(encoding="utf-8"))
    levels = [len(line) - len(line.lstrip("#")) for line in prose if re.match(r"#+ \S", line)]
    assert prose[0].startswith("# ")
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    assert 2 <= len(levels[1:]) <= 4


@each_note
def test_its_text_is_clean(note: Path) -> None:
    data = note.read_bytes()
    text = data.decode("utf-8")
    assert b"\r" not in data and b"\t" not in data and not data.startswith(b"\xef\xbb\xbf")
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert [line for line in text.splitlines()[:-1] if len(line) > 100] == []  # the last line is the links
    assert BANNED.findall(text) == []


@each_note
def test_its_links_lead_to_other_notes(note: Path) -> None:
    prose, _ = split(note.read_text(encoding="utf-8"))
    slugs = {other.name for other in NOTES}
    last = prose[-1]
    assert last.startswith("See also: [") and last.endswith(")")
    assert links_in([last]), "See also names no note"
    assert note.name not in links_in(prose)
    for title, target in re.findall(r"\[([^\]]*)\]\(([^)]*)\)", last):
        assert title == target.removesuffix(".md")
    assert set(links_in(prose)) <= slugs
