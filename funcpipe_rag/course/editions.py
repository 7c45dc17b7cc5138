"""One page, three editions: what a learner, a reader of the solutions and an instructor each get to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from funcpipe_rag.course.lessons import Cell, Lesson, Page

if TYPE_CHECKING:
    from nbformat import NotebookNode


class Edition(StrEnum):
    """`learner`: starters only. `solved`: each solution in its starter's place. `instructor`: every cell."""

    learner = "learner"
    solved = "solved"
    instructor = "instructor"


def cells_of(page: Page, edition: Edition) -> list[Cell]:
    """The cells of one edition, in order.

    A solved exercise keeps its starter's id and tags, as a learner's own answer would.
    """
    if edition is Edition.instructor:
        return list(page.cells)
    cells: list[Cell] = []
    for cell in page.cells:
        if "instructor" in cell.tags or (edition is Edition.learner and "solution" in cell.tags):
            continue
        if cell.kind == "code" and "solution" in cell.tags:
            cells[-1] = replace(cells[-1], source=cell.source, line=cell.line)
        else:
            cells.append(cell)
    return cells


def notebook_of(page: Page, edition: Edition, *, fingerprint: str) -> NotebookNode:
    """One edition as a notebook that has not been run; its metadata says what it was made from."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

    kind = "lesson" if isinstance(page, Lesson) else "page"
    new: dict[str, Callable[..., NotebookNode]]
    new = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
    notebook: NotebookNode = new_notebook(  # type: ignore[no-untyped-call]
        cells=[
            new[cell.kind](source=cell.source, id=cell.id, metadata=dict(cell.metadata))
            for cell in cells_of(page, edition)
        ],
        metadata={
            "funcpipe_rag": {kind: page.id, "edition": edition.value, "fingerprint": fingerprint},
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        },
    )
    return notebook
