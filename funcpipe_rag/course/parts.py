"""What makes a page a lesson: its parts and their order, its size, and what goes with each exercise.

A part is known by what the reader sees of it: its heading, or the call of `predict` or `watch`. A heading that is in
no list here is the author's own and may stand anywhere. A lesson in two parts begins anew at `## Part B`. Module 00
opens the course: it has nothing to recall and an order of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from funcpipe_rag.course.lessons import Cell, Lesson
from funcpipe_rag.course.progression import Registries
from funcpipe_rag.course.reading import Finding, Line, Reading, calls_of, prose_of, syntax_of

ONE_PART, TWO_PARTS, CAPSTONE = (28, 55), (40, 80), (40, 90)
"""The most cells and minutes: 50 for most lessons, and five more for one that also gives things their names. A capstone
is a lesson whose title begins with the word.
"""

MUTANTS = 4
"""The least for an exercise; one that hunts a mutant has that one."""

PARTS = {
    "the problem": "a cell of code below the recall, before the first `predict`",
    "predict": "a cell `predict(question, ...)`, and `predict(question, truth=…)` below it",
    "the idea": "`### The idea`",
    "watch it": "a cell that calls `watch`, or `### Watch it` where the code is async",
    "warm-up": "`### Warm-up: …`",
    "the law": "`### The law: …`",
    "core exercise": "`### Core exercise: …`",
    "in the RAG builder": "`### In the RAG builder`",
    "kill the mutant": "`### Kill the mutant: …`",
    "wrong versions": "`### Wrong versions`",
    "when not to": "`### When not to`",
    "what we saw": "`## What we saw`",
}
"""The parts in their order, between recall and the end, and how each is known."""

EARLY = "warm-up"
"""A warm-up that needs no more than the problem has shown may stand anywhere behind the first `predict`: the sooner the
first ✓ comes, the better."""

CAPSTONE_PARTS = {
    "the problem": PARTS["the problem"],
    "predict": PARTS["predict"],
    "the path": "`### The path: …`, with a `<details><summary>Step N` for each law that gives points",
    "core exercise": PARTS["core exercise"],
    "watch it": PARTS["watch it"],
    "in the RAG builder": PARTS["in the RAG builder"],
    "kill the mutant": PARTS["kill the mutant"],
    "wrong versions": PARTS["wrong versions"],
    "when not to": PARTS["when not to"],
    "what we saw": PARTS["what we saw"],
}
"""Those of a capstone: it teaches no new idea and no new law, so it has a path to the end in their place."""

HEADED = {
    part: match[1].lower()
    for part, sign in (PARTS | CAPSTONE_PARTS).items()
    if (match := re.match(r"`#+ (?:The )?([\w -]*\w)", sign))
}
GLANCE = ("time", "before", "you will", "functions")
STOP = "**A good place to stop.**"
ENDING = ("**Quiz**", "**Your own code.**", "**Further reading.**", "**Next:**")


def owed_by(lesson: Lesson, reading: Reading, known: Registries) -> Iterator[Finding]:
    """What a lesson owes beyond what any page does."""
    yield from _size(lesson, reading)
    yield from _needs(lesson, reading)
    yield from _glance(reading)
    if not lesson.id.startswith("M00"):
        yield from _recall(reading)
        yield from _order(reading, CAPSTONE_PARTS if _is_capstone(lesson) else PARTS)
        yield from _ending(reading)
    if _is_capstone(lesson):
        yield from _path(lesson, reading, known)
    yield from _exercises(lesson, reading, known)


def _is_capstone(lesson: Lesson) -> bool:
    return lesson.title.startswith("Capstone")


def _path(lesson: Lesson, reading: Reading, known: Registries) -> Iterator[Finding]:
    asked = (known.exercises[id] for id in lesson.exercises if id in known.exercises)
    laws = sum(len(exercise.laws) for exercise in asked if exercise.all_laws)
    path = reading.below("The path")
    if path and (steps := sum("<summary>Step " in line.text for line in path)) != laws:
        do = "write a <details><summary>Step N for each law that gives points"
        yield reading.found(path[0].number, f"a path of {steps} steps to {laws} laws", do)


def _size(lesson: Lesson, reading: Reading) -> Iterator[Finding]:
    (most_cells, most_minutes), kind = ONE_PART, "a lesson"
    if _is_capstone(lesson):
        (most_cells, most_minutes), kind = CAPSTONE, "a capstone"
    elif reading.below("Part B"):
        (most_cells, most_minutes), kind = TWO_PARTS, "a lesson in two parts"
    if (cells := len(reading.learner)) > most_cells:
        over = reading.learner[most_cells]
        yield reading.found(
            over.line, f"cell {most_cells + 1} of {cells}", f"{kind} has {most_cells} at most"
        )
    if (minutes := lesson.read_minutes + lesson.exercise_minutes) > most_minutes:
        line = lesson.line_of("minutes")
        yield reading.found(
            line, f"{minutes} minutes", f"{kind} takes {most_minutes} at most: cut, or make it two"
        )
    for line_ in reading.lines:
        if re.match(r"\|\s*time\s*\|", line_.text):
            said = [(int(read), int(work)) for read, work in re.findall(r"(\d+) \+ (\d+)", line_.text)]
            sums = sum(read for read, _ in said), sum(work for _, work in said)
            if sums != (lesson.read_minutes, lesson.exercise_minutes):
                yield reading.found(
                    line_.number,
                    f"{sums[0]} + {sums[1]} minutes here",
                    f"the header says {lesson.read_minutes} + {lesson.exercise_minutes}: make them agree",
                )


def _needs(lesson: Lesson, reading: Reading) -> Iterator[Finding]:
    for key, needs in ("requires", lesson.requires), ("requires_planned", lesson.requires_planned):
        for need in needs:
            if need >= lesson.id:
                line = lesson.line_of(key, need)
                yield reading.found(
                    line, f"{key}: {need} does not come earlier", "need what was taught before"
                )


def _glance(reading: Reading) -> Iterator[Finding]:
    if not reading.page.cells:
        return
    first = reading.page.cells[0]
    opening = list(prose_of(first))
    if not any(re.match(r"\*[^*].*\*$", line.text) for line in opening):
        yield reading.found(first.line, "no promise", "write one sentence in *italics* below the title")
    rows = {match[1] for line in opening if (match := re.match(r"\|\s*([\w ]+?)\s*\|", line.text))}
    for row in GLANCE:
        if row not in rows:
            yield reading.found(first.line, f"at a glance: no row “{row}”", f"add `| {row} | … |`")


def _recall(reading: Reading) -> Iterator[Finding]:
    recall = reading.below("Recall")
    if not recall:
        yield reading.found(
            reading.page.cells[0].line if reading.page.cells else 1,
            "no part “recall”",
            "write `## Recall` below the glance",
        )
    elif (folded := _folded(recall)) != 2:
        yield reading.found(
            recall[0].number, f"{folded} questions to recall", "ask two, each answer in a <details>"
        )


def _order(reading: Reading, parts: Mapping[str, str]) -> Iterator[Finding]:
    order, last, stopped = list(parts), -1, False
    seen: set[str] = set()
    for line, mark in _marks(reading):
        if mark == STOP:
            stopped = True
        elif mark == "part B":
            last = -1
            if not stopped:
                yield reading.found(line, "part B begins without a stop", f"end part A with {STOP}")
        elif mark == EARLY and not {"the law"} & seen and "predict" in seen:
            seen |= {mark}
        elif mark in parts:
            rank = order.index(mark)
            if rank < last:
                do = f"the order is: {', '.join(order)}"
                yield reading.found(line, f"“{mark}” stands below “{order[last]}”", do)
            last, seen = max(last, rank), seen | {mark}
    for part in order:
        if part not in seen:
            line = reading.lines[-1].number if reading.lines else 1
            yield reading.found(line, f"no part “{part}”", f"it is known by {parts[part]}")


def _marks(reading: Reading) -> Iterator[tuple[int, str]]:
    """Where each part begins, from top to bottom."""
    waits_for = ""
    for cell in reading.learner:
        for line in prose_of(cell):
            words = re.sub(r"^#+\s+", "", line.text)
            if STOP in line.text:
                yield line.number, STOP
            elif words != line.text:
                if words.startswith("Part B"):
                    yield line.number, "part B"
                if re.match(r"Recall\b|Part B\b", words):
                    waits_for = "the problem"
                if words.startswith("Watch it") and reading.takes_virtual_time:
                    yield line.number, "watch it"
                for part, heading in HEADED.items():
                    if re.match(rf"(the )?{heading}\b", words.lower()):
                        yield line.number, part
        if cell.kind != "code":
            continue
        calls = _calls_or_none(cell)
        if waits_for == "the problem":
            yield cell.line, "the problem"
            waits_for = "predict"
        if "predict" in calls and waits_for == "predict":
            yield cell.line, "predict"
            waits_for = ""
        if "watch" in calls:
            yield cell.line, "watch it"


def _calls_or_none(cell: Cell) -> set[str]:
    try:
        return calls_of(syntax_of(cell))
    except SyntaxError:
        return set()


def _ending(reading: Reading) -> Iterator[Finding]:
    saw = reading.below("What we saw")
    if not saw:
        return
    head = saw[0].number
    for mark in ENDING:
        if not any(line.text.startswith(mark) for line in saw):
            yield reading.found(head, f"the end has no {mark}", "write it below what we saw")
    if (folded := _folded(saw)) != 3:
        yield reading.found(head, f"a quiz of {folded}", "ask three questions, each answer in a <details>")
    kept = sum(line.text.startswith("- ") for line in saw)
    for line in reading.lines:
        if re.match(r"\|\s*you will\s*\|", line.text) and (promised := line.text.count(" · ") + 1) != kept:
            yield reading.found(
                head, f"{kept} things seen, {promised} promised", "mirror the glance, one to one"
            )


def _folded(lines: Iterable[Line]) -> int:
    return sum("<summary>" in line.text for line in lines)


def _exercises(lesson: Lesson, reading: Reading, known: Registries) -> Iterator[Finding]:
    hunts = {line.cell.id for line in reading.below("Kill the mutant")}
    asked, unchecked = set(), False
    for above, cell in zip(reading.learner, reading.learner[1:], strict=False):
        if "exercise" not in cell.tags:
            continue
        try:
            tree = syntax_of(cell)
        except SyntaxError:
            continue
        checked = _checked(tree)
        if checked is None:
            unchecked = True
            yield reading.found(
                cell.line, "an exercise that nobody checks", 'end it with check("m…c…e…", function)'
            )
            continue
        id, function = checked
        asked.add(id)
        if id not in lesson.exercises:
            yield reading.found(cell.line, f"{id} is not in the header", "name it in `exercises`")
        if (hints := sum("<summary>Hint " in line.text for line in prose_of(above))) != 2:
            do = "write two above the cell: a question, then the tool and the line"
            yield reading.found(cell.line, f"{id} has {hints} folded hints", do)
        if (exercise := known.exercises.get(id)) is None:
            continue
        if function != exercise.function:
            yield reading.found(
                cell.line, f"{id} judges {exercise.function}, not {function}", "rename one of them"
            )
        elif _definition(tree, function) != _definition(ast.parse(exercise.starter), function):
            yield reading.found(
                cell.line, f"the starter is not the one of {id}'s data", "make the two the same"
            )
        if (mutants := len(exercise.mutants)) < (1 if above.id in hunts else MUTANTS):
            line = lesson.line_of("exercises", id)
            yield reading.found(line, f"{id} was tried on {mutants} mutants", f"{MUTANTS} at least")
    for id in lesson.exercises:
        if id in known.exercises and id not in asked and not unchecked:
            yield reading.found(
                lesson.line_of("exercises", id), f"no cell asks for {id}", "add its exercise cell"
            )


def _checked(tree: ast.Module) -> tuple[str, str] | None:
    """What a cell hands to `check`: the exercise's id and the function's name."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("check"), args=[ast.Constant(str(id)), ast.Name(function)]):
                return id.lower(), function
    return None


def _definition(tree: ast.Module, name: str) -> str | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return ast.dump(node)
    return None
