"""The course build on a lesson of its own: editions, drift, errors, and the same bytes twice."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from typer.testing import CliRunner, Result

import funcpipe_rag
from funcpipe_rag.course.build import build_lesson, notebook_path
from funcpipe_rag.course.commands import app
from funcpipe_rag.course.editions import Edition
from funcpipe_rag.course.fingerprint import FACE, fingerprint, rooms_of
from funcpipe_rag.course.lessons import (
    Lesson,
    LessonError,
    find_lessons,
    find_pages,
    find_places,
    read_lesson,
    read_page,
)
from funcpipe_rag.course.progression import Registries, dangling, progression_map
from funcpipe_rag.course.running import tidied
from funcpipe_rag.course.traces import traces

LESSON = '''---
jupytext:
  notebook_metadata_filter: lesson,-jupytext.text_representation.jupytext_version
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
lesson:
  id: M99C01
  title: Small
  minutes: {read: 2, exercises: 3}
  requires: []
  requires_planned: [M98C01]
  functions: [make_small]
  laws: [small-stays-small]
  exercises: [m99c01e1]
  browser: no
---

# M99C01 Small

One number, from a folder that holds nothing.

```{code-cell}
import os
os.listdir()
```

+++ {"tags": ["instructor"]}

Wait here until somebody objects.

+++

Now you.

```{code-cell}
:tags: [exercise]

def make_small(number):
    """Halve a number."""
```

```{code-cell}
:tags: [solution]

def make_small(number):
    """Halve a number."""
    halved_for_good = number / 2
    return halved_for_good
```

+++ {"tags": ["solution"]}

Integer division is as right here.

+++

```{code-cell}
make_small(6)
```

```{code-cell}
:tags: [raises-exception]

import re
print("\\x1b[31mred\\x1b[0m", re.__file__, os.getcwd())
re.compile("(")
```

```{code-cell}
:tags: [nbval-ignore-output]

import time
time.time_ns()
```

```{code-cell}
:tags: [instructor]

"for the teacher alone"
```
'''


def lay_out(root: Path, text: str = LESSON) -> Path:
    """A clone with one lesson in it; the lesson's path."""
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text('[project]\nname = "funcpipe-rag"\n')
    path = root / "modules" / "99-tiny" / "01-small.md"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def outputs(notebook: nbformat.NotebookNode) -> dict[str, list[nbformat.NotebookNode]]:
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The lesson built twice, once by force; nobody writes into it."""
    root = tmp_path_factory.mktemp("clone")
    lesson = read_lesson(lay_out(root))
    out = root / "notebooks"
    path = notebook_path(lesson, out)
    cells: list[int] = []
    assert build_lesson(lesson, out, on_cell=cells.append)
    first = path.read_bytes()
    assert build_lesson(lesson, out, force=True)
    return SimpleNamespace(
        root=root,
        path=path,
        first=first,
        second=path.read_bytes(),
        notebook=nbformat.read(path, as_version=4),
        progress=cells,
    )


@pytest.fixture
def clone(built: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A copy of the built clone to write into, as the current folder."""
    shutil.copytree(built.root, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return SimpleNamespace(
        source=Path("modules/99-tiny/01-small.md"), notebook=Path("notebooks/99-tiny/01-small.ipynb")
    )


def course(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def small(tmp_path: Path, old: str, new: str) -> Path:
    """The lesson with one thing changed."""
    assert LESSON.count(old) == 1
    return lay_out(tmp_path, LESSON.replace(old, new))


def test_a_forced_build_gives_the_same_bytes(built: SimpleNamespace) -> None:
    assert built.first == built.second


def test_a_learner_gets_starters_and_no_trace_of_a_solution(built: SimpleNamespace) -> None:
    text = built.first.decode()
    solution = "halved_for_good", "Integer division", '"solution"'
    for trace in *solution, "Wait here", "teacher alone", "instructor":
        assert trace not in text, trace
    assert [cell.id for cell in built.notebook.cells] == [f"M99C01-{n:02d}" for n in (1, 2, 4, 5, 8, 9, 10)]
    assert built.notebook.cells[3].metadata.tags == ["exercise"]
    assert built.notebook.cells[3].source == 'def make_small(number):\n    """Halve a number."""'


def test_a_notebook_is_valid_and_says_what_it_was_made_from(built: SimpleNamespace) -> None:
    nbformat.validate(built.notebook)
    metadata = built.notebook.metadata
    assert set(metadata) == {"funcpipe_rag", "kernelspec", "language_info"}
    assert metadata.funcpipe_rag.lesson == "M99C01"
    assert metadata.funcpipe_rag.edition == "learner"
    assert re.fullmatch("[0-9a-f]{64}", metadata.funcpipe_rag.fingerprint)
    assert set(metadata.language_info) == {"name", "file_extension", "mimetype", "pygments_lexer"}


def test_a_lesson_runs_in_an_empty_folder_and_in_order(built: SimpleNamespace) -> None:
    assert outputs(built.notebook)["M99C01-02"][0].data["text/plain"] == "[]"
    counts = [cell.execution_count for cell in built.notebook.cells if cell.cell_type == "code"]
    assert counts == [1, 2, 3, 4, 5]


def test_an_output_has_no_colour_no_time_and_no_folder_of_this_machine(built: SimpleNamespace) -> None:
    stream, error = outputs(built.notebook)["M99C01-09"]
    assert stream.text == "red re/__init__.py .\n"
    traceback = "\n".join(error.traceback)
    assert "Cell In[4], line 3" in traceback
    assert "File re/__init__.py:" in traceback
    assert "\x1b" not in built.first.decode()
    assert str(Path.home()) not in built.first.decode()
    assert all(set(cell.metadata) <= {"tags"} for cell in built.notebook.cells)


@pytest.mark.parametrize(
    ("output", "tidy"),
    [
        ("/tmp/ipykernel_7/12.py:3: UserWarning: late", "cell:3: UserWarning: late"),
        ("open('/var/T/ipykernel_7/12.py')", "open('cell')"),
        (f"{Path(funcpipe_rag.__file__).parent}/streams/fan_in.py", "funcpipe_rag/streams/fan_in.py"),
        ("see https://docs.python.org/3/", "see https://docs.python.org/3/"),
        ("iVBORw0KGgo/" * 200_000, "iVBORw0KGgo/" * 200_000),
    ],
    ids=["warning", "quoted", "package", "address", "picture"],
)
def test_a_folder_is_taken_out_of_an_output(output: str, tidy: str) -> None:
    assert tidied([{"data": {"text/plain": output}}], Path("/nowhere")) == [{"data": {"text/plain": tidy}}]


def test_a_picture_is_the_same_twice(tmp_path: Path) -> None:
    draw = """%config InlineBackend.figure_formats = ["svg"]
%matplotlib inline
from matplotlib import pyplot
pyplot.plot([1, 3, 2], clip_on=True)
pyplot.show()"""
    lesson = read_lesson(small(tmp_path, "make_small(6)", draw))
    written = []
    for out in "one", "two":
        build_lesson(lesson, tmp_path / out, force=True)
        written.append(re.sub(r"\d{15,}", "the time", notebook_path(lesson, tmp_path / out).read_text()))
    assert "image/svg+xml" in written[0]
    assert written[0] == written[1]


def test_progress_is_told_cell_by_cell(built: SimpleNamespace) -> None:
    assert built.progress == list(range(8))


def test_the_solved_edition_answers_in_the_starters_place(clone: SimpleNamespace) -> None:
    assert course("build", "--edition", "solved", "--out", "solved").exit_code == 0
    notebook = nbformat.read("solved/99-tiny/01-small.ipynb", as_version=4)
    assert [cell.id for cell in notebook.cells] == [f"M99C01-{n:02d}" for n in (1, 2, 4, 5, 7, 8, 9, 10)]
    assert "return halved_for_good" in notebook.cells[3].source
    assert notebook.cells[3].metadata.tags == ["exercise"]
    assert outputs(notebook)["M99C01-08"][0].data["text/plain"] == "3.0"
    assert "Wait here" not in Path("solved/99-tiny/01-small.ipynb").read_text()
    assert course("build", "--check", "--edition", "solved", "--out", "solved").exit_code == 0


def test_the_instructors_edition_holds_every_cell(clone: SimpleNamespace) -> None:
    lesson = read_lesson(clone.source)
    assert build_lesson(lesson, Path("all"), edition=Edition.instructor)
    notebook = nbformat.read("all/99-tiny/01-small.ipynb", as_version=4)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in lesson.cells]
    assert outputs(notebook)["M99C01-11"][0].data["text/plain"] == "'for the teacher alone'"


def test_no_solution_gets_into_notebooks(clone: SimpleNamespace) -> None:
    for out in [], ["--out", "notebooks"]:
        result = course("build", "--edition", "solved", *out)
        assert result.exit_code == 1
        assert "--out" in result.stderr
    assert course("build", "--check").exit_code == 0


def test_what_is_in_step_is_not_built_again(clone: SimpleNamespace) -> None:
    before = clone.notebook.stat().st_mtime_ns
    result = course("build")
    assert result.exit_code == 0, result.output
    assert result.stdout == "in step    1 notebook: 0 built, 1 unchanged\n"
    assert clone.notebook.stat().st_mtime_ns == before
    assert course("build", "--check").stdout == "in step    1 notebook in notebooks\n"


@pytest.mark.parametrize(
    ("place", "leak"),
    [
        (
            "cell M99C01-08",
            lambda cell: cell.update(
                source="def f(n):\n  halved_for_good = number/2\n  return halved_for_good"
            ),
        ),
        (
            "cell M99C01-08",
            lambda cell: cell.metadata.update(was="halved_for_good = number / 2\\nreturn halved_for_good"),
        ),
        (
            "cell M99C01-08",
            lambda cell: cell.outputs.append(
                {"text": "halved_for_good = <b>number</b> / 2 return\nhalved_for_good"}
            ),
        ),
        ("cell M99C01-08", lambda cell: cell.update(source="print('Integer division is\\nas right here.')")),
    ],
    ids=["source", "metadata", "output", "remark"],
)
def test_a_planted_solution_is_found(clone: SimpleNamespace, place: str, leak) -> None:
    lesson = read_lesson(clone.source)
    notebook = nbformat.read(clone.notebook, as_version=4)
    assert list(traces(lesson, notebook)) == []
    leak(notebook.cells[4])
    assert [where for _, where in traces(lesson, notebook)] == [place]


def test_a_solution_under_other_names_is_found(tmp_path: Path) -> None:
    long = """def make_small(numbers):
    halves = []
    for number in numbers:
        if number % 2 == 0:
            halves.append(number // 2)
        else:
            halves.append(number / 2)
    return halves"""
    text = LESSON.replace(
        LESSON[LESSON.index('def make_small(number):\n    """Halve a number."""\n    halved') :].split(
            "\n```"
        )[0],
        long,
    )
    told = re.sub("numbers?|halves|make_small", lambda word: f"my_{word[0][::-1]}", long)
    lesson = read_lesson(lay_out(tmp_path, text.replace("make_small(6)", told + "\nmy_llams_ekam([6])")))
    with pytest.raises(
        LessonError, match=r":\d+: cell M99C01-06: this solution stands .* too, in cell M99C01-08"
    ):
        build_lesson(lesson, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert build_lesson(lesson, tmp_path / "out", edition=Edition.solved)


def test_an_edited_cell_of_a_notebook_is_named(clone: SimpleNamespace) -> None:
    notebook = nbformat.read(clone.notebook, as_version=4)
    notebook.cells[2].source = "Now I."
    notebook.cells[3].metadata.tags = []
    del notebook.cells[6]
    nbformat.write(notebook, clone.notebook)
    before = clone.notebook.read_bytes()
    result = course("build", "--check", "M99C01")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"differs    {clone.notebook}: cell M99C01-10 is missing",
        f"differs    {clone.notebook}: cell M99C01-04 differs from the lesson: its source",
        f"differs    {clone.notebook}: cell M99C01-05 differs from the lesson: its metadata",
        "next       funcpipe-rag course build M99C01",
    ]
    assert clone.notebook.read_bytes() == before


def test_an_edited_lesson_is_named_and_then_built(clone: SimpleNamespace) -> None:
    clone.source.write_text(LESSON.replace("Now you.", "Now you, please."))
    result = course("build", "--check")
    assert result.exit_code == 1
    assert "cell M99C01-04 differs from the lesson: its source" in result.stderr
    assert "built from an older lesson" in result.stderr
    assert "1 built" in course("build", "m99").stdout
    assert course("build", "--check").exit_code == 0


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "not built yet"),
        (lambda path: path.write_text("{"), "is no notebook that can be read"),
        (
            lambda path: shutil.copy(path, path.with_name("02-old.ipynb")),
            "02-old.ipynb: no page of modules/ makes it",
        ),
    ],
    ids=["missing", "broken", "stray"],
)
def test_a_missing_broken_or_stray_notebook_is_named(clone: SimpleNamespace, harm, said: str) -> None:
    harm(clone.notebook)
    result = course("build", "--check")
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_fingerprint_knows_the_rooms_as_the_house_does() -> None:
    house = runpy.run_path(str(Path(__file__).with_name("test_rooms.py")))["MAY_IMPORT"]
    for room, may_import in house.items():
        code = f"import funcpipe_rag.{room}"
        assert rooms_of(code) >= {room, *may_import}
        assert rooms_of(code) <= {room, *may_import, *FACE, *(r for m in may_import for r in house[m])}


def test_a_fingerprint_covers_what_a_lesson_can_reach(tmp_path: Path) -> None:
    package = tmp_path / "funcpipe_rag"
    real = Path(funcpipe_rag.__file__).parent
    shutil.copytree(real / "course", package / "course")
    files = {
        "__init__.py": "",
        "streams/fan_in.py": "a = 1  # one\n",
        "serving/pipeline.py": "",
        "course/exercises/m99c01.py": "",
        "course/exercises/m99c02.py": "",
        "course/data/notes/tee.md": "# tee\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    lesson = read_lesson(small(tmp_path, "import os\n", "import os\nfrom funcpipe_rag.course import check\n"))

    def changes(name: str, text: str) -> bool:
        old = fingerprint(lesson, package=package)
        (package / name).write_text(text)
        return fingerprint(lesson, package=package) != old

    assert changes("streams/fan_in.py", "a = 2  # one\n")
    assert changes("course/exercises/m99c01.py", "points = 2\n")
    assert changes("course/data/notes/tee.md", "# tee, again\n")
    assert changes("course/running.py", "")
    assert not changes("streams/fan_in.py", "# two\n\na = 2\n")
    assert not changes("course/exercises/m99c02.py", "points = 2\n")
    assert not changes("serving/pipeline.py", "b = 2\n")
    assert not changes("course/commands.py", "")


def test_a_failing_cell_is_named_with_file_line_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(tmp_path, "make_small(6)", 'ready = True\n[1, 2][len("three")]')
    monkeypatch.chdir(tmp_path)
    line = 1 + path.read_text().splitlines().index('[1, 2][len("three")]')
    result = course("build")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"error      modules/99-tiny/01-small.md:{line}: cell M99C01-08: IndexError: list index out of range"
    )
    assert not Path("notebooks").exists()


def test_a_dead_kernel_and_an_endless_cell_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small(tmp_path, "make_small(6)", "os._exit(1)")
    with pytest.raises(LessonError, match=r"01-small.md:\d+: cell M99C01-08: the kernel died"):
        build_lesson(read_lesson(path), tmp_path / "out")

    path.write_text(LESSON.replace("make_small(6)", "while True: pass"))
    monkeypatch.setattr("funcpipe_rag.course.running.CELL_SECONDS", 1)
    with pytest.raises(LessonError, match=r"01-small.md:\d+: cell M99C01-08: not done after 1 s"):
        build_lesson(read_lesson(path), tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_stops_a_build_and_leaves_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    small(tmp_path, "make_small(6)", f"open({str(started)!r}, 'w').close()\nimport time; time.sleep(30)")
    code = "from funcpipe_rag.course.commands import app; app()"
    build = subprocess.Popen(
        [sys.executable, "-c", code, "build"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not started.exists() and build.poll() is None:
        time.sleep(0.02)
    build.send_signal(signal.SIGINT)
    said, _ = build.communicate(timeout=20)
    assert build.returncode == 130, said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["modules", "pyproject.toml", "started"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: M99C01\n", "id: M99C02\n", "12: header: a file of this name holds lesson M99C01, not M99C02"),
        ("  laws: [small-stays-small]\n", "", "11: header: `laws` is missing (for none: `laws: []`)"),
        ("browser: no", "browser: 3", "20: header: `browser` wants yes or no, got 3"),
        ("browser: no", "brower: no\n  browser: no", "20: header: `brower` is no key of a lesson"),
        ("{read: 2, exercises: 3}", "5", "14: header: `minutes` wants {read: N, exercises: N}, got 5"),
        ("functions: [make_small]", "functions: make_small", "17: header: `functions` wants a list of names"),
        ("title: Small", "title: Small: smaller", "13: cannot be read"),
        ('{"tags": ["instructor"]}', '{"tags": ["instructor"', "32: cannot be read"),
        (":tags: [solution]", ":tags: [solutoin]", "50: cell M99C01-06: tags are a list of"),
        (":tags: [solution]", ":tags: [instructor]", "43: cell M99C01-05: an exercise is followed"),
        ('{"tags": ["instructor"]}', '{"tags": ["exercise"]}', "34: cell M99C01-03: an exercise is a"),
        (":tags: [exercise]\n", "", "49: cell M99C01-06: a solution stands directly below its exercise"),
    ],
)
def test_a_lesson_out_of_order_is_refused_by_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = small(tmp_path, old, new)
    with pytest.raises(LessonError, match=re.escape(f"{path}:{said}")):
        read_lesson(path)


def test_a_lesson_saved_in_jupyterlab_keeps_its_header(tmp_path: Path) -> None:
    path = lay_out(tmp_path)
    before = read_lesson(path)
    jupytext.write(jupytext.read(path), path)
    after = read_lesson(path)
    assert path.read_text() != before.text
    assert replace(after, text=before.text, cells=before.cells) == before
    assert [(cell.id, cell.source, cell.tags) for cell in after.cells] == [
        (cell.id, cell.source, cell.tags) for cell in before.cells
    ]


def test_a_lesson_that_is_not_there_is_answered_with_those_that_are(clone: SimpleNamespace) -> None:
    result = course("build", "M03C99")
    assert result.exit_code == 1
    assert result.stderr == "error      no lesson M03C99; there are: M99C01\n"
    Path("modules/99-tiny/2.md").write_text("# Notes\n")
    assert "modules/99-tiny/2.md: a lesson is named" in course("build").stderr
    Path("modules/99-tiny/2.md").rename("modules/99-tiny/01-tiny.md")
    assert "01-tiny.md: M99C01 is modules/99-tiny/01-small.md already" in course("build").stderr


def test_a_missing_extra_is_named(clone: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupytext.myst", None)
    result = course("build")
    assert result.exit_code == 1
    assert result.stderr == "error      this command needs jupytext: pip install 'funcpipe-rag[course]'\n"


def test_lessons_are_found_from_a_clone_and_from_a_wheel(
    clone: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path.cwd()
    assert find_places(root / "modules" / "99-tiny").clone == root
    elsewhere = root.parent / "site-packages" / "funcpipe_rag" / "course"
    shutil.copytree("modules", elsewhere / "shipped" / "modules")
    monkeypatch.setattr("funcpipe_rag.course.lessons.__file__", str(elsewhere / "lessons.py"))
    monkeypatch.chdir(root.parent)
    monkeypatch.setattr("funcpipe_rag.course.lessons.SHIPPED", elsewhere / "shipped")
    places = find_places()
    assert places.clone is None
    assert [lesson.id for lesson in find_lessons(places.modules)] == ["M99C01"]
    assert "say --out DIR" in course("build").stderr


PAGE = """---
jupytext:
  notebook_metadata_filter: page,-jupytext.text_representation.jupytext_version
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
page:
  title: Streams at work
  functions: [make_small]
  browser: yes
---

# Streams at work

M99C01 comes first.
"""
CODE = "\n```{code-cell}\n6 * 7\n```\n"


def test_a_page_is_built_checked_and_missed(clone: SimpleNamespace) -> None:
    folder = clone.source.parent
    (folder / "gallery.md").write_text(PAGE + CODE)
    (folder / "index.md").write_text(PAGE.replace("  functions: [make_small]\n", ""))
    assert [page.id for page in find_pages(Path("modules"))] == ["M99-index", "M99C01", "M99-gallery"]
    assert [lesson.id for lesson in find_lessons(Path("modules"))] == ["M99C01"]
    missed = course("build", "--check").stderr
    assert "index.ipynb: not built yet" in missed
    assert "gallery.ipynb: not built yet" in missed

    assert course("build").stdout.endswith("in step    3 notebooks: 2 built, 1 unchanged\n")
    gallery = nbformat.read("notebooks/99-tiny/gallery.ipynb", as_version=4)
    assert [cell.id for cell in gallery.cells] == ["M99-gallery-01", "M99-gallery-02"]
    assert outputs(gallery)["M99-gallery-02"][0].data["text/plain"] == "42"
    assert gallery.metadata.funcpipe_rag.page == "M99-gallery"
    index = nbformat.read("notebooks/99-tiny/index.ipynb", as_version=4)
    assert [cell.cell_type for cell in index.cells] == ["markdown"]
    nbformat.validate(index)
    assert course("build", "--check").exit_code == 0

    (folder / "gallery.md").unlink()
    stray = course("build", "--check")
    assert stray.exit_code == 1
    assert "gallery.ipynb: no page of modules/ makes it; delete it" in stray.stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "gallery",
            PAGE + CODE.replace("}\n", "}\n:tags: [exercise]\n\n"),
            "24: cell M99-gallery-02: exercises",
        ),
        ("index", PAGE + CODE, "22: cell M99-index-02: index.md is Markdown alone"),
        (
            "gallery",
            PAGE.replace("page:\n", "lesson:\n"),
            "1: the YAML header has no `page:` block; a lesson's name",
        ),
        (
            "gallery",
            PAGE.replace("browser: yes", "browser: 7"),
            "14: header: `browser` wants yes or no, got 7",
        ),
        (
            "gallery",
            PAGE.replace("  browser", "  laws: []\n  browser"),
            "14: header: `laws` is no key of a page",
        ),
        ("gallery", PAGE + CODE.replace("6", "six"), "22: cell M99-gallery-02: NameError"),
    ],
)
def test_a_page_out_of_order_is_refused_by_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = lay_out(tmp_path, LESSON).with_name(f"{name}.md")
    path.write_text(text)
    with pytest.raises(LessonError, match=re.escape(f"{path}:{said}")):
        build_lesson(read_page(path), tmp_path / "out")


def test_a_page_has_its_place_on_the_map(tmp_path: Path) -> None:
    path = lay_out(tmp_path, LESSON).with_name("gallery.md")
    path.write_text(PAGE)
    path.with_name("index.md").write_text(PAGE.replace("M99C01", "Something else"))
    pages = find_pages(tmp_path / "modules")
    row = "| [M99-gallery Streams at work](notebooks/99-tiny/gallery.ipynb) ([source](modules/99-tiny/gallery.md)) | `make_small` |"
    assert row in progression_map(pages, KNOWN).splitlines()
    said = "\n".join(map(str, dangling(pages, KNOWN)))
    assert f"{path}:13: functions: funcpipe_rag has no make_small" in said
    index = path.with_name("index.md")
    assert f"{index}:12: title: M99C01 is a lesson of this module; name it on this page" in said


SMALL_LAW = SimpleNamespace(id="small-stays-small")
SMALL_EXERCISE = SimpleNamespace(
    id="m99c01e1",
    title="Halve",
    function="make_small",
    starter='def make_small(number):\n    """Halve a number."""\n',
    laws=(SMALL_LAW,),
    mutants=[SimpleNamespace(of="make_small", name=name) for name in ("halves_twice", "rounds_up")],
    points=3,
)
KNOWN = Registries(
    laws_of=lambda name: [SMALL_LAW] if name == "make_small" else [],
    exercises={"m99c01e1": SMALL_EXERCISE},
    tests={"tests/test_small.py": "make_small", "tests/test_other.py": "make_smaller"},
)


def test_the_map_has_a_row_for_every_lesson_and_function(tmp_path: Path) -> None:
    page = progression_map([read_lesson(lay_out(tmp_path))], KNOWN).splitlines()
    assert (
        "| [M99C01 Small](notebooks/99-tiny/01-small.ipynb) ([source](modules/99-tiny/01-small.md)) "
        "| 2 + 3 | M98C01 (to come) | 7 | 1 | 1 | 1 | 2 |"
    ) in page
    assert page[-1] == (
        "| `make_small` | `small-stays-small` | `m99c01e1` Halve (3 points) | [test_small.py](tests/test_small.py) |"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", "17: functions: funcpipe_rag has no make_small"),
        ("[small-stays-small]", "[small-is-big]", "18: laws: no law small-is-big about a function"),
        ("[m99c01e1]", "[m99c01e2]", "19: exercises: funcpipe_rag.course.exercises has no m99c01e2"),
        ("[m99c01e1]", "[]", "19: exercises: m99c01e1 is an exercise of this lesson; name it here"),
        ("requires: []", "requires: [M97C01]", "15: requires: no lesson M97C01"),
        ("[M98C01]", "[M99C01]", "16: requires_planned: lesson M99C01 is here"),
    ],
    ids=["function", "law", "exercise", "exercise not named", "lesson", "lesson that came"],
)
def test_a_dangling_name_is_named_by_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = lay_out(tmp_path, LESSON.replace(old, new) if old else LESSON)
    assert f"{path}:{said}" in "\n".join(map(str, dangling([read_lesson(path)], KNOWN)))


def test_a_function_without_a_test_dangles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(funcpipe_rag, "make_small", None, raising=False)
    lesson: Lesson = read_lesson(lay_out(tmp_path))
    assert list(dangling([lesson], KNOWN)) == []
    untested = Registries(KNOWN.laws_of, KNOWN.exercises, {"tests/test_other.py": "make_smaller"})
    assert [str(error) for error in dangling([lesson], untested)] == [
        f"{lesson.path}:17: functions: no test names make_small or a law of it",
        f"{lesson.path}:19: exercises: no test names m99c01e1, or all EXERCISES",
    ]


def test_a_row_without_laws_and_an_exercise_without_a_lesson_dangle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funcpipe_rag, "make_small", None, raising=False)
    lesson = read_lesson(
        lay_out(tmp_path, LESSON.replace("[small-stays-small]", "[]").replace("[m99c01e1]", "[]"))
    )
    lawless = SimpleNamespace(**{**vars(SMALL_EXERCISE), "laws": ()})
    known = Registries(lambda name: (), {"m99c02e1": lawless}, KNOWN.tests)
    assert [str(error) for error in dangling([lesson], known)] == [
        "funcpipe_rag.course.exercises: m99c02e1 is an exercise of no lesson",
        f"{lesson.path}:17: functions: no law is about make_small, and no exercise asks for it",
    ]
    judged = read_lesson(lay_out(tmp_path / "judged"))
    known = Registries(KNOWN.laws_of, {"m99c01e1": lawless}, KNOWN.tests)
    assert f"{judged.path}:19: exercises: no law judges m99c01e1" in "\n".join(
        map(str, dangling([judged], known))
    )


def test_the_map_is_written_checked_and_refused(
    clone: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("funcpipe_rag.course.progression.registries", lambda root: KNOWN)
    refused = course("map")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error      modules/99-tiny/01-small.md:17: functions: ")
    monkeypatch.setattr(funcpipe_rag, "make_small", None, raising=False)
    assert course("map", "--check").stderr == (
        "differs    progression-map.md: differs from the lessons\nnext       funcpipe-rag course map\n"
    )
    assert not Path("progression-map.md").exists()
    assert course("map").stdout == "wrote      progression-map.md, 1 lesson\n"
    assert course("map", "--check").stdout == "in step    progression-map.md, 1 lesson\n"
