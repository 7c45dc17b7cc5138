"""`funcpipe-rag course grade`: a folder of submissions becomes grades, feedback pages and a view of the class."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from funcpipe_rag.course.gradebook import Platform
from funcpipe_rag.course.lessons import LessonError, find_lessons, find_places, shown

if TYPE_CHECKING:
    from funcpipe_rag.course.grading import Graded, Rules
    from funcpipe_rag.course.submissions import Roster, Submission

app = typer.Typer()


@app.command()
def grade(
    submissions: Annotated[
        Path, typer.Argument(help="A folder that holds a folder, or a notebook, a learner.")
    ],
    out: Annotated[Path, typer.Option(help="Where grades, feedback and the class page are written.")],
    lesson: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LESSON", help="M03C07, for each lesson that was set; those found when not given."
        ),
    ] = None,
    laws: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A Python file with laws of your own; only the judge reads it."),
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(metavar="CSV", help="The class list; its columns come first.")
    ] = None,
    lms: Annotated[
        Platform | None,
        typer.Option(help="Also write the columns that this platform takes in; needs --roster."),
    ] = None,
    variant_secret: Annotated[
        str, typer.Option(metavar="SECRET", help="What the release was made with, if it was made with one.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the inputs; the same seed gives the same grades.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Judges at a time; one a processor when 0.")] = 0,
    regrade: Annotated[bool, typer.Option("--regrade", help="Judge again what was judged before.")] = False,
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Grade where this system cannot keep a submission from everything."),
    ] = False,
) -> None:
    """Judge a folder of submissions, each in a child that can touch nothing, and write what came of it.

    A run that was stopped goes on where it was.
    """
    from funcpipe_rag.course.grading import Rules, extra_laws, grade_all
    from funcpipe_rag.course.submissions import HandedInError, find_submissions, read_roster

    try:
        handed_in = find_submissions(submissions)
        classlist = read_roster(roster, [one.learner for one in handed_in]) if roster else None
        if lms and classlist is None:
            _refuse(f"--lms {lms.value} needs the class list that {lms.value} exports: add --roster CSV")
        if laws is not None:
            _checked_laws(extra_laws, laws)
        if out.resolve() == submissions.resolve() or submissions.resolve() in out.resolve().parents:
            _refuse(f"{shown(out)} lies in what was handed in: say another --out")
        exercises = _exercises(lesson or (), handed_in)
        rules = Rules(tuple(exercises), seed=seed, extra=laws, secret=variant_secret)
        _same_variants(rules, handed_in)
        _protected(anyway)
        graded = []
        with _progress(len(handed_in)) as told:
            for one, seconds in grade_all(handed_in, rules, out / "judged", again=regrade, jobs=jobs):
                graded.append(one)
                told(one, seconds)
        _write(out, handed_in, graded, rules, classlist, lms, lesson or ())
    except (HandedInError, LessonError) as error:
        _refuse(str(error))
    except BrokenPipeError:  # whoever read along has gone
        raise
    except OSError as error:
        _refuse(f"{error.filename2 or error.filename or ''}: {error.strerror or error}".lstrip(": "))
    except KeyboardInterrupt:
        typer.echo("stopped    the same command goes on from here", err=True)
        raise typer.Exit(130) from None


def _checked_laws(load: Callable[[Path], object], path: Path) -> None:
    try:
        load(path)
    except (Exception, SystemExit) as error:
        _refuse(f"{shown(path)} cannot be used: {type(error).__name__}: {error}")


def _exercises(lessons: Sequence[str], handed_in: Sequence[Submission]) -> list[str]:
    """The exercises of the lessons that were set, or of those that the notebooks say they are."""
    from funcpipe_rag.course.submissions import HandedInError

    known = {lesson.id: lesson for lesson in find_lessons(find_places().modules)}
    for id in lessons:
        if id.upper() not in known:
            raise HandedInError(f"there is no lesson {id}; there are {', '.join(known)}")
    chosen = {id.upper() for id in lessons}
    if not chosen:
        said = [_lessons_said(one) & known.keys() for one in handed_in]
        # Nobody decides alone what the others are graded by.
        counted = Counter(id for ids in said for id in ids)
        chosen = {id for id, count in counted.items() if 2 * count >= sum(map(bool, said))}
        typer.echo(
            f"lessons    {', '.join(sorted(chosen)) or 'none'}: what most notebooks are; --lesson says otherwise"
        )
    if not chosen:
        raise HandedInError(
            "no notebook says which lesson it is: name those that were set, as in --lesson M03C07"
        )
    return [id for name, lesson in known.items() if name in chosen for id in lesson.exercises]


def _lessons_said(submission: Submission) -> set[str]:
    """The lessons that a learner's notebooks say they are."""
    from funcpipe_rag.course.answers import NotebookError, read_notebook

    found = set()
    for path in submission.notebooks:
        try:
            notebook = read_notebook(path)
        except NotebookError:
            continue
        match notebook.get("metadata"):
            case {"funcpipe_rag": {"lesson": str(id)}}:
                found.add(id)
    return found


def _same_variants(rules: Rules, handed_in: Sequence[Submission]) -> None:
    """Refuse to grade variants by another secret: most notebooks ask for what their release has set."""
    from funcpipe_rag.course.answers import NotebookError, as_handed_out, mentions, read_notebook
    from funcpipe_rag.course.exercises import EXERCISES
    from funcpipe_rag.course.submissions import HandedInError

    same, other = Counter[str](), Counter[str]()
    for one in handed_in:
        for path in one.notebooks:
            try:
                written = read_notebook(path)
            except NotebookError:
                continue
            for id in rules.exercises:
                if mentions(written, EXERCISES[id]):
                    set_here = as_handed_out(written, EXERCISES[id]).variant
                    (same if set_here == rules.exercise(id).variant else other)[id] += 1
    if any(other[id] > same[id] for id in other):
        raise HandedInError(
            "these notebooks were released with another secret: say --variant-secret as `course release` was told, "
            "or leave it out where it was told none"
        )


def _protected(anyway: bool) -> None:
    """Say what this system keeps a submission from; refuse when that is not all, unless it is wanted."""
    from funcpipe_rag.laws.confinement import protections

    kept = [one for one in protections() if one.by]
    open_to = [one.what for one in protections() if not one.by]
    typer.echo(f"confined   {'; '.join(f'{one.what} by {one.by}' for one in kept)}")
    if open_to:
        typer.echo(
            f"open       {', '.join(open_to)}: this system does not keep a submission from them", err=True
        )
        if not anyway:
            _refuse("grade on Linux 5.13 or newer, or in a container of your own and with --anyway")


def _write(
    out: Path,
    handed_in: Sequence[Submission],
    graded: Sequence[Graded],
    rules: Rules,
    classlist: Roster | None,
    lms: Platform | None,
    lessons: Sequence[str],
) -> None:
    from funcpipe_rag.course.feedback import class_page, feedback_page
    from funcpipe_rag.course.gradebook import grades_csv, platform_csv
    from funcpipe_rag.course.grading import file_name, results_text, write
    from funcpipe_rag.course.similarity import similar
    from funcpipe_rag.course.submissions import find_answers

    graded = sorted(graded, key=lambda one: one.learner)
    programs: dict[str, dict[str, str]] = {id: {} for id in rules.exercises}
    for submission in handed_in:
        for id, found in find_answers(submission, [rules.exercise(id) for id in rules.exercises])[0].items():
            if found.answer is not None and not found.answer.untouched:
                programs[id][submission.learner] = found.answer.program
    pages = out / "feedback"
    pages.mkdir(parents=True, exist_ok=True)
    for one in graded:
        write(pages / f"{file_name(one.learner)}.html", feedback_page(one))
    write(out / "class.html", class_page(graded, similar(programs)))
    write(out / "results.json", results_text(rules, graded))
    write(out / "grades.csv", grades_csv(graded, classlist))
    typer.echo(f"grades     {shown(out / 'grades.csv')}: {len(graded)} learners")
    if lms is not None and classlist is not None:
        name = " ".join(lessons) or "funcpipe_rag"
        write(out / f"grades-{lms.value}.csv", platform_csv(graded, classlist, lms, name))
        typer.echo(f"{lms.value:<10} {shown(out / f'grades-{lms.value}.csv')}")
    typer.echo(f"feedback   {shown(pages)}: a page a learner")
    typer.echo(f"class      {shown(out / 'class.html')}: laws, misconceptions, answers that are alike")
    typer.echo(f"results    {shown(out / 'results.json')}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Graded, float], object]]:
    """A bar where somebody watches, a line a learner where the output is piped."""
    if not sys.stdout.isatty():
        yield lambda one, seconds: typer.echo(_line(one, seconds))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as progress:
        task = progress.add_task("judging", total=total)

        def told(one: Graded, seconds: float) -> None:
            progress.console.print(_line(one, seconds), markup=False, highlight=False)
            progress.advance(task)

        yield told


def _line(one: Graded, seconds: float) -> str:
    how = f"{seconds:.1f} s" if seconds else "judged before"
    return f"judged     {one.learner}: {one.points} of {one.of}, {how}"


def _refuse(why: str) -> NoReturn:
    typer.echo(f"error      {why}", err=True)
    raise typer.Exit(2)
