"""Functions of one item, or of a batch of them, as tasks that join with `|`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from inspect import signature
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    SupportsIndex,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from funcpipe_rag.streams.arguments import a_function, a_number, a_whole_number
from funcpipe_rag.streams.ownership import named
from funcpipe_rag.streams.reports import Told
from funcpipe_rag.streams.results import Err, error_kinds
from funcpipe_rag.streams.retrying import Backoff, RetryPolicy

from .batching import abatch
from .calls import side_by_side
from .contexts import Mode, PipelineContext
from .handlers import handling
from .side_inputs import Given
from .stages import AsyncPipeline, AsyncStage, AsyncStream, Items, Run
from .task_runs import Dropped, Rules, Work, arriving

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
S = TypeVar("S")
P = ParamSpec("P")
Q = ParamSpec("Q")
More = TypeVar("More", covariant=True)
"""What a function takes beside its item, as a function of that: so a checker can tell `self` from the item."""


class Task(AsyncStage[A, B], Generic[A, B, More]):
    """What `single_task` and `batch_task` make of a function: a stage, with the methods of a pipeline.

    It is immutable, and so shared by any number of pipelines and runs. In a class it is a method: what `obj.task`
    gives is bound to `obj`, and no other object sees it.
    """

    in_context: ClassVar[bool] = True

    _fn: Any
    _rules: Rules
    _inputs: tuple[Given, ...]

    def __init__(self, name: str, fn: Any, rules: Rules, inputs: tuple[Given, ...], **said: object) -> None:
        super().__init__(name, fn, **said)
        self.set_once(
            _fn=fn, _rules=rules, _inputs=inputs, __wrapped__=fn, __doc__=getattr(fn, "__doc__", None)
        )
        for attribute in ("__name__", "__qualname__", "__module__"):
            if isinstance(value := getattr(fn, attribute, None), str):
                self.set_once(**{attribute: value})

    def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        rules = self._rules
        failures = Dropped(rules)
        return side_by_side(
            arriving(xs, rules, self._inputs, run, failures),
            Work(self._fn, rules, run.limit, failures),
            stage=rules.name,
            failures=failures,
            concurrency=rules.concurrency,
            max_ahead=rules.concurrency - 1,
            in_order=run.mode == "ordered",
            go_on=rules.on_error != "fail",
            context=run.context,
        )

    def as_completed(self, xs: Items[A], /) -> AsyncStream[B]:
        """The stream over `xs` in which each result comes when it is there."""
        return AsyncPipeline[A, B](self).as_completed(xs)

    def with_execution_mode(self, mode: Mode) -> AsyncPipeline[A, B]:
        """A pipeline of it with results "ordered", or "as_completed"."""
        return AsyncPipeline[A, B](self).with_execution_mode(mode)

    def with_context(self, context: PipelineContext | None = None, /, **settings: Any) -> AsyncPipeline[A, B]:
        """A pipeline of it with something set for its runs (see `AsyncPipeline.with_context`)."""
        return AsyncPipeline[A, B](self).with_context(context, **settings)

    def with_inputs(self, *inputs: Any, zip_inputs: bool = False, **named_inputs: Any) -> Self:
        """The same task with more arguments for its function, behind the item; each run has its own.

        A value is handed over as it is. A coroutine is awaited when the first item of a run is there, and a coroutine
        function is called and awaited then: once a run. Of a stream the first item is taken, or with `zip_inputs` one
        for each item, in the order of the items; an `asource`, or an async generator function, is opened anew for
        each run. What gives its items or its result only once serves one run, and refuses a second.
        """
        try:
            signature(self._fn).bind_partial(object(), *self._placed(), *inputs, **named_inputs)
        except TypeError as error:
            raise TypeError(f"{self._rules.name}: with_inputs: {error}") from None
        except ValueError:
            # There are builtins that do not say what they take.
            pass
        more = [Given(None, each, zip_inputs) for each in inputs]
        more += [Given(name, each, zip_inputs) for name, each in named_inputs.items()]
        return self._made_of(self._fn, self._rules, (*self._inputs, *more))

    def _placed(self) -> list[Any]:
        return [given.thing for given in self._inputs if given.name is None]

    def _made_of(self, fn: Any, rules: Rules, inputs: tuple[Given, ...]) -> Self:
        return type(self)(self.name, fn, rules, inputs, **self.options)

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Task[S, B, Callable[Concatenate[C, Q], None]], instance: S, owner: type | None = None, /
    ) -> Task[C, B, Callable[Q, None]]: ...
    def __get__(self, instance: Any, owner: type | None = None, /) -> Task[Any, Any, Any]:
        if not hasattr(self._fn, "__get__"):
            return self
        fn = self._fn.__get__(instance, owner)
        if fn is self._fn:
            return self
        rules = self._rules
        if rules.name == named(self._fn):
            rules = rules._replace(name=named(fn))
        return self._made_of(fn, rules, self._inputs)


Kinds: TypeAlias = type[Exception] | tuple[type[Exception], ...]
FanOut: TypeAlias = (
    AsyncIterator[B] | Iterator[B] | list[B] | Awaitable[AsyncIterator[B] | Iterator[B] | list[B]]
)
"""What stands for several results: a list, a generator, or any other iterator."""


class _Options(TypedDict, total=False):
    """What a type checker need not tell apart."""

    retry_attempts: SupportsIndex
    retry_delay: float
    retry_exponential_backoff: bool
    retry_max_delay: float
    jitter: float
    retry_on: Kinds
    error_handler: object
    task_name: str | None
    concurrency_limit: SupportsIndex
    timeout: float | None
    report: Told | None


class _Single(Protocol):
    """What makes a task of a function, with its types: None is left out, and several results come one by one."""

    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], FanOut[B]], /) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[A, P], Awaitable[B | None]], /
    ) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], B | None], /) -> Task[A, B, Callable[P, None]]: ...


class _SingleCollecting(Protocol):
    @overload
    def __call__(
        self, fn: Callable[Concatenate[A, P], FanOut[B]], /
    ) -> Task[A, B | Err[A], Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[A, P], Awaitable[B | None]], /
    ) -> Task[A, B | Err[A], Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[A, P], B | None], /
    ) -> Task[A, B | Err[A], Callable[P, None]]: ...


class _SingleKeepingNone(Protocol):
    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], FanOut[B]], /) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], Awaitable[B]], /) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], B], /) -> Task[A, B, Callable[P, None]]: ...


class _SingleFlat(Protocol):
    @overload
    def __call__(
        self, fn: Callable[Concatenate[A, P], AsyncIterator[B] | Iterator[B]], /
    ) -> Task[A, list[B], Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[A, P], Awaitable[B | None]], /
    ) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[A, P], B | None], /) -> Task[A, B, Callable[P, None]]: ...


class _SingleAny(Protocol):
    def __call__(self, fn: Callable[Concatenate[A, P], object], /) -> Task[A, Any, Callable[P, None]]: ...


@overload
def single_task(fn: Callable[Concatenate[A, P], FanOut[B]], /) -> Task[A, B, Callable[P, None]]: ...
@overload
def single_task(fn: Callable[Concatenate[A, P], Awaitable[B | None]], /) -> Task[A, B, Callable[P, None]]: ...
@overload
def single_task(fn: Callable[Concatenate[A, P], B | None], /) -> Task[A, B, Callable[P, None]]: ...
@overload
def single_task(
    *, on_error: Literal["fail", "skip_item", "skip"] = "fail", **options: Unpack[_Options]
) -> _Single: ...
@overload
def single_task(*, on_error: Literal["collect"], **options: Unpack[_Options]) -> _SingleCollecting: ...
@overload
def single_task(
    *,
    keep_none: Literal[True],
    on_error: Literal["fail", "skip_item", "skip"] = "fail",
    **options: Unpack[_Options],
) -> _SingleKeepingNone: ...
@overload
def single_task(
    *,
    flatten: Literal[False],
    on_error: Literal["fail", "skip_item", "skip"] = "fail",
    **options: Unpack[_Options],
) -> _SingleFlat: ...
@overload
def single_task(
    *,
    on_error: Literal["fail", "skip_item", "skip", "collect"] = "fail",
    keep_none: bool = False,
    flatten: bool = True,
    **options: Unpack[_Options],
) -> _SingleAny: ...
def single_task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    on_error: str = "fail",
    retry_attempts: SupportsIndex = 1,
    retry_delay: float = 1.0,
    retry_exponential_backoff: bool = False,
    retry_max_delay: float = 60.0,
    jitter: float = 0.0,
    retry_on: Kinds = (Exception,),
    error_handler: object = None,
    task_name: str | None = None,
    concurrency_limit: SupportsIndex = 16,
    timeout: float | None = None,
    keep_none: bool = False,
    flatten: bool = True,
    report: Told | None = None,
) -> Any:
    """Make a task of a function of one item; use it as a decorator, bare or with options.

    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> import asyncio
    >>> @single_task
    ... async def waited(seconds):
    ...     await asyncio.sleep(seconds)
    ...     return seconds
    >>> run(schedule(waited([0.1, 0.5, 0.2])))
    [(0.1, 0.1), (0.5, 0.5), (0.5, 0.2)]
    >>> run(schedule(waited.as_completed([0.1, 0.5, 0.2])))
    [(0.1, 0.1), (0.2, 0.2), (0.5, 0.5)]

    The function may be sync or async, a generator or an async generator, or a method; of a class method too, with
    `@single_task` above `@classmethod`. None drops the item; a list or an
    iterator fans out, an iterator as it goes: it is asked for its next item when the one before it was handed on.

    >>> @single_task(on_error="skip_item", retry_attempts=2, retry_delay=0.1)
    ... def words(line):
    ...     return line.split() or None
    >>> (words | single_task(str.upper)).with_execution_mode("ordered")
    single_task(words, on_error='skip_item', retry_attempts=2, retry_delay=0.1) | single_task(str.upper)
    >>> run((words | single_task(str.upper))(["a b", "", "c"]).collect())
    ['A', 'B', 'C']

    What is in a list is an item, whatever it is; `keep_none=True` and `flatten=False` hand on what the function gave.

    >>> run(single_task(flatten=False)(str.split)(["a b", ""]).collect())
    [['a', 'b'], []]

    `retry_attempts` counts every try. Between two lie `retry_delay` seconds, with `retry_exponential_backoff` twice as
    long each time, never above `retry_max_delay`; `jitter` is the share of it that is left to chance; only errors in
    `retry_on` are tried again. `timeout` is for each try, and for each step of an iterator, which is tried again only
    before its first item. Behind the last try the `error_handler` is asked (see `ErrorHandler`), then `on_error` has
    its say: "fail" ends the stream, "skip_item" drops and counts, "collect" gives an `Err`; "skip" is "skip_item".

    Class: clocked. Demand: at most `concurrency_limit` items beyond what was given. Memory: O(concurrency_limit), and of
    an iterator one item. Closing: cancels the calls in flight, waits for them, closes iterators and input. Errors: those of the
    input, behind the results of the items before it; those of the function as `on_error` says; TimeoutError; ValueError
    and TypeError at construction. What was dropped is told to `report`, or in one RuntimeWarning at the stream's end.
    """
    told = _told(
        "single_task",
        ("fail", "skip_item", "skip", "collect"),
        on_error=on_error,
        retry_attempts=retry_attempts,
        retry_delay=retry_delay,
        retry_exponential_backoff=retry_exponential_backoff,
        retry_max_delay=retry_max_delay,
        jitter=jitter,
        retry_on=retry_on,
        error_handler=error_handler,
        task_name=task_name,
        concurrency_limit=concurrency_limit,
        timeout=timeout,
        keep_none=keep_none,
        flatten=flatten,
        report=report,
    )
    return told if fn is None else told(fn)


class _Batch(Protocol):
    """What makes a task of a function of a list, with its types."""

    # The first three are functions, the others methods: a `self` that is a list would be both.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[list[A], P], FanOut[B]], /
    ) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[list[A], P], Awaitable[B | None]], /
    ) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[list[A], P], B | None], /
    ) -> Task[A, B, Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[S, list[A], P], FanOut[B]], /
    ) -> BatchMethod[S, A, B, Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[S, list[A], P], Awaitable[B | None]], /
    ) -> BatchMethod[S, A, B, Callable[P, None]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[S, list[A], P], B | None], /
    ) -> BatchMethod[S, A, B, Callable[P, None]]: ...


class BatchMethod(Generic[S, A, B, More]):
    """A batch task in a class, as a type checker sees it: what an object has is a task."""

    def __get__(self, instance: S, owner: type | None = None, /) -> Task[A, B, More]:
        raise NotImplementedError


class _BatchAny(Protocol):
    def __call__(
        self, fn: Callable[Concatenate[list[A], P], object], /
    ) -> Task[A, Any, Callable[P, None]]: ...


class _BatchOptions(_Options, total=False):
    min_size: SupportsIndex
    max_size: SupportsIndex | None
    max_wait: float | None


@overload
def batch_task(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[list[A], P], FanOut[B]], /
) -> Task[A, B, Callable[P, None]]: ...
@overload
def batch_task(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[list[A], P], Awaitable[B | None]], /
) -> Task[A, B, Callable[P, None]]: ...
@overload
def batch_task(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[list[A], P], B | None], /
) -> Task[A, B, Callable[P, None]]: ...
@overload
def batch_task(
    fn: Callable[Concatenate[S, list[A], P], FanOut[B]], /
) -> BatchMethod[S, A, B, Callable[P, None]]: ...
@overload
def batch_task(
    fn: Callable[Concatenate[S, list[A], P], Awaitable[B | None]], /
) -> BatchMethod[S, A, B, Callable[P, None]]: ...
@overload
def batch_task(
    fn: Callable[Concatenate[S, list[A], P], B | None], /
) -> BatchMethod[S, A, B, Callable[P, None]]: ...
@overload
def batch_task(
    *,
    on_error: Literal["fail", "skip_item", "skip_batch", "skip"] = "fail",
    **options: Unpack[_BatchOptions],
) -> _Batch: ...
@overload
def batch_task(
    *,
    on_error: Literal["fail", "skip_item", "skip_batch", "skip", "collect"] = "fail",
    keep_none: bool = False,
    flatten: bool = True,
    **options: Unpack[_BatchOptions],
) -> _BatchAny: ...
def batch_task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    min_size: SupportsIndex = 1,
    max_size: SupportsIndex | None = None,
    max_wait: float | None = None,
    on_error: str = "fail",
    retry_attempts: SupportsIndex = 1,
    retry_delay: float = 1.0,
    retry_exponential_backoff: bool = False,
    retry_max_delay: float = 60.0,
    jitter: float = 0.0,
    retry_on: Kinds = (Exception,),
    error_handler: object = None,
    task_name: str | None = None,
    concurrency_limit: SupportsIndex = 16,
    timeout: float | None = None,
    keep_none: bool = False,
    flatten: bool = True,
    report: Told | None = None,
) -> Any:
    """Make a task of a function of a list of items; use it as a decorator, bare or with options.

    >>> from funcpipe_rag.aio.testing import run
    >>> @batch_task(max_size=2)
    ... async def total(numbers):
    ...     return sum(numbers)
    >>> run(total([1, 2, 3, 4, 5]).collect())
    [3, 7, 5]

    A batch that would be shorter than `min_size` is not given to the function: its items are dropped and counted.

    >>> from funcpipe_rag.streams import Report
    >>> short = Report()
    >>> run(batch_task(min_size=3, max_size=4, report=short)(sum)([1] * 10).collect()), short.total
    ([4, 4], 2)

    A batch leaves when it has `max_size` items (None: 100, or `min_size` if that is more), or when its first item has
    waited for `max_wait` seconds and there are `min_size`. Batches are called side by side, and their results come in
    their order, or as they are completed. A list that the function gives fans out.

    What fails is the batch: `on_error="skip_batch"` drops it, "collect" gives an `Err` for each of its items. With
    "skip_item" each item of a batch that failed is tried once more, alone in a list, and those that fail are dropped;
    an `error_handler` is asked about those, too. Every dropped item counts. "skip" is "skip_batch". For the other
    options see `single_task`.

    Class: clocked. Demand: what `concurrency_limit` batches take, and the one that is being filled. Memory: as many items.
    Closing: cancels the calls in flight, waits for them, closes the input. Errors: as with `single_task`.
    """
    least = a_whole_number("batch_task", "min_size", min_size, least=1)
    most = max(least, _MOST_IN_A_BATCH)
    if max_size is not None:
        most = a_whole_number("batch_task", "max_size", max_size, least=1)
    if least > most:
        raise ValueError(f"batch_task: min_size must be <= max_size, which is {most}, got {least}")
    if max_wait is not None:
        a_number("batch_task", "max_wait", max_wait, least=0)
    if report is not None:
        a_function("batch_task", "report", report)
    told = _told(
        "batch_task",
        ("fail", "skip_item", "skip_batch", "skip", "collect"),
        partial(abatch, most, min_size=least, max_wait=max_wait),
        min_size=least,
        max_size=max_size,
        max_wait=max_wait,
        on_error=on_error,
        retry_attempts=retry_attempts,
        retry_delay=retry_delay,
        retry_exponential_backoff=retry_exponential_backoff,
        retry_max_delay=retry_max_delay,
        jitter=jitter,
        retry_on=retry_on,
        error_handler=error_handler,
        task_name=task_name,
        concurrency_limit=concurrency_limit,
        timeout=timeout,
        keep_none=keep_none,
        flatten=flatten,
        report=report,
    )
    return told if fn is None else told(fn)


_MOST_IN_A_BATCH = 100
"""Where nobody says how large a batch may be: what has no bound has no place in a stream."""

_DEFAULTS: Mapping[str, object] = {
    "min_size": 1,
    "max_size": None,
    "max_wait": None,
    "on_error": "fail",
    "retry_attempts": 1,
    "retry_delay": 1.0,
    "retry_exponential_backoff": False,
    "retry_max_delay": 60.0,
    "jitter": 0.0,
    "retry_on": (Exception,),
    "error_handler": None,
    "task_name": None,
    "concurrency_limit": 16,
    "timeout": None,
    "keep_none": False,
    "flatten": True,
    "report": None,
}


def _told(
    where: str,
    policies: tuple[str, ...],
    batching: Callable[..., AsyncStage[Any, Any]] | None = None,
    /,
    **options: Any,
) -> Callable[[Callable[..., Any]], Task[Any, Any, Any]]:
    """Check what a task was told, and make the decorator."""
    on_error = options["on_error"]
    if on_error not in policies:
        *others, last = (f'"{name}"' for name in policies)
        raise ValueError(f"{where}: on_error must be {', '.join(others)} or {last}, got {on_error!r}")
    concurrency = a_whole_number(where, "concurrency_limit", options["concurrency_limit"], least=1)
    attempts = a_whole_number(where, "retry_attempts", options["retry_attempts"], least=1)
    delay = a_number(where, "retry_delay", options["retry_delay"], least=0)
    most = a_number(where, "retry_max_delay", options["retry_max_delay"], least=0)
    jitter = a_number(where, "jitter", options["jitter"], least=0, most=1)
    factor = 2.0 if options["retry_exponential_backoff"] else 1.0
    retry_on = error_kinds(where, "retry_on", options["retry_on"])
    timeout = options["timeout"]
    if timeout is not None:
        timeout = a_number(where, "timeout", timeout, above=0)
    if options["report"] is not None:
        a_function(where, "report", options["report"])
    task_name = options["task_name"]
    if task_name is not None and not isinstance(task_name, str):
        raise TypeError(f"{where}: task_name must be text, got {type(task_name).__name__}")
    handler = options["error_handler"]
    rules = Rules(
        name=task_name or "",
        concurrency=concurrency,
        on_error="skip" if on_error.startswith("skip") else on_error,
        report=options["report"],
        retry=RetryPolicy(attempts, Backoff(delay, factor, most), jitter, retry_on),
        timeout=timeout,
        handler=None if handler is None else handling(where, handler),
        keep_none=bool(options["keep_none"]),
        flatten=bool(options["flatten"]),
        batching=batching,
        apart=batching is not None and on_error == "skip_item",
    )
    said = {name: value for name, value in options.items() if value is not _DEFAULTS[name]}
    said = {name: value for name, value in said.items() if value != _DEFAULTS[name]}

    def task(fn: Callable[..., Any]) -> Task[Any, Any, Any]:
        if not callable(fn) and not isinstance(fn, classmethod):
            raise TypeError(f"{where}: fn must be a function, got {type(fn).__name__}")
        return Task(where, fn, rules if rules.name else rules._replace(name=named(fn)), (), **said)

    return task
