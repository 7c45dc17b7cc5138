"""The rest of a lesson's vocabulary: `watch` what is asked for, `predict` it, `expect` an error that is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from funcpipe_rag.plots import DemandDiagram
from funcpipe_rag.streams.ownership import close
from funcpipe_rag.streams.probe import Log, Probe


def watch(
    build: Callable[..., Any],
    sources: Mapping[str, Iterable[Any]],
    stages: Mapping[str, Callable[[Iterable[Any]], Iterable[Any]]] | None = None,
    *,
    take: int = 3,
    closing: bool = False,
) -> DemandDiagram:
    """Draw who is asked for what while you take some items.

    `build` gets the sources and the stages, each with a diary, and gives the stream. You take `take` items of
    it and stop. With `closing` you close it then, and see who is closed with it, and who is left open.

    >>> watch(lambda abc: map(str.upper, abc()), {"abc": "abc"}, take=1)
         1  2  3  4  5    6
    abc  [  -  -  ?  'a'  -    still open
    you  .  ?  [  -  -    'A'
    [ opened   ? asked   - is open
    abc gave 'a'; you got 'A'; still open: abc
    """
    if not callable(build):
        raise TypeError(f"watch: the first argument is a function of the sources, got {type(build).__name__}")
    if not isinstance(sources, Mapping):
        raise TypeError(
            'watch: sources are given by name, like {"abc": "abc"}, not as a ' + type(sources).__name__
        )
    if take < 0:
        raise ValueError(f"watch: take must be >= 0, got {take}")
    log = Log()
    probes = [Probe(items, name=name, log=log) for name, items in sources.items()]
    watched = [log.watch(name, stage) for name, stage in (stages or {}).items()]
    made = build(*probes, *watched)
    if not hasattr(made, "__iter__"):
        hint = "; call it: a source is a function" if callable(made) else ""
        raise TypeError(f"watch: the function must return a stream, got {type(made).__name__}{hint}")
    you = log.reader(made)
    for _ in islice(you, take):
        pass
    if closing:
        close(you)
    drawn = DemandDiagram(log)
    close(made)
    return drawn


_GUESSES: dict[str, object] = {}


def predict(question: str, guess: object = ..., *, truth: object = ...) -> None:
    """Keep your guess; later, with `truth=`, see it beside what happened.

    >>> predict("How many words?", 3)
    How many words? You say 3.
    >>> predict("How many words?", truth=4)
    How many words? You said 3. It is 4.

    Without a guess the lesson goes on all the same.

    >>> predict("How many notes?")
    How many notes? Put your guess in place of the dots.
    >>> predict("How many notes?", truth=2)
    How many notes? It is 2.
    """
    if truth is not ...:
        said = _GUESSES.get(question, ...)
        print(f"{question} It is {truth}." if said is ... else f"{question} You said {said}. It is {truth}.")
    else:
        _GUESSES[question] = guess
        print(f"{question} {'Put your guess in place of the dots.' if guess is ... else f'You say {guess}.'}")


@contextmanager
def expect(kind: type[BaseException]) -> Iterator[None]:
    """Run a block that is meant to end in an error, and show the error.

    >>> with expect(ZeroDivisionError):
    ...     1 / 0
    ZeroDivisionError, as expected: division by zero

    No error is a surprise.

    >>> with expect(ZeroDivisionError):
    ...     1 / 1
    Traceback (most recent call last):
    ...
    AssertionError: expected ZeroDivisionError, and nothing was raised
    """
    try:
        yield
    except kind as error:
        print(f"{type(error).__name__}, as expected: {error}")
    else:
        raise AssertionError(f"expected {kind.__name__}, and nothing was raised")
