"""The exercises of M03C09, Your own iterator types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from funcpipe_rag.laws import Law, SourceSpec, World, holds, law, same
from funcpipe_rag.laws.inputs import choice, integers, items_of
from funcpipe_rag.laws.law import times
from funcpipe_rag.laws.mutants import Mutant, mutant
from funcpipe_rag.streams.probe import OverPulled

from .exercise import Exercise
from .predicates import predicate_laws

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

_DOCS = choice((), ("a",), ("a", "b"), ("a", "b", "c"))
_LINES = items_of(choice("a\n", "\n", "b\n"), most=3)
_PATH = "notes.txt"
_END = object()


class _NoDocument:
    """Stands for what is no text: its own repr may hold an address, which changes from run to run."""

    def __init__(self, thing: object) -> None:
        self.kind = "an iterator" if hasattr(thing, "__next__") else f"a {type(thing).__name__}"

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def _loop(docs: Any) -> list[Any]:
    """One loop over `docs`, which may be endless by mistake."""
    return [doc if isinstance(doc, str) else _NoDocument(doc) for doc in islice(docs, 20)]


@law(
    "docs-are-those-of-the-source",
    about="Docs",
    promise="same answer",
    says="A loop over it gives what the source gives.",
    hint="What is one item of your loop: a document, or the iterator over all of them?",
    among=LAWS,
    items=_DOCS,
)
def _(world: World, Docs: Any, items: tuple[Any, ...]) -> None:
    same(_loop(Docs(world.source(SourceSpec(items)))), list(items))


@law(
    "docs-every-loop-starts-at-the-start",
    about="Docs",
    promise="fresh",
    says="Every loop over it starts at the start, also one inside another.",
    hint="Two loops run at the same time. How many bookmarks are there?",
    among=LAWS,
    items=_DOCS,
)
def _(world: World, Docs: Any, items: tuple[Any, ...]) -> None:
    docs = Docs(world.source(SourceSpec(items)))
    pairs = [(left, right) for left in islice(docs, 20) for right in islice(docs, 20)]
    same(pairs, [(left, right) for left in items for right in items], "a loop in a loop gave {}")


@law(
    "docs-do-not-know-of-each-other",
    about="Docs",
    promise="fresh",
    says="Two of them, over two sources, do not know of each other.",
    hint="Where does your class keep the source: in the object, or in the class?",
    among=LAWS,
    items=_DOCS,
    others=choice((), ("x",), ("x", "y")),
)
def _(world: World, Docs: Any, items: tuple[Any, ...], others: tuple[Any, ...]) -> None:
    first, second = map(Docs, world.sources([SourceSpec(items), SourceSpec(others)]))
    same([_loop(first), _loop(second)], [list(items), list(others)], "the two gave {}")


@law(
    "docs-are-read-while-you-loop",
    about="Docs",
    promise="on demand",
    says="Making it asks for nothing, and k documents cost k pulls.",
    hint="Which line asks for the documents: one that runs once, or one that runs for each loop?",
    among=LAWS,
    items=_DOCS,
    k=integers(0, 3),
)
def _(world: World, Docs: Any, items: tuple[Any, ...], k: int) -> None:
    wanted = min(k, len(items))
    probe = world.source(SourceSpec(items))
    docs = Docs(probe)
    holds(not probe.opens, "the source was opened before any loop", "an opening for each loop")
    same(list(islice(docs, wanted)), list(items[:wanted]))
    holds(probe.pulls <= wanted, f"{wanted} of them cost {probe.pulls} pulls", f"{wanted}")


def _opener(world: World, lines: tuple[str, ...]) -> tuple[Callable[[str], Any], Any]:
    probe = world.source(SourceSpec(lines), name="file")

    def opener(path: str) -> Any:
        holds(path == _PATH, f"it opened {path!r:.40}", repr(_PATH))
        return probe()

    return opener, probe


@law(
    "lines-are-those-of-the-file",
    about="Lines",
    promise="same answer",
    says="It gives the lines of the file, each without its end; an empty line is a line.",
    hint="What does an empty line look like before you take its end away, and what is left of it then?",
    among=LAWS,
    lines=_LINES,
)
def _(world: World, Lines: Any, lines: tuple[str, ...]) -> None:
    opener, _probe = _opener(world, lines)
    it = Lines(_PATH, opener=opener)
    holds(hasattr(it, "__next__"), f"it made a {type(it).__name__} without __next__", "an iterator")
    given = list(islice(iter(lambda: next(it, _END), _END), 20))
    same(given, [line.rstrip("\n") for line in lines])


@law(
    "lines-go-on-where-you-are",
    about="Lines",
    promise="same answer",
    says="It is an iterator: a loop over it goes on where you are.",
    hint="You have read a line, and now a `for` asks for iter(). Which object should it get?",
    among=LAWS,
    lines=_LINES,
    taken=integers(0, 2),
)
def _(world: World, Lines: Any, lines: tuple[str, ...], taken: int) -> None:
    opener, _probe = _opener(world, lines)
    it = Lines(_PATH, opener=opener)
    read = min(taken, len(lines))
    for _ in range(read):
        next(it)
    rest = sum(1 for _ in islice(it, 20))
    same(rest, len(lines) - read, f"behind {_amount(read)} of {len(lines)}, a loop gave {{}}")


def _amount(lines: int) -> str:
    return "1 line" if lines == 1 else f"{lines} lines"


@law(
    "lines-tell-their-position",
    about="Lines",
    promise="same answer",
    says="`position` is the number of lines that it has given, also behind the last one.",
    hint="When does the position move: when you are asked, or when you have a line to give?",
    among=LAWS,
    lines=_LINES,
    asked=integers(0, 4),
)
def _(world: World, Lines: Any, lines: tuple[str, ...], asked: int) -> None:
    opener, _probe = _opener(world, lines)
    it = Lines(_PATH, opener=opener)
    questions = min(asked, len(lines) + 1)
    for _ in range(questions):
        next(it, None)
    same(it.position, min(questions, len(lines)), f"{_after(questions)}, its position was {{}}")


def _after(questions: int) -> str:
    return f"after {questions} question{'s' * (questions > 1)}" if questions else "before any question"


@law(
    "lines-stay-at-their-end",
    about="Lines",
    promise="same answer",
    says="When it has ended or was closed, it stays at its end: it gives nothing and opens nothing.",
    hint="After the end somebody asks once more. What does your object know by then: that it ended, or nothing?",
    among=LAWS,
    lines=_LINES,
    taken=integers(0, 4),
)
def _(world: World, Lines: Any, lines: tuple[str, ...], taken: int) -> None:
    opener, _probe = _opener(world, lines)
    it = Lines(_PATH, opener=opener)
    for _ in range(taken):
        next(it, None)
    if taken <= len(lines):
        it.close()
    how = f"closed behind {_amount(taken)}" if taken <= len(lines) else "at its end"
    after = [next(it, "the end"), next(it, "the end")]
    same(after, ["the end", "the end"], f"{how}, it gave {{}}")


@law(
    "lines-are-read-when-asked-for",
    about="Lines",
    promise="on demand",
    says="The file is opened by the first next(), and k lines cost k pulls.",
    hint="Which line opens the file? Has anybody asked by then?",
    among=LAWS,
    lines=_LINES,
    k=integers(0, 3),
)
def _(world: World, Lines: Any, lines: tuple[str, ...], k: int) -> None:
    opener, probe = _opener(world, lines)
    it = Lines(_PATH, opener=opener)
    for number in range(k + 1):
        holds(
            probe.opens == min(number, 1),
            f"{_after(number)}, the file had been opened {times(probe.opens)}",
            times(min(number, 1)),
        )
        holds(
            probe.pulls <= number,
            f"{_after(number)}, it had asked the file {times(probe.pulls)}",
            times(number),
        )
        next(it, None)


@law(
    "lines-close-the-file-once",
    about="Lines",
    promise="closed",
    says="The file is closed once: at its end, or by close(). To close again, or before the first line, is fine.",
    hint="There are two ways out: the end, and close(). On which one does the file stay open, or is closed again?",
    among=LAWS,
    lines=_LINES,
    taken=integers(0, 4),
)
def _(world: World, Lines: Any, lines: tuple[str, ...], taken: int) -> None:
    opener, probe = _opener(world, lines)
    it = Lines(_PATH, opener=opener)
    for _ in range(taken):
        next(it, None)
    if taken > len(lines):
        holds(
            probe.closes == 1, f"behind the last line the file had been closed {times(probe.closes)}", "once"
        )
    it.close()
    it.close()
    expected = min(taken, 1)
    holds(
        probe.closes == expected,
        f"after two calls of close() the file had been closed {times(probe.closes)}",
        times(expected) if taken else "never, for it was never opened",
    )


@mutant(of="Docs", killed_by="docs-are-those-of-the-source", among=MUTANTS, laws=LAWS)
class yields_the_source:
    """Yields the iterator itself, where `yield from` would give its items."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        yield self.source()


@mutant(of="Docs", killed_by="docs-every-loop-starts-at-the-start", among=MUTANTS, laws=LAWS)
class iter_returns_self:
    """Keeps one iterator and hands it to every loop: the inner loop uses up the outer one."""

    def __init__(self, source: Any) -> None:
        self.it = source()

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self.it)


@mutant(of="Docs", killed_by="docs-every-loop-starts-at-the-start", among=MUTANTS, laws=LAWS)
class rewinds_for_each_loop:
    """Goes back to the start for each loop, but keeps one bookmark: the inner loop moves that of the outer one."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Any:
        self.it = self.source()
        return self

    def __next__(self) -> Any:
        return next(self.it)


@mutant(of="Docs", killed_by="docs-do-not-know-of-each-other", among=MUTANTS, laws=LAWS)
class shared_between_instances:
    """Keeps the source in the class: the last one that was made speaks for all."""

    source: Any

    def __init__(self, source: Any) -> None:
        type(self).source = staticmethod(source)

    def __iter__(self) -> Iterator[Any]:
        yield from self.source()


@mutant(of="Docs", killed_by="docs-are-read-while-you-loop", among=MUTANTS, laws=LAWS)
class lists_at_birth:
    """Reads everything into a list when it is made: each loop is right, and the first item costs all."""

    def __init__(self, source: Any) -> None:
        self.docs = list(source())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.docs)


class _Lines:
    """The way most of the mutants below go; each of them leaves it at one place."""

    def __init__(self, path: str, *, opener: Callable[[str], Any] = open) -> None:
        self.path, self.opener = path, opener
        self.file: Any = None
        self.ended = False
        self.position = 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> str:
        if self.ended:
            raise StopIteration
        if self.file is None:
            self.file = self.opener(self.path)
        line = next(self.file, None)
        if line is None:
            self.close()
            raise StopIteration
        self.position += 1
        return str(line).rstrip("\n")

    def close(self) -> None:
        if not self.ended and self.file is not None:
            self.file.close()
        self.ended = True


@mutant(of="Lines", killed_by="lines-are-those-of-the-file", among=MUTANTS, laws=LAWS)
class keeps_the_ends(_Lines):
    """Hands each line on as the file gives it, with the sign for its end."""

    def __next__(self) -> str:
        return super().__next__() + "\n"


@mutant(of="Lines", killed_by="lines-are-those-of-the-file", among=MUTANTS, laws=LAWS)
class stops_at_an_empty_line(_Lines):
    """Takes the end of the line away first, and an empty text for the end of the file."""

    def __next__(self) -> str:
        line = super().__next__()
        if not line:
            self.close()
            raise StopIteration
        return line


@mutant(of="Lines", killed_by="lines-go-on-where-you-are", among=MUTANTS, laws=LAWS)
class iter_makes_another(_Lines):
    """Returns a new object from __iter__, as a collection does: who has read one line begins again with `for`."""

    def __iter__(self) -> Any:
        return type(self)(self.path, opener=self.opener)


@mutant(of="Lines", killed_by="lines-tell-their-position", among=MUTANTS, laws=LAWS)
class counts_the_questions(_Lines):
    """Moves the position when it is asked, so the question that finds the end counts as a line."""

    def __next__(self) -> str:
        asked = self.position + 1
        try:
            return super().__next__()
        finally:
            self.position = asked


@mutant(of="Lines", killed_by="lines-are-read-when-asked-for", among=MUTANTS, laws=LAWS)
class opens_at_birth(_Lines):
    """Opens the file when it is made: a thousand of them are a thousand open files."""

    def __init__(self, path: str, *, opener: Callable[[str], Any] = open) -> None:
        super().__init__(path, opener=opener)
        self.file = opener(path)


@mutant(of="Lines", killed_by="lines-are-read-when-asked-for", among=MUTANTS, laws=LAWS)
class reads_all_at_the_first_question(_Lines):
    """Reads the whole file when the first line is wanted."""

    def __next__(self) -> str:
        if self.file is None and not self.ended:
            self.file = _Shelf(self.opener(self.path))
        return super().__next__()


class _Shelf:
    def __init__(self, file: Any) -> None:
        self.file, self.lines = file, iter(list(file))

    def __next__(self) -> Any:
        return next(self.lines)

    def close(self) -> None:
        self.file.close()


@mutant(of="Lines", killed_by="lines-stay-at-their-end", among=MUTANTS, laws=LAWS)
class wakes_up(_Lines):
    """Forgets the file when it has ended, and takes that for never opened: the next question begins anew."""

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None


@mutant(of="Lines", killed_by="lines-close-the-file-once", among=MUTANTS, laws=LAWS)
class leaks_file(_Lines):
    """Ends, and leaves the file open: CPython closes it some day, other Pythons later or never."""

    def close(self) -> None:
        self.ended = True


@mutant(of="Lines", killed_by="lines-close-the-file-once", among=MUTANTS, laws=LAWS)
class closes_again(_Lines):
    """Closes the file whenever it is told to, also one that is closed."""

    def close(self) -> None:
        self.ended = True
        if self.file is not None:
            self.file.close()


DOCS = Exercise(
    id="m03c09e1",
    title="A collection that every loop starts anew",
    function="Docs",
    starter="""\
class Docs:
    def __init__(self, source):
        self.source = source

    def __iter__(self):
        ...
""",
    laws=(
        LAWS["docs-are-those-of-the-source"],
        LAWS["docs-every-loop-starts-at-the-start"],
        LAWS["docs-do-not-know-of-each-other"],
        LAWS["docs-are-read-while-you-loop"],
    ),
    hints=(
        "A source is a function. What do you get each time you call it?",
        "One `yield from` in `__iter__`, over a fresh call of the source. That makes it a generator function: each "
        "call of it gives an iterator of its own.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "Docs"),
)

LINES = Exercise(
    id="m03c09e2",
    title="An iterator over a file that can be asked and closed",
    function="Lines",
    starter="""\
class Lines:
    def __init__(self, path, *, opener=open):
        self.position = 0

    def __iter__(self):
        return self

    def __next__(self):
        ...

    def close(self):
        ...
""",
    laws=(
        LAWS["lines-are-those-of-the-file"],
        LAWS["lines-go-on-where-you-are"],
        LAWS["lines-tell-their-position"],
        LAWS["lines-stay-at-their-end"],
        LAWS["lines-are-read-when-asked-for"],
        LAWS["lines-close-the-file-once"],
    ),
    hints=(
        "It is new, or it is reading, or it has ended. How does your object know which? And which of the three "
        "does `close()` change?",
        "`self.file = None` and `self.ended = False` in `__init__`. In `__next__`: raise StopIteration if ended; "
        "open if there is no file; `next(self.file, None)` gives None at the end. In `close`: if not ended, mark it "
        "ended, and close the file if there is one.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "Lines"),
    withheld=("make_lines_source",),
)


class Numbers:
    """The numbers from 0 to n - 1, for as many loops at a time as you like.

    >>> numbers = Numbers(2)
    >>> [(a, b) for a in numbers for b in numbers]
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))


class rewinds_in_iter:
    """The same numbers with one bookmark, which each iter() puts back to the start.

    >>> numbers = rewinds_in_iter(2)
    >>> list(numbers), list(numbers)
    ([0, 1], [0, 1])
    >>> [(a, b) for a in numbers for b in numbers]
    [(0, 0), (0, 1)]

    A loop that is put back from inside goes on for ever: OverPulled after `MOST` questions.
    """

    def __init__(self, n: int) -> None:
        self.n, self.place, self.asked = n, 0, 0

    def __iter__(self) -> rewinds_in_iter:
        self.place = 0
        return self

    def __next__(self) -> int:
        self.asked += 1
        if self.asked > MOST:
            raise OverPulled("rewinds_in_iter", MOST)
        if self.place >= self.n:
            raise StopIteration
        self.place += 1
        return self.place - 1


MOST = 200


def _make_and_n(world: World, make: Callable[[int], Any], n: int) -> tuple[Any, ...]:
    return make, n


ACCEPTS, REFUSES = predicate_laws(
    "loops-are-independent",
    right=Numbers,
    wrong=rewinds_in_iter,
    asked=_make_and_n,
    n=integers(1, 4),
    differ_on={"n": 2},
    promise="fresh",
    hints=(
        "Take this n, and do by hand what your law does. What should be there?",
        "One loop over it is right, and so are two, one after the other. What else can two loops do?",
    ),
)

LAW = Exercise(
    id="m03c09e3",
    title="Write the law that unmasks the one that rewinds",
    function="law",
    starter="""\
def law(make, n):
    ...
""",
    laws=(ACCEPTS, REFUSES),
    hints=(
        "One loop over it is right, and so are two, one after the other. What else can two loops do?",
        "Make one object, and let a loop over it stand inside another loop over it. How many pairs do n numbers make?",
    ),
    mutants=(
        Mutant(
            "rewinds_in_iter",
            "Numbers",
            REFUSES.id,
            "Has one bookmark, and each iter() puts it back to the start.",
            rewinds_in_iter,
        ),
    ),
)

EXERCISES = (DOCS, LINES, LAW)
