"""`multicast_bounded` in whatever order it is used, against a model too plain to be wrong; and proof that this can fail."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, configuration, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from funcpipe_rag import multicast_bounded
from funcpipe_rag.laws.mutants import mutants_of
from funcpipe_rag.laws.worlds import Collection
from funcpipe_rag.streams.probe import Boom, Probe

HOW = settings(
    max_examples=250,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
PLACES = st.integers(0, 3)
CLAIMS = frozenset({"answers", "names", "demand", "skew", "closing", "room"})


@pytest.fixture(autouse=True, scope="module")
def hypothesis_at_home_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hypothesis keeps notes in the working folder unless it is told of another."""
    configuration.set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))


class Item:
    """An item that is false, like 0 and None, and that can be watched to see whether anybody still holds it."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __bool__(self) -> bool:
        return False


class Model:
    """What `multicast_bounded` must do: the items are numbered, and each branch has a place among the numbers."""

    def __init__(self, n: int, maxlen: int, many: int, ending: str) -> None:
        self.maxlen, self.many, self.ending = maxlen, many, ending
        self.read = dict.fromkeys(range(n), 0)
        self.furthest = 0
        self.over = False
        self.told: set[int] = set()

    def next(self, branch: int) -> str:
        if branch not in self.read:
            return "the end"
        at = self.read[branch]
        if at == self.furthest and not self.over:
            if self.far_behind(branch):
                return "BufferError"
            if at == self.many and self.ending != "endless":
                self.over = True
            else:
                self.furthest += 1
        if at < self.furthest:
            self.read[branch] += 1
            return f"item {at}"
        if self.ending != "raises" or branch in self.told:
            return "the end"
        self.told.add(branch)
        return "Boom"

    def far_behind(self, branch: int) -> list[int]:
        """The branches that keep this one from reading on."""
        at = self.read.get(branch, 0)
        return [place for place, read in self.read.items() if at - read >= self.maxlen]

    @property
    def pulls(self) -> int:
        return self.furthest + self.over

    @property
    def waiting(self) -> int:
        """How many items somebody has still to read."""
        return self.furthest - min(self.read.values(), default=self.furthest)


class Multicast(RuleBasedStateMachine):
    """Any branch is read, closed or dropped at any time; after each step the model is asked whether that was right."""

    make: Callable[..., Any] = staticmethod(multicast_bounded)
    claims = CLAIMS

    def says(self, claim: str, truth: bool, came: str, expected: object) -> None:
        assert truth or claim not in self.claims, f"{claim}: {came}; expected {expected}"

    @initialize(
        n=st.integers(1, 4),
        maxlen=st.integers(1, 4),
        many=st.integers(0, 8),
        ending=st.sampled_from(["ends", "raises", "endless"]),
        handed=st.sampled_from(["iterator", "collection"]),
    )
    def split(self, n: int, maxlen: int, many: int, ending: str, handed: str) -> None:
        self.model = Model(n, maxlen, many, ending)
        self.watched: weakref.WeakSet[Item] = weakref.WeakSet()
        self.probe = Probe(
            map(self.item, count() if ending == "endless" else range(many)),
            raises_at=many if ending == "raises" else None,
        )
        self.handed_over = handed == "iterator"
        xs = self.probe() if self.handed_over else Collection(self.probe)
        self.branches: dict[int, Any] = dict(enumerate(self.make(xs, n, maxlen)))
        self.got = dict.fromkeys(range(n), 0)

    def item(self, number: int) -> Item:
        item = Item(number)
        self.watched.add(item)
        return item

    def read(self, place: int) -> str:
        """Ask one branch, compare with the model, and tell what came."""
        again = place in self.model.told & self.model.read.keys()
        expected = self.model.next(place)
        try:
            came = f"item {next(self.branches[place]).place}"
            self.got[place] += 1
        except StopIteration:
            came = "the end"
        except Boom:
            # A branch that has met the error may end, or raise it again: nothing is promised about that.
            came = "the end" if again else "Boom"
        except BufferError as error:
            came = "BufferError"
            self.is_named(str(error), place, self.model.far_behind(place))
        # Otherwise the diary would hold every item.
        self.probe.log.events.clear()
        self.says("answers", came == expected, f"branch {place} gave {came}", expected)
        return came

    def is_named(self, message: str, place: int, behind: list[int]) -> None:
        bound = self.model.maxlen
        named = re.search(r"branch (\d+) is (\d+) ahead of branch (\d+).*read branch (\d+) first", message)
        fits = named and (int(named[1]), int(named[2])) == (place, bound) and int(named[3]) in behind
        wanted = f"branch {place}, {bound} ahead of one of {behind}, and the advice to read that one"
        self.says("names", bool(fits and named and named[3] == named[4]), message, wanted)

    @rule(place=PLACES)
    def read_one(self, place: int) -> None:
        if place in self.branches:
            self.read(place)

    @rule(rounds=st.integers(1, 4))
    def read_in_turns(self, rounds: int) -> None:
        for _ in range(rounds):
            for place in list(self.model.read):
                self.read(place)

    @rule(place=PLACES)
    def read_on_until_refused_then_let_the_others_catch_up(self, place: int) -> None:
        if place not in self.branches:
            return
        for _ in range(self.model.maxlen + 1):
            if self.read(place) == "BufferError":
                for behind in self.model.far_behind(place):
                    self.read(behind)
                self.says(
                    "answers", self.read(place) != "BufferError", "still refused", "an item, or the end"
                )
                return

    @precondition(lambda self: self.claims & {"closing", "room"})
    @rule(place=PLACES)
    def close(self, place: int) -> None:
        """Close a branch, perhaps a second time."""
        if place in self.branches:
            self.branches[place].close()
            self.model.read.pop(place, None)
            self.read(place)

    @precondition(lambda self: self.claims & {"closing", "room"})
    @rule(place=PLACES)
    def drop(self, place: int) -> None:
        if self.branches.pop(place, None) is not None:
            self.model.read.pop(place, None)
            gc.collect(0)

    @invariant()
    def the_stream_is_asked_once_for_each_item_and_for_its_end(self) -> None:
        pulls = self.probe.pulls
        self.says("demand", pulls == self.model.pulls, f"{pulls} pulls", self.model.pulls)

    @invariant()
    def the_stream_is_not_opened_before_the_first_question(self) -> None:
        expected = int(self.handed_over or self.model.pulls > 0)
        self.says("demand", self.probe.opens == expected, f"{self.probe.opens} openings", expected)

    @invariant()
    def no_branch_is_further_ahead_than_the_bound(self) -> None:
        got = [self.got[place] for place in self.model.read]
        skew = max(got, default=0) - min(got, default=0)
        self.says("skew", skew <= self.model.maxlen, f"a skew of {skew}", f"at most {self.model.maxlen}")

    @invariant()
    def the_stream_is_closed_once_when_it_is_over_or_the_last_branch_is_gone(self) -> None:
        expected = int(self.probe.opens > 0 and (self.model.over or not self.model.read))
        self.says("closing", self.probe.closes == expected, f"closed {self.probe.closes} times", expected)

    @invariant()
    def what_every_live_branch_has_read_is_let_go(self) -> None:
        if not self.model.read:
            return
        oldest = self.model.furthest - self.model.waiting
        read_by_all = sorted(item.place for item in self.watched if item.place < oldest)
        self.says("room", not read_by_all, f"it still holds items {read_by_all}", f"none before {oldest}")

    def teardown(self) -> None:
        """Whatever came before: once the last branch is closed, the stream has been closed, and once."""
        if not self.claims & {"closing"} or not hasattr(self, "branches"):
            return
        for place in list(self.branches):
            self.close(place)
        self.the_stream_is_closed_once_when_it_is_over_or_the_last_branch_is_gone()


def test_multicast_keeps_its_promises_in_whatever_order_it_is_used() -> None:
    run_state_machine_as_test(Multicast, settings=HOW)


# One claim at a time, so that each mutant is seen to die of what it is named after.
DIES_OF = [
    ("loses_item_on_overflow", "answers", r"branch \d gave "),
    ("ends_in_silence_after_an_overflow", "answers", "gave the end; expected (item|Boom)"),
    ("ends_in_silence_after_an_overflow", "names", "a branch is full; expected branch"),
    ("remembers_the_gone", "room", r"it still holds items \[\d"),
    ("leaves_the_stream_open", "closing", "closed 0 times; expected 1"),
    ("keeps_one_in_stock", "demand", r"\d pulls; expected \d"),
    ("fills_its_queues_at_birth", "demand", r"\d pulls; expected \d"),
    ("unbounded", "skew", r"a skew of \d; expected at most \d"),
    ("drops_the_oldest", "answers", "expected BufferError"),
    ("counts_what_was_pulled", "answers", "gave BufferError; expected"),
]


@pytest.mark.parametrize(
    ("name", "claim", "cause"), DIES_OF, ids=[f"{name}-{claim}" for name, claim, _ in DIES_OF]
)
def test_the_machine_finds_the_mutant(name: str, claim: str, cause: str) -> None:
    (mutant,) = (mutant for mutant in mutants_of("multicast_bounded") if mutant.name == name)

    class Wrong(Multicast):
        make = staticmethod(mutant.impl)
        claims = frozenset({claim})

    with pytest.raises(AssertionError, match=f"{claim}: .*{cause}"):
        run_state_machine_as_test(Wrong, settings=settings(HOW, stateful_step_count=8))
