"""What is handed out to a class: no solution in any file, links that lead somewhere, the same bytes twice."""

import ast
import base64
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner, Result

from funcpipe_rag.course.answers import find_answer
from funcpipe_rag.course.commands import app
from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.grading import Rules, grade
from funcpipe_rag.course.lessons import LessonError, Page, find_lessons, find_pages, find_places
from funcpipe_rag.course.nbgrader_course import make_nbgrader_course, points
from funcpipe_rag.course.release import Files, make_release, write_release
from funcpipe_rag.course.submissions import find_submissions
from funcpipe_rag.course.traces import released_traces
from funcpipe_rag.course.work_folder import NOTES as NOTES_FOLDER

ROOT = Path(__file__).resolve().parents[1]
PLACES = find_places(ROOT)
PAGES = find_pages(PLACES.modules)
SOLUTIONS = [
    (page, cell) for page in PAGES for cell in page.cells if "solution" in cell.tags and cell.kind == "code"
]
NOTES = [note.read_text(encoding="utf-8") for note in sorted(NOTES_FOLDER.glob("*.md"))]
TOO_SHORT = {"M03C03-09", "M03C05-19"}
"""`return accumulate(sizes)` and `return islice(xs, k)`: under other names any call looks like these."""
C07 = "03-lazy-iteration/07-fan-in-and-fan-out.ipynb"


@pytest.fixture(scope="module")
def module() -> Files:
    """All that there is to hand out, start page included; nobody changes it."""
    return make_release(PLACES, sorted({page.id[:3] for page in find_lessons(PLACES.modules)}))


@pytest.fixture(scope="module")
def lesson() -> Files:
    return make_release(PLACES, ["M03C07"])


@pytest.fixture
def in_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def course(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def notebook(files: Files, name: str) -> nbformat.NotebookNode:
    return nbformat.reads(files[name].decode(), as_version=4)


def as_files(files: Files, name: str, changed: Any) -> Files:
    return {**files, name: nbformat.writes(changed).encode()}


def test_a_lesson_comes_with_what_leads_to_it(lesson: Files) -> None:
    assert sorted(name for name in lesson if not name.startswith("notes/")) == [
        "00-start-here/01-start-here.ipynb",
        C07,
        "03-lazy-iteration/gallery.ipynb",
        "03-lazy-iteration/index.ipynb",
        "README.md",
        "funcpipe-rag-progress.txt",
        "release.json",
    ]


def test_a_class_is_not_given_the_page_for_instructors(module: Files) -> None:
    assert "00-start-here/for-instructors.ipynb" in {place(page) for page in PAGES}
    start = make_release(PLACES, ["M00"])
    for files in module, start:
        assert "00-start-here/01-start-here.ipynb" in files
        assert not any("for-instructors" in name for name in files)
    index = notebook(module, "03-lazy-iteration/index.ipynb")
    assert any("For instructors says how" in cell.source for cell in index.cells)


def test_a_notebook_is_valid_and_its_exercises_are_their_starters(module: Files) -> None:
    found = set()
    for name in module:
        if not name.endswith(".ipynb"):
            continue
        one = notebook(module, name)
        nbformat.validate(one)
        tags = {tag for cell in one.cells for tag in cell.metadata.get("tags", ())}
        assert tags.isdisjoint({"solution", "instructor"})
        assert all(cell.outputs == [] for cell in one.cells if cell.cell_type == "code")
        page = one.metadata.funcpipe_rag
        for exercise in EXERCISES.values():
            if exercise.id.startswith(str(page.get("lesson")).lower()):
                assert find_answer(one, exercise).untouched
                found.add(exercise.id)
    assert found == set(EXERCISES)


@pytest.mark.parametrize("wanted", ["module", "lesson"])
def test_every_link_leads_to_a_file_of_the_release(wanted: str, request: pytest.FixtureRequest) -> None:
    files: Files = request.getfixturevalue(wanted)
    followed = 0
    for name, content in files.items():
        if name.endswith(".ipynb"):
            text = "\n".join(
                cell.source for cell in notebook(files, name).cells if cell.cell_type == "markdown"
            )
        else:
            text = content.decode() if name.endswith(".md") else ""
        text = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", text)
        for target in re.findall(r"\]\(([^)\s]+)\)|(?:href|src)=[\"']([^\"']+)", text):
            place = "".join(target).partition("#")[0]
            if place and not re.match(r"\w+:", place):
                assert os.path.normpath(Path(name).parent / place) in files, f"{name}: {place}"
                followed += 1
    assert followed > 100


def test_what_is_not_handed_out_is_named_and_not_linked_to(lesson: Files, module: Files) -> None:
    first = notebook(lesson, C07).cells[0].source
    assert "← M03C06 Reusable stages · Progression map · M03C08 Time-aware streams →" in first
    whole = notebook(module, C07).cells[0].source
    assert "[M03C06 Reusable stages](06-reusable-stages.ipynb) · Progression map" in whole


def test_the_manifest_says_what_was_handed_out_and_for_how_many_points(lesson: Files) -> None:
    said = json.loads(lesson["release.json"])
    assert said["asked_for"] == ["M03C07"]
    assert {page["id"]: page["graded"] for page in said["pages"]} == {
        "M00C01": False,
        "M03-index": False,
        "M03C07": True,
        "M03-gallery": False,
    }
    page = next(page for page in said["pages"] if page["graded"])
    assert page["fingerprint"] == notebook(lesson, C07).metadata.funcpipe_rag.fingerprint
    for one in page["exercises"]:
        exercise = EXERCISES[one["id"]]
        assert one["function"] == exercise.function
        assert one["laws"] == {law.id: law.points for law in exercise.laws}
        assert one["points"] == exercise.points
    assert [one["id"] for one in page["exercises"]] == ["m03c07e1", "m03c07e2", "m03c07e3", "m03c07e4"]
    assert said["points"] == sum(one["points"] for one in page["exercises"])
    assert set(said["files"]) == set(lesson) - {"release.json"}


def test_the_readme_tells_a_learner_what_to_run_and_nothing_of_this_machine(lesson: Files) -> None:
    text = lesson["README.md"].decode()
    assert f"[M03C07 Fan-in and fan-out]({C07}) | 35 + 45 | 4 | 17 |" in text
    assert "jupyter lab 00-start-here/01-start-here.ipynb" in text
    assert "funcpipe-rag course hint m03c07e1" in text
    for content in lesson.values():
        assert str(ROOT).encode() not in content
        assert str(Path.home()).encode() not in content


def renamed(source: str) -> str:
    """Other names for what the code itself binds, other spaces, and no comments."""
    tree = ast.parse(source)
    bound = {
        name
        for node in ast.walk(tree)
        for name in (getattr(node, "name", None), getattr(node, "arg", None))
        if isinstance(name, str) and not isinstance(node, ast.keyword | ast.alias)
    }
    bound |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    text = ast.unparse(tree)
    for name in bound - {"__init__", "__iter__", "__next__"}:
        text = re.sub(rf"(?<![.\w\"']){name}\b(?!=[^=])", f"my_{name[::-1]}", text)
    return text


PLANTS: dict[str, Callable[[Any, str], object]] = {
    "code cell": lambda nb, code: nb.cells.append(nbformat.v4.new_code_cell(code)),
    "in place of the starter": lambda nb, code: nb.cells[-1].update(source=code),
    "commented out": lambda nb, code: nb.cells.append(
        nbformat.v4.new_code_cell("\n".join(f"# {line}" for line in code.splitlines()))
    ),
    "markdown": lambda nb, code: nb.cells.append(
        nbformat.v4.new_markdown_cell(f"One way to write it:\n\n```python\n{code}\n```\n\nRead on.")
    ),
    "folded": lambda nb, code: nb.cells.append(
        nbformat.v4.new_markdown_cell(f"<details><pre>{escape(code)}</pre></details>")
    ),
    "quoted": lambda nb, code: nb.cells.append(
        nbformat.v4.new_markdown_cell("\n".join(f"> {line}" for line in code.splitlines()))
    ),
    "cell metadata": lambda nb, code: nb.cells[2].metadata.update(was={"source": code.splitlines(True)}),
    "notebook metadata": lambda nb, code: nb.metadata.update(solutions=[json.dumps({"source": code})]),
    "attachment": lambda nb, code: nb.cells[0].update(
        attachments={"answer.py": {"text/x-python": base64.b64encode(code.encode()).decode()}}
    ),
    "output": lambda nb, code: nb.cells[-1].outputs.append(
        nbformat.v4.new_output("execute_result", {"text/plain": repr(code)})
    ),
}


def planted(files: Files, page: Page, how: str, code: str) -> bytes:
    """The notebook of a page with code in it that does not belong there."""
    changed = notebook(files, place(page))
    changed.cells.append(nbformat.v4.new_code_cell("1 + 1"))
    PLANTS[how](changed, code)
    return nbformat.writes(changed).encode()


def place(page: Page) -> str:
    return f"{page.path.parent.name}/{page.path.stem}.ipynb"


def found(files: Files) -> set[tuple[str, str]]:
    """Each solution that a file holds, by its cell, and the file."""
    return {(trace.cell.id, trace.file) for trace in released_traces(PAGES, files, also_shown=NOTES)}


def test_nothing_is_found_in_a_release(module: Files) -> None:
    assert found(module) == set()


@pytest.mark.parametrize("how", PLANTS)
def test_a_solution_is_found_wherever_it_was_planted(module: Files, how: str) -> None:
    files = {f"{cell.id}.ipynb": planted(module, page, how, cell.source) for page, cell in SOLUTIONS}
    assert found(files) >= {(cell.id, f"{cell.id}.ipynb") for _, cell in SOLUTIONS}


@pytest.mark.parametrize("how", PLANTS)
def test_a_solution_under_other_names_is_found_as_well(module: Files, how: str) -> None:
    files = {f"{cell.id}.ipynb": planted(module, page, how, renamed(cell.source)) for page, cell in SOLUTIONS}
    missed = {cell.id for _, cell in SOLUTIONS} - {cell for cell, _ in found(files)}
    assert missed == TOO_SHORT


@pytest.mark.parametrize("how", PLANTS)
def test_a_solution_is_found_in_the_notebook_of_another_page(module: Files, how: str) -> None:
    gallery = next(page for page in PAGES if page.id == "M03-gallery")
    files = {f"{cell.id}.ipynb": planted(module, gallery, how, cell.source) for _, cell in SOLUTIONS}
    missed = {cell.id for _, cell in SOLUTIONS} - {cell for cell, _ in found(files)}
    assert missed == set()


def test_a_solution_is_found_in_a_file_that_is_no_notebook() -> None:
    _, cell = next((page, cell) for page, cell in SOLUTIONS if cell.id == "M03C07-16")
    files = {
        "README.md": f"# Read me\n\n{cell.source}".encode(),
        "release.json": json.dumps({"solution": cell.source}).encode(),
        "other.txt": b"nothing",
    }
    assert found(files) == {("M03C07-16", "README.md"), ("M03C07-16", "release.json")}


def test_a_single_line_of_a_solution_is_enough(module: Files) -> None:
    page = next(page for page in PAGES if page.id == "M03C07")
    files = {"one.ipynb": planted(module, page, "cell metadata", "for it in reversed(opened):")}
    assert found(files) == {("M03C07-16", "one.ipynb")}


@pytest.fixture
def out(tmp_path: Path, lesson: Files) -> Path:
    """A folder that holds a release."""
    write_release(lesson, tmp_path / "class")
    return tmp_path / "class"


def there(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_command_writes_it_and_says_what(in_clone: None, tmp_path: Path, lesson: Files) -> None:
    done = course("release", "m03c07", "--out", tmp_path / "class")
    assert done.exit_code == 0, done.output
    assert there(tmp_path / "class") == lesson
    facts = [line[:10].rstrip() for line in done.stdout.splitlines()]
    assert facts == ["with it", "with it", "released", "with it", "searched", "manifest", "next"]
    assert f"released   {tmp_path}/class/{C07} (4 exercises, 17 points)" in done.stdout
    assert f"searched   {len(lesson)} files: no trace of a solution" in done.stdout


def test_twice_gives_the_same_bytes_and_touches_nothing(out: Path, lesson: Files) -> None:
    again = make_release(PLACES, ["M03C07"])
    assert again == lesson
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    write_release(again, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == times


def test_another_release_takes_the_place_of_the_earlier_one(out: Path, module: Files, lesson: Files) -> None:
    write_release(module, out)
    assert there(out) == module
    write_release(lesson, out)
    assert there(out) == lesson
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        "00-start-here",
        "03-lazy-iteration",
        "notes",
    ]
    write_release(make_release(PLACES, ["M00C01"]), out)
    assert not (out / "03-lazy-iteration").exists()


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda out: (out / "grades.csv").write_text("mine"), "grades.csv"),
        (lambda out: (out / "away").symlink_to(out / "notes"), "away"),
        (lambda out: (out / C07).write_text("{}"), C07),
        (lambda out: (out / "release.json").write_text("{}"), "release.json"),
        (
            lambda out: (out / "notes" / "sub").mkdir() or (out / "notes/sub/mine.md").write_text(""),
            "notes/sub/mine.md",
        ),
    ],
    ids=["a stranger", "a link", "a notebook that was changed", "a manifest that is none", "deeper"],
)
def test_a_folder_with_something_else_in_it_is_refused(
    out: Path, lesson: Files, harm: Callable[[Path], object], named: str
) -> None:
    harm(out)
    before = there(out)
    with pytest.raises(LessonError, match=f"{re.escape(named)}.*say another --out, or move that away"):
        write_release({**lesson, "README.md": b"new"}, out)
    assert there(out) == before


def test_a_folder_that_was_never_ours_is_refused_in_one_line(in_clone: None, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = course("release", "M03C07", "--out", tmp_path)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "thesis.tex" in done.stderr
    assert there(tmp_path) == {"thesis.tex": b"years of work"}
    done = course("release", "M03C07", "--out", tmp_path / "thesis.tex")
    assert "is a file: say the folder" in done.stderr


def test_a_run_that_was_stopped_can_be_run_again(
    tmp_path: Path, lesson: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, left = os.replace, iter(range(20))

    def stopped(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("funcpipe_rag.course.release.os.replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_release(lesson, tmp_path / "class")
    monkeypatch.undo()
    assert 20 <= len(there(tmp_path / "class")) < len(lesson)
    write_release(lesson, tmp_path / "class")
    assert there(tmp_path / "class") == lesson


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("M09", "no lesson M09; there are: M00C01, "), ("M03-gallery", "no lesson among them")],
)
def test_what_cannot_be_released_is_said(in_clone: None, tmp_path: Path, wanted: str, said: str) -> None:
    done = course("release", wanted, "--out", tmp_path / "class")
    assert done.exit_code == 1
    assert said in done.stderr
    assert not (tmp_path / "class").exists()


def test_a_lesson_that_gives_its_solution_away_is_not_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PLACES.modules, tmp_path / "modules")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "modules" / "03-lazy-iteration" / "07-fan-in-and-fan-out.md"
    _, cell = next((page, cell) for page, cell in SOLUTIONS if cell.id == "M03C07-16")
    text = path.read_text(encoding="utf-8")
    aside = f"```{{code-cell}}\n{renamed(cell.source)}\n```\n\n### Watch only"
    path.write_text(text.replace("### Watch only", aside), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = course("release", "M03C07", "--out", "class")
    assert done.exit_code == 1
    assert f"cell M03C07-16: this solution would be handed out, in {C07}: cell M03C07-17" in done.stderr
    assert re.match(r"error      modules/03-lazy-iteration/07-fan-in-and-fan-out.md:\d+: ", done.stderr)
    assert not Path("class").exists()


@pytest.fixture(scope="module")
def for_nbgrader() -> Files:
    return make_nbgrader_course(PLACES, find_lessons(PLACES.modules))


def test_each_lesson_is_an_assignment_with_the_points_of_its_laws(for_nbgrader: Files) -> None:
    said = json.loads(for_nbgrader["release.json"])
    assert {page["id"] for page in said["pages"]} == {exercise[:6].upper() for exercise in EXERCISES}
    counted = {}
    for page in said["pages"]:
        one = notebook(for_nbgrader, page["notebook"])
        nbformat.validate(one)
        for above, cell in zip(one.cells, one.cells[1:], strict=False):
            if "nbgrader" in cell.metadata and cell.metadata.nbgrader.grade:
                counted[above.metadata.nbgrader.grade_id] = cell.metadata.nbgrader.points
                compile(cell.source, "grader", "exec")
    assert counted == {id: exercise.points for id, exercise in EXERCISES.items()}


def test_nbgrader_is_not_given_what_would_hand_out_a_solution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("funcpipe_rag.course.nbgrader_course._BEGIN", "### HERE IT BEGINS")
    with pytest.raises(LessonError, match="cell M03C07-09: this solution would be handed out"):
        make_nbgrader_course(PLACES, find_lessons(PLACES.modules, ["M03C07"]))


def test_a_course_for_nbgrader_takes_the_place_of_a_plain_release(in_clone: None, out: Path) -> None:
    (out / C07).write_bytes((out / C07).read_bytes() + b" ")
    done = course("release", "M00C01", "--nbgrader", "--out", out)
    assert f"changed since: {C07}." in done.stderr
    (out / C07).write_bytes((out / C07).read_bytes()[:-1])
    assert course("release", "M00C01", "--nbgrader", "--out", out).exit_code == 0
    assert set(there(out)) == {
        "README.md",
        "nbgrader_config.py",
        "release.json",
        "source/M00C01/01-start-here.ipynb",
    }


def test_what_nbgrader_keeps_in_its_folder_stays(in_clone: None, tmp_path: Path) -> None:
    (tmp_path / "submitted" / "ada" / "M00C01").mkdir(parents=True)
    (tmp_path / "gradebook.db").write_text("grades")
    for _ in range(2):
        done = course("release", "M00C01", "--nbgrader", "--out", tmp_path)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "gradebook.db").read_text() == "grades"
    assert (tmp_path / "submitted" / "ada" / "M00C01").is_dir()
    (tmp_path / "source" / "M00C01" / "01-start-here.ipynb").write_text("{}")
    assert (
        "source/M00C01/01-start-here.ipynb"
        in course("release", "M00C01", "--nbgrader", "--out", tmp_path).stderr
    )


LISTS_EACH_SOURCE = """\
def make_chain(*sources):
    def run():
        for source in sources:
            yield from list(source())
    return run
"""


@pytest.mark.parametrize(
    ("code", "earned", "said"),
    [
        (EXERCISES["m03c07e1"].starter, 0, "Not attempted"),
        ("def make_chain(*sources:\n", 0, "Not found"),
        ("while True:\n    pass", 0, "Not found"),
        (LISTS_EACH_SOURCE, 4, "✗ 0 of 1  On demand: "),
    ],
    ids=["starter", "syntax error", "no function", "mutant"],
)
def test_points_are_those_of_the_laws_and_say_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], code: str, earned: float, said: str
) -> None:
    cell = nbformat.v4.new_code_cell(code, metadata={"tags": ["exercise"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "answer.ipynb")
    assert points("m03c07e1", str(tmp_path / "answer.ipynb")) == earned
    printed = capfd.readouterr()
    assert said in printed.out
    assert printed.err == ""
    assert str(tmp_path) not in printed.out
    with pytest.raises(ValueError, match="there is no exercise 'm03c07e9'"):
        points("m03c07e9", str(tmp_path / "answer.ipynb"))


CHAINS_INSTEAD = """\
def make_roundrobin(*sources):
    return lambda: (item for source in sources for item in source())
"""
NEVER_ENDS = """\
def fork2(t, u):
    def run(xs):
        while True:
            pass
    return run
"""


@pytest.mark.slow
def test_nbgrader_hands_out_grades_and_gives_feedback_as_we_do(in_clone: None, tmp_path: Path) -> None:
    nbgrader = ROOT / ".venv-nbgrader" / "bin" / "nbgrader"
    if not nbgrader.exists():
        pytest.skip("needs nbgrader: make check-all installs it into .venv-nbgrader")

    def run(*arguments: str) -> None:
        # Nothing of whoever runs this is read, nor written to.
        alone = {"HOME": str(tmp_path), "PATH": f"{nbgrader.parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run([nbgrader, *arguments], cwd=folder, env=alone, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    folder = tmp_path / "course"
    assert course("release", "M03C07", "--nbgrader", "--out", folder).exit_code == 0
    run("generate_assignment", "M03C07")
    name = Path(C07).name
    content = (folder / "release" / "M03C07" / name).read_bytes()
    assert found({name: content}) == set()
    handed_out = nbformat.reads(content.decode(), as_version=4)
    lesson = next(page for page in PAGES if page.id == "M03C07")
    given = {cell.id: cell.source for cell in cells_of(lesson, Edition.learner) if cell.kind == "code"}
    assert {c.id: c.source for c in handed_out.cells if c.id in given} == given

    solutions = {
        next(id for id in lesson.exercises if f'"{id}"' in cell.source): cell.source
        for page, cell in SOLUTIONS
        if page is lesson
    }
    wrong = {"m03c07e1": LISTS_EACH_SOURCE, "m03c07e2": CHAINS_INSTEAD, "m03c07e3": NEVER_ENDS}
    answers: dict[str, dict[str, str]] = {"reference": solutions, "empty": {}, "mutant": wrong}
    for learner, written in answers.items():
        mine = nbformat.reads(content.decode(), as_version=4)
        for cell in mine.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") in written:
                cell.source = written[cell.metadata.nbgrader.grade_id]
        (folder / "submitted" / learner / "M03C07").mkdir(parents=True)
        nbformat.write(mine, folder / "submitted" / learner / "M03C07" / name)
    run("autograde", "M03C07")
    run("generate_feedback", "M03C07")

    with closing(sqlite3.connect(folder / "gradebook.db")) as gradebook:
        theirs = {
            (learner, id.removesuffix("-points")): score
            for learner, id, score in gradebook.execute(
                "select submitted_assignment.student_id, base_cell.name, grade.auto_score from grade"
                " join base_cell on base_cell.id = grade.cell_id"
                " join submitted_notebook on submitted_notebook.id = grade.notebook_id"
                " join submitted_assignment on submitted_assignment.id = submitted_notebook.assignment_id"
            )
        }
    ours = {
        (one.learner, result.exercise): result.points
        for submission in find_submissions(folder / "submitted")
        for one in [grade(submission, Rules(lesson.exercises))]
        for result in one.results
    }
    assert theirs == ours
    total = {learner: [ours[learner, id] for id in lesson.exercises] for learner in answers}
    assert total["reference"] == [5, 6, 5, 1]
    assert total["empty"] == [0, 0, 0, 0]
    assert total["mutant"] == [4, 0, 0, 0]
    for learner in answers:
        page = (folder / "feedback" / learner / "M03C07" / name).with_suffix(".html").read_text("utf-8")
        assert f"{sum(total[learner])}.0 / 17.0" in page
        assert EXERCISES["m03c07e1"].laws[0].says in page


@pytest.mark.slow
def test_a_learner_can_begin_with_it(out: Path) -> None:
    """In a folder far from the repository: the notebook runs, the commands know where they are."""
    one = nbformat.read(out / C07, as_version=4)
    NotebookClient(one, timeout=120, resources={"metadata": {"path": str((out / C07).parent)}}).execute()
    cards = [
        cell.outputs[0].data["text/plain"]
        for cell in one.cells
        if "exercise" in cell.metadata.get("tags", ())
    ]
    assert [re.fullmatch(r"(m03c07e\d) \w+: not attempted yet", card)[1] for card in cards] == [
        f"m03c07e{number}" for number in (1, 2, 3, 4)
    ]
    one.cells[
        next(n for n, cell in enumerate(one.cells) if "exercise" in cell.metadata.get("tags", ()))
    ].source = LISTS_EACH_SOURCE
    nbformat.write(one, out / C07)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [Path(sys.executable).with_name("funcpipe-rag"), "course", *words]
        return subprocess.run(command, cwd=out, capture_output=True, text=True)

    checked = run("check", "m03c07e1")
    assert checked.returncode == 1, checked.stderr
    assert "k items cost k pulls" in checked.stdout
    assert "m03c07e1  chain-asks-for-no-more" in (out / "funcpipe-rag-progress.txt").read_text()
    assert run("hint", "m03c07e1").returncode == 0
    assert "M03C07 Fan-in and fan-out" in run("status").stdout
