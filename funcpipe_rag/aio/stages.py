"""Async sources and transforms, and the streams they make.

A source makes a fresh stream each time it is called; a transform takes an iterable, sync or async, and gives a
stream. Both know their name and configuration, and join with `|`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from inspect import signature
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeAlias, TypeVar

from funcpipe_rag.streams import Stage
from funcpipe_rag.streams.ownership import named

from .contexts import NO_SETTINGS, Mode, PipelineContext, Run as Run, Settings, begun, joined, told
from .ownership import Owned, close_coroutine

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")

Items: TypeAlias = AsyncIterable[T] | Iterable[T]
"""What an async stage takes: an iterable of either kind."""


class AsyncStream(AsyncIterator[T]):
    """A stream on its way: an async iterator that can be closed, collected, and used with `async with`.

    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.testing import run
    >>> run(amap(abs)([-1, -2]).collect())
    [1, 2]

    Leaving an `async with` closes it, and all that it has begun.

    >>> async def first():
    ...     async with amap(abs)([-1, -2]) as numbers:
    ...         async for number in numbers:
    ...             return number
    >>> run(first())
    1

    A loop that is left by `break` closes nothing by itself: what you still hold is open, and what you have dropped is
    closed by the event loop soon after.

    Nothing runs before it is first asked. One reader at a time. A reader that is cancelled while it waits ends the
    stream, as with every async generator.
    """

    __slots__ = ("__weakref__", "_it", "_of")

    def __init__(self, it: AsyncGenerator[T, None], of: object = None) -> None:
        self._it, self._of = it, of

    def __anext__(self) -> Any:
        return self._it.__anext__()

    async def aclose(self) -> None:
        """End it: cancel what runs, wait for that, close the input. What has ended stays ended.

        One that was never asked has not touched its input, and leaves it as it is.
        """
        await self._it.aclose()

    async def collect(self) -> list[T]:
        """All items that are still to come, as a list; closed whatever happens. Memory: all of them."""
        async with self:
            return [item async for item in self._it]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<async stream of {named(self._it) if self._of is None else repr(self._of)}>"


class Shown:
    """What has a name and a configuration, and does not change."""

    __slots__ = ("args", "name", "options")

    name: str
    args: tuple[object, ...]
    options: Mapping[str, object]

    def __init__(self, name: str, *args: object, **options: object) -> None:
        self.set_once(name=name, args=args, options=MappingProxyType(options))

    def set_once(self, **fields: object) -> None:
        """For constructors alone: what they set is never set again."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self.name} is immutable; make a new stage instead of setting {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self.name} is immutable; {name} cannot be deleted")

    def __repr__(self) -> str:
        options = [f"{option}={named(value)}" for option, value in self.options.items()]
        configuration = ", ".join([*map(named, self.args), *options])
        return f"{self.name}({configuration})" if configuration else self.name


class AsyncStage(Shown, Generic[A, B]):
    """A transform that knows its name and configuration; immutable, and used any number of times.

    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.testing import run
    >>> texts = amap(abs) | amap(str)
    >>> texts
    amap(abs) | amap(str)
    >>> run(texts([-1, -2]).collect())
    ['1', '2']

    The right side may be any function from an async iterator to an async iterable. What cannot be joined says so.

    >>> [1, 2] | amap(abs)
    Traceback (most recent call last):
    ...
    TypeError: [1, 2] | amap(abs): the left side must be a source or a stage, not a list; write (amap(abs) | ...)([1, 2])
    """

    __slots__ = ()

    is_async: ClassVar[bool] = True
    """What a stage that is not async looks at before it joins this one."""

    in_context: ClassVar[bool] = False
    """Its calls want a `PipelineContext`, so a run of it has one whether or not anybody has set anything."""

    def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        """The stream over `xs`, not begun; what makes a stage says how. It takes `xs` over."""
        raise NotImplementedError

    def __call__(self, xs: Items[A], /) -> AsyncStream[B]:
        return AsyncStream(self.begun(xs, self.new_run()), self)

    def new_run(self, **settings: Any) -> Run:
        """What one run of it needs, by its own settings and these."""
        more = joined(self.settings, settings)
        return begun(more) if more or any(one.in_context for one in self.stages) else Run()

    @property
    def settings(self) -> Settings:
        """What its runs are told: nothing."""
        return NO_SETTINGS

    def begun(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        """The stream over `xs` in this run; TypeError for what cannot be iterated."""
        return self.opening(iterable(self, xs), run)

    @property
    def stages(self) -> tuple[AsyncStage[Any, Any], ...]:
        """The stages that it is made of: itself."""
        return (self,)

    # A stage is a function of an async iterator too, and this way its type variables are solved by what is on the left.
    def __or__(self, other: Callable[[AsyncIterator[B]], AsyncIterable[C]]) -> AsyncPipeline[A, C]:
        return AsyncPipeline(self).add(as_stage(f"{self!r} | {named(other)}", other))

    def __ror__(self, other: Callable[[], Items[A]]) -> AsyncSource[B]:
        if not callable(other):
            cure = f"; write ({self!r} | ...)({named(other)})" if _can_be_iterated(other) else ""
            raise TypeError(
                f"{named(other)} | {self!r}: the left side must be a source or a stage, "
                f"not a {type(other).__name__}{cure}"
            )
        return asource(other) | self


class AsyncPassingStage(AsyncStage[Any, Any]):
    """A transform that passes items on as they are, so that their type goes through it."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, xs: Items[T], /) -> AsyncStream[T]: ...

        def __or__(self, other: Callable[[AsyncIterator[A]], AsyncIterable[C]]) -> AsyncPipeline[A, C]: ...

        def __ror__(self, other: Callable[[], Items[A]]) -> AsyncSource[A]: ...


class AsyncListsStage(AsyncStage[Any, list[Any]]):
    """A transform that gives its items in lists, so that their type stays known in them."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, xs: Items[T], /) -> AsyncStream[list[T]]: ...

        def __or__(
            self, other: Callable[[AsyncIterator[list[A]]], AsyncIterable[C]]
        ) -> AsyncPipeline[A, C]: ...

        def __ror__(self, other: Callable[[], Items[A]]) -> AsyncSource[list[A]]: ...


class AsyncPipeline(AsyncStage[A, B]):
    """Stages joined by `|`, which are a stage again.

    >>> from funcpipe_rag.aio import amap
    >>> AsyncPipeline().add(amap(abs), amap(str))
    amap(abs) | amap(str)

    Called with data, it streams; `as_completed` hands on each result of a task when it is there.

    >>> from funcpipe_rag.aio import get_current_context, single_task
    >>> @single_task
    ... def signed(text):
    ...     return f"{text}, {get_current_context().data['name']}"
    >>> from funcpipe_rag.aio.testing import run
    >>> letters = AsyncPipeline(signed).with_context(name="Ada")
    >>> run(letters.as_completed(["Yours"]).collect())
    ['Yours, Ada']

    Class: that of its stages. Demand, memory, closing, errors: those of its stages; no pipeline adds any. A pipeline
    never changes: what is added or set makes a new one, and joining two joins what was set, the right one last.
    """

    __slots__ = ("_settings", "_stages")

    _settings: Settings
    _stages: tuple[AsyncStage[Any, Any], ...]

    def __init__(self, *stages: AsyncStage[Any, Any]) -> None:
        super().__init__("AsyncPipeline")
        given = [as_stage("AsyncPipeline", one) for one in stages]
        self.set_once(
            _stages=tuple(part for one in given for part in one.stages),
            _settings=joined(*(one.settings for one in given)),
        )

    @property
    def stages(self) -> tuple[AsyncStage[Any, Any], ...]:
        """The stages that it is made of, in the order in which items go through them."""
        return self._stages

    def add(self, *stages: AsyncStage[Any, Any]) -> AsyncPipeline[A, Any]:
        """A new pipeline with more stages behind these."""
        return AsyncPipeline(self, *(as_stage("AsyncPipeline.add", one) for one in stages))

    @property
    def settings(self) -> Settings:
        """What its runs are told."""
        return self._settings

    def as_completed(self, xs: Items[A], /) -> AsyncStream[B]:
        """The stream over `xs` in which each result of a task comes when it is there."""
        return AsyncStream(self.begun(xs, self.new_run(execution_mode="as_completed")), self)

    def with_execution_mode(self, mode: Mode) -> AsyncPipeline[A, B]:
        """The same with its results "ordered", or "as_completed"."""
        return self.with_context(execution_mode=mode)

    def with_context(self, context: PipelineContext | None = None, /, **settings: Any) -> AsyncPipeline[A, B]:
        """The same with something set for its runs: a field of `PipelineContext`, or else something in its `data`.

        A value in `data` is handed to each run in containers of the run's own. TypeError and ValueError for what
        no context can have.
        """
        made: AsyncPipeline[A, B] = AsyncPipeline(self)
        made.set_once(_settings=joined(self._settings, told("with_context", context, settings)))
        return made

    def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        stream: Any = xs
        for one in self._stages:
            stream = one.opening(stream, run)
        if stream is xs:
            raise ValueError("AsyncPipeline: it has no stage; add some, or join stages with |")
        return stream  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return " | ".join(map(repr, self._stages)) or "AsyncPipeline()"


class AsyncSource(Shown, Generic[B]):
    """A source that knows its name and configuration: every call gives a fresh stream.

    >>> from funcpipe_rag.aio import amap, asource
    >>> from funcpipe_rag.aio.testing import run
    >>> @asource
    ... async def numbers():
    ...     yield -1
    ...     yield -2
    >>> positive = numbers | amap(abs)
    >>> run(positive().collect()), run(positive().collect())
    ([1, 2], [1, 2])
    """

    __slots__ = ("_open", "_pipeline")

    _open: Callable[[], AsyncGenerator[Any, None]]
    _pipeline: AsyncPipeline[Any, Any]

    def __init__(
        self, open: Callable[[], AsyncGenerator[B, None]], name: str, *args: object, **options: object
    ) -> None:
        super().__init__(name, *args, **options)
        self.set_once(_open=open, _pipeline=AsyncPipeline())

    def __call__(self) -> AsyncStream[B]:
        return AsyncStream(self.begun(self._pipeline.new_run()), self)

    def begun(self, run: Run) -> AsyncGenerator[B, None]:
        """The stream in this run, not begun."""
        stream = self._open()
        for one in self._pipeline.stages:
            stream = one.opening(stream, run)
        return stream

    def __or__(self, other: Callable[[AsyncIterator[B]], AsyncIterable[C]]) -> AsyncSource[C]:
        more = as_stage(f"{self!r} | {named(other)}", other)
        longer: AsyncSource[C] = AsyncSource(self._open, self.name, *self.args, **self.options)
        longer.set_once(_pipeline=self._pipeline.add(more))
        return longer

    def __repr__(self) -> str:
        return " | ".join([super().__repr__(), *map(repr, self._pipeline.stages)])


class _Function(AsyncStage[A, B]):
    """A function of an async iterator, as a stage."""

    __slots__ = ("_transform",)

    _transform: Callable[[AsyncIterator[A]], AsyncIterable[B]]

    def __init__(self, transform: Callable[[AsyncIterator[A]], AsyncIterable[B]]) -> None:
        super().__init__(named(transform))
        self.set_once(_transform=transform)

    async def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        async with Owned() as owned:
            made = self._transform(owned.opened(xs))
            if not isinstance(made, AsyncIterable):
                close_coroutine(made)
                raise TypeError(
                    f"{self!r} gave {type(made).__name__}; a stage is an async generator function of a stream; "
                    "a function of one item goes into amap(...) or single_task(...)"
                )
            async for item in owned.opened(made):
                yield item


def as_stage(where: str, other: Any) -> AsyncStage[Any, Any]:
    """`other` as a stage; TypeError, naming `where` it stands, for what can be none."""
    if isinstance(other, AsyncStage):
        return other
    if isinstance(other, AsyncSource) or not callable(other):
        what = "a source" if isinstance(other, AsyncSource) else f"a {type(other).__name__}"
        raise TypeError(
            f"{where}: the right side must be a stage, or a function of an async iterator, not {what}"
        )
    if isinstance(other, Stage):
        raise TypeError(
            f"{where}: {other!r} is not async and cannot read this stream; take amap(...) or another async stage, "
            "or an async generator function"
        )
    return _Function(other)


def asource(make: Callable[[], Items[T]]) -> AsyncSource[T]:
    """Make a source of a function without arguments that gives an iterable, sync or async; use it as a decorator.

    >>> from funcpipe_rag.aio.testing import run
    >>> run(asource(lambda: range(3))().collect())
    [0, 1, 2]

    A generator gives its items only once, so it cannot be a source.

    >>> asource(n for n in range(3))
    Traceback (most recent call last):
    ...
    TypeError: asource: wants a function that opens a fresh iterator, got a generator; write lambda: (...)

    Class: pure. Demand: one pull an item. Memory: O(1). Closing: closes what `make` gave. Errors: those of `make`.
    """
    if isinstance(make, AsyncSource):
        return make
    if not callable(make):
        cure = "; write lambda: (...)" if _can_be_iterated(make) else ""
        raise TypeError(
            f"asource: wants a function that opens a fresh iterator, got a {type(make).__name__}{cure}"
        )
    if wanted := _asked_for(make):
        raise TypeError(
            f"asource: {named(make)} wants {', '.join(wanted)}, and a source is called with nothing; "
            f"write asource(lambda: {named(make)}(...))"
        )

    async def stream() -> AsyncGenerator[T, None]:
        async with Owned() as owned:
            async for item in owned.called(make):
                yield item

    return AsyncSource(stream, named(make))


def _asked_for(make: Callable[..., object]) -> list[str]:
    """The names of what a function must be given; none where nobody can say."""
    try:
        parameters = signature(make).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def iterable(where: object, xs: Any) -> Any:
    """`xs`; TypeError, naming `where` it was given, for what cannot be iterated."""
    if _can_be_iterated(xs):
        return xs
    hint = "; call it first" if callable(xs) else ""
    hint += ", or join it with |" if hint and isinstance(where, AsyncStage) else ""
    raise TypeError(f"{where}: wants an iterable, sync or async, got {type(xs).__name__}{hint}")


def _can_be_iterated(xs: object) -> bool:
    return hasattr(xs, "__aiter__") or hasattr(xs, "__iter__")
