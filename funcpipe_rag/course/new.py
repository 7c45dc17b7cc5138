"""The skeleton of a lesson: every part with a prompt, exercises that are judged, and a TODO for each thing to write.

It is built and runs from the first minute, with `fence_k` standing in where no function is named.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template

from funcpipe_rag.course.lessons import LessonError, find_lessons, shown

SKELETON = Path(__file__).parent / "data" / "new-lesson"


def new_lesson(
    clone: Path, module: str, title: str, *, function: str = "fence_k", number: int = 0
) -> list[Path]:
    """Write the skeleton of a lesson and of its exercises; gives the two paths.

    `module` is a folder of modules/, its number, or NN-slug for a new one. The lesson gets the number after the
    module's last one, or `number`. LessonError when the module is unknown, the number is taken, the title has no
    letter, or `function` has no law and mutant yet.
    """
    folder = _folder(clone / "modules", module)
    taken = {lesson.id: lesson for lesson in find_lessons(clone / "modules") if lesson.path.parent == folder}
    number = number or 1 + max((int(id[4:]) for id in taken), default=0)
    id = f"M{folder.name[:2]}C{number:02d}"
    if id in taken:
        raise LessonError(f"{id} is {shown(taken[id].path)} already; say another --number")
    slug = "-".join(re.findall(r"[a-z0-9]+", title.lower()))
    if not slug or not 1 <= number <= 99:
        raise LessonError(f"a lesson wants a title and a number of 1 to 99, got {title!r} and {number}")
    words = {
        "id": id,
        "title": title,
        "quoted_title": json.dumps(title, ensure_ascii=False),
        "exercise": id.lower(),
        **_about(function),
    }
    lesson = folder / f"{number:02d}-{slug}.md"
    exercises = clone / "funcpipe_rag/course/exercises" / f"{id.lower()}_{slug.replace('-', '_')}.py"
    for path, skeleton in (lesson, "lesson.md"), (exercises, "exercises.py.txt"):
        if path.exists():
            raise LessonError("is there already", path=path)
        text = Template((SKELETON / skeleton).read_text(encoding="utf-8")).substitute(words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return [lesson, exercises]


def _folder(modules: Path, module: str) -> Path:
    there = sorted(path.name for path in modules.iterdir() if re.fullmatch(r"\d\d-[\w-]+", path.name))
    wanted = module.upper().removeprefix("M")
    for name in there:
        if module == name or wanted.zfill(2) == name[:2]:
            return modules / name
    if re.fullmatch(r"\d\d-[\w-]+", module) and module[:2] not in {name[:2] for name in there}:
        return modules / module
    raise LessonError(f"no module {module} among {', '.join(there) or 'none'}; a new one is named NN-slug")


def _about(function: str) -> dict[str, str]:
    """What the skeleton says of a function: where to import it from, a mutant of it, the law that kills that."""
    import funcpipe_rag
    from funcpipe_rag.laws.mutants import mutants_of

    mutants = mutants_of(function)
    if not mutants or not hasattr(funcpipe_rag, function):
        raise LessonError(
            f"{function} has no law and no mutant yet, so nothing can judge an exercise; write those first"
        )
    room = getattr(funcpipe_rag, function).__module__.split(".")[1]
    imports = (
        f"from funcpipe_rag.{room} import {function}",
        "from funcpipe_rag.laws import Law, World, holds, of",
        "from funcpipe_rag.laws.mutants import mutants_of",
    )
    return {
        "function": function,
        "imports": "\n".join(sorted(imports)),
        "mutant": mutants[0].name,
        "law": mutants[0].killed_by,
        "law_of_the_hunt": f"law-tells-{function}-from-{mutants[0].name}".replace("_", "-"),
    }
