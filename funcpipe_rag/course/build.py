"""From modules/ to notebooks/, one way: build what has changed, or say what has.

Nothing is ever read back from a notebook into a lesson.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from funcpipe_rag.course.editions import Edition, notebook_of
from funcpipe_rag.course.fingerprint import fingerprint
from funcpipe_rag.course.lessons import LessonError, Page, shown
from funcpipe_rag.course.running import run
from funcpipe_rag.course.traces import traces

if TYPE_CHECKING:
    from nbformat import NotebookNode


def notebook_path(page: Page, out: Path) -> Path:
    """Where a page's notebook stands: OUT/NN-slug/CC-slug.ipynb."""
    return out / page.path.parent.name / f"{page.path.stem}.ipynb"


def build_lesson(
    page: Page,
    out: Path,
    *,
    edition: Edition = Edition.learner,
    force: bool = False,
    on_cell: Callable[[int], object] = lambda done: None,
) -> bool:
    """Build the notebook of one lesson or page, run it and keep its outputs; False when it was in step already.

    With `force` it is built all the same, and equals the old one byte for byte: a cell tagged
    `nbval-ignore-output` keeps its stored output while the fingerprint is unchanged.

    LessonError when a cell fails, or when the learner edition would hold a solution; nothing is written then.
    """
    path = notebook_path(page, out)
    notebook = notebook_of(page, edition, fingerprint=fingerprint(page))
    in_step = not _differences(notebook, path)
    if in_step and not force:
        return False
    run(notebook, page, edition, on_cell=on_cell)
    if in_step:
        for new, old in zip(notebook.cells, _read(path).cells, strict=True):
            if "nbval-ignore-output" in new.metadata.get("tags", ()):
                new.outputs = old.outputs
    if edition is Edition.learner:
        for cell, where in traces(page, notebook):
            why = f"cell {cell.id}: this solution stands in the learner's edition too, in {where}"
            raise LessonError(why, path=page.path, line=cell.line)
    _write(notebook, path)
    return True


def differences(page: Page, out: Path, *, edition: Edition = Edition.learner) -> list[str]:
    """How a page's notebook differs from its source, found without running it; none when in step."""
    return _differences(notebook_of(page, edition, fingerprint=fingerprint(page)), notebook_path(page, out))


def strays(pages: Iterable[Page], out: Path) -> list[Path]:
    """The notebooks that no page makes."""
    made = {notebook_path(page, out) for page in pages}
    return sorted(path for path in out.glob("[0-9][0-9]-*/*.ipynb") if path not in made)


def _differences(wanted: NotebookNode, path: Path) -> list[str]:
    if not path.exists():
        return [f"{shown(path)}: not built yet"]
    try:
        found = _read(path)
    except Exception as error:  # nbformat has its own errors, and hands on those of json and of the system
        return [f"{shown(path)}: is no notebook that can be read ({type(error).__name__})"]
    old = {cell.get("id"): cell for cell in found.cells}
    new = {cell.id: cell for cell in wanted.cells}
    said = [f"{shown(path)}: cell {key} is missing" for key in new if key not in old]
    said += [f"{shown(path)}: cell {key} is not in the lesson" for key in old if key not in new]
    for key in new:
        for part in "cell_type", "source", "metadata":
            if key in old and old[key][part] != new[key][part]:
                said.append(f"{shown(path)}: cell {key} differs from the lesson: its {part}")
    if not said and [cell.get("id") for cell in found.cells] != list(new):
        said.append(f"{shown(path)}: its cells stand in another order than the lesson's")
    if found.metadata.get("funcpipe_rag") != wanted.metadata.funcpipe_rag:
        said.append(f"{shown(path)}: built from an older lesson, exercise, note or package source")
    return said


def _read(path: Path) -> NotebookNode:
    import nbformat

    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def _write(notebook: NotebookNode, path: Path) -> None:
    """Write it whole or not at all: a stopped build leaves the old notebook."""
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".ipynb.unfinished")
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    unfinished.write_text(text + "\n", encoding="utf-8", newline="\n")
    os.replace(unfinished, path)
