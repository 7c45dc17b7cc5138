"""Where a law is checked: the world makes live sources and functions of the data a law is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.streams.probe import Log, OverPulled, Probe, ProbeIterator

from .inputs import FUNCTIONS, STAGES, SourceSpec
from .law import WrongKind, holds


class World(Protocol):
    """What a law may ask for. All counts are kept on this side, whoever runs the implementation."""

    log: Log
    most_items: int
    """How many items a law about memory may send through here, so that it takes about a second."""

    def source(self, spec: SourceSpec, name: str = "source", *, budget: int | None = None) -> Probe:
        """A live source that counts, with a budget: past it, it refuses and remembers."""
        ...

    def sources(self, specs: Iterable[SourceSpec], *, budget: int | None = None) -> list[Probe]:
        """Several, named by their places, with a budget each."""
        ...

    def stream(self, spec: SourceSpec, *, budget: int | None = None) -> tuple[Any, Probe]:
        """An iterable for a transform, as `spec` has it handed over, and the probe behind it."""
        ...

    def asource(
        self,
        spec: SourceSpec,
        name: str = "source",
        *,
        budget: int | None = None,
        takes: Sequence[float] = (),
    ) -> AsyncProbe:
        """The same as an async source: item i is there `takes[i]` seconds after it was asked for."""
        ...

    def aiterator(self, made: object) -> AsyncIterator[Any]:
        """What the implementation made, if it is an async iterator; otherwise the law is broken."""
        ...

    async def aitems(self, made: object, *, most: int = 200) -> list[Any]:
        """All items of an async stream that the implementation made; more than `most` breaks the law."""
        ...

    def fn(self, name: str) -> Callable[[Any], Any]:
        """A function by its name."""
        ...

    def stage(self, name: str, does: str) -> Callable[[Iterable[Any]], Iterator[Any]]:
        """A transform by its name, watched: it has its own row in the diagram."""
        ...

    def run(self, made: object, *given: object) -> Any:
        """Call what a factory made, on what is given; the law is broken if it cannot be called."""
        ...

    def iterator(self, made: object) -> Iterator[Any]:
        """What the implementation made, if it is an iterator; otherwise the law is broken."""
        ...

    def items(self, made: object, *, most: int = 200) -> list[Any]:
        """All items of what the implementation made; more than `most` breaks the law."""
        ...

    def folder(self) -> str:
        """A folder of this world's own, empty; it goes when the world does."""
        ...

    def shown(self, text: str) -> str:
        """`text` without what changes from run to run: the names of temporary folders."""
        ...

    def finish(self) -> None:
        """Break the law if a probe had to refuse, though the implementation swallowed that."""
        ...


class LocalWorld:
    """In this process: for the package, for a learner's notebook."""

    most_items = 100_000

    def __init__(self, place: str | None = None) -> None:
        self.log = Log()
        self._place = place
        self._probes: list[Probe] = []
        self._folders: list[TemporaryDirectory[str]] = []

    def source(self, spec: SourceSpec, name: str = "source", *, budget: int | None = None) -> Probe:
        probe = Probe(
            spec.items,
            name=name,
            log=self.log,
            budget=3 * len(spec.items) + 30 if budget is None else budget,
            raises_at=spec.raises_at,
            raises_on_close=spec.raises_on_close,
            endless=spec.endless,
        )
        self._probes.append(probe)
        return probe

    def sources(self, specs: Iterable[SourceSpec], *, budget: int | None = None) -> list[Probe]:
        return [self.source(spec, f"source {place}", budget=budget) for place, spec in enumerate(specs)]

    def stream(self, spec: SourceSpec, *, budget: int | None = None) -> tuple[Any, Probe]:
        probe = self.source(spec, budget=budget)
        return (Collection(probe) if spec.reiterable else probe()), probe

    def asource(
        self,
        spec: SourceSpec,
        name: str = "source",
        *,
        budget: int | None = None,
        takes: Sequence[float] = (),
    ) -> AsyncProbe:
        return AsyncProbe(self.source(spec, name, budget=budget), takes=takes)

    def aiterator(self, made: object) -> AsyncIterator[Any]:
        if not isinstance(made, AsyncIterator):
            if asyncio.iscoroutine(made):
                made.close()
            hint = "What does an `async def` give that has a yield in it? And one that has none?"
            raise WrongKind(
                f"it returned {kind_of(made)}", "an async iterator, which gives items on demand", hint
            )
        kind = type(made).__name__
        holds(aiter(made) is made, f"aiter() of the {kind} was another object", "its own aiter()")
        return made

    async def aitems(self, made: object, *, most: int = 200) -> list[Any]:
        got = []
        async for item in self.aiterator(made):
            got.append(item)
            holds(len(got) <= most, f"it gave more than {most} items", "an end")
        return got

    def fn(self, name: str) -> Callable[[Any], Any]:
        return FUNCTIONS[name]

    def stage(self, name: str, does: str) -> Callable[[Iterable[Any]], Iterator[Any]]:
        return self.log.watch(name, STAGES[does])

    def run(self, made: object, *given: object) -> Any:
        wanted = "a transform: a function of one stream" if given else "a source: a function to call"
        if not callable(made):
            hint = "Who calls what here: which call gives a function, and does that one return it?"
            raise WrongKind(
                f"the call returned {kind_of(made)}",
                f"{wanted} (is a return missing, or one call too many?)",
                hint,
            )
        return made(*given)

    def iterator(self, made: object) -> Iterator[Any]:
        if made is None:
            hint = "Which line hands the result over? A function without a return and without a yield gives None."
            raise WrongKind("it returned None", "an iterator (is there a return, or a yield, missing?)", hint)
        if not hasattr(made, "__next__"):
            hint = "What does a function give that has a yield in it? And one that builds a list?"
            if not hasattr(made, "__iter__"):
                hint = "Whoever calls it wants to ask for item after item. What does your return hand over?"
            raise WrongKind(f"it returned {kind_of(made)}", "an iterator, which gives items on demand", hint)
        assert isinstance(made, Iterator)
        kind = type(made).__name__
        holds(
            iter(made) is made,
            f"iter() of the {kind} was another object",
            "an iterator that is its own iter()",
        )
        return self.log.reader(made)

    def items(self, made: object, *, most: int = 200) -> list[Any]:
        got = []
        for item in self.iterator(made):
            got.append(item)
            holds(len(got) <= most, f"it gave more than {most} items", "an end")
        return got

    def folder(self) -> str:
        self._folders.append(TemporaryDirectory(prefix="funcpipe-rag-world-", dir=self._place))
        return self._folders[-1].name

    def shown(self, text: str) -> str:
        for folder in self._folders:
            text = text.replace(folder.name, "folder")
        return text

    def finish(self) -> None:
        for probe in self._probes:
            if probe.over:
                raise OverPulled(probe.name, probe.budget or 0)


def kind_of(made: object) -> str:
    """What kind of thing this is, in words.

    >>> kind_of(3), kind_of([]), kind_of(None)
    ('an int', 'a list', 'None')
    """
    name = type(made).__name__
    return "None" if made is None else f"a{'n' if name[0] in 'aeiouAEIOU' else ''} {name}"


class Collection:
    """Something to iterate that is no iterator itself: each iter() opens the probe anew."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def __iter__(self) -> ProbeIterator:
        return self.probe()
