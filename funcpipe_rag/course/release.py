"""A release: what an instructor hands out. Learner notebooks, the field notes, a page that says how to begin,
and a manifest that says what was handed out, so that it can be graded later.

Everything is made in memory and searched for traces of solutions before the first file is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import funcpipe_rag
from funcpipe_rag.course.editions import Edition, notebook_of
from funcpipe_rag.course.exercises import EXERCISES, Exercise
from funcpipe_rag.course.exercises.variants import VARIANTS, Variant, variant_of
from funcpipe_rag.course.fingerprint import fingerprint
from funcpipe_rag.course.lessons import Lesson, LessonError, Page, Places, find_pages, shown
from funcpipe_rag.course.progress import FILE as PROGRESS, HEAD
from funcpipe_rag.course.traces import released_traces
from funcpipe_rag.course.work_folder import NOTES

if TYPE_CHECKING:
    from nbformat import NotebookNode

MANIFEST = "release.json"
FORMAT = "funcpipe-rag release 1"
NOT_HANDED_OUT = ("for-instructors.md",)
"""Pages that everybody may read, and that no class is given."""

Files = dict[str, bytes]
"""The files of a release by their place in its folder, with `/` on every system."""


def make_release(places: Places, wanted: Sequence[str], *, secret: str = "") -> Files:
    """The files to hand out for some lessons or modules, with the pages that lead to them.

    With a secret, exercises that have variants come as the variant that it stands for.

    >>> from funcpipe_rag.course.lessons import find_places
    >>> files = make_release(find_places(), ["M03C07"])
    >>> [name.partition("/")[2] for name in files if name.endswith(".ipynb")]
    ['01-start-here.ipynb', 'index.ipynb', '07-fan-in-and-fan-out.ipynb', 'gallery.ipynb']

    Their exercises and points are in the manifest; those of a page that only came along do not count.

    >>> manifest = json.loads(files["release.json"])
    >>> manifest["asked_for"], [exercise["points"] for exercise in manifest["pages"][2]["exercises"]]
    (['M03C07'], [5, 6, 5, 1])

    Class: external. Demand: reads all lessons. Memory: the files. Closing: nothing stays open. Errors: LessonError
    when nothing is wanted, when there is no such lesson, or when a file would hold a solution.
    """
    pages = find_pages(places.modules)
    asked, given = handed_out(pages, _chosen(places, wanted))
    notebooks = {f"{page.path.parent.name}/{page.path.stem}.ipynb": page for page in given}
    files: Files = {
        name: as_bytes(learner_notebook(page, name, {*notebooks, *map(_place_of, _notes())}, secret=secret))
        for name, page in notebooks.items()
    }
    files |= {_place_of(note): note.read_text(encoding="utf-8").encode() for note in _notes()}
    files["README.md"] = _readme(asked, given, notebooks).encode()
    files[PROGRESS] = f"{HEAD}\n".encode()
    files[MANIFEST] = manifest(asked, notebooks, files, secret=secret)
    refuse_traces(pages, files)
    return files


def handed_out(pages: Sequence[Page], chosen: Collection[Page]) -> tuple[list[Lesson], list[Page]]:
    """The lessons that are asked for, and all of `pages` that go with them: where to start, each module's index, and
    the pages, not lessons, that these link to.
    """
    ids = {page.id for page in chosen}
    asked = [page for page in pages if isinstance(page, Lesson) and page.id in ids]
    start = next(page.path.parent for page in pages if isinstance(page, Lesson))
    modules = {page.path.parent for page in asked}
    linked = {os.path.normpath(page.path.parent / target) for page in asked for target in _targets(page)}

    def goes_along(page: Page) -> bool:
        if isinstance(page, Lesson):
            return page.path.parent == start
        index = page.path.name == "index.md" and page.path.parent in modules
        return page.id in ids or index or str(page.path.with_suffix(".ipynb")) in linked

    given = [
        page for page in pages if page in asked or (goes_along(page) and page.path.name not in NOT_HANDED_OUT)
    ]
    return asked, given


def learner_notebook(page: Page, name: str, released: Collection[str], *, secret: str = "") -> NotebookNode:
    """A page's learner edition as it is handed out, in a release with these files.

    It has not been run: no answer stands below a question. A link leads to a file of the release, or is its text.
    """
    notebook = notebook_of(page, Edition.learner, fingerprint=fingerprint(page))
    for exercise in exercises_of(page, secret=secret):
        if exercise.variant:
            _set_variant(notebook, VARIANTS[exercise.asked])
    up = "../" * name.count("/")

    def relinked(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        place, _, _ = target.partition("#")
        if re.match(r"\w+:", target) or not place:
            return link[0]
        folder, _, note = place.rpartition("/")
        if folder.endswith("data/notes") and f"notes/{note}" in released:
            return f"[{text}]({up}notes/{note})"
        at = os.path.normpath(PurePosixPath(name).parent / place).replace(os.sep, "/")
        return link[0] if at in released else text

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell["source"] = _LINK.sub(relinked, cell.source)
    return notebook


def refuse_traces(pages: Sequence[Page], files: Mapping[str, bytes]) -> None:
    """LessonError when a file that is to be handed out holds a solution of any page."""
    notes = [note.read_text(encoding="utf-8") for note in _notes()]
    for trace in released_traces(pages, files, also_shown=notes):
        raise LessonError(
            f"cell {trace.cell.id}: this solution would be handed out, in {trace.file}: {trace.where}; "
            "nothing was written",
            path=trace.page.path,
            line=trace.cell.line,
        )


def _set_variant(notebook: NotebookNode, variant: Variant) -> None:
    """Let a notebook tell of a variant, and ask for its check, where it had the exercise that everybody knows."""
    exercise = variant.exercise
    (place,) = (
        place
        for place, cell in enumerate(notebook.cells)
        if "exercise" in cell.metadata.get("tags", ()) and f'check("{exercise.id}"' in cell.source
    )
    cell, above = notebook.cells[place], notebook.cells[place - 1]
    cell["source"] = cell.source.replace(f'check("{exercise.id}"', f'check("{exercise.asked}"')
    lines = re.compile(r"\s+".join(map(re.escape, variant.instead_of.split())))
    above["source"], told = lines.subn(lambda _: variant.told, above.source, count=1)
    if not told:
        raise LessonError(
            f"the lesson does not say what {exercise.asked} is told instead of: {variant.instead_of}"
        )


def manifest(
    asked: Sequence[Lesson], notebooks: Mapping[str, Page], files: Files, *, secret: str = ""
) -> bytes:
    """What is handed out, as JSON: pages with their fingerprints, exercises with the points of each law, and a
    digest of every file.
    """
    graded = {lesson.id for lesson in asked}
    pages = [
        {
            "id": page.id,
            "title": page.title,
            "notebook": name,
            "fingerprint": json.loads(files[name])["metadata"]["funcpipe_rag"]["fingerprint"],
            "graded": page.id in graded,
            "exercises": [
                {
                    "id": exercise.id,
                    "variant": exercise.variant,
                    "title": exercise.title,
                    "function": exercise.function,
                    "points": exercise.points,
                    "laws": {law.id: law.points for law in exercise.laws},
                }
                for exercise in exercises_of(page, secret=secret)
            ],
        }
        for name, page in notebooks.items()
    ]
    said = {
        "format": FORMAT,
        "made_by": f"funcpipe-rag {funcpipe_rag.__version__}",
        "asked_for": [lesson.id for lesson in asked],
        "points": sum(exercise.points for lesson in asked for exercise in exercises_of(lesson)),
        "pages": pages,
        "files": {name: _digest(content) for name, content in sorted(files.items())},
    }
    return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()


def exercises_of(page: Page, *, secret: str = "") -> list[Exercise]:
    """The exercises of a page, in its order; with a secret, as the variants that it stands for."""
    ids = page.exercises if isinstance(page, Lesson) else ()
    asked = [f"{id}{variant_of(id, secret)}" for id in ids]
    return [VARIANTS[one].exercise if one in VARIANTS else EXERCISES[one] for one in asked]


def write_release(files: Files, out: Path, *, ours: Sequence[str] = ("",)) -> None:
    """Write a release into a folder that is new, empty, or holds an earlier release as it was written.

    What the earlier one had and this one has not is removed. With `ours`, only what begins with one of these names, or was
    in the earlier one, is looked at; the rest of the folder is somebody else's. The manifest comes last, so that a run which was stopped can
    be run again. LessonError, with the way out, when the folder holds anything else; nothing is written then.
    """
    if out.exists() and not out.is_dir():
        raise LessonError(f"{shown(out)} is a file: say the folder to write to, --out DIR")
    earlier = _earlier(out)
    found = {path.relative_to(out).as_posix(): path for path in _files_in(out)}
    there = {name: path for name, path in found.items() if name in earlier or name.startswith(tuple(ours))}
    known = {name: {earlier.get(name), _digest(content)} for name, content in files.items()}
    known |= {name: {digest} for name, digest in earlier.items() if name not in files}
    known[MANIFEST] = {_digest_of(there[MANIFEST])} if earlier else set()
    strange = [
        name
        for name, path in there.items()
        if not name.endswith(_UNFINISHED) and _digest_of(path) not in known.get(name, ())
    ]
    if strange:
        named = ", ".join(strange[:3]) + (" and more" if len(strange) > 3 else "")
        raise LessonError(
            f"{shown(out)} holds what no release of ours wrote, or what was changed since: {named}. "
            "Nothing was written: say another --out, or move that away first"
        )
    gone = sorted(set(there) & (set(earlier) - set(files)))
    for name in gone:
        there[name].unlink()
    for name in gone:
        with suppress(OSError):  # something else is in it, or it is gone already
            there[name].parent.rmdir()
    for name in sorted(files, key=lambda name: name == MANIFEST):
        if name not in there or there[name].read_bytes() != files[name]:
            _write(out / name, files[name])


def as_bytes(notebook: NotebookNode) -> bytes:
    """A notebook as its file has it."""
    import nbformat

    return (str(nbformat.writes(notebook)) + "\n").encode()  # type: ignore[no-untyped-call]


_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_UNFINISHED = ".unfinished"


def _chosen(places: Places, wanted: Sequence[str]) -> list[Page]:
    if not wanted:
        raise LessonError("say what to release: a module (M03) or lessons (M03C07 M03C08)")
    chosen = find_pages(places.modules, wanted)
    if not any(isinstance(page, Lesson) for page in chosen):
        raise LessonError(f"{', '.join(wanted)}: no lesson among them, so there is nothing to hand in")
    return chosen


def _notes() -> list[Path]:
    return sorted(NOTES.glob("*.md"))


def _place_of(note: Path) -> str:
    return f"notes/{note.name}"


def _targets(page: Page) -> Iterator[str]:
    for cell in page.cells:
        if cell.kind == "markdown":
            yield from (
                link[2].partition("#")[0] for link in _LINK.finditer(cell.source) if ":" not in link[2]
            )


def _earlier(out: Path) -> dict[str, str]:
    """The digests of the release that a folder holds; none when it holds none."""
    try:
        said = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            return {}
        return {str(name): str(digest) for name, digest in said["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _digest_of(path: Path) -> str:
    """The digest of a file; a link is nobody's."""
    return "" if path.is_symlink() else _digest(path.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + _UNFINISHED)
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _readme(asked: Sequence[Lesson], given: Sequence[Page], notebooks: Mapping[str, Page]) -> str:
    place = {page.id: name for name, page in notebooks.items()}
    rows = [
        f"| [{lesson.id} {lesson.title}]({place[lesson.id]}) | {lesson.read_minutes} + {lesson.exercise_minutes} "
        f"| {len(lesson.exercises)} | {sum(exercise.points for exercise in exercises_of(lesson))} |"
        for lesson in asked
    ]
    first = next(page for page in given if isinstance(page, Lesson))
    example = exercises_of(asked[0])[0] if asked[0].exercises else exercises_of(first)[0]
    return _README.format(
        rows="\n".join(rows),
        version=funcpipe_rag.__version__,
        start=place[first.id],
        title=f"{first.id} {first.title}",
        example=example.id,
        function=example.function,
    )


_README = """\
# Streaming Python: your notebooks

| lesson | minutes (read + exercises) | exercises | points |
|---|---|---|---|
{rows}

## Before you begin

You need Python 3.11 or newer. In this folder, install the course once (or the file of it that you were given: put its name in
the place of the name in quotes), and let it look whether all is in place:

    python -m pip install "funcpipe-rag[course]=={version}"
    funcpipe-rag course doctor

Then open JupyterLab. [{title}]({start}) shows how a lesson works, and takes ten minutes.

    jupyter lab {start}

## An exercise

Run the cells from top to bottom. An exercise is a cell with `...` in it. Put your code in place of the dots and run the cell:
a card names the law that your code keeps or breaks, and the smallest input that breaks it. A law is worth points of its own,
so an answer that keeps some of them earns some of the points.

When you are stuck, `funcpipe-rag course hint {example}` in a terminal gives a hint for that exercise. What you have done is
kept in `{progress}`, a plain text file.

## Handing in

Save each notebook and hand in the `.ipynb` file as it is. Your function is found by its name, so keep that: `{function}`, for
instance. You may add cells, split them and move them. What you did not get to, leave as it was.
""".replace("{progress}", PROGRESS)
