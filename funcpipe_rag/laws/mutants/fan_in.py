"""What people write in place of chain, round-robin and merge."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from typing import Any

from funcpipe_rag import streams

from .mutant import mutant

Source = Callable[[], Any]


@mutant(of="make_chain", killed_by="chain-keeps-source-order")
def takes_turns_instead(*sources: Source) -> Source:
    """Reads 'chain' as 'one of each': the first row of all sources, then the second."""

    def run() -> Iterator[Any]:
        gone = object()
        for row in zip_longest(*(source() for source in sources), fillvalue=gone):
            yield from (item for item in row if item is not gone)

    return run


@mutant(of="make_chain", killed_by="chain-opens-nothing-at-birth")
def opens_at_birth(*sources: Source) -> Source:
    """Calls every source while the stream is still being built."""
    return lambda: _closing([source() for source in sources])


def _closing(opened: list[Any]) -> Iterator[Any]:
    try:
        for it in opened:
            yield from (item for item in it)
    finally:
        for it in reversed(opened):
            it.close()


@mutant(of="make_chain", killed_by="chain-opens-the-next-only-when-needed")
def opens_all_at_once(*sources: Source) -> Source:
    """Opens every source at the first question: a thousand files at once."""

    def run() -> Iterator[Any]:
        yield from _closing([source() for source in sources])

    return run


@mutant(of="make_chain", killed_by="chain-closes-each-before-the-next")
def closes_them_all_at_the_end(*sources: Source) -> Source:
    """Collects what it opens and closes it when everything is over."""

    def run() -> Iterator[Any]:
        opened: list[Any] = []
        try:
            for source in sources:
                opened.append(source())
                yield from (item for item in opened[-1])
        finally:
            for it in reversed(opened):
                it.close()

    return run


@mutant(of="make_chain", killed_by="chain-asks-for-no-more-than-it-gives")
def lists_each_source(*sources: Source) -> Source:
    """Reads each source to its end before it gives the first item of it."""

    def run() -> Iterator[Any]:
        for source in sources:
            yield from list(source())

    return run


@mutant(of="make_chain", killed_by="chain-closes-what-it-opened-last-first")
def leaves_it_to_the_collector(*sources: Source) -> Source:
    """Relies on reference counting to close: it does not, while somebody else holds the source."""

    def run() -> Iterator[Any]:
        for source in sources:
            for item in source():  # noqa: UP028
                yield item

    return run


@mutant(of="make_chain", killed_by="chain-starts-afresh")
def opens_each_source_once(*sources: Source) -> Source:
    """Opens the sources once, outside the function that runs for each stream."""
    opened: list[Any] = []

    def run() -> Iterator[Any]:
        if not opened:
            opened.extend(source() for source in sources)
        yield from chain.from_iterable(opened)

    return run


@mutant(of="make_chain", killed_by="chain-pays-once-for-each-end")
def asks_twice_at_the_end(*sources: Source) -> Source:
    """Makes sure of the end by asking again."""

    def run() -> Iterator[Any]:
        for source in sources:
            it = source()
            try:
                yield from (item for item in it)
                yield from (item for item in it)
            finally:
                it.close()

    return run


@mutant(of="make_chain", killed_by="chain-passes-errors-on")
def skips_a_failing_source(*sources: Source) -> Source:
    """Goes on with the next source when one fails, and tells nobody."""

    def run() -> Iterator[Any]:
        for source in sources:
            try:
                yield from (item for item in source())
            except Exception:
                continue

    return run


@mutant(of="make_chain", killed_by="chain-closes-the-rest-when-one-cannot-be-closed")
def closes_the_failing_one_twice(*sources: Source) -> Source:
    """Puts close() into the loop and into the clean-up behind it."""

    def run() -> Iterator[Any]:
        it = None
        try:
            for source in sources:
                it = source()
                yield from (item for item in it)
                it.close()
        finally:
            if it is not None:
                it.close()

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-takes-turns")
def stops_with_the_shortest(*sources: Source) -> Source:
    """Uses `zip`, which stops when the first source ends."""

    def run() -> Iterator[Any]:
        for row in zip(*(source() for source in sources), strict=False):
            yield from row

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-takes-turns")
def treats_none_as_end(*sources: Source) -> Source:
    """Uses None for 'no item': then an item that is None is lost."""

    def run() -> Iterator[Any]:
        for row in zip_longest(*(source() for source in sources)):
            yield from (item for item in row if item is not None)

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-passes-nobody-over")
def chains_instead(*sources: Source) -> Source:
    """Takes all of the first source before the second: 'merge' read as 'append'."""

    def run() -> Iterator[Any]:
        for source in sources:
            yield from (item for item in source())

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-passes-nobody-over")
def removes_while_looping(*sources: Source) -> Source:
    """Removes an ended source from the list that the loop is running over: the next one misses its turn."""

    def run() -> Iterator[Any]:
        live = [source() for source in sources]
        while live:
            for it in live:
                try:
                    yield next(it)
                except StopIteration:
                    live.remove(it)

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-asks-for-no-more-than-it-gives")
def reads_a_row_ahead(*sources: Source) -> Source:
    """Fetches a whole row, one item of each source, before it gives the first of them."""

    def run() -> Iterator[Any]:
        gone = object()
        for row in zip_longest(*(source() for source in sources), fillvalue=gone):
            yield from (item for item in row if item is not gone)

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-opens-nothing-at-birth")
def opens_before_the_first_turn(*sources: Source) -> Source:
    """Calls every source while the stream is still being built."""

    def run() -> Iterator[Any]:
        return _in_turns([source() for source in sources])

    return run


def _in_turns(live: list[Any], *, close: bool = True) -> Iterator[Any]:
    opened = list(live)
    try:
        while live:
            still = []
            for it in live:
                try:
                    yield next(it)
                except StopIteration:
                    continue
                still.append(it)
            live = still
    finally:
        if close:
            for it in reversed(opened):
                it.close()


@mutant(of="make_roundrobin", killed_by="roundrobin-closes-what-it-opened-last-first")
def leaks_its_sources(*sources: Source) -> Source:
    """Closes nothing: half-read, every file stays open."""

    def run() -> Iterator[Any]:
        yield from _in_turns([source() for source in sources], close=False)

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-closes-the-rest-when-one-cannot-be-closed")
def gives_up_closing(*sources: Source) -> Source:
    """Closes in a plain loop, which the first close() that raises leaves."""

    def run() -> Iterator[Any]:
        yield from _in_turns([source() for source in sources])

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-starts-afresh")
def shares_its_sources(*sources: Source) -> Source:
    """Opens the sources once for all streams."""
    opened: list[Any] = []

    def run() -> Iterator[Any]:
        if not opened:
            opened.extend(source() for source in sources)
        yield from _in_turns(list(opened), close=False)

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-pays-once-for-each-end")
def asks_the_ended_again(*sources: Source) -> Source:
    """Keeps ended sources in the round and asks them each time."""

    def run() -> Iterator[Any]:
        opened = [source() for source in sources]
        served = True
        while served:
            served = False
            for it in opened:
                for item in it:
                    yield item
                    served = True
                    break

    return run


@mutant(of="make_roundrobin", killed_by="roundrobin-passes-errors-on")
def takes_an_error_for_an_end(*sources: Source) -> Source:
    """Writes `except Exception` where `except StopIteration` was meant."""

    def run() -> Iterator[Any]:
        live = [source() for source in sources]
        while live:
            for it in list(live):
                try:
                    yield next(it)
                except Exception:
                    live.remove(it)

    return run


@mutant(of="make_merge", killed_by="merge-refuses-a-source-out-of-order")
def trusts_its_sources(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Hands its sources to `heapq.merge`: unsorted in, wrong order out, no error."""

    def run() -> Iterator[Any]:
        yield from heapq.merge(*(source() for source in sources), key=key, reverse=reverse)

    return run


@mutant(of="make_merge", killed_by="merge-asks-for-no-more-than-it-gives")
def sorts_everything(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Sorts the chain: right, and it reads everything first."""

    def run() -> Iterator[Any]:
        yield from sorted(chain.from_iterable(source() for source in sources), key=key, reverse=reverse)

    return run


@mutant(of="make_merge", killed_by="merge-gives-one-sorted-stream")
def merges_by_turns(*sources: Source, **_: Any) -> Source:
    """Takes the smaller of the two heads, and then the other one, without looking again."""

    def run() -> Iterator[Any]:
        gone = object()
        for row in zip_longest(*(source() for source in sources), fillvalue=gone):
            yield from sorted(item for item in row if item is not gone)

    return run


@mutant(of="make_merge", killed_by="merge-is-stable")
def lets_the_last_source_win_ties(
    *sources: Source, key: Any = None, reverse: bool = False, **_: Any
) -> Source:
    """Goes through the sources from the back, so that equal items come in the wrong order."""

    def run() -> Iterator[Any]:
        yield from heapq.merge(*(source() for source in reversed(sources)), key=key, reverse=reverse)

    return run


@mutant(of="make_merge", killed_by="merge-opens-nothing-at-birth")
def opens_its_sources_early(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Opens every source when the stream is built."""
    return lambda: heapq.merge(*[source() for source in sources], key=key, reverse=reverse)


@mutant(of="make_merge", killed_by="merge-closes-what-it-opened-last-first")
def closes_no_source(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Closes the merge, and thinks that its sources are closed with it."""

    def run() -> Iterator[Any]:
        yield from heapq.merge(*(source() for source in sources), key=key, reverse=reverse)

    return run


@mutant(of="make_merge", killed_by="merge-closes-the-rest-when-one-cannot-be-closed")
def stops_closing_at_the_first_error(
    *sources: Source, key: Any = None, reverse: bool = False, **_: Any
) -> Source:
    """Closes in a plain loop, which the first close() that raises leaves."""

    def run() -> Iterator[Any]:
        opened = [source() for source in sources]
        try:
            yield from heapq.merge(*opened, key=key, reverse=reverse)
        finally:
            for it in reversed(opened):
                it.close()

    return run


@mutant(of="make_merge", killed_by="merge-starts-afresh")
def merges_the_same_iterators(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Makes the merge once and hands it out again and again."""
    made: list[Any] = []

    def run() -> Iterator[Any]:
        if not made:
            made.append(heapq.merge(*(source() for source in sources), key=key, reverse=reverse))
        yield from made[0]

    return run


@mutant(of="make_merge", killed_by="merge-pays-once-for-each-end")
def checks_the_ends_again(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Asks every source once more at the end, to be sure."""

    def run() -> Iterator[Any]:
        opened = [source() for source in sources]
        yield from heapq.merge(*opened, key=key, reverse=reverse)
        for it in opened:
            yield from it

    return run


@mutant(of="make_merge", killed_by="merge-passes-errors-on")
def ends_where_a_source_fails(*sources: Source, key: Any = None, reverse: bool = False, **_: Any) -> Source:
    """Takes a source's error for the end of the merge."""

    def run() -> Iterator[Any]:
        try:
            yield from heapq.merge(*(source() for source in sources), key=key, reverse=reverse)
        except Exception:
            return

    return run


@mutant(of="make_merge", killed_by="merge-looks-no-further-ahead-than-it-may")
def reads_in_big_blocks(*sources: Source, lookahead: int = 1, **options: Any) -> Source:
    """Takes lookahead for a hint and reads eight times as much."""
    return streams.make_merge(*sources, lookahead=8 * lookahead, **options)
