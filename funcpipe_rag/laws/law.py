"""A law: one sentence that must be true of a function, and the check that looks for the exception.

The check takes the implementation as an argument, so the same law proves the package, answers a learner and
judges whatever anybody else has written under the same name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import iscoroutine, iscoroutinefunction
from types import GeneratorType
from typing import Any, Literal, TypeAlias

from .inputs import Input

Promise: TypeAlias = Literal["same answer", "on demand", "fresh", "closed", "flat"]
"""What a learner meets: five promises."""

PROMISES: tuple[Promise, ...] = ("same answer", "on demand", "fresh", "closed", "flat")


class Broken(AssertionError):
    """The law does not hold: what came, and what should have come."""

    def __init__(self, came: str, expected: str, hint: str = "") -> None:
        super().__init__(f"{came}; expected {expected}")
        self.came, self.expected = came, expected
        self.hint = hint
        """A question about this way of breaking the law; the law's own hint where there is none."""


class WrongKind(Broken):
    """What came is of another kind than what was asked for: the law has had no say yet, and neither has its hint."""


def other_shape(given: object, wanted: str) -> WrongKind:
    """What to raise where somebody was asked for an input, and gave something that is none.

    >>> other_shape(None, "a list of 0 and 1").hint
    'It gives nothing. Is a return missing?'
    """
    hint = "Which part of it is of another kind: a bracket, a number, a text?"
    if given is None:
        hint = "It gives nothing. Is a return missing?"
    if asks := _not_the_items(given):
        return WrongKind(f"it returned {_one(given)}", wanted, asks)
    return WrongKind(f"it returned {repr(given)[:60]}", wanted, hint)


def _one(thing: object) -> str:
    kind = type(thing).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _not_the_items(given: object) -> str:
    """A question about what stands for items and is none of them; empty for anything else."""
    if iscoroutine(given):
        # Nobody will await it. Python would warn of that, on a line that is not the learner's.
        given.close()
        return "An `async def` gives a coroutine, and nobody awaits this one. Is a plain `def` meant?"
    if isinstance(given, GeneratorType):
        return "A function with a yield in it gives a generator, whatever else it does. Is a return meant?"
    if isinstance(given, Iterator):
        return "An iterator gives its items when somebody asks, and only once. What makes a list of it?"
    return ""


def same(came: object, expected: object, what: str = "{}") -> None:
    """Break the law unless the two are equal, item by item and type by type.

    >>> same([1, 2], [1, 2])
    >>> same([1, True], [1, 1])
    Traceback (most recent call last):
    ...
    funcpipe_rag.laws.law.Broken: [1, True]; expected [1, 1]
    """
    # repr tells True from 1, and an overridden __eq__ has no say in it.
    if repr(came) == repr(expected):
        return
    if not isinstance(expected, Iterator) and (hint := _not_the_items(came)):
        raise WrongKind(f"it returned {_one(came)}", repr(expected), hint)
    if _iterators_in(came) and not _iterators_in(expected):
        hint = "An iterator stands where its items should. `yield` hands over one thing. What hands over each item of it?"
        raise WrongKind(what.format(repr(came)), repr(expected), hint)
    if _with_tuples(came) == _with_tuples(expected):
        hint = (
            "The values are right, and their brackets are not: which are round, (), and which are square, []?"
        )
        raise WrongKind(what.format(repr(came)), repr(expected), hint)
    raise Broken(what.format(repr(came)), repr(expected))


def _iterators_in(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_iterators_in, value))
    return isinstance(value, Iterator)


def _with_tuples(value: object) -> str:
    """The text of a value in which every list is a tuple."""
    if type(value) in (list, tuple):
        return f"({', '.join(map(_with_tuples, value))})"  # type: ignore[call-overload]
    return repr(value)


def times(n: int) -> str:
    """How often, in words.

    >>> times(1), times(2), times(0)
    ('once', 'twice', 'never')
    """
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n} times")


def holds(truth: bool, came: str, expected: str, hint: str = "") -> None:
    """Break the law unless `truth`."""
    if not truth:
        raise Broken(came, expected, hint)


@dataclass(frozen=True)
class Law:
    """One law of one function.

    `check(world, impl, **inputs)` raises `Broken` where it does not hold; it may be an `async def`. `inputs` are
    kinds of plain data; the world makes live sources and functions of the data.
    """

    id: str
    about: str
    promise: Promise
    says: str
    hint: str
    inputs: dict[str, Input[Any]]
    check: Callable[..., Any]
    late: bool = False
    """Taught after the laws about demand, though its promise comes before them."""
    points: int = 1
    label: str = ""
    """What a verdict is headed with in place of the promise, where that says more."""

    @property
    def is_async(self) -> bool:
        """Whether its check is a coroutine: it runs on a loop in virtual time, and nothing may be left behind."""
        return iscoroutinefunction(self.check)

    def __repr__(self) -> str:
        return f"<law {self.id}: {self.says}>"


LAWS: dict[str, Law] = {}
"""Every law by its id, in teaching order."""


def law(
    id: str,
    /,
    *,
    about: str,
    promise: Promise,
    says: str,
    hint: str,
    late: bool = False,
    points: int = 1,
    label: str = "",
    among: dict[str, Law] = LAWS,
    **inputs: Input[Any],
) -> Callable[[Callable[..., Any]], Law]:
    """Register the decorated check as a law.

    A decorator: `@law("fence-stops-asking", about="fence_k", promise=..., says=..., hint=..., k=integers())`
    over `def _(world, fence_k, k): ...`. `among` is where it is kept: the package's laws in `LAWS`, those of
    an exercise beside the exercise. `points` are what it is worth where points are given, and `label` is
    what its verdict is headed with in place of the promise. ValueError when the id is taken.
    """

    def register(check: Callable[..., Any]) -> Law:
        taken = among.get(id) or LAWS.get(id)
        if taken:
            raise ValueError(f"law: the id {id!r} is taken, by: {taken.says}")
        made = Law(id, about, promise, says, hint, inputs, check, late, points, label)
        among[id] = made
        return made

    return register


def of(about: str) -> tuple[Law, ...]:
    """The laws of a function, in teaching order.

    >>> of("make_chain")[0]
    <law chain-keeps-source-order: All of the first source comes first, then all of the second, and so on.>

    KeyError, naming what there is, when nothing is known about it.
    """
    found = [law for law in LAWS.values() if law.about == about]
    if not found:
        known = ", ".join(sorted({law.about for law in LAWS.values()}))
        raise KeyError(f"no law is about {about!r}; there are laws about {known}")
    return tuple(sorted(found, key=lambda law: PROMISES.index(law.promise) + 1.5 * law.late))


Class: TypeAlias = Literal["pure", "observer", "clocked", "external"]
"""What a function may depend on: its input alone, plus what it shows of a run, plus a clock, plus the world."""

OWED: dict[Class, tuple[Promise, ...]] = {
    "pure": ("same answer", "on demand", "fresh", "closed"),
    "observer": ("same answer", "on demand", "fresh", "closed"),
    "clocked": ("same answer", "on demand", "fresh", "closed"),
    "external": ("same answer", "on demand", "fresh"),
}
"""The promises that a function of each class owes a law for. What an external one closes is the system's to tell."""


def public(name: str) -> Any:
    """The package's own function of this name; None if there is none.

    >>> public("fence_k").__name__, public("gen_chunks").__module__
    ('fence_k', 'funcpipe_rag.rag.chunking')
    """
    from funcpipe_rag import aio, rag, streams

    return getattr(streams, name, None) or getattr(aio, name, None) or getattr(rag, name, None)


def class_of(function: Callable[..., Any]) -> Class:
    """The class that a public function says of itself in its docstring, in the line `Class: pure.`

    >>> from funcpipe_rag import fmap, make_text_source
    >>> class_of(fmap), class_of(make_text_source)
    ('pure', 'external')

    ValueError when it says none.
    """
    said = re.search(r"\bClass: (pure|observer|clocked|external)\b", function.__doc__ or "")
    if said is None:
        raise ValueError(f"{function.__name__}: its docstring does not say its class")
    found: Class = said[1]  # type: ignore[assignment]
    return found
