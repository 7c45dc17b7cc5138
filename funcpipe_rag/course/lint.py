"""What a page owes its reader, checked without running it: words, numbers, links, pictures, code.

What a lesson owes besides is in parts.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from funcpipe_rag.course.lessons import Cell, Lesson, Page, find_pages
from funcpipe_rag.course.parts import owed_by
from funcpipe_rag.course.progression import Registries, dangling
from funcpipe_rag.course.reading import Finding, Reading, comments_of, syntax_of

LINES, MEDIAN_LINES = 12, 6
HELPERS = {"check", "watch", "predict", "expect"}
NETWORK = {
    "socket",
    "ssl",
    "http",
    "urllib",
    "ftplib",
    "smtplib",
    "requests",
    "httpx",
    "aiohttp",
    "websockets",
}
NEVER = re.compile(r"\b(simply|just|obviously)\b", re.IGNORECASE)
NUMBER = re.compile(
    r"(?<![\w.,#-])(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?P<rest>\.\d+)?(?!\w*[.,]?\d)"
    r"(?P<unit>[ \u00a0-]?(?:B|[kKMG]i?B|bytes?|s|ms|µs|ns|(?:milli|micro|nano)?seconds?|%|per cent|×|times|pulls?"
    r"|items?|words?|chunks?|notes?|documents?|lines?|records?|rows?|tokens?|calls?|threads?|tasks?)(?!\w))?"
)
NAMED = re.compile(r"(?:Python|PEP|RFC|issue|section|chapter)\s*$", re.IGNORECASE)
YEAR = re.compile(r"(?:19|20)\d\d")


def lint(modules: Path, known: Registries, wanted: Sequence[str] = ()) -> list[Finding]:
    """What the lessons and pages of `modules` owe, in the order of files and lines: of all, or of those wanted.

    `wanted` names them as `course build` does. LessonError for a page that cannot be read at all.
    """
    pages = find_pages(modules)
    chosen = {page.path for page in find_pages(modules, wanted)} if wanted else {page.path for page in pages}
    adrift: dict[Path, list[Finding]] = {page.path: [] for page in pages}
    for error in dangling(pages, known):
        if error.path:
            do = "mend the header, or make what it names"
            adrift[error.path].append(Finding(error.path, error.line or 1, error.message, do))
    found: list[Finding] = []
    for page in pages:
        if page.path in chosen:
            reading = Reading(page)
            here = [*adrift[page.path], *_owed_by_any(reading)]
            if isinstance(page, Lesson):
                here += owed_by(page, reading, known)
                for path in modules.parent.glob(f"funcpipe_rag/course/exercises/{page.id.lower()}_*.py"):
                    here += _todos_in(path.read_text(encoding="utf-8"), path, 1)
            found += sorted(here, key=lambda finding: (finding.path != page.path, finding.line))
    return found


def _owed_by_any(reading: Reading) -> Iterator[Finding]:
    yield from _headings(reading)
    yield from _words(reading)
    yield from _pictures_and_links(reading)
    for cell in reading.page.cells:
        yield from _todos_in(cell.source, reading.page.path, cell.line)
    yield from _lengths(reading)
    for cell in reading.page.cells:
        if cell.kind == "code":
            yield from _code(cell, reading)


def _headings(reading: Reading) -> Iterator[Finding]:
    page = reading.page
    title = f"{page.id} {page.title}" if isinstance(page, Lesson) else page.title
    if not page.cells or page.cells[0].source.splitlines()[0] != f"# {title}":
        top = page.cells[0].line if page.cells else 1
        yield reading.found(top, "the title is not the header's", f"begin the page with `# {title}`")
    deep = 0
    for line, level, words in reading.headings:
        if level == 1 and deep:
            yield reading.found(line.number, f"a second title, “{words}”", "a page has one H1: use ##")
        elif level > deep + 1:
            yield reading.found(
                line.number, f"“{words}” skips from H{deep} to H{level}", f"use {'#' * (deep + 1)}"
            )
        deep = level


def _words(reading: Reading) -> Iterator[Finding]:
    settings = _settings(reading)
    for line in reading.lines:
        for word in NEVER.findall(line.words):
            yield reading.found(line.number, f"“{word}”", "leave the word out")
        for match in NUMBER.finditer(line.words):
            if _looks_measured(match, settings):
                yield reading.found(
                    line.number,
                    f"“{match[0].strip()}” looks like a result, and no code here sets it",
                    "let a cell print it and write “the number above”",
                )


def _settings(reading: Reading) -> set[float]:
    """The numbers that the code sets: what prose repeats of them was not measured."""
    found: set[float] = set()
    for cell in reading.learner:
        for node in ast.walk(_syntax_or_none(cell)):
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
                found.add(node.value)
    return found


def _looks_measured(match: re.Match[str], settings: set[float]) -> bool:
    """A number with a unit, a fraction, or three digits and more, that no code sets; years and names are none."""
    number = float(match["whole"].replace(",", "") + (match["rest"] or ""))
    if number in settings or NAMED.search(match.string[: match.start()]):
        return False
    if match["unit"] or match["rest"]:
        return True
    return number >= 100 and not YEAR.fullmatch(match[0])


def _pictures_and_links(reading: Reading) -> Iterator[Finding]:
    for line in reading.lines:
        for match in re.finditer(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")", line.text):
            yield reading.found(
                line.number, f"a picture without words, {match[0]}", "say in its alt text what it shows"
            )
        for target in re.findall(r"\]\(([^)\s]+)\)", line.text):
            if not re.match(r"#|\w+:", target) and not _leads_somewhere(target, reading.page):
                yield reading.found(
                    line.number,
                    f"the link {target} leads nowhere",
                    "a link is relative to this file's folder",
                )


def _leads_somewhere(target: str, page: Page) -> bool:
    path = page.path.parent / target.partition("#")[0]
    return path.exists() or (path.suffix == ".ipynb" and path.with_suffix(".md").exists())


def _todos_in(text: str, path: Path, first_line: int) -> Iterator[Finding]:
    for line, words in enumerate(text.splitlines(), start=first_line):
        if match := re.search(r"\bTODO\b[:.]?\s*([^<*|\"]*)", words):
            yield Finding(path, line, "TODO", match[1].strip() or "write it")


def _lengths(reading: Reading) -> Iterator[Finding]:
    """A blank line is no code, and a solution is as long as it must be."""
    lengths = [
        (sum(bool(line.strip()) for line in cell.source.splitlines()), cell)
        for cell in reading.learner
        if cell.kind == "code"
    ]
    for lines, cell in lengths:
        if lines > LINES:
            yield reading.found(cell.line, f"a code cell of {lines} lines", f"{LINES} is the most: split it")
    if lengths and (half := median(lines for lines, _ in lengths)) > MEDIAN_LINES:
        longest = max(lengths, key=lambda pair: pair[0])[1]
        yield reading.found(
            longest.line,
            f"half of the code cells have {half:g} lines or more",
            f"{MEDIAN_LINES} is the most: shorten",
        )


def _code(cell: Cell, reading: Reading) -> Iterator[Finding]:
    for offset, comment in comments_of(cell):
        if "solution" not in cell.tags and "TODO" not in comment:
            yield reading.found(
                cell.line + offset, f"a comment, {comment}", "say it in the prose around the cell"
            )
    for offset, text in enumerate(cell.source.splitlines()):
        if re.match(r"\s*[!%]+\s*(pip|conda|mamba|uv|apt(-get)?)\b", text):
            yield reading.found(
                cell.line + offset, f"an installation, {text.strip()}", "name the extra in `before`"
            )
    try:
        tree = syntax_of(cell)
    except SyntaxError as error:
        line = cell.line + (error.lineno or 1) - 1
        yield reading.found(line, f"this is no Python: {error.msg}", "mend it")
        return
    virtual = _virtual_sleeps(tree) if reading.takes_virtual_time else set()
    for node in ast.walk(tree):
        if node not in virtual and (problem := _forbidden(node)):
            yield reading.found(cell.line + getattr(node, "lineno", 1) - 1, *problem)


def _syntax_or_none(cell: Cell) -> ast.Module:
    try:
        return syntax_of(cell)
    except SyntaxError:
        return ast.Module([], [])


def _virtual_sleeps(tree: ast.Module) -> set[ast.AST]:
    """The `asyncio.sleep` of coroutine functions: a page hands these to `run`. One at the top of a cell is real."""
    return {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.sleep"
    }


def _forbidden(node: ast.AST) -> tuple[str, str] | None:
    match node:
        case ast.ImportFrom(module="funcpipe_rag.course", names=names):
            for alias in names:
                if alias.name[0].islower() and alias.name not in HELPERS | {"notes"}:
                    return f"{alias.name} is no helper of a lesson", f"there are {', '.join(sorted(HELPERS))}"
        case ast.Attribute(ast.Name("asyncio"), "run"):
            return "asyncio.run, which a notebook refuses", "await the coroutine in the cell"
        case ast.Attribute(ast.Name("time" | "asyncio" as module), "sleep"):
            return f"{module}.sleep", "take a virtual clock: FakeTime"
        case ast.ImportFrom(module="time" | "asyncio" as module, names=names):
            if any(alias.name == "sleep" for alias in names):
                return f"{module}.sleep", "take a virtual clock: FakeTime"
        case ast.Import(names=[ast.alias(name), *_]) | ast.ImportFrom(module=str(name)):
            if name.partition(".")[0] in NETWORK:
                return (
                    f"{name}, which reaches for the network",
                    "take the field notes, or the standard library's files",
                )
    return None
