"""Sources, transforms and sinks.

A source makes a fresh iterator each time it is called; a transform takes an iterable and gives an iterator; a
sink takes an iterable and gives a result. Any function of that shape will do. A `Stage` is such a function with
a name and its configuration, and with `|`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import GeneratorType, MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    overload,
)

from .ownership import Owned, named, shielded

if TYPE_CHECKING:
    from .pipelines import Pipeline

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
R = TypeVar("R")
Q = TypeVar("Q")
P = ParamSpec("P")
L = ParamSpec("L")
T_co = TypeVar("T_co", covariant=True)
A_contra = TypeVar("A_contra", contravariant=True)

Source: TypeAlias = Callable[[], Iterator[T]]
"""Every call gives a fresh, independent iterator."""
Transform: TypeAlias = Callable[[Iterable[A]], Iterator[B]]
"""Lazy; every call gives a fresh iterator."""
Sink: TypeAlias = Callable[[Iterable[A]], R]
"""Runs the stream to a result."""

Kind: TypeAlias = Literal["source", "transform", "sink"]


class Generates(Protocol[T_co]):
    """An object whose `generate()` gives an iterable: a source written as a class."""

    def generate(self) -> Iterable[T_co]: ...


class Transforms(Protocol[A_contra, T_co]):
    """An object whose `transform(xs)` gives an iterable: a transform written as a class."""

    def transform(self, xs: Iterable[A_contra], /) -> Iterable[T_co]: ...


class Stage(Generic[P, R]):
    """A source, transform or sink that knows its name and configuration; immutable.

    Factories make stages; `source(f)`, `stage(f)` and `sink(f)` make one of a function of yours.

    >>> from funcpipe_rag.streams import fence_k, fmap
    >>> double = fmap(lambda n: n * 2)
    >>> double.kind, double.name
    ('transform', 'fmap')
    >>> list(double([1, 2]))
    [2, 4]

    `a | b` is a new `Pipeline`; the stages it is made of do not change. What cannot be joined says so.

    >>> double | fence_k(1)
    fmap(<lambda>) | fence_k(1)
    >>> [1, 2] | double
    Traceback (most recent call last):
    ...
    TypeError: [1, 2] | fmap(<lambda>): the left side must be a source or a transform, not a list; write as_source([1, 2]) | ...
    """

    __slots__ = ("_run", "args", "kind", "name", "options", "parts", "takes")

    _run: Callable[P, R]
    kind: Kind
    takes: int
    name: str
    args: tuple[object, ...]
    options: Mapping[str, object]
    parts: tuple[object, ...]

    def __init__(self, run: Callable[P, R], kind: Kind, name: str, *args: object, **options: object) -> None:
        self.set_once(_run=run, kind=kind, takes=0 if kind == "source" else 1)
        self.set_once(name=name, args=args, options=MappingProxyType(options), parts=())

    def set_once(self, **fields: object) -> None:
        """For constructors alone: what they set is never set again."""
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def made_of(self, *parts: object) -> Self:
        """For factories alone: the sources that this one reads from, or the branches that it splits into."""
        self.set_once(parts=parts)
        return self

    def __setattr__(self, field: str, value: object) -> None:
        raise AttributeError(f"{self.name} is immutable; make a new stage instead of setting {field}")

    def __delattr__(self, field: str) -> None:
        raise AttributeError(f"{self.name} is immutable; {field} cannot be deleted")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs or len(args) != self.takes:
            wants = f"one iterable, it is a {self.kind}" if self.takes else "nothing, it begins with a source"
            raise TypeError(f"{self!r}: takes {wants}; got {len(args) + len(kwargs)} arguments")
        if self.takes and not iterable(args[0]):
            hint = "; call it first, or join it with |" if callable(args[0]) else ""
            raise TypeError(f"{self!r}: wants an iterable, got {type(args[0]).__name__}{hint}")
        return self._run(*args, **kwargs)

    # A sink of an iterable result fits both signatures; the first one wins, as it does when it runs.
    @overload
    def __or__(  # type: ignore[overload-overlap]
        self: Stage[P, Iterator[A]], other: SinkStage[A, Q]
    ) -> Pipeline[P, Q]: ...
    @overload
    def __or__(
        self: Stage[P, Iterator[A]], other: Callable[[Iterable[A]], Iterable[B]]
    ) -> Pipeline[P, Iterator[B]]: ...
    def __or__(self, other: Any) -> Pipeline[Any, Any]:
        if not callable(other):
            raise TypeError(
                f"{self!r} | {named(other)}: the right side must be a transform or a sink, "
                f"not a {type(other).__name__}"
            )
        if _is_async(other):
            first = f"asource({self!r})" if self.takes == 0 else "asource(...)"
            raise TypeError(
                f"{self!r} | {named(other)}: the right side is async; begin with {first} "
                "and take async stages behind it, such as amap"
            )
        # A pipeline is made of stages, so its file imports this one.
        from .pipelines import Pipeline

        return Pipeline((self, other if isinstance(other, Stage) else stage(other)))

    def __ror__(self: Stage[[Iterable[A]], Q], other: Callable[L, Iterable[A]]) -> Pipeline[L, Q]:
        if not callable(other):
            cure = f"; write as_source({named(other)}) | ..." if iterable(other) else ""
            if isinstance(other, GeneratorType):
                cure = ", which was called too early; join the functions: source(...) | stage | ..."
            raise TypeError(
                f"{named(other)} | {self!r}: the left side must be a source or a transform, "
                f"not a {type(other).__name__}{cure}"
            )
        from .pipelines import Pipeline

        left: Stage[Any, Any] = source(other) if _accepts(other, 0) else stage(other)  # type: ignore[arg-type]
        return Pipeline((left, self))

    @overload
    def as_function(
        self: Stage[Any, Iterator[T]], *, single_in: bool = False, single_out: Literal[False] = False
    ) -> Callable[..., list[T]]: ...
    @overload
    def as_function(
        self: Stage[Any, Iterator[T]], *, single_in: bool = False, single_out: Literal[True]
    ) -> Callable[..., T]: ...
    @overload
    def as_function(self, *, single_in: bool = False, single_out: bool = False) -> Callable[..., R]: ...
    def as_function(self: Any, *, single_in: bool = False, single_out: bool = False) -> Callable[..., Any]:
        """A plain function that runs the stage to its end: values in, a list (or a sink's result) out.

        >>> from funcpipe_rag.streams import ffilter, fmap
        >>> fmap(str.upper).as_function()(["a", "b"])
        ['A', 'B']

        `single_in` wraps one value as the input, `single_out` unwraps the one output.

        >>> shout = fmap(str.upper).as_function(single_in=True, single_out=True)
        >>> shout("a")
        'A'
        >>> ffilter(str.isdigit).as_function(single_in=True, single_out=True)("a")
        Traceback (most recent call last):
        ...
        ValueError: ffilter(str.isdigit): single_out wants exactly one output, got 0

        Demand: all of the input (with `single_out`, what two outputs cost). Closing: closes what it
        made. Errors: TypeError for `single_in` on a source, ValueError for `single_out` on another number.
        """
        if single_in and not self.takes:
            raise TypeError(f"{self!r}: single_in has no meaning for what takes no input")
        if single_out and self.kind == "sink":
            raise TypeError(f"{self!r}: single_out has no meaning for a sink, which gives one result")

        def function(*given: Any) -> Any:
            made = self(*((given,) if single_in else given))
            if self.kind == "sink":
                return made
            with Owned() as owned:
                owned.take(made)
                if not single_out:
                    return list(made)
                outputs = list(islice(made, 2))
                if len(outputs) != 1:
                    many = "0" if not outputs else "2 or more"
                    raise ValueError(f"{self!r}: single_out wants exactly one output, got {many}")
                return outputs[0]

        function.__name__ = function.__qualname__ = self.name
        return function

    def to_mermaid(self) -> str:
        """The stage, or the pipeline with its branches and merges, as the source of a Mermaid flowchart.

        >>> from funcpipe_rag.streams import as_source, fmap
        >>> print((as_source([1, 2]) | fmap(abs)).to_mermaid())
        flowchart LR
            n0(["as_source([1, 2])"])
            n1["fmap(abs)"]
            n0 --> n1
        """
        from .drawing import to_mermaid

        return to_mermaid(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from .drawing import has_several_boxes, to_svg

        picture = {"image/svg+xml": to_svg(self)} if has_several_boxes(self) else {}
        return {"text/plain": repr(self), **picture}

    def __repr__(self) -> str:
        options = [f"{option}={named(value)}" for option, value in self.options.items()]
        configuration = ", ".join([*map(named, self.args), *options])
        return f"{self.name}({configuration})" if configuration else self.name


class SinkStage(Stage[[Iterable[A]], R]):
    """A stage that ends a pipeline: calling the pipeline runs it and gives the sink's result."""

    __slots__ = ()


class PassingStage(Stage[[Iterable[Any]], Iterator[Any]]):
    """A transform that passes items on as they are, so that their type goes through it."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, xs: Iterable[T], /) -> Iterator[T]: ...

        @overload
        def __or__(  # type: ignore[overload-overlap]
            self, other: SinkStage[A, Q]
        ) -> Pipeline[[Iterable[A]], Q]: ...
        @overload
        def __or__(
            self, other: Callable[[Iterable[A]], Iterable[B]]
        ) -> Pipeline[[Iterable[A]], Iterator[B]]: ...
        def __or__(self, other: Any) -> Any: ...

        def __ror__(self, other: Callable[L, Iterable[A]]) -> Pipeline[L, Iterator[A]]: ...


class TuplesStage(Stage[[Iterable[Any]], Iterator[tuple[Any, ...]]]):
    """A transform that gives its items in tuples, so that their type stays known in them."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, xs: Iterable[T], /) -> Iterator[tuple[T, ...]]: ...

        @overload
        def __or__(  # type: ignore[overload-overlap]
            self, other: SinkStage[tuple[A, ...], Q]
        ) -> Pipeline[[Iterable[A]], Q]: ...
        @overload
        def __or__(
            self, other: Callable[[Iterable[tuple[A, ...]]], Iterable[B]]
        ) -> Pipeline[[Iterable[A]], Iterator[B]]: ...
        def __or__(self, other: Any) -> Any: ...

        def __ror__(self, other: Callable[L, Iterable[A]]) -> Pipeline[L, Iterator[tuple[A, ...]]]: ...


@overload
def source(make: type[Generates[T]] | Generates[T]) -> Stage[[], Iterator[T]]: ...
@overload
def source(make: Callable[[], Iterable[T]]) -> Stage[[], Iterator[T]]: ...
def source(make: Any) -> Stage[[], Iterator[Any]]:
    """Make a source of a function without arguments, or of a class with `generate()`; use it as a decorator.

    >>> @source
    ... def vowels():
    ...     yield from "aeiou"
    >>> list(vowels())
    ['a', 'e', 'i', 'o', 'u']

    A generator gives its items only once, so it cannot be a source.

    >>> source(vowels())
    Traceback (most recent call last):
    ...
    TypeError: source: wants a function without arguments, or a class with generate(), got generator

    Class: pure. Demand: one pull an item. Closing: closes the iterator that `make` gave. Errors: as `make` raises.
    """
    opens = _method(make, "generate")
    if opens is None or not _accepts(opens, 0):
        raise TypeError(
            f"source: wants a function without arguments, or a class with generate(), got {_what(make)}"
        )
    return Stage(_lazily(opens), "source", named(make) if callable(make) else type(make).__name__)


@overload
def stage(transform: type[Transforms[A, B]] | Transforms[A, B]) -> Stage[[Iterable[A]], Iterator[B]]: ...
@overload
def stage(transform: Callable[[Iterable[A]], Iterable[B]]) -> Stage[[Iterable[A]], Iterator[B]]: ...
def stage(transform: Any) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """Make a transform of a function of one stream, or of a class with `transform(xs)`; use it as a decorator.

    >>> @stage
    ... def doubled(xs):
    ...     for x in xs:
    ...         yield x
    ...         yield x
    >>> list(doubled("ab"))
    ['a', 'a', 'b', 'b']

    Any such function may stand in a pipeline, an eager one too; it then reads all of its input.

    >>> from funcpipe_rag.streams import as_source
    >>> list((as_source("cab") | stage(sorted))())
    ['a', 'b', 'c']

    Class: pure. Demand, memory, errors: as the function has them. Closing: closes what the function made, never the
    stream that it was handed.
    """
    runs = _method(transform, "transform")
    if runs is None or not _accepts(runs, 1):
        raise TypeError(
            f"stage: wants a function of one stream, or a class with transform(xs), got {_what(transform)}"
        )
    return Stage(
        _lazily(runs), "transform", named(transform) if callable(transform) else type(transform).__name__
    )


def sink(fn: Callable[[Iterable[A]], R]) -> SinkStage[A, R]:
    """Make a sink of a function that turns a stream into a result; use it as a decorator.

    >>> from funcpipe_rag.streams import as_source
    >>> (as_source("abc") | sink("-".join))()
    'a-b-c'

    Without `sink`, a function behind `|` is a transform: its result is a stream, and it runs when pulled.

    >>> next((as_source("cab") | sorted)())
    'a'

    Class: pure. Demand, memory, errors: as the function has them.
    """
    if not callable(fn):
        raise TypeError(f"sink: wants a function of one stream, got {type(fn).__name__}")
    return SinkStage(fn, "sink", named(fn))


def as_source(items: Iterable[T]) -> Stage[[], Iterator[T]]:
    """A collection as a source: every call starts at its beginning.

    >>> letters = as_source("ab")
    >>> list(letters()), list(letters())
    (['a', 'b'], ['a', 'b'])

    What gives its items only once could not be fresh a second time.

    >>> as_source(iter(["a", "b"]))
    Traceback (most recent call last):
    ...
    TypeError: as_source: wants something it can iterate again (a list, a tuple, a range); a list_iterator gives its items only once. Pass a function that makes one: lambda: (...)

    Class: pure. Demand: one pull an item. Memory: the collection is not copied. Closing: closes the iterator it made.
    Errors: TypeError for a one-shot iterator or something that cannot be iterated.
    """
    if hasattr(items, "__next__"):
        raise TypeError(
            "as_source: wants something it can iterate again (a list, a tuple, a range); a "
            f"{type(items).__name__} gives its items only once. "
            "Pass a function that makes one: lambda: (...)"
        )
    if not iterable(items):
        cure = "; it is a source already if it opens a stream when called: source(...) joins it with |"
        raise TypeError(
            f"as_source: wants something it can iterate, got {type(items).__name__}{cure if callable(items) else ''}"
        )

    def run() -> Iterator[T]:
        with Owned() as owned:
            yield from shielded(owned.opened(items))

    return Stage(run, "source", "as_source", items)


def source_to_transform(src: Callable[[], Iterable[T]]) -> Stage[[Iterable[object]], Iterator[T]]:
    """A source as the first transform of a `compose`: it ignores its input and opens the source instead.

    >>> from funcpipe_rag.streams import compose, fmap
    >>> shouted = compose(source_to_transform(as_source("ab")), fmap(str.upper))
    >>> list(shouted(()))
    ['A', 'B']

    The input is never touched, so it may be endless.

    >>> from itertools import count
    >>> list(shouted(count()))
    ['A', 'B']

    Class: pure. Demand: one pull of the source an item, none of the input. Closing: closes the source's iterator, not
    the input. Errors: TypeError when `src` is not callable.
    """
    if not callable(src):
        raise TypeError(f"source_to_transform: wants a source, got {type(src).__name__}")

    def run(_: Iterable[object], /) -> Iterator[T]:
        with Owned() as owned:
            yield from shielded(owned.called(src))

    return Stage(run, "transform", "source_to_transform", src)


def _lazily(fn: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
    """`fn` as a generator function, so that building a stream does not run it."""
    code = getattr(fn, "__code__", None)
    generator_function = 0x20
    if code is not None and code.co_flags & generator_function:
        return fn  # type: ignore[return-value]

    def run(*given: Iterable[Any]) -> Iterator[Any]:
        with Owned() as owned:
            yield from shielded(owned.called(fn, *given))

    return run


def _method(thing: Any, method: str) -> Callable[..., Any] | None:
    if isinstance(thing, type) and hasattr(thing, method):
        return lambda *given: getattr(thing(), method)(*given)
    if hasattr(thing, method):
        return getattr(thing, method)  # type: ignore[no-any-return]
    return thing if callable(thing) else None


def _is_async(other: object) -> bool:
    """Whether it is an async stage, or an async generator function: this room must not know the other one."""
    flags: int = getattr(getattr(other, "__code__", None), "co_flags", 0)
    return getattr(other, "is_async", False) is True or bool(flags & _CO_ASYNC_GENERATOR)


_CO_ASYNC_GENERATOR = 0x0200
"""As in inspect, which costs more than all of this room."""


def _accepts(fn: Callable[..., Any], number: int) -> bool:
    # Imported here: inspect costs more than all of this room.
    from inspect import signature

    try:
        signature(fn).bind(*(None,) * number)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def iterable(thing: object) -> bool:
    """Whether iter() would take it; nothing is opened to find out."""
    return hasattr(thing, "__iter__") or hasattr(thing, "__getitem__")


def _what(thing: object) -> str:
    if iterable(thing) and not callable(thing):
        cure = "" if hasattr(thing, "__next__") else "; as_source(...) makes a source of a collection"
        return f"{type(thing).__name__}{cure}"
    return f"{named(thing)}, which takes something else" if callable(thing) else type(thing).__name__
