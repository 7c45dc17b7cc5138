"""The laws of sources that open files: external, so fresh and lazy, but not deterministic beyond what the disk says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from .inputs import Input, choice, integers, several
from .law import law, same
from .worlds import World

Pieces = list[str]
_TEXT: Input[Pieces] = several(choice("a", "b", " ", "é", "\n", "\r\n", "\r"), most=8)
_NAMES: Input[Pieces] = several(
    choice("a.md", "b.md", "c.txt", "sub/a.md", "sub/deep/d.md", ".hidden.md"), most=5
)


class FileSource(NamedTuple):
    """A source of one file's text: what it gives of it, joined or listed."""

    name: str
    read: Callable[[list[str]], Any]
    twin: Callable[[str], Any]


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


FILE_SOURCES = (
    FileSource("make_text_source", "".join, lambda text: text),
    FileSource("make_lines_source", list, _lines),
)


def _written(world: World, text: str) -> str:
    path = Path(world.folder()) / "file.txt"
    path.write_bytes(text.encode())
    return str(path)


def _laws_of(kind: FileSource) -> None:
    name = kind.name
    slug = name.removeprefix("make_").replace("_", "-")

    @law(
        f"{slug}-gives-the-file-whatever-the-block",
        about=name,
        promise="same answer",
        says="The file comes out as it stands there, however it is cut into blocks.",
        hint="What happens to a character, or a line end, that two blocks share?",
        text=_TEXT,
        block=integers(1, 5),
    )
    def _(world: World, factory: Any, text: Pieces, block: int) -> None:
        content = "".join(text)
        path = _written(world, content)
        same(kind.read(world.items(world.run(factory(path, block=block)))), kind.twin(content))

    @law(
        f"{slug}-opens-nothing-at-birth",
        about=name,
        promise="on demand",
        says="The file is opened by the first question: until then it need not even be there.",
        hint="Which line opens the file before anybody has asked?",
        text=_TEXT,
    )
    def _(world: World, factory: Any, text: Pieces) -> None:
        content = "".join(text)
        path = Path(world.folder()) / "later.txt"
        it = world.iterator(world.run(factory(str(path))))
        path.write_bytes(content.encode())
        same(kind.read(list(it)), kind.twin(content))

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Each call reads the file from its beginning, as it is by then.",
        hint="What is kept from one call to the next?",
        text=_TEXT,
        ahead=integers(0, 3),
    )
    def _(world: World, factory: Any, text: Pieces, ahead: int) -> None:
        content = "".join(text)
        path = _written(world, content)
        made = factory(path, block=1)
        begun = world.iterator(world.run(made))
        got = list(islice(begun, ahead))
        same(kind.read(world.items(world.run(made))), kind.twin(content), "the second call gave {}")
        same(kind.read([*got, *begun]), kind.twin(content), "the first call gave {}")
        Path(path).write_bytes(b"new")
        same(
            kind.read(world.items(world.run(made))), kind.twin("new"), "after the file had changed it gave {}"
        )


for _kind in FILE_SOURCES:
    _laws_of(_kind)


def _walked(root: str, names: list[str]) -> list[str]:
    shown = [name for name in set(names) if not name.startswith(".")]
    return [f"{root}/{name}" for name in sorted(shown, key=lambda name: name.split("/"))]


def _laid_out(world: World, names: list[str]) -> str:
    root = Path(world.folder())
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    return str(root)


@law(
    "walk-source-gives-each-file-once-in-order",
    about="make_walk_source",
    promise="same answer",
    says="Every file below the folder comes once, sorted by name at every level; hidden ones are left out.",
    hint="In which order does the system list a folder? And what of a folder in a folder?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    root = _laid_out(world, names)
    same(world.items(world.run(make_walk_source(root))), _walked(root, names))


@law(
    "walk-source-goes-round-no-loop",
    about="make_walk_source",
    promise="same answer",
    says="A link that points back at a folder above does not send the walk round in a circle.",
    hint="How would you know that you have been in this folder before, under another name?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    root = _laid_out(world, names)
    (Path(root) / "zz").symlink_to(root, target_is_directory=True)
    same(world.items(world.run(make_walk_source(root))), _walked(root, names))


@law(
    "walk-source-lists-nothing-at-birth",
    about="make_walk_source",
    promise="on demand",
    says="The folder is listed by the first question: until then it need not even be there.",
    hint="Which line looks into the folder before anybody has asked?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    later = Path(world.folder()) / "later"
    it = world.iterator(world.run(make_walk_source(str(later))))
    later.mkdir()
    for name in names:
        (later / name).parent.mkdir(parents=True, exist_ok=True)
        (later / name).touch()
    same(list(it), _walked(str(later), names))


@law(
    "walk-source-starts-afresh",
    about="make_walk_source",
    promise="fresh",
    says="Each call walks anew, and sees what has come since.",
    hint="What is kept from one call to the next?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    root = _laid_out(world, names)
    made = make_walk_source(root)
    world.items(world.run(made))
    (Path(root) / "new.md").touch()
    same(world.items(world.run(made)), _walked(root, [*names, "new.md"]))
