"""The folder a learner works in: the course's notebooks, the notes they link to, and what has been done.

What a learner has changed is never overwritten: a notebook that is not as it was copied stays, and a reset keeps
a copy first.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import funcpipe_rag
from funcpipe_rag.course.answers import AnswerError, NotebookError, exercise_cells, find_answer, read_notebook
from funcpipe_rag.course.exercises import Exercise
from funcpipe_rag.course.lessons import Places, shown
from funcpipe_rag.course.progress import Progress

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTES = Path(funcpipe_rag.__file__).parent / "course" / "data" / "notes"
BACKUPS = "backups"


@dataclass(frozen=True)
class Copied:
    """One notebook of the course and what became of it in the work folder."""

    lesson: str
    path: Path
    how: Literal["copied", "updated", "unchanged", "kept"]


def copy_course(places: Places, progress: Progress) -> Iterator[Copied]:
    """Copy every notebook that is not there yet, or that the learner has left as it was; without its outputs,
    so that no answer stands below a question."""
    folder = _folder(progress)
    copies = {event.about: event.detail for event in progress.read()[0] if event.what == "copied"}
    for original in originals(places):
        lesson = page_of(original)
        path = find_notebook(folder, lesson) or folder / original.relative_to(places.notebooks)
        text = _fresh(original, places)
        how: Literal["copied", "updated", "unchanged", "kept"] = "copied"
        if path.exists():
            found = path.read_bytes()
            if found == text.encode():
                how = "unchanged"
            elif _digest(found) == copies.get(lesson.lower()):
                how = "updated"
            else:
                how = "kept"
        if how in ("copied", "updated"):
            _write(path, text)
        if how != "kept" and copies.get(lesson.lower()) != _digest(text.encode()):
            progress.record("copied", lesson, _digest(text.encode()))
        yield Copied(lesson, path, how)
    (folder / "notes").mkdir(exist_ok=True)
    for note in NOTES.glob("*.md"):
        shutil.copyfile(note, folder / "notes" / note.name)


def untouched(path: Path, lesson: str, progress: Progress) -> bool:
    """Whether a notebook is still as `copy_course` wrote it."""
    last = [event.detail for event in progress.of(lesson) if event.what == "copied"][-1:]
    return last == [_digest(path.read_bytes())]


def originals(places: Places) -> list[Path]:
    """The notebooks of the course, lessons and pages, in teaching order."""
    return sorted(places.notebooks.glob("[0-9][0-9]-*/*.ipynb"))


def page_of(path: Path) -> str:
    """The id of a notebook, by its place: NN-slug/CC-slug.ipynb is MnnCcc, NN-slug/gallery.ipynb is Mnn-gallery."""
    module = f"M{path.parent.name[:2]}"
    return f"{module}C{path.name[:2]}" if path.name[0].isdigit() else f"{module}-{path.stem}"


def find_notebook(folder: Path, page: str) -> Path | None:
    """A lesson's or page's notebook in a folder: at its place, or wherever a notebook says that it is this one.

    A duplicate beside it (07-slug-Copy1.ipynb) has the longer name, and is not the one that is worked in.
    """
    there = [path for path in folder.glob(f"{page[1:3]}-*/*.ipynb") if page_of(path).lower() == page.lower()]
    if there:
        return min(there, key=lambda path: (len(path.name), path))
    wanted = re.compile(rf'"(?:lesson|page)"\s*:\s*"{re.escape(page)}"', re.I)
    elsewhere = [*folder.glob("*.ipynb"), *folder.glob("*/*.ipynb")]
    for path in sorted(elsewhere, key=lambda path: (path.parent != folder, len(path.name), path)):
        # JupyterLab keeps what was saved before in .ipynb_checkpoints, and a link may lead nowhere.
        kept = path.parent.name == BACKUPS or path.parent.name.startswith(".")
        if not kept and path.is_file() and wanted.search(path.read_text("utf-8", "replace")):
            return path
    return None


def reset_exercise(path: Path, exercise: Exercise, places: Places, progress: Progress) -> Path:
    """Put an exercise's starter back into a notebook: in its cell, or where the course has that cell.

    Gives the copy of the notebook as it was.
    """
    notebook = _editable(path)
    original = _editable(_original(path, places, lesson_of_exercise(exercise)))
    (home, *_) = exercise_cells(original, exercise)
    starter = original.cells[home]
    starter.update(outputs=[], execution_count=None)
    # A notebook as Colab writes it is of a format whose cells have no ids, and is no notebook with one.
    with_ids = (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    if not with_ids:
        del starter["id"]
    cells = notebook.cells
    places_now = exercise_cells(notebook, exercise) or _untagged(notebook, exercise)
    if places_now:
        at, *doubles = places_now
        if with_ids:
            starter["id"] = cells[at].get("id", starter.id)
        cells[at] = starter
        for double in reversed(doubles):
            del cells[double]
    else:
        before = original.cells[home - 1].source if home else None
        at = next((place + 1 for place, cell in enumerate(cells) if cell.source == before), len(cells))
        if with_ids and starter.id in {cell.get("id") for cell in cells}:
            starter["id"] = f"{starter.id}-again"
        cells.insert(at, starter)
    backup = _keep(path, _folder(progress))
    _write(path, _text(notebook))
    progress.record("reset", exercise.id)
    return backup


def reset_lesson(
    path: Path, lesson: str, places: Places, progress: Progress, exercises: list[str]
) -> Path | None:
    """Put a lesson's notebook back as the course has it. Gives the copy of the one that was there, if any was."""
    text = _fresh(_original(path, places, lesson), places)
    backup = _keep(path, _folder(progress)) if path.exists() else None
    _write(path, text)
    for about in (lesson, *exercises):
        progress.record("reset", about)
    progress.record("copied", lesson, _digest(text.encode()))
    return backup


def lesson_of_exercise(exercise: Exercise) -> str:
    """The id of the lesson that an exercise belongs to."""
    return exercise.id[:6].upper()


def _folder(progress: Progress) -> Path:
    assert progress.folder is not None
    return progress.folder


def _original(path: Path, places: Places, lesson: str) -> Path:
    original = find_notebook(places.notebooks, lesson)
    if original is None:
        raise NotebookError(
            f"{shown(path)} belongs to {lesson}, which this version of the course does not have"
        )
    return original


def _untagged(notebook: NotebookNode, exercise: Exercise) -> list[int]:
    try:
        return [find_answer(notebook, exercise).cell - 1]
    except AnswerError:
        return []


def _fresh(original: Path, places: Places) -> str:
    """A notebook to work in: no outputs, and no link that leads out of the folder."""
    notebook = _editable(original)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
        elif cell.cell_type == "markdown":
            cell["source"] = _LINK.sub(lambda link: _relinked(link, original, places), cell.source)
    return _text(notebook)


_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.{1,2}/[^)\s]+)\)")


def _relinked(link: re.Match[str], original: Path, places: Places) -> str:
    text, target = link[1], link[2]
    at = Path(os.path.normpath(original.parent / target.partition("#")[0]))
    if at.suffix == ".md" and (NOTES / at.name).exists() and at.parent.name == NOTES.name:
        return f"[{text}](../notes/{at.name})"
    return link[0] if at.is_relative_to(places.notebooks) else text


def _editable(path: Path) -> NotebookNode:
    import nbformat

    read_notebook(path)  # which says in words what is wrong with it
    with warnings.catch_warnings():
        # Lost and double cell ids are mended, and no concern of the learner's.
        warnings.simplefilter("ignore")
        notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def _keep(path: Path, folder: Path) -> Path:
    """A copy of a notebook under a name that is free."""
    number = 1
    while (backup := folder / BACKUPS / f"{path.stem}-{number}.ipynb").exists():
        number += 1
    backup.parent.mkdir(exist_ok=True)
    return Path(shutil.copy2(path, backup))


def _text(notebook: NotebookNode) -> str:
    import nbformat

    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call]


def _write(path: Path, text: str) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".ipynb.unfinished")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
