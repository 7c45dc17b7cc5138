"""The learner's commands on real notebooks, in real processes: start, status, check, hint, reset, reveal, doctor."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from typer.testing import CliRunner, Result

from funcpipe_rag.course import check
from funcpipe_rag.course.commands import app
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.lessons import find_lessons, find_places
from funcpipe_rag.course.progress import FILE, Progress, find_progress, new_progress
from funcpipe_rag.course.work_folder import find_notebook, lesson_of_exercise

ROOT = Path(__file__).resolve().parents[1]
LESSON = "03-lazy-iteration/07-fan-in-and-fan-out.ipynb"
COMMAND = [sys.executable, "-c", "from funcpipe_rag.cli import main; main()", "course"]

RIGHT_CHAIN = """\
def make_chain(*sources):
    def run():
        for source in sources:
            yield from source()
    return run
"""
EAGER_CHAIN = """\
def make_chain(*sources):
    def run():
        for source in sources:
            yield from list(source())
    return run
"""


def course(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=typed)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A folder that `course start` has made, and its notebook; the tests run inside it."""
    folder = tmp_path / "work"
    monkeypatch.chdir(tmp_path)
    said = course("start", "work", "--no-open")
    assert said.exit_code == 0, said.output
    monkeypatch.chdir(folder)
    return SimpleNamespace(folder=folder, notebook=folder / LESSON, progress=folder / FILE, said=said.stdout)


def place_of(path: Path, function: str) -> int:
    """Where the exercise's cell stands."""
    for place, cell in enumerate(nbformat.read(path, 4).cells):
        if "exercise" in cell.metadata.get("tags", ()) and re.search(
            rf"^(def|class) {function}\b", cell.source, re.MULTILINE
        ):
            return place
    raise AssertionError(f"no {function} in {path}")


def write(path: Path, function: str, source: str) -> None:
    """Put an answer into the exercise's cell, as a learner does."""
    notebook = nbformat.read(path, 4)
    notebook.cells[place_of(path, function)].source = source
    nbformat.write(notebook, path)


def sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, 4).cells]


def test_start_copies_the_notebooks_without_their_answers(work: SimpleNamespace) -> None:
    *copied, progress, following = work.said.splitlines()
    originals = [path.relative_to(ROOT / "notebooks") for path in sorted(ROOT.glob("notebooks/*/*.ipynb"))]
    assert copied == [f"copied     work/{path}" for path in originals]
    assert progress == f"progress   work/{FILE}, a plain text file"
    assert following.startswith("next       jupyter lab work/00-start-here/01-start-here.ipynb")
    original, copy = nbformat.read(ROOT / "notebooks" / LESSON, 4), nbformat.read(work.notebook, 4)
    assert [cell.source for cell in copy.cells if cell.cell_type == "code"] == [
        cell.source for cell in original.cells if cell.cell_type == "code"
    ]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells)
    assert [cell.id for cell in copy.cells] == [cell.id for cell in original.cells]


def test_no_link_of_a_copy_leads_nowhere(work: SimpleNamespace) -> None:
    links = [
        path.parent / link
        for path in work.folder.glob("*/*.ipynb")
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "markdown"
        for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", cell.source)
    ]
    assert links
    assert [link for link in links if not link.exists()] == []


def test_start_never_overwrites_what_a_learner_has_changed(work: SimpleNamespace) -> None:
    assert f"in step    {LESSON}" in course("start", "--no-open").stdout
    write(work.notebook, "make_chain", RIGHT_CHAIN)
    mine = work.notebook.read_bytes()
    assert f"kept       {LESSON} (yours, as you left it)" in course("start", "--no-open").stdout
    assert work.notebook.read_bytes() == mine
    work.progress.unlink()
    os.chdir(work.folder.parent)
    assert "kept " in course("start", "work", "--no-open").stdout
    assert work.notebook.read_bytes() == mine


def test_start_brings_an_untouched_notebook_up_to_date(work: SimpleNamespace, monkeypatch) -> None:
    newer = work.folder.parent / "clone"
    shutil.copytree(ROOT / "modules", newer / "modules")
    shutil.copytree(ROOT / "notebooks", newer / "notebooks")
    changed = newer / "notebooks" / LESSON
    changed.write_text(changed.read_text().replace("Nobody starves", "Nobody waits"))
    monkeypatch.setattr(
        "funcpipe_rag.course.learner_commands.find_places",
        lambda: SimpleNamespace(modules=newer / "modules", notebooks=newer / "notebooks", clone=None),
    )
    assert f"updated    {LESSON} (you had not changed the older one)" in course("start", "--no-open").stdout
    assert "Nobody waits" in work.notebook.read_text()
    assert "in step " in course("start", "--no-open").stdout


def test_start_refuses_the_courses_own_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    refused = course("start", "notebooks/mine", "--no-open")
    assert refused.exit_code == 2
    assert "say another DIR" in refused.stderr
    assert not (ROOT / "notebooks/mine").exists()


def test_start_opens_jupyterlab_where_the_learner_stopped(work: SimpleNamespace, monkeypatch) -> None:
    opened = []

    def lab(command: list[str], *, cwd: Path) -> SimpleNamespace:
        opened.append((command, cwd))
        waits = iter([KeyboardInterrupt(), 0])

        def wait() -> int:
            answer = next(waits)
            if isinstance(answer, KeyboardInterrupt):
                raise answer
            return answer

        return SimpleNamespace(wait=wait)

    monkeypatch.setattr("funcpipe_rag.course.learner_commands.subprocess.Popen", lab)
    Progress(work.progress).record("failed", "m03c07e1", "chain-starts-afresh")
    said = course("start")
    assert said.exit_code == 0, said.output
    assert "opening    JupyterLab at M03C07 Fan-in and fan-out" in said.stdout
    ((command, cwd),) = opened
    assert command[1:4] == ["-m", "jupyterlab", f"--ServerApp.root_dir={work.folder}"]
    assert command[4] == str(work.notebook)
    assert cwd == work.folder
    assert Progress(work.progress).read()[0][-1][:2] == ("opened", "m03c07")


def test_a_check_goes_from_not_attempted_to_a_broken_law_to_all_ticks(work: SimpleNamespace) -> None:
    untouched = course("check", "m03c07e1")
    assert untouched.exit_code == 1
    assert untouched.stdout.splitlines()[-2] == "m03c07e1 make_chain: not attempted yet"

    write(work.notebook, "make_chain", EAGER_CHAIN)
    wrong = course("check", "M03C07E1")
    assert wrong.exit_code == 1
    card = wrong.stdout.splitlines()
    at = place_of(work.notebook, "make_chain") + 1
    assert card[0] == f"judged     make_chain, cell {at} of {LESSON}"
    assert card[1] == "✗ On demand: k items cost k pulls, over all sources together. (Same answer ✓)"
    assert card[2].startswith(
        "  smallest input   sources = [a source that counts 0, 1, 2 ... without end], k = 1"
    )

    write(work.notebook, "make_chain", RIGHT_CHAIN)
    right = course("check", "m03c07e1")
    assert right.exit_code == 0
    assert "✓ m03c07e1 make_chain: every law holds." in right.stdout
    assert Progress(work.progress).solved("m03c07e1")


def test_failures_count_across_notebook_and_command_line(work: SimpleNamespace) -> None:
    names: dict[str, object] = {}
    exec(EAGER_CHAIN, names)
    write(work.notebook, "make_chain", EAGER_CHAIN)
    os.chdir(work.notebook.parent)  # where a kernel runs

    def unfolded(card: str) -> tuple[bool, ...]:
        return tuple(part in card for part in ("In words: ", "\n  hint  ", "\n  hint 2 ", "course reveal"))

    assert unfolded(repr(check("m03c07e1", names["make_chain"]))) == (False, False, False, False)
    assert unfolded(course("check", "m03c07e1").stdout) == (True, False, False, False)
    assert unfolded(repr(check("m03c07e1", names["make_chain"]))) == (True, True, False, False)
    assert unfolded(course("check", "m03c07e1").stdout) == (True, True, True, True)
    code = "from funcpipe_rag.course import check\n" + EAGER_CHAIN + "print(check('m03c07e1', make_chain))"
    fifth = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert unfolded(fifth.stdout) == (True, True, True, True)
    assert Progress(work.progress).failing("m03c07e1")[1] == 5


def test_a_look_at_all_exercises_is_a_line_each_and_no_try(work: SimpleNamespace) -> None:
    write(work.notebook, "make_chain", RIGHT_CHAIN)
    write(work.notebook, "make_roundrobin", EAGER_CHAIN.replace("make_chain", "make_roundrobin"))
    fork = place_of(work.notebook, "fork2")
    write(work.notebook, "fork2", "def fork2(t, u)\n    pass")
    said = course("check", "M03C07")
    assert said.exit_code == 1
    trouble = f"cell {fork + 1}, line 1: expected ':'; mend that cell, run it, and save the notebook"
    assert said.stdout.splitlines() == [
        "✓ m03c07e1 make_chain        every law holds",
        "✗ m03c07e2 make_roundrobin   Same answer: While a source still has items, no other source is served twice "
        "before it.",
        f"✗ m03c07e3 fork2             {trouble}",
        "· m03c07e4 schedule          not attempted yet",
        "1 of 4 exercises hold every law",
    ]
    everything = course("check").stdout.splitlines()
    assert len(everything) == len(EXERCISES) + 1
    assert set(said.stdout.splitlines()[:-1]) < set(everything)
    progress = Progress(work.progress)
    assert progress.solved("m03c07e1")
    assert not progress.tried("m03c07e2")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("m03c7e2", "there is no exercise m03c7e2; did you mean m03c07e2?"),
        ("make_chian", "there is no exercise make_chian; did you mean m03c07e1?"),
        ("m03c99", "there is no exercise m03c99; did you mean M03C"),
        ("zzz", "there is no exercise zzz; there are: m00c01e1, "),
        ("", "there is no exercise ; there are: "),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest(work: SimpleNamespace, wanted: str, said: str) -> None:
    for command in ["check", "hint", "reset", "reveal"]:
        refused = course(command, wanted)
        assert refused.exit_code == 2, command
        if command in ("check", "reset"):
            assert said in refused.stderr
        assert "there is no exercise" in refused.stderr


def test_a_notebook_that_is_none_is_named(work: SimpleNamespace) -> None:
    work.notebook.write_text("{")
    for command in ["check", "m03c07e1"], ["check", "m03c07"], ["reset", "m03c07e1"]:
        refused = course(*command)
        assert refused.exit_code == 2
        assert "is no notebook: its text is not JSON" in refused.output
    everything = course("check")
    assert everything.exit_code == 2
    assert everything.stdout.count("its text is not JSON") == 4
    work.notebook.unlink()
    missing = course("check", "m03c07e1")
    assert missing.exit_code == 2
    assert "no notebook of M03C07 in" in missing.stderr
    elsewhere = course("check", "m03c07e1", "--notebook", "nowhere.ipynb")
    assert elsewhere.exit_code == 2
    assert "cannot be read: No such file" in elsewhere.stderr


def test_a_renamed_function_is_found_out(work: SimpleNamespace) -> None:
    write(work.notebook, "make_chain", RIGHT_CHAIN.replace("make_chain", "mychain"))
    said = course("check", "m03c07e1")
    assert said.exit_code == 1
    assert "there is no make_chain, but a mychain: name it make_chain" in said.stderr


def test_a_renamed_or_moved_notebook_is_found(work: SimpleNamespace) -> None:
    write(work.notebook, "make_chain", RIGHT_CHAIN)
    shutil.move(work.notebook, work.folder / "mine.ipynb")
    assert course("check", "m03c07e1").exit_code == 0


@pytest.mark.parametrize("duplicate", ["-Copy1", " copy", " (1)"])
def test_a_duplicate_beside_a_notebook_is_not_taken_for_it(work: SimpleNamespace, duplicate: str) -> None:
    """JupyterLab, VS Code and a browser name it so that it sorts before the notebook."""
    shutil.copy(work.notebook, work.notebook.with_stem(work.notebook.stem + duplicate))
    write(work.notebook, "make_chain", EAGER_CHAIN)
    said = course("check", "m03c07e1").stdout
    assert f"of {LESSON}\n" in said
    assert "not attempted" not in said


def test_a_moved_notebook_is_not_taken_for_its_checkpoint_or_its_copy(work: SimpleNamespace) -> None:
    (work.folder / "a.ipynb").symlink_to("gone")
    (work.folder / ".ipynb_checkpoints").mkdir()
    write(work.notebook, "make_chain", EAGER_CHAIN)
    compact = json.dumps(json.loads(work.notebook.read_text()), separators=(",", ":"))
    work.notebook.unlink()
    (work.folder / ".ipynb_checkpoints/mine-checkpoint.ipynb").write_text(compact)
    assert find_notebook(work.folder, "M03C07") is None
    (work.folder / "mine-Copy1.ipynb").write_text(compact)
    (work.folder / "mine.ipynb").write_text(compact)
    assert "of mine.ipynb\n" in course("check", "m03c07e1").stdout


def test_what_to_run_can_be_pasted_from_a_folder_with_a_space(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = course("start", "my course", "--no-open").stdout
    assert "next       jupyter lab 'my course/00-start-here/01-start-here.ipynb'   (" in said
    monkeypatch.chdir(tmp_path / "my course")
    Path(LESSON).unlink()
    assert f"funcpipe-rag course start '{Path.cwd()}'\n" in course("doctor").stdout


def test_outside_of_any_folder_the_way_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ["status"], ["reset", "m03c07e1"]:
        refused = course(*command)
        assert refused.exit_code == 2
        assert "`funcpipe-rag course start` makes one" in refused.stderr
    assert "hint 1 of 2" in course("hint", "m03c07e1").stdout
    assert "next       funcpipe-rag course hint m03c07e1 2" in course("hint", "m03c07e1").stdout
    assert "hint 2 of 2" in course("hint", "m03c07e1", "2").stdout
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("funcpipe_rag.course.learner_commands.FOLDER", "course")
    assert course("start", "--no-open").exit_code == 0
    assert course("status").exit_code == 0
    assert find_progress() is None
    assert (tmp_path / "course" / FILE).exists()


def test_hints_come_one_after_the_other_and_then_the_solution(work: SimpleNamespace) -> None:
    first, second = EXERCISES["m03c07e2"].hints
    assert first in course("hint", "m03c07e2").stdout
    assert second in course("hint", "m03c07e2").stdout
    last = course("hint", "m03c07e2").stdout
    assert second in last
    assert "next       funcpipe-rag course reveal m03c07e2" in last
    course("reset", "m03c07e2")
    assert first in course("hint", "m03c07e2").stdout


def test_a_solution_is_offered_after_four_failures_and_asked_for_before(work: SimpleNamespace) -> None:
    early = course("reveal", "m03c07e1")
    assert early.exit_code == 2
    assert "--anyway" in early.stderr
    assert "yield from" not in early.output
    assert "yield from" in course("reveal", "m03c07e1", "--anyway").stdout

    progress = Progress(work.progress)
    for _ in range(4):
        progress.record("failed", "m03c07e2", "roundrobin-takes-turns")
    late = course("reveal", "m03c07e2")
    assert late.exit_code == 0
    assert "live.remove(it)" in late.stdout
    assert "check(" not in late.stdout
    assert progress.read()[0][-1][:2] == ("revealed", "m03c07e2")


def test_every_solution_that_is_revealed_keeps_every_law(work: SimpleNamespace) -> None:
    for exercise in EXERCISES.values():
        shown = course("reveal", exercise.id, "--anyway").stdout.splitlines()[1:-1]
        path = find_notebook(work.folder, lesson_of_exercise(exercise))
        write(path, exercise.function, "\n".join(shown))
        assert course("check", exercise.id).exit_code == 0, exercise.id


def test_reset_puts_the_starter_back_and_keeps_a_copy(work: SimpleNamespace) -> None:
    before, at = sources(work.notebook), place_of(work.notebook, "make_chain")
    write(work.notebook, "make_chain", RIGHT_CHAIN)
    write(work.notebook, "fork2", "def fork2(t, u):\n    return 1\n")
    mine = sources(work.notebook)
    Progress(work.progress).record("failed", "m03c07e1", "chain-starts-afresh")
    said = course("reset", "m03c07e1")
    assert said.exit_code == 0, said.output
    assert "kept       backups/07-fan-in-and-fan-out-1.ipynb, your notebook as it was" in said.stdout
    assert sources(work.folder / "backups/07-fan-in-and-fan-out-1.ipynb") == mine
    now = sources(work.notebook)
    assert now[at] == before[at]
    assert [place for place in range(len(now)) if now[place] != mine[place]] == [at]
    assert course("check", "m03c07e1").stdout.count(": not attempted yet\nnext  ") == 1
    assert not Progress(work.progress).tried("m03c07e1")

    whole = course("reset", "M03C07")
    assert whole.exit_code == 0
    assert "backups/07-fan-in-and-fan-out-2.ipynb" in whole.stdout
    assert sources(work.notebook) == before
    assert "in step " in course("start", "--no-open").stdout


@pytest.mark.parametrize("there", [True, False])
def test_reset_leaves_a_notebook_without_ids_valid(work: SimpleNamespace, there: bool) -> None:
    """Colab writes format 4.4, whose cells have no ids."""
    written = json.loads(work.notebook.read_text())
    written["nbformat_minor"] = 4
    for cell in written["cells"]:
        del cell["id"]
    if not there:
        del written["cells"][place_of(work.notebook, "make_chain")]
    work.notebook.write_text(json.dumps(written))
    assert course("reset", "m03c07e1").exit_code == 0
    nbformat.validate(json.loads(work.notebook.read_text()))
    assert "not attempted yet" in course("check", "m03c07e1").stdout


def test_reset_puts_a_page_without_exercises_back_too(work: SimpleNamespace) -> None:
    gallery = work.folder / "03-lazy-iteration" / "gallery.ipynb"
    whole = sources(gallery)
    gallery.write_text("not a notebook", encoding="utf-8")
    said = course("reset", "M03-gallery")
    assert said.exit_code == 0, said.output
    assert sources(gallery) == whole
    assert (work.folder / "backups" / "gallery-1.ipynb").read_text(encoding="utf-8") == "not a notebook"
    refused = course("reset", "M03-galery")
    assert refused.exit_code == 2
    assert "did you mean M03-gallery?" in refused.output


@pytest.mark.parametrize("harm", ["deleted", "renamed", "doubled", "untagged", "elsewhere"])
def test_reset_finds_its_place_whatever_was_done_to_the_cell(work: SimpleNamespace, harm: str) -> None:
    notebook, at = nbformat.read(work.notebook, 4), place_of(work.notebook, "make_chain")
    cell = notebook.cells[at]
    if harm == "deleted":
        del notebook.cells[at]
    elif harm == "renamed":
        cell.source = RIGHT_CHAIN.replace("make_chain", "mine")
    elif harm == "doubled":
        cell.source = EAGER_CHAIN
        notebook.cells.insert(at + 1, new_code_cell(RIGHT_CHAIN, metadata={"tags": ["exercise"]}))
    elif harm == "untagged":
        notebook.cells[at] = new_code_cell(RIGHT_CHAIN)
    else:
        notebook.cells.append(new_code_cell(RIGHT_CHAIN))
    nbformat.write(notebook, work.notebook)
    said = course("reset", "m03c07e1")
    assert said.exit_code == 0, said.output
    assert sources(work.notebook)[at].startswith(EXERCISES["m03c07e1"].starter)
    nbformat.validate(nbformat.read(work.notebook, 4))
    if harm == "elsewhere":
        assert "has a make_chain too, and a check takes that one" in said.stdout
    else:
        assert course("check", "m03c07e1").stdout.count(": not attempted yet\nnext  ") == 1


def test_status_lights_five_lamps_and_counts_the_minutes(work: SimpleNamespace) -> None:
    (lesson,) = find_lessons(find_places().modules, ["M03C07"])
    read, exercises = lesson.read_minutes, lesson.exercise_minutes
    notebook = nbformat.read(work.notebook, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells = len(code)

    def said() -> list[str]:
        lines = course("status").stdout.splitlines()
        at = next(place for place, line in enumerate(lines) if line.startswith("  M03C07"))
        return [*lines[at : at + 2], lines[-1]]

    assert said() == [
        f"  M03C07 Fan-in and fan-out: {read + exercises} minutes to the end of C07",
        f"    ○ opened 0/1  ○ run 0/{cells}  ○ predicted 0/2  ○ tried 0/4  ○ solved 0/4",
        "next       funcpipe-rag course start opens it",
    ]
    for number, cell in enumerate(code[:15], 1):
        cell.execution_count = number
        cell.source = cell.source.replace(
            'predict("Words from skew?", ...)', 'predict("Words from skew?", 10)'
        )
    nbformat.write(notebook, work.notebook)
    progress = Progress(work.progress)
    for exercise in "m03c07e1", "m03c07e2", "m03c07e3":
        progress.record("passed", exercise)
    progress.record("failed", "m03c07e4", "schedule-unmasks-the-lost-item")
    assert said() == [
        f"  M03C07 Fan-in and fan-out: {ceil(read * (1 - 15 / cells) + exercises / 4)} minutes to the end of C07",
        f"    ● opened 1/1  ◐ run 15/{cells}  ◐ predicted 1/2  ● tried 4/4  ◐ solved 3/4",
        "next       funcpipe-rag course check m03c07e4",
    ]
    # A module's lamps are those of its lessons together.
    module = course("status").stdout.splitlines()
    (lamps,) = (module[place + 1] for place, line in enumerate(module) if line == "M03 Lazy iteration")
    tried = sum(len(lesson.exercises) for lesson in find_lessons(find_places().modules, ["M03"]))
    assert f"◐ tried 4/{tried}  ◐ solved 3/{tried}" in lamps


def test_status_names_a_line_that_it_does_not_understand(work: SimpleNamespace) -> None:
    line = len(work.progress.read_text().splitlines()) + 2
    with work.progress.open("ab") as file:
        file.write(b"passed m03c07e1\nI have solved it!\n\xff\xfe\x00\nfailed M03C07E2 some-law")
    said = course("status")
    assert said.exit_code == 0
    assert f"{FILE}:{line}: not understood, and left aside: 'I have solved it!'" in said.stderr
    assert f"{FILE}:{line + 1}: not understood" in said.stderr
    assert "tried 2/4" in said.stdout
    Progress(work.progress).record("passed", "m03c07e2")
    assert work.progress.read_bytes().endswith(b"passed    m03c07e2\n")
    assert Progress(work.progress).solved("m03c07e2")
    assert "mend or delete that line" in course("doctor").stdout


def test_a_byte_order_mark_is_no_line(work: SimpleNamespace) -> None:
    work.progress.write_bytes(b"\xef\xbb\xbf" + work.progress.read_bytes())
    assert "not understood" not in course("status").output


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    progress = new_progress(tmp_path)
    code = (
        "import sys; from pathlib import Path; from funcpipe_rag.course.progress import Progress\n"
        "progress = Progress(Path(sys.argv[1]))\n"
        "for n in range(300): progress.record('failed', sys.argv[2], f'law-{n}')"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(progress.path), exercise])
        for exercise in ("m03c07e1", "m03c07e2", "m03c07e3")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    events, unread = progress.read()
    assert unread == []
    for exercise in "m03c07e1", "m03c07e2", "m03c07e3":
        assert [e.detail for e in events if e.about == exercise] == [f"law-{n}" for n in range(300)]


def test_nothing_is_remembered_in_the_courses_own_notebooks(tmp_path: Path, monkeypatch) -> None:
    names: dict[str, object] = {}
    exec(EAGER_CHAIN, names)
    new_progress(tmp_path)
    clone = tmp_path / "clone"
    for part in "modules", "funcpipe_rag/course", "notebooks/03-lazy-iteration":
        (clone / part).mkdir(parents=True)
    monkeypatch.chdir(clone / "notebooks/03-lazy-iteration")
    assert find_progress() is None
    check("m03c07e1", names["make_chain"])
    assert (tmp_path / FILE).read_text().count("\n") == 1
    monkeypatch.chdir(tmp_path)
    check("m03c07e1", names["make_chain"])
    assert (tmp_path / FILE).read_text().count("\n") == 2


def test_a_disk_that_cannot_be_written_costs_no_answer(work: SimpleNamespace, monkeypatch) -> None:
    names: dict[str, object] = {}
    exec(EAGER_CHAIN, names)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("funcpipe_rag.course.progress._add_line", full)
    assert "✗ On demand" in repr(check("m03c07e1", names["make_chain"]))


def test_the_doctor_names_what_to_run(work: SimpleNamespace) -> None:
    well = course("doctor")
    assert well.exit_code == 0, well.output
    assert [line.split()[:2] for line in well.stdout.splitlines()] == [
        ["✓", name] for name in ("python", "extras", "module", "kernel", "folder", "progress", "notebooks")
    ]
    text = work.notebook.read_text()
    work.notebook.write_text(re.sub(r'"fingerprint": "\w+"', '"fingerprint": "0"', text))
    ill = course("doctor")
    assert ill.exit_code == 1
    assert f"✗ notebook   {LESSON} is from another version of the course" in ill.stdout
    assert "run        funcpipe-rag course reset M03C07" in ill.stdout
    work.notebook.unlink()
    assert f"run        funcpipe-rag course start {work.folder}" in course("doctor").stdout
    os.chdir(work.folder.parent)
    assert "run        funcpipe-rag course start" in course("doctor").stdout


def test_the_doctor_sees_a_missing_extra_and_another_pythons_kernel(
    work: SimpleNamespace, monkeypatch
) -> None:
    kernel = work.folder / "share/kernels/python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["/nowhere/python", "-m", "ipykernel_launcher"], "display_name": "x"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(work.folder / "share"))
    said = course("doctor").stdout
    assert "✗ kernel     /nowhere/python does not start (FileNotFoundError)" in said
    assert f"run        {sys.executable} -m ipykernel install --sys-prefix" in said
    monkeypatch.setattr(
        "funcpipe_rag.course.doctor.find_spec", lambda name: None if name == "jupyterlab" else object()
    )
    said = course("doctor").stdout
    assert "✗ extras     missing: jupyterlab\n  run        pip install 'funcpipe-rag[course]'" in said


def test_a_process_answers_in_its_exit_code_and_in_time(work: SimpleNamespace) -> None:
    write(work.notebook, "make_chain", RIGHT_CHAIN)
    start = time.perf_counter()
    done = subprocess.run([*COMMAND, "check", "m03c07e1"], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert seconds < 30
    wrong = subprocess.run([*COMMAND, "check", "m03c07e9"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert "did you mean m03c07e" in wrong.stderr


@pytest.mark.slow
def test_it_all_works_from_an_installed_wheel(tmp_path: Path) -> None:
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(built, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    # What the package depends on comes from here; the package itself comes from the wheel.
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{here}\n")
    home = tmp_path / "home"
    home.mkdir()

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(python.with_name("funcpipe-rag")), "course", *words],
            cwd=home,
            env={"PATH": os.defpath, "HOME": str(home)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout

    assert f"copied     funcpipe-rag-course/{LESSON}" in run("start", "--no-open")
    notebook = home / "funcpipe-rag-course" / LESSON
    write(notebook, "make_chain", EAGER_CHAIN)
    assert "✗ On demand" in run("check", "m03c07e1", code=1)
    assert "yield from source()" in run("reveal", "m03c07e1", "--anyway")
    write(notebook, "make_chain", RIGHT_CHAIN)
    assert "every law holds" in run("check", "m03c07e1")
    assert "solved 1/4" in run("status")
    assert "starter again" in run("reset", "m03c07e1")
    assert "hint 1 of 2" in run("hint", "m03c07e2")
    assert "✓ notebooks " in run("doctor")
    package = subprocess.run(
        [str(python), "-c", "import funcpipe_rag; print(funcpipe_rag.__file__)"],
        cwd=home,
        capture_output=True,
        text=True,
    ).stdout
    assert package.startswith(str(tmp_path))


def test_a_lesson_where_an_exercise_is_wanted_is_told_its_exercises() -> None:
    said = course("hint", "M03C05")
    assert (said.exit_code, "say which: m03c05e1, m03c05e2, m03c05e3" in said.output) == (2, True)


def test_the_project_s_own_folder_is_no_folder_to_work_in(monkeypatch: pytest.MonkeyPatch) -> None:
    if not find_places().clone:
        pytest.skip("there is no clone around an installed wheel")
    said = course("start", str(ROOT), "--no-open")
    assert (said.exit_code, "say another DIR" in said.output) == (2, True)
