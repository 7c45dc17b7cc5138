"""The field notes: every example runs, every link leads somewhere, every note keeps the house form and can be found."""

import ast
import doctest
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import funcpipe_rag
from funcpipe_rag.course import field_notes, notes
from funcpipe_rag.rag import Index, RagEnv, RawDoc, build_index, gen_answers

FOLDER = Path(funcpipe_rag.__file__).parent / "course" / "data" / "notes"
NOTES = sorted(FOLDER.glob("*.md"))
QUESTIONS = json.loads((Path(__file__).parent / "note_questions.json").read_text(encoding="utf-8"))
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
    assert len(NOTES) >= 64


def test_they_are_read_in_the_order_of_their_names() -> None:
    assert [note.name for note in notes()] == [path.stem for path in NOTES]
    tree = ast.parse(inspect.getsource(field_notes))
    (docstring,) = (ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef))
    example = doctest.DocTestParser().get_doctest(docstring or "", {"notes": notes}, "notes", None, None)
    result = doctest.DocTestRunner(verbose=False).run(example)  # pytest does not look into a stage
    assert (result.attempted, result.failed) == (2, 0)


@each_note
def test_its_examples_give_what_they_say(note: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Hypothesis keeps files in the working folder
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples_of(note), out=report.append)
    assert result.attempted > 0, "a note shows an example"
    assert result.failed == 0, "".join(report)


@each_note
def test_nothing_in_its_fences_goes_unrun(note: Path) -> None:
    text = note.read_text(encoding="utf-8")
    prose, code = split(text)
    assert ">>>" not in "\n".join(prose)
    assert set(re.findall(rf"^{FENCE}(.*)$", text, re.MULTILINE)) == {"python", ""}
    for fence in re.findall(rf"^{FENCE}python\n(.*?)^{FENCE}$", text, re.MULTILINE | re.DOTALL):
        assert fence.startswith(">>> ")
        assert "\n\n" not in fence, "doctest reads nothing between an empty line and the next prompt"
    assert "doctest:" not in "\n".join(code), "a directive would let an output differ"


@each_note
def test_its_examples_never_wait(note: Path) -> None:
    source = "\n".join(example.source for example in examples_of(note).examples)
    assert re.findall(r"\btime\.sleep\([^)]*\)", source) == [] or "time = FakeTime()" in source
    waits = re.findall(r"\basyncio\.sleep\(([^)]*)\)", source)
    assert set(waits) <= {"0"} or "class VirtualLoop" in source
    assert "asyncio.run(" not in source, "a notebook has a loop already: use asyncio.Runner in a note"


@each_note
def test_it_begins_with_what_its_term_is(note: Path) -> None:
    title, opening = note.read_text(encoding="utf-8").split("\n\n")[:2]
    sentence = re.split(r"(?<=[.:;])\s", opening)[0].casefold()
    assert any(word[:4] in sentence for word in re.findall(r"\w{3,}", title.casefold())), sentence
    assert FENCE not in opening and not opening.startswith(("#", "|", "-"))


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


def test_every_note_is_linked_from_another() -> None:
    linked = {target for note in NOTES for target in links_in(split(note.read_text(encoding="utf-8"))[0])}
    assert {note.name for note in NOTES} - linked == set()


def test_there_is_a_question_for_every_note() -> None:
    assert {asked["note"] for asked in QUESTIONS} == {note.stem for note in NOTES} | {None}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("notes") / "notes.db"
    build_index(
        path, (RawDoc(name, text, f"{name}.md") for name, text in notes()), RagEnv(1000, 200, boundary="word")
    )
    with Index(path) as opened:
        yield opened


def test_the_notes_answer_what_learners_ask(index: Index) -> None:
    """Nine in ten among three sentences, seven in ten at once: most headings are not the questions' words."""
    answered = {
        asked["question"]: [answer.citation.source for answer in gen_answers(index, asked["question"])]
        for asked in QUESTIONS
        if asked["note"]
    }
    wanted = {asked["question"]: f"{asked['note']}.md" for asked in QUESTIONS if asked["note"]}
    missed = [(question, got) for question, got in answered.items() if wanted[question] not in got]
    behind = [(question, got) for question, got in answered.items() if got[:1] != [wanted[question]]]
    assert len(missed) <= len(wanted) / 10, missed
    assert len(behind) <= len(wanted) * 3 / 10, behind


@pytest.mark.parametrize("question", [asked["question"] for asked in QUESTIONS if not asked["note"]])
def test_the_notes_do_not_answer_what_they_do_not_know(index: Index, question: str) -> None:
    assert list(gen_answers(index, question)) == []
