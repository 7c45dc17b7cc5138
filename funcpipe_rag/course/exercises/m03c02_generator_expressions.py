"""The exercises of M03C02, Generator expressions, and when a list is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

from funcpipe_rag.laws import Law, World, WrongKind, holds, law, other_shape, same
from funcpipe_rag.laws.inputs import SourceSpec, choice, integers, items_of
from funcpipe_rag.laws.mutants import Mutant, mutant
from funcpipe_rag.rag import clean

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

RawDoc: TypeAlias = tuple[str, str]
CleanDoc: TypeAlias = tuple[str, str]
"""A name and a text. Pairs are enough here, and a field note unpacks like one."""

_TEXT = choice("a", "B", "Cd", "")
_DOC = choice(("a", "x"), ("b", "xy"), ("c", "x \n"), ("d", ""))


def _clean_docs(docs: Iterable[RawDoc], min_len: int) -> list[CleanDoc]:
    return [(name, clean(text)) for name, text in docs if len(clean(text)) >= min_len]


@law(
    "lower-all-is-the-list-version",
    about="lower_all",
    promise="same answer",
    says="Listed, it is what the square brackets would give: every text, in lower case, in order.",
    hint="Compare the two lists from the left. Which text was treated differently?",
    among=LAWS,
    texts=items_of(_TEXT, most=4),
)
def _(world: World, lower_all: Any, texts: tuple[str, ...]) -> None:
    xs, _probe = world.stream(SourceSpec(texts))
    made = lower_all(xs)
    if not hasattr(made, "__iter__"):
        hint = "Which line hands the texts over? A function without a return gives None."
        raise WrongKind(f"it returned {_kind(made)}", "texts (is a return missing?)", hint)
    got = list(islice(made, len(texts) + 2))
    for item in got:
        holds(isinstance(item, str), f"it gave {_kind(item)}", "a text (is a pair of brackets missing?)")
    same(got, [text.lower() for text in texts])


@law(
    "building-lower-all-pulls-nothing",
    about="lower_all",
    promise="on demand",
    says="Building it pulls nothing, and each next() pulls one text.",
    hint="Which brackets did you write: square ones, or round ones?",
    among=LAWS,
    texts=items_of(_TEXT, least=1, most=4),
)
def _(world: World, lower_all: Any, texts: tuple[str, ...]) -> None:
    xs, probe = world.stream(SourceSpec(texts))
    lowered = world.iterator(lower_all(xs))
    _built(min(probe.pulls, len(texts)), "text")
    for pulls, _text in enumerate(lowered, start=1):
        holds(probe.pulls == pulls, f"{_many(pulls, 'text')} cost {probe.pulls}", f"{pulls}")


@law(
    "clean-docs-are-the-list-version",
    about="gen_clean_docs",
    promise="same answer",
    says="Listed, they are what the list version gives: each document cleaned, those that are too short left out.",
    hint="Compare it with the list version, document by document. Which one is missing, or too many?",
    among=LAWS,
    docs=items_of(_DOC, most=3),
    min_len=integers(0, 3),
)
def _(world: World, gen_clean_docs: Any, docs: tuple[RawDoc, ...], min_len: int) -> None:
    xs, _probe = world.stream(SourceSpec(docs))
    same(world.items(gen_clean_docs(xs, min_len=min_len)), _clean_docs(docs, min_len))


@law(
    "building-clean-docs-pulls-nothing",
    about="gen_clean_docs",
    promise="on demand",
    says="Building it pulls nothing.",
    hint="Which part of your expression runs when it is made, and which when somebody asks?",
    among=LAWS,
    docs=items_of(_DOC, least=1, most=3),
    min_len=integers(0, 3),
)
def _(world: World, gen_clean_docs: Any, docs: tuple[RawDoc, ...], min_len: int) -> None:
    xs, probe = world.stream(SourceSpec(docs))
    world.iterator(gen_clean_docs(xs, min_len=min_len))
    _built(min(probe.pulls, len(docs)), "document")


@law(
    "clean-docs-cost-no-more-documents-than-they-come-from",
    about="gen_clean_docs",
    promise="on demand",
    says="k clean documents cost no more documents than those k come from.",
    hint="Which line asks for a second document before the first is handed on?",
    among=LAWS,
    docs=items_of(_DOC, most=3),
    min_len=integers(0, 3),
    k=integers(0, 3),
)
def _(world: World, gen_clean_docs: Any, docs: tuple[RawDoc, ...], min_len: int, k: int) -> None:
    wanted = _clean_docs(docs, min_len)[:k]
    needed = 0
    while len(_clean_docs(docs[:needed], min_len)) < len(wanted):
        needed += 1
    xs, probe = world.stream(SourceSpec(docs), budget=needed)
    same(list(islice(world.iterator(gen_clean_docs(xs, min_len=min_len)), len(wanted))), wanted)
    holds(probe.pulls <= needed, f"it asked for {_many(probe.pulls, 'document')}", f"{needed}")


def _kind(thing: object) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _built(taken: int, what: str) -> None:
    holds(taken == 0, f"before anybody asked it, it had taken {_many(taken, what)}", "none")


@mutant(of="lower_all", killed_by="lower-all-is-the-list-version", among=MUTANTS, laws=LAWS)
def forgets_to_call(texts: Iterable[str]) -> Iterator[Any]:
    """Writes `text.lower` without its brackets, and gives methods."""
    return (text.lower for text in texts)


@mutant(of="lower_all", killed_by="lower-all-is-the-list-version", among=MUTANTS, laws=LAWS)
def skips_the_empty(texts: Iterable[str]) -> Iterator[str]:
    """Adds `if text` for safety: an empty text is a text, too."""
    return (text.lower() for text in texts if text)


@mutant(of="lower_all", killed_by="building-lower-all-pulls-nothing", among=MUTANTS, laws=LAWS)
def square_brackets(texts: Iterable[str]) -> Any:
    """Writes square brackets: everything is made at once."""
    return [text.lower() for text in texts]


@mutant(
    of="lower_all",
    killed_by="building-lower-all-pulls-nothing",
    name="list_in_disguise",
    among=MUTANTS,
    laws=LAWS,
)
def lower_list_in_disguise(texts: Iterable[str]) -> Iterator[str]:
    """Puts `iter(...)` around a list: it answers next(), and all the work is done already."""
    return iter([text.lower() for text in texts])


@mutant(of="gen_clean_docs", killed_by="building-clean-docs-pulls-nothing", among=MUTANTS, laws=LAWS)
def list_in_disguise(docs: Iterable[RawDoc], *, min_len: int) -> Iterator[CleanDoc]:
    """Puts `iter(...)` around a list: it answers next(), and all the work is done already."""
    return iter(_clean_docs(docs, min_len))


@mutant(of="gen_clean_docs", killed_by="building-clean-docs-pulls-nothing", among=MUTANTS, laws=LAWS)
def born_eager(docs: Iterable[RawDoc], *, min_len: int) -> Iterator[CleanDoc]:
    """Writes a list behind the first `in` of a generator expression: that part runs when the expression is made."""
    return (doc for doc in [(name, clean(text)) for name, text in docs] if len(doc[1]) >= min_len)


@mutant(of="gen_clean_docs", killed_by="clean-docs-are-the-list-version", among=MUTANTS, laws=LAWS)
def exhausted_reuse(docs: Iterable[RawDoc], *, min_len: int) -> Iterator[CleanDoc]:
    """Asks `any(docs)` whether there is anything: that takes the first document away."""
    if any(docs):
        yield from _clean_docs(docs, min_len)


@mutant(of="gen_clean_docs", killed_by="clean-docs-are-the-list-version", among=MUTANTS, laws=LAWS)
def measures_first(docs: Iterable[RawDoc], *, min_len: int) -> Iterator[CleanDoc]:
    """Measures the text before it is cleaned: blanks at the end of a line count."""
    return ((name, clean(text)) for name, text in docs if len(text) >= min_len)


@mutant(
    of="gen_clean_docs",
    killed_by="clean-docs-cost-no-more-documents-than-they-come-from",
    among=MUTANTS,
    laws=LAWS,
)
def lists_when_asked(docs: Iterable[RawDoc], *, min_len: int) -> Iterator[CleanDoc]:
    """Waits for the first question, and then makes them all."""
    yield from _clean_docs(docs, min_len)


LOWER_ALL = Exercise(
    id="m03c02e1",
    title="Every text in lower case, one at a time",
    function="lower_all",
    starter="""\
def lower_all(texts):
    ...
""",
    laws=(LAWS["lower-all-is-the-list-version"], LAWS["building-lower-all-pulls-nothing"]),
    hints=(
        "You know the list version. Which brackets does it have?",
        "One `return`, and round brackets around `text.lower() for text in texts`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "lower_all"),
)

GEN_CLEAN_DOCS = Exercise(
    id="m03c02e2",
    title="Clean documents, one at a time",
    function="gen_clean_docs",
    starter="""\
def gen_clean_docs(docs, *, min_len):
    ...
""",
    laws=(
        LAWS["clean-docs-are-the-list-version"],
        LAWS["building-clean-docs-pulls-nothing"],
        LAWS["clean-docs-cost-no-more-documents-than-they-come-from"],
    ),
    hints=(
        "You need the clean text twice: to measure it, and to give it. What can stand between the two?",
        "Two generator expressions: the first makes pairs with `clean(text)`, the second reads the first "
        "and has an `if`. Or one `for` with a `yield`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "gen_clean_docs"),
    withheld=("gen_clean_docs",),
)


@law(
    "each-search-finds-its-own-word",
    about="searches",
    promise="same answer",
    says="A search for each word: each one finds the texts that hold its own word.",
    hint="What is the word by the time the first search is asked?",
    among=LAWS,
    docs=items_of(choice("a", "b", "ab"), most=3),
    words=items_of(choice("a", "b"), most=3),
)
def _(world: World, searches: Any, docs: tuple[str, ...], words: tuple[str, ...]) -> None:
    same([list(found) for found in searches(docs, words)], _found(docs, words))


def _found(docs: Iterable[str], words: Iterable[str]) -> list[list[str]]:
    return [[doc for doc in docs if word in doc] for word in words]


def searches(docs: Iterable[str], words: Iterable[str]) -> list[Iterator[str]]:
    """A search for each word, made in a call of its own, which keeps the word.

    >>> [list(found) for found in searches(["tee", "skew"], ["t", "s"])]
    [['tee'], ['skew']]
    """

    def search(word: str) -> Iterator[str]:
        return (doc for doc in docs if word in doc)

    return [search(word) for word in words]


@mutant(of="searches", killed_by="each-search-finds-its-own-word", among=MUTANTS, laws=LAWS)
def late_binding(docs: Iterable[str], words: Iterable[str]) -> list[Iterator[str]]:
    """Makes the searches where the word still changes: when they are asked, it is the last one."""
    return [(doc for doc in docs if word in doc) for word in words]


def _check_input(world: World, unmask: Callable[[], tuple[list[str], list[str]]]) -> None:
    given = unmask()
    match given:
        case (list(docs), list(words)) if all(isinstance(text, str) for text in [*docs, *words]):
            pass
        case _:
            wanted = "a list of texts and a list of words, like (['tee', 'skew'], ['tee'])"
            raise other_shape(given, wanted)
    wrong = [list(found) for found in late_binding(docs, words)]
    holds(_found(docs, words) != wrong, f"both programs find {wrong!r:.60}", "an input on which they differ")


UNMASK = Exercise(
    id="m03c02e3",
    title="Unmask the searches that look for the last word",
    function="unmask",
    starter="""\
def unmask():
    ...
""",
    laws=(
        Law(
            id="unmask-shows-the-late-word",
            about="unmask",
            promise="same answer",
            says="On this input a search of the wrong program finds what another word should have found.",
            hint="When does a search look up its word: when it is made, or when it is asked?",
            inputs={},
            label="your input",
            check=_check_input,
        ),
    ),
    hints=(
        "A search looks up its word when it is asked. How many words must there have been by then?",
        "Two words, and a text that holds only one of them.",
    ),
    mutants=tuple(m for m in MUTANTS if m.name == "late_binding"),
)

EXERCISES = (LOWER_ALL, GEN_CLEAN_DOCS, UNMASK)
