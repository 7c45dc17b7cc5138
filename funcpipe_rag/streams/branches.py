"""Splitting one iterator in several, with a bound on how far they may drift apart.

A branch is a chain of windows: an error in a window does not end a chain, so a branch that was refused can go on.

There are two forms. The plain one keeps a queue a branch and holds exactly what somebody still has to read. The one
in windows of credit is faster: a branch is granted some items at a time and spends that without a Python step; the
branches of a fork, which live and die together, have one credit for all. This form stands on `itertools.tee`, which
keeps items in blocks of 57, so small bounds take the plain form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, repeat, tee
from operator import length_hint
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from .counting import counted
from .ownership import close, shielded

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

WINDOWS_FROM = 32
"""The bound from which on credit is used."""

LONGEST = 4096
"""Items of a window at most: whoever is closed has to use up what is left of one, whatever the bound is."""

Overflow: TypeAlias = Callable[[int, int], str]
"""The message for a branch that is ahead and one that is behind, by their places."""


class Branch(Protocol[T_co]):
    """One of the iterators that `multicast_bounded` gives: closable, and of no account once dropped."""

    def __iter__(self) -> Iterator[T_co]: ...

    def __next__(self) -> T_co: ...

    def close(self) -> None: ...


def split(xs: Iterable[T], many: int, bound: int, overflow: Overflow) -> tuple[Branch[T], ...]:
    """`many` branches over `xs` that never drift more than `bound` items apart.

    The stream is closed with the last branch, or when it has ended.
    """
    stream = _Stream(xs)
    if bound < WINDOWS_FROM or many == 1:
        return _Row(stream, bound, overflow).branches(many)
    credits = _Credits(stream, bound, overflow)
    items, credits.given = counted(stream.reading())
    return tuple(credits.branch(place, part) for place, part in enumerate(tee(items, many)))


def abreast(it: Iterator[T], many: int, bound: int, overflow: Overflow) -> tuple[Iterator[T], ...]:
    """The same for branches that live and die together: none is closed before the others, or read after an error.

    So there is nothing to be remembered for each of them, and the credit is theirs together.
    """
    if bound < WINDOWS_FROM or many == 1:
        return _Row(_Stream(it, takes_over=False), bound, overflow).branches(many)
    shared = _SharedCredit(it, bound, overflow)
    parts = [counted(part) for part in tee(chain.from_iterable(shared), many)]
    shared.counts = [count for _, count in parts]
    return tuple(part for part, _ in parts)


class _SharedCredit(Iterator[Iterable[T]]):
    """Gives the branch that is ahead what it may read before it is `bound` ahead of another one, a window at a time."""

    def __init__(self, it: Iterator[T], bound: int, overflow: Overflow) -> None:
        self.it, self.bound, self.overflow = it, bound, overflow
        self.granted = 0
        self.counts: list[Callable[[], int]] = []

    def __next__(self) -> Iterable[T]:
        read = [count() for count in self.counts]
        most, least = max(read), min(read)
        if most < self.granted:
            # The last window was not read up: the stream has ended, and is not asked again.
            raise StopIteration
        if most - least >= self.bound:
            raise BufferError(self.overflow(read.index(most), read.index(least)))
        length = least + self.bound - most
        # Not min(), which costs as much as ten items.
        if length > LONGEST:
            length = LONGEST
        self.granted = most + length
        return islice(self.it, length)


class _Stream(Generic[T]):
    """The stream that is split: opened by the first pull, read by whoever is ahead, remembered when it has failed."""

    def __init__(self, xs: Iterable[T], takes_over: bool = True) -> None:
        self._xs, self._takes_over = xs, takes_over
        self._it: Iterator[T] | None = None
        self.ended = False
        self._error: BaseException | None = None
        self._raised = False

    def opened(self) -> Iterator[T]:
        """The stream's iterator; only a pull may ask for it."""
        if self._it is None:
            self._it = iter(self._xs)
        return self._it

    def fail(self, error: BaseException) -> None:
        """The stream has ended, or failed: each branch is told when it gets there."""
        if not isinstance(error, StopIteration):
            self._error = error
        self.close()

    def reading(self) -> Iterator[T]:
        """The items of the stream; an error ends them, and is remembered."""
        try:
            yield from shielded(self.opened())
        except GeneratorExit:
            raise
        except BaseException as error:
            self.fail(error)
        self.close()

    def end(self) -> BaseException:
        """What a branch that has read everything is told: the end, or the error, first as it came."""
        error = self._error
        if error is None:
            return StopIteration()
        if not self._raised:
            self._raised = True
            return error
        if not isinstance(error, Exception):
            # Ctrl-C was meant for whoever was reading, not for a branch that is read later.
            return RuntimeError(f"the stream was stopped by {type(error).__name__}")
        # Without its traceback, which would grow with each branch and hold on to whoever met it first.
        return error.with_traceback(None)

    def close(self) -> None:
        """Close the stream, once, if it was taken over; also one that was never read."""
        if self.ended:
            return
        self.ended = True
        if not self._takes_over:
            return
        if self._it is not None:
            close(self._it)
        elif hasattr(self._xs, "__next__"):
            close(self._xs)


class _Row(Generic[T]):
    """The plain form: for each live branch, what it has not read yet."""

    def __init__(self, stream: _Stream[T], bound: int, overflow: Overflow) -> None:
        self.stream, self.bound, self.overflow = stream, bound, overflow
        # A tuple, made anew when one leaves: a branch may be collected in the middle of a loop over it. And the
        # queues, not the branches, so that a branch nobody else holds can go.
        self.queues: tuple[deque[T], ...] = ()
        self.places: dict[int, int] = {}

    def branches(self, many: int) -> tuple[_WindowBranch[T], ...]:
        windows = [_Queue(self) for _ in range(many)]
        self.queues = tuple(queue.items for queue in windows)
        self.places = {id(items): place for place, items in enumerate(self.queues)}
        return tuple(map(_WindowBranch.over, windows))

    def leave(self, mine: deque[T]) -> None:
        self.queues = tuple(queue for queue in self.queues if queue is not mine)
        if not self.queues:
            self.stream.close()


class _Queue(Iterator[Iterable[T]]):
    """Gives a branch its items, in one window up to where it is refused."""

    def __init__(self, row: _Row[T]) -> None:
        self.row = row
        self.items: deque[T] = deque()
        self.open = True

    def refused(self) -> BufferError | None:
        row = self.row
        for queue in row.queues:
            if len(queue) >= row.bound and not self.items and not row.stream.ended:
                return BufferError(row.overflow(row.places[id(self.items)], row.places[id(queue)]))
        return None

    def __next__(self) -> Iterable[T]:
        if not self.open:
            raise StopIteration
        stream = self.row.stream
        if not stream.ended:
            try:
                stream.opened()
            except BaseException as error:
                stream.fail(error)
        if stream.ended and not self.items:
            self.revoke()
            raise stream.end()
        return self.window(stream.opened()) if self.refused() is None else _Refusal(self)

    def window(self, it: Iterator[T]) -> Iterator[T]:
        row, stream, bound, mine = self.row, self.row.stream, self.row.bound, self.items
        while True:
            if not mine:
                queues = row.queues
                for queue in queues:
                    if len(queue) >= bound:
                        return
                if stream.ended or not self.open:
                    return
                try:
                    item = next(it)
                except BaseException as error:
                    stream.fail(error)
                    return
                for queue in queues:
                    queue.append(item)
                del item
            yield mine.popleft()

    def revoke(self) -> bool:
        self.open = False
        self.items.clear()
        self.row.leave(self.items)
        return False


class _Credits(Generic[T]):
    """The form with credit: how far each live branch has read, and how much further it may go."""

    given: Callable[[], int]
    """How many items the stream has given."""

    def __init__(self, stream: _Stream[T], bound: int, overflow: Overflow) -> None:
        self.stream, self.bound, self.overflow = stream, bound, overflow
        # A tuple, made anew when one leaves: a branch may be collected in the middle of a loop over it.
        self.accounts: tuple[_Account[T], ...] = ()

    def branch(self, place: int, items: Iterator[T]) -> _WindowBranch[T]:
        account = _Account(self, place, items)
        self.accounts += (account,)
        return _WindowBranch.over(account)

    def room(self, mine: _Account[T], read: int) -> int:
        """How many items a branch that has read so many may read before it is `bound` ahead of another one."""
        slowest = read
        for account in self.accounts:
            if account is not mine:
                other = account.granted - length_hint(account.credit)
                if other < slowest:
                    slowest = other
        return self.bound - read + slowest

    def leave(self, mine: _Account[T]) -> None:
        self.accounts = tuple(account for account in self.accounts if account is not mine)
        if not self.accounts:
            self.stream.close()


_nothing: dict[None, Any] = {}
_second: Callable[..., Any] = _nothing.get
"""`{}.get(None, item)` is item: what is left of two when one is only there to be counted."""


class _Account(Iterator[Iterable[T]]):
    """Gives a branch its items, a window at a time; a window is as long as the credit that was left for it."""

    def __init__(self, credits: _Credits[T], place: int, items: Iterator[T]) -> None:
        self.credits, self.place, self.items = credits, place, items
        self.open = True
        self.granted = 0
        self.credit = repeat(None, 0)

    def read(self) -> int:
        """How many items the branch has read."""
        return self.granted - length_hint(self.credit)

    def __next__(self) -> Iterable[T]:
        if not self.open:
            raise StopIteration
        credits = self.credits
        read = self.granted - length_hint(self.credit)
        # Asking for the item behind the last one has cost a credit as well.
        if credits.stream.ended and read >= credits.given():
            raise credits.stream.end()
        room = credits.room(self, read)
        if room <= 0:
            return _Refusal(self)
        if room > LONGEST:
            room = LONGEST
        self.granted = read + room
        self.credit = repeat(None, room)
        return map(_second, self.credit, self.items)

    def refused(self) -> BufferError | None:
        credits = self.credits
        if credits.room(self, self.read()) > 0:
            return None
        slowest = min((account.read(), account.place) for account in credits.accounts if account is not self)
        return BufferError(credits.overflow(self.place, slowest[1]))

    def revoke(self) -> bool:
        # Without the credit that is left, the window is over.
        self.open = False
        deque(self.credit, maxlen=0)
        self.items = iter(())
        self.credits.leave(self)
        return True


class _Windows(Protocol[T_co]):
    """What a branch reads: an iterator of windows, which are iterators of items."""

    open: bool

    def __iter__(self) -> Iterator[Iterable[T_co]]: ...

    def __next__(self) -> Iterable[T_co]: ...

    def refused(self) -> BufferError | None:
        """What the branch is told when it may not read on."""

    def revoke(self) -> bool:
        """Take the branch out; True where the window that it is reading has still items to let go of."""


class _Refusal(Iterator[Any]):
    """A window of no items: BufferError, until the branch may read on. (A chain goes on after an error of a window.)"""

    def __init__(self, windows: _Windows[Any]) -> None:
        self.windows = windows

    def __next__(self) -> Any:
        refused = self.windows.refused() if self.windows.open else None
        if refused is None:
            raise StopIteration
        raise refused


class _WindowBranch(chain[T]):
    windows: _Windows[T]

    @classmethod
    def over(cls, windows: _Windows[T]) -> _WindowBranch[T]:
        # Nothing but the caller may refer to the branch.
        branch = cast("_WindowBranch[T]", cls.from_iterable(windows))
        branch.windows = windows
        return branch

    def close(self) -> None:
        if self.windows.open and self.windows.revoke():
            # The chain lets go of its window.
            next(self, None)

    def __del__(self) -> None:
        self.close()
