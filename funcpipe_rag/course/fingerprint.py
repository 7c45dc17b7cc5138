"""What a notebook was made from, as one number: equal fingerprints mean that there is nothing to build.

It covers the page, its exercises, the field notes, and the source of every room that the page can
reach. Comments and blank lines of that source do not count; docstrings do, because a page may show them.
"""

from __future__ import annotations

import hashlib
import io
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import funcpipe_rag
from funcpipe_rag.course.lessons import Page

ROOMS = {
    "streams": (),
    "aio": ("streams",),
    "rag": ("streams",),
    "serving": ("aio", "rag"),
    "scale": ("rag",),
    "laws": ("streams", "aio", "rag"),
    "plots": ("streams", "aio", "rag"),
    "course": ("laws", "plots"),
}
FACE = ("streams", "aio", "rag")
NO_PART_OF_A_NOTEBOOK = {
    *("commands.py", "lint.py", "new.py", "parts.py", "progression.py", "reading.py", "traces.py"),
    *("learner_commands.py", "answers.py", "judging.py", "work_folder.py", "standing.py", "doctor.py"),
    *("release.py", "release_commands.py", "nbgrader_course.py", "grading.py", "grade_commands.py"),
    *("submissions.py", "gradebook.py", "feedback.py", "similarity.py"),
}


def fingerprint(page: Page, *, package: Path = Path(funcpipe_rag.__file__).parent) -> str:
    """The sha256 of all that decides what a page's notebook holds, the builder's own source included."""
    digest = hashlib.sha256()
    for name, content in _parts(page, package):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def rooms_of(code: str) -> set[str]:
    """The rooms that code can reach.

    A room's name anywhere in it counts: one room too many costs a rebuild, one too few a wrong page.

    >>> sorted(rooms_of("from funcpipe_rag.streams import fence_k"))
    ['aio', 'rag', 'streams']
    >>> sorted(rooms_of("import itertools"))
    []
    """
    reached: set[str] = set()
    waiting = [room for room in ROOMS if re.search(rf"\b{room}\b", code)]
    if "funcpipe_rag" in code:
        waiting += FACE
    while waiting:
        room = waiting.pop()
        if room not in reached:
            reached.add(room)
            waiting += ROOMS[room]
    return reached


def _parts(page: Page, package: Path) -> Iterator[tuple[str, bytes]]:
    yield page.id, page.text.encode()
    builder = [package / "course" / f"{name}.py" for name in ("lessons", "editions", "running", "build")]
    code = "\n".join(cell.source for cell in page.cells if cell.kind == "code")
    paths = set(builder)
    if "funcpipe_rag" in code:
        paths.add(package / "__init__.py")
    for room in rooms_of(code):
        paths.update(path for path in (package / room).rglob("*.py") if _counts(path, page))
    for path in sorted(paths):
        source = _without_comments(path.read_text(encoding="utf-8"))
        yield path.relative_to(package).as_posix(), source.encode()
    for path in sorted((package / "course" / "data" / "notes").rglob("*")):
        if path.is_file():
            yield path.relative_to(package).as_posix(), path.read_bytes().replace(b"\r\n", b"\n")


def _counts(path: Path, page: Page) -> bool:
    """Another lesson's exercises are no concern of this one."""
    if path.parent.name == "exercises" and (other := re.match(r"m\d\dc\d\d", path.stem)):
        return other[0] == page.id.lower()
    return not (path.parent.name == "course" and path.name in NO_PART_OF_A_NOTEBOOK)


@lru_cache(maxsize=1024)
def _without_comments(source: str) -> str:
    lines = source.split("\n")
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column].rstrip()
    except (tokenize.TokenError, SyntaxError):
        return source  # the lesson's first import will say what is wrong with it
    return "\n".join(line for line in lines if line.strip())
