"""What a task does about an item that failed for good: log it, count it, or stop asking for a while.

A handler is asked once for each item that failed, after its last try and before `on_error` has its say.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

from funcpipe_rag.streams.arguments import a_function, a_number, a_whole_number
from funcpipe_rag.streams.reports import SHORT, Report
from funcpipe_rag.streams.results import Err
from funcpipe_rag.streams.retrying import BreakerOpen, State

Answer: TypeAlias = tuple[bool, Any]
"""Whether to go on, and with what in place of the result that did not come."""


class ErrorHandler(ABC):
    """What is asked about an item that failed; one object may serve several tasks and several runs.

    >>> from funcpipe_rag.aio import single_task
    >>> from funcpipe_rag.aio.testing import run
    >>> class Fallback(ErrorHandler):
    ...     def handle_error(self, error, item, task_name, attempt):
    ...         return True, f"{task_name} could not read {item!r}"
    >>> read = single_task(error_handler=Fallback())(int)
    >>> run(read(["1", "x"]).collect())
    [1, "int could not read 'x'"]

    Any object with a `handle_error` will do. It runs where the call ran, so it can look up the run's context.
    """

    counts: bool = False
    """It keeps count of the items that it drops, so that the task need not tell of them."""

    @abstractmethod
    def handle_error(
        self, error: Exception, item: Any, task_name: str, attempt: int
    ) -> Answer | Awaitable[Answer]:
        """Say whether to go on, and with what; sync or async. Asked after the last try, which was try `attempt`.

        `(True, value)`: the value stands for the result, and goes the way of one: a list fans out. None drops the
        item, which is counted, unless the task keeps None. `(False, ...)`: the error goes the way that the task's
        `on_error` says, "fail" ends the stream. An error raised here takes the place of the first, and that way too.
        """

    def admit(self, item: Any, task_name: str) -> None:  # noqa: B027
        """Asked before an item's first try; what it raises is that item's failure, and the task is not called."""

    def succeeded(self, item: Any, task_name: str) -> None:  # noqa: B027
        """Told of each item that went well."""


class LoggingErrorHandler(ErrorHandler):
    """Log each failure as a warning; go on with a replacement, or leave the error to `on_error`.

    >>> import logging
    >>> from funcpipe_rag.aio import single_task
    >>> from funcpipe_rag.aio.testing import run
    >>> quiet = logging.Logger("quiet", logging.ERROR)
    >>> read = single_task(error_handler=LoggingErrorHandler(quiet, replacement=0))(int)
    >>> run(read(["1", "x"]).collect())
    [1, 0]

    Class: external, it writes to `logger`, which is `funcpipe_rag.aio` where none is given. Memory: O(1).
    """

    def __init__(
        self, logger: logging.Logger | None = None, *, replacement: Any = ..., level: int = logging.WARNING
    ) -> None:
        if logger is not None and not hasattr(logger, "log"):
            raise TypeError(f"LoggingErrorHandler: logger must be a Logger, got {type(logger).__name__}")
        self.logger = logging.getLogger("funcpipe_rag.aio") if logger is None else logger
        self.replacement = replacement
        self.level = a_whole_number("LoggingErrorHandler", "level", level, least=0)

    def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Answer:
        self.logger.log(
            self.level, "%s failed on %s, try %d: %r", task_name, SHORT.repr(item), attempt, error
        )
        return (False, None) if self.replacement is ... else (True, self.replacement)


class CollectingErrorHandler(ErrorHandler):
    """Count what goes well and what fails, keep the first failures as text, and drop the items that failed.

    >>> from funcpipe_rag.aio import single_task
    >>> from funcpipe_rag.aio.testing import run
    >>> errors = CollectingErrorHandler()
    >>> run(single_task(error_handler=errors)(int)(["1", "x", "3", "4"]).collect())
    [1, 3, 4]
    >>> summary = errors.summary()
    >>> summary["succeeded"], summary["failed"], summary["rate"]
    (3, 1, 0.25)
    >>> summary["stages"]["int"]["ValueError"]["examples"][0]["item"]
    "'x'"

    `rate` is the share of the items that failed; None as long as there were none. `replacement` stands in the place
    of each failed item; where it is None they are dropped, and this handler is who was told. A handler is not told the
    place of an item: the `index` of an example says how many items had come through, well or not, before it failed.

    >>> summary["stages"]["int"]["ValueError"]["examples"][0]["index"]
    1

    For a batch task it counts the lists that the function was called with: batches, and with "skip_item" items tried
    alone. Memory: a count for each task and kind of error, and the first `examples` of each as short texts.
    """

    counts = True

    def __init__(self, *, examples: SupportsIndex = 3, replacement: Any = None) -> None:
        self.report = Report(examples=examples)
        self.replacement = replacement
        self._succeeded = 0

    def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Answer:
        self.report(Err(error, item, task_name, self._succeeded + self.report.total))
        return True, self.replacement

    def succeeded(self, item: Any, task_name: str) -> None:
        self._succeeded += 1

    def summary(self) -> dict[str, Any]:
        """How many went well and how many failed, the rate, and the failures by task and kind, as plain data."""
        done = self._succeeded + self.report.total
        rate = self.report.total / done if done else None
        return {"succeeded": self._succeeded, "rate": rate, **self.report.as_dict()}


class CircuitBreakerHandler(ErrorHandler):
    """Bear single failures; after many in a row stop calling for a while, then try with one item.

    Closed: a failed item is dropped and counted, or replaced. `failure_threshold` failures in a row open the circuit:
    that error, and those of all items that come while it is open, are left to the task's `on_error`. "fail" ends the
    stream; otherwise it goes on, and its items fail with `BreakerOpen` without a call. After `reset_timeout` seconds
    one item is let through: if that goes well the circuit is closed, if not it is open anew. How a call ends that was
    in flight when the circuit opened changes nothing.

    >>> from funcpipe_rag.aio import single_task
    >>> from funcpipe_rag.aio.testing import run
    >>> now = 0.0
    >>> circuit = CircuitBreakerHandler(failure_threshold=2, reset_timeout=30, clock=lambda: now)
    >>> read = single_task(on_error="collect", error_handler=circuit, concurrency_limit=1, report=print)(int)
    >>> [type(failure.error).__name__ for failure in run(read(["x", "y", "3"]).collect())]
    Err(ValueError("invalid literal for int() with base 10: 'x'"), item='x', stage='int', index=0)
    ['ValueError', 'BreakerOpen']
    >>> circuit.state
    'open'
    >>> now = 30.0
    >>> circuit.state, run(read(["3"]).collect()), circuit.state
    ('half-open', [3], 'closed')

    Class: clocked. Memory: O(1). Errors: BreakerOpen, as an item's failure; ValueError and TypeError at construction.
    """

    def __init__(
        self,
        failure_threshold: SupportsIndex = 5,
        reset_timeout: float = 60.0,
        clock: Callable[[], float] = monotonic,
        *,
        replacement: Any = None,
    ) -> None:
        where = "CircuitBreakerHandler"
        self.failure_threshold = a_whole_number(where, "failure_threshold", failure_threshold, least=1)
        self.reset_timeout = a_number(where, "reset_timeout", reset_timeout, least=0)
        a_function(where, "clock", clock)
        self.replacement = replacement
        self._clock = clock
        self._failed = 0
        self._opened_at: float | None = None

    @property
    def state(self) -> State:
        """ "closed": items go through. "open": they are refused. "half-open": the next one is a trial."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() - self._opened_at < self.reset_timeout else "half-open"

    def admit(self, item: Any, task_name: str) -> None:
        if self._opened_at is None:
            return
        now = self._clock()
        wait = self._opened_at + self.reset_timeout - now
        if wait > 0:
            raise BreakerOpen(task_name, wait)
        # One trial at a time. One that never comes back is followed by another after the same time.
        self._opened_at = now
        _TRIAL.set(self)

    def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Answer:
        if isinstance(error, BreakerOpen) or self._is_late():
            return False, None
        self._failed += 1
        if self._failed < self.failure_threshold:
            return True, self.replacement
        self._opened_at = self._clock()
        return False, None

    def succeeded(self, item: Any, task_name: str) -> None:
        if not self._is_late():
            self._failed, self._opened_at = 0, None

    def _is_late(self) -> bool:
        """Whether a call comes back that began before the circuit opened, and says nothing of how things are now."""
        return self._opened_at is not None and _TRIAL.get() is not self


_TRIAL: ContextVar[CircuitBreakerHandler | None] = ContextVar("funcpipe_rag trial", default=None)
"""The circuit that has let this call through as a trial: a handler runs where the call runs, in a context of its own."""


class Handling(NamedTuple):
    """A handler as a task uses it: what it does not have is not asked."""

    error: Callable[[Exception, Any, str, int], Answer | Awaitable[Answer]]
    admit: Callable[[Any, str], object] | None
    succeeded: Callable[[Any, str], object] | None
    counts: bool


def answered(task_name: str, handler: object, answer: object) -> Answer:
    """A handler's answer; TypeError, naming the handler, for what is none."""
    if isinstance(answer, tuple | list) and len(answer) == 2:
        return answer[0], answer[1]
    who = type(getattr(handler, "__self__", handler)).__name__
    raise TypeError(
        f"{task_name}: {who}.handle_error must give (True, value) to go on or (False, None), got {answer!r:.60}"
    )


def handling(where: str, handler: object) -> Handling:
    """TypeError for what cannot be asked."""
    if isinstance(handler, type):
        raise TypeError(
            f"{where}: error_handler must be an object, got the class {handler.__name__}; write {handler.__name__}()"
        )
    asked = getattr(handler, "handle_error", None)
    if not callable(asked):
        raise TypeError(
            f"{where}: error_handler must have handle_error(error, item, task_name, attempt), "
            f"got {type(handler).__name__}"
        )
    admit, succeeded = getattr(handler, "admit", None), getattr(handler, "succeeded", None)
    return Handling(asked, admit, succeeded, bool(getattr(handler, "counts", False)))
