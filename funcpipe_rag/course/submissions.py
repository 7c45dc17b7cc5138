"""What was handed in: whose it is, which notebooks it holds, and where in them an exercise is answered.

A folder of submissions holds a folder a learner, or a notebook a learner. Nothing of it is run here.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from .answers import Answer, AnswerError, NotebookError, find_answer, mentions, read_notebook
from .exercises import Exercise

LARGEST = 100_000_000
"""Bytes of a learner's notebooks; what goes beyond is not read."""

MOST, DEEPEST = 200, 20
"""Notebooks of a learner, and folders in folders; what goes beyond is not read."""


class HandedInError(Exception):
    """Why a folder or a roster cannot be graded: what stands there, and what to do."""


@dataclass(frozen=True)
class Submission:
    """One learner's notebooks, as they lie there; `notes` say what was left out, and why."""

    learner: str
    notebooks: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """A digest of the names and the bytes of its notebooks."""
        digest = sha256()
        for path in self.notebooks:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode("utf-8", "surrogatepass"))
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def find_submissions(folder: Path) -> list[Submission]:
    """The submissions in a folder, by name: each folder in it is a learner's, and so is each notebook in it.

    Hidden files, links and what is no notebook are left out. HandedInError when nothing is there.
    """
    if not folder.is_dir():
        raise HandedInError(
            f"{folder} is no folder: name the one that holds a folder or a notebook a learner"
        )
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_symlink():
            name = legible(path.name)
            found.append(Submission(name, (), (f"{name} is a link, and is not followed",)))
        elif path.is_dir():
            found.append(_of_folder(path))
        elif path.suffix == ".ipynb":
            found.append(_of_notebooks(legible(path.stem), [path]))
    if not found:
        raise HandedInError(f"{folder} holds no submission: a folder or a notebook a learner is looked for")
    twice = sorted({one.learner for one in found if sum(one.learner == two.learner for two in found) > 1})
    if twice:
        raise HandedInError(f"{twice[0]} has a folder and a notebook in {folder}: put the one into the other")
    return found


def legible(name: str) -> str:
    """A file's name as it may be printed and written: what is no letter in it stands there as its number.

    >>> legible("ada lovelace"), legible("a\\x1b[2J\\udcff")
    ('ada lovelace', 'a\\\\x1b[2J\\\\udcff')
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name
    )


def _of_folder(folder: Path) -> Submission:
    found, notes = [], []
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as inside:
                entries = [entry for entry in inside if not entry.name.startswith(".")]
        except OSError as error:
            notes.append(f"{legible(place.name)} cannot be read: {error.strerror}")
            continue
        found += [place / entry.name for entry in entries if entry.name.endswith(".ipynb")]
        folders = [place / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        if folders and len(place.parts) - len(folder.parts) >= DEEPEST:
            notes.append(f"folders lie {DEEPEST} deep; what is deeper is not read")
        else:
            waiting += folders
    return _of_notebooks(legible(folder.name), sorted(found), notes)


def _of_notebooks(learner: str, paths: Sequence[Path], notes: Sequence[str] = ()) -> Submission:
    kept, notes = [], list(notes)
    room = LARGEST
    if len(paths) > MOST:
        notes.append(f"there are {len(paths):,} notebooks; more than {MOST} are not read")
    for path in paths[:MOST]:
        name = legible(path.name)
        try:
            own = path.is_file() and not path.is_symlink()
            size = path.stat().st_size if own else 0
        except OSError as error:
            notes.append(f"{name} cannot be read: {error.strerror}")
            continue
        if not own:
            notes.append(f"{name} is no file of its own, and is not read")
        elif not os.access(path, os.R_OK):
            notes.append(f"{name} cannot be read: its owner does not allow it")
        elif size > room:
            notes.append(f"{name} has {size:,} bytes; more than {LARGEST:,} are not read")
        else:
            room -= size
            kept.append(path)
    if not kept and not notes:
        notes.append("no notebook was handed in")
    return Submission(learner, tuple(kept), tuple(notes))


@dataclass(frozen=True)
class Found:
    """Where an exercise is answered, or in words why it is not."""

    answer: Answer | None
    where: str


def find_answers(submission: Submission, exercises: Sequence[Exercise]) -> tuple[dict[str, Found], list[str]]:
    """For each exercise the answer in a submission's notebooks, found by its function's name; and what cannot be read.

    Of several answers the last one is taken that differs from the starter.
    """
    notebooks, notes = [], list(submission.notes)
    for path in submission.notebooks:
        try:
            notebooks.append((legible(path.name), read_notebook(path)))
        except NotebookError as error:
            notes.append(legible(str(error).replace(str(path), path.name)))
    found = {}
    for exercise in exercises:
        answers: list[tuple[bool, int, Found]] = []
        missing = []
        # Several lessons ask for a function of the same name: where its own notebook is there, no other will do.
        own = [(name, notebook) for name, notebook in notebooks if mentions(notebook, exercise)]
        for place, (name, notebook) in enumerate(own or notebooks):
            try:
                answer = find_answer(notebook, exercise)
            except AnswerError as error:
                missing.append(f"{name}: {str(error).partition(';')[0]}")
            else:
                answers.append((not answer.untouched, place, Found(answer, f"{name}, cell {answer.cell}")))
        if answers:
            found[exercise.id] = max(answers, key=lambda one: one[:2])[2]
        else:
            found[exercise.id] = Found(None, "; ".join(missing) or "there is no notebook to look in")
    return found, notes


@dataclass(frozen=True)
class Roster:
    """A class list: its columns, its rows, and the column that names the submissions."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    key: str

    def row(self, learner: str) -> dict[str, str]:
        """The row of a learner; nothing but empty fields for one who is not on the list."""
        return next((row for row in self.rows if row[self.key] == learner), dict.fromkeys(self.columns, ""))


def read_roster(path: Path, learners: Sequence[str]) -> Roster:
    """A class list from a CSV file with a header; the column with most of the submissions' names is its key.

    HandedInError when the file cannot be read, when no column names any of them, or when it names one twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                {k: v or "" for k, v in row.items() if k is not None}
                for row in csv.DictReader(file, strict=True)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HandedInError(f"{path} cannot be read as a CSV file: {error}") from None
    # Canvas writes below its header what there is to earn, in the place of a learner.
    rows = [row for row in rows if row.get("Student", "").strip() != "Points Possible"]
    columns = tuple(rows[0]) if rows else ()
    known = set(learners)
    hits = {column: len(known & {row[column] for row in rows}) for column in columns}
    if not any(hits.values()):
        said = ", ".join(columns) or "none"
        raise HandedInError(
            f"{path}: no column names a submission such as {learners[0]!r} (columns: {said}); "
            "name the folders as the class list does"
        )
    key = max(columns, key=lambda column: (hits[column], len({row[column] for row in rows})))
    for learner in learners:
        if len({tuple(row.values()) for row in rows if row[key] == learner}) > 1:
            raise HandedInError(
                f"{path}: column {key!r} has {learner!r} twice, and nobody knows whose submission it is; name the "
                "folders by a column that tells them apart"
            )
    return Roster(columns, tuple(rows), key)
