"""A mutant to kill with a law of the learner's own: a predicate that lets the right program pass and not the wrong one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from funcpipe_rag.laws import Broken, Law, Promise, World, holds, run
from funcpipe_rag.laws.inputs import Input

Asked: TypeAlias = Callable[..., tuple[Any, ...]]
"""`asked(world, program, **inputs)`: what the learner's law is called with when `program` is judged on these inputs."""


def inputs_and_answer(world: World, program: Callable[..., Any], **inputs: Any) -> tuple[Any, ...]:
    """The inputs, and what the program makes of them; tuples and iterators as lists.

    >>> from funcpipe_rag.laws import LocalWorld
    >>> inputs_and_answer(LocalWorld(), zip, xs=(1, 2))
    ([1, 2], [(1,), (2,)])
    """
    given = [_listed(value) for value in inputs.values()]
    return *given, _listed(program(*map(_listed, inputs.values())))


def predicate_laws(
    id: str,
    *,
    right: Callable[..., Any],
    wrong: Callable[..., Any],
    differ_on: Mapping[str, Any],
    hints: tuple[str, str],
    called: str = "",
    asked: Asked = inputs_and_answer,
    about: str = "law",
    promise: Promise = "same answer",
    **inputs: Input[Any],
) -> tuple[Law, Law]:
    """The two laws of an exercise in which the learner writes one: it accepts `right`, and it refuses `wrong`.

    The first asks the learner's predicate about what `right` does, on all inputs tried: it must say True. The
    second asks it about what `wrong` does, on as many: it must say False at least once, and an error is no answer.
    A card shows the call that was answered badly; for a predicate that refuses nothing, the one on `differ_on`, the
    smallest inputs on which the two programs differ. `hints` are a question for each law. `called` is how the
    lesson calls the right program, where its name is another.

    >>> from funcpipe_rag.laws import run
    >>> from funcpipe_rag.laws.inputs import numbers
    >>> def keeps_order(xs):
    ...     return sorted(set(xs), key=xs.index)
    >>> accepts, refuses = predicate_laws(
    ...     "deduped", right=keeps_order, wrong=sorted, xs=numbers(), differ_on={"xs": (1, 0)},
    ...     hints=("Which order is right?", "In what do the two differ?"))
    >>> run(accepts, lambda xs, ys: len(xs) == len(ys)).came
    'law([0, 0], [0]) says False'
    >>> run(refuses, lambda xs, ys: set(xs) == set(ys)).came
    'it never says False, and law([1, 0], [0, 1]) says True'
    >>> run(refuses, lambda xs, ys: ys == sorted(ys, key=xs.index)).passed
    True

    Where the predicate gets something else than inputs and answer, the program itself and a probe for instance,
    `asked` makes its arguments afresh for each call. A child can call, iterate and close a live object, and read how
    many `pulls` a probe has counted; no other attribute goes over the wire. ValueError when `differ_on` does not name the inputs.
    """
    if list(differ_on) != list(inputs):
        raise ValueError(f"predicate_laws: differ_on must name {', '.join(inputs)}, got {dict(differ_on)!r}")
    name = called or right.__name__

    def accepts(world: World, law: Callable[..., Any], **given: Any) -> None:
        call, says = _answer(world, law, about, asked(world, right, **given))
        holds(says, f"{call} says False", f"True, for this is what the right {name} gives")

    def refuses(world: World, law: Callable[..., Any]) -> None:
        found = []

        def says_true(world: World, law: Callable[..., Any], **given: Any) -> None:
            _call, says = _answer(world, law, about, asked(world, wrong, **given))
            if not says:
                found.append(given)
                raise Broken("it says False", "True")

        tried = run(Law(f"{id}-says-true", about, promise, "", "", inputs, says_true), law)
        if found:
            return
        if not tried.passed:
            raise Broken(f"{tried.came}, for {tried.smallest}", tried.expected)
        call, _says = _answer(world, law, about, asked(world, wrong, **differ_on))
        raise Broken(f"it never says False, and {call} says True", "False, here or on another input")

    return (
        Law(
            f"{id}-accepts-the-right-program",
            about,
            promise,
            f"Your law says True of whatever the right {name} gives.",
            hints[0],
            inputs,
            accepts,
            # Who always says True has solved nothing: the points are behind this door.
            points=0,
            label="your law",
        ),
        Law(
            f"{id}-refuses-the-wrong-program",
            about,
            promise,
            f"Your law says False of something that {wrong.__name__} gives.",
            hints[1],
            {},
            refuses,
            points=2,
            label="your law",
        ),
    )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | Iterator) else value


def _answer(
    world: World, law: Callable[..., Any], about: str, arguments: tuple[Any, ...]
) -> tuple[str, bool]:
    """How the predicate was called, and what it said."""
    # Written down before the call: the predicate may use up what it is given.
    call = f"{about}({', '.join(map(_shown, arguments))})"
    says = law(*arguments)
    kind = "None (is a return missing?)" if says is None else f"{says!r:.60}"
    holds(isinstance(says, bool), f"{call} returned {kind}", "True or False")
    return call, says


def _shown(argument: Any) -> str:
    """Data as it is written; of a program, a probe or an iterator its name or its kind, for their addresses change."""
    if callable(argument):
        name = getattr(argument, "name", None) or getattr(argument, "__name__", None)
        return str(name or type(argument).__name__)
    return type(argument).__name__ if " at 0x" in repr(argument) else repr(argument)
