"""What every stage owes: one set of sentences, and a row of a table for each stage that is to keep them.

A `Family` says how a stage is made and what it gives, listed; `laws_of` registers a law for each `Clause`. A longer
input settles more outputs, so the eager twin on a prefix tells how many pulls an output may cost. What is special
to one function stands in the file that bears its slug.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, suppress
from functools import wraps
from io import StringIO
from itertools import count, islice
from typing import Any, NamedTuple, TypeAlias
from warnings import catch_warnings, simplefilter

from funcpipe_rag.streams.probe import Boom, Probe

from .inputs import Input, Items, SourceSpec, booleans, integers, numbers, sources
from .law import Broken, Promise, holds, law, same, times
from .worlds import World


class Family(NamedTuple):
    """A stage that owes the laws below: how it is made, and its eager twin."""

    name: str
    config: dict[str, Input[Any]]
    """what it is configured with, as the inputs of a law"""
    make: Callable[..., Any]
    """`make(world, factory, **config)` gives the stage"""
    twin: Callable[..., Any]
    """`twin(items, **config)`: what it gives, listed; of a sink, its result"""
    items: Callable[..., Input[Items]] = numbers
    """what its input is made of"""
    settled: Callable[..., int] | None = None
    """`settled(items, **config)`: how many outputs a beginning of the input settles; all of its twin's, if None"""
    goes_on: Items = ()
    """items of which it gives something unless it has ended, if it may end before its input does"""
    live: Callable[[World, Items], Items] | None = None
    """`live(world, items)`: the items as the stage gets them, where a world has to make them of data"""
    told: Callable[[Any], Any] = lambda output: output
    """an output as plain data, which reads the same whichever process made it"""
    quiet: bool = False
    """it says something on the side: a warning, a progress bar"""
    plain: bool = False
    """a function of its stream and its configuration; there is no factory, and `make` puts one around it"""
    prefix: str = ""

    @property
    def slug(self) -> str:
        """How the ids of its laws begin."""
        return self.prefix or self.name.replace("_", "-")


class Case:
    """One check of one stage: the stage, made once, and the world that it runs in."""

    def __init__(self, family: Family, world: World, factory: Any, config: dict[str, Any]) -> None:
        self.family, self.world, self.factory, self.config = family, world, factory, config
        self.stage = self.made()

    def made(self, **options: Any) -> Any:
        """The stage; with `options`, one that is configured differently."""
        return self.family.make(self.world, self.factory, **{**self.config, **options})

    def run(self, source: SourceSpec, *, budget: int | None = None) -> tuple[Any, Probe]:
        """What the stage makes of a live source, and the probe behind that."""
        xs, probe = self.world.stream(source, budget=budget)
        return self.world.run(self.stage, xs), probe

    def told(self, outputs: Iterable[Any]) -> Iterator[Any]:
        return map(self.family.told, outputs)

    def twin(self, items: Iterable[Any]) -> Any:
        return self.family.twin(list(items), **self.config)

    def settles(self, items: Iterable[Any]) -> int:
        settled = self.family.settled
        return len(self.twin(items)) if settled is None else settled(list(items), **self.config)

    def may_have_ended(self, items: list[Any]) -> bool:
        """Whether the stage may end behind these items, although its input goes on."""
        more = self.family.goes_on
        return bool(more) and bool(self.twin([*items, *more]) == self.twin(items))


class Clause(NamedTuple):
    """A law of every stage, before it is known of which."""

    id: str
    promise: Promise
    says: str
    hint: str
    late: bool
    inputs: dict[str, Callable[[Family], Input[Any]]]
    check: Callable[..., None]


Check: TypeAlias = Callable[..., None]


def clause(
    id: str,
    /,
    *,
    promise: Promise,
    says: str,
    hint: str,
    late: bool = False,
    **inputs: Callable[[Family], Input[Any]],
) -> Callable[[Check], Clause]:
    """A decorator like `law`, over `def _(case, source)`; each input is made for the family that it is about."""
    return lambda check: Clause(id, promise, says, hint, late, inputs, check)


def laws_of(family: Family, clauses: Iterable[Clause] | None = None) -> None:
    """Register what is true of every stage of this kind: `PLAIN`, unless told otherwise."""
    for one in PLAIN if clauses is None else clauses:
        _law_of(family, one)


def _law_of(family: Family, one: Clause) -> None:
    def check(world: World, factory: Any, **given: Any) -> None:
        config = {name: given.pop(name) for name in family.config}
        if family.live is not None:
            given = {name: _live(family.live, world, value) for name, value in given.items()}
        one.check(Case(family, world, factory, config), **given)

    inputs: dict[str, Any] = {**family.config, **{name: made(family) for name, made in one.inputs.items()}}
    law(
        f"{family.slug}-{one.id}",
        about=family.name,
        promise=one.promise,
        says=one.says,
        hint=one.hint,
        late=one.late,
        **inputs,
    )(in_quiet(check) if family.quiet else check)


def _live(live: Callable[[World, Items], Items], world: World, value: Any) -> Any:
    if isinstance(value, SourceSpec):
        return value._replace(items=live(world, value.items))
    return live(world, value) if isinstance(value, tuple) else value


def in_quiet(check: Callable[..., None]) -> Callable[..., None]:
    """The check, without what an observer says on the side: a progress bar, a warning."""

    @wraps(check)
    def quiet(*given: Any, **inputs: Any) -> None:
        with redirect_stderr(StringIO()), catch_warnings():
            simplefilter("ignore")
            check(*given, **inputs)

    return quiet


@clause(
    "equals-its-eager-twin",
    promise="same answer",
    says="Listed, the lazy result is the list that a loop would have built.",
    hint="Work the smallest input through by hand. Which item is missing, extra, or in the wrong place?",
    source=lambda family: sources(family.items()),
)
def equals_its_eager_twin(case: Case, source: SourceSpec) -> None:
    made, _probe = case.run(source)
    same(list(case.told(case.world.items(made))), case.twin(source.items))


@clause(
    "starts-nothing-at-birth",
    promise="on demand",
    says="Building a stream pulls nothing and opens nothing: work begins with the first question.",
    hint="Which line runs before anybody has asked for an item?",
    source=lambda family: sources(family.items(most=3), "endless", handed=["iterator"]),
    reiterable=lambda family: booleans(),
)
def starts_nothing_at_birth(case: Case, source: SourceSpec, reiterable: bool) -> None:
    xs, probe = case.world.stream(source._replace(reiterable=reiterable), budget=0)
    opened = probe.opens
    case.world.iterator(case.world.run(case.stage, xs))
    holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
    holds(probe.opens == opened, "it opened its input before the first question", "not yet")


@clause(
    "asks-for-no-more-than-it-needs",
    promise="on demand",
    says="k outputs cost the items that settle them, and not one pull more.",
    hint="Count the questions in the row `source`. Which answer was not needed yet?",
    items=lambda family: family.items(),
    taken=lambda family: integers(0, 4),
)
def asks_for_no_more_than_it_needs(case: Case, items: Items, taken: int) -> None:
    k = min(taken, case.settles(items))
    needed = next(many for many in count() if case.settles(items[:many]) >= k)
    made, probe = case.run(SourceSpec(items, endless=True), budget=needed)
    got = list(case.told(islice(case.world.iterator(made), k)))
    same(got, case.twin(items)[:k])
    holds(probe.pulls <= needed, f"{probe.pulls} pulls for {k} outputs", f"{needed}")


@clause(
    "pays-once-for-the-end",
    promise="on demand",
    says="Read to its end, the stream costs one pull for each item and one for the end.",
    hint="Who asks again after the input has said that it is at its end?",
    source=lambda family: sources(family.items()),
)
def pays_once_for_the_end(case: Case, source: SourceSpec) -> None:
    made, probe = case.run(source)
    case.world.items(made)
    most = len(source.items) + 1
    holds(probe.pulls <= most, f"the source was asked {times(probe.pulls)}", f"at most {times(most)}")


@clause(
    "passes-errors-on",
    promise="same answer",
    late=True,
    says="An error of the input reaches you as it is, behind every item that came before it.",
    hint="Where is the error caught, or an item kept back?",
    source=lambda family: sources(family.items(), "raises", handed=["iterator"]),
)
def passes_errors_on_to_you(case: Case, source: SourceSpec) -> None:
    made, _probe = case.run(source)
    ended = case.may_have_ended(source.given)
    passes_errors_on(case.told(case.world.iterator(made)), case.twin(source.given), may_end=ended)


@clause(
    "closes-what-it-opened",
    promise="closed",
    says="What the stream opened, it closes, once: when it ends, fails, or is closed half-way.",
    hint="Who called iter() on the collection? Who closes what that gave?",
    source=lambda family: sources(family.items(least=1), "ends", "raises", handed=["collection"]),
    taken=lambda family: integers(1, 6),
)
def closes_what_it_opened(case: Case, source: SourceSpec, taken: int) -> None:
    made, probe = case.run(source)
    read_and_close(made, taken)
    opened = f"opened {times(probe.opens)}, closed {times(probe.closes)}"
    holds(probe.closes == probe.opens, opened, "as often closed as opened")


@clause(
    "leaves-open-what-it-was-handed",
    promise="closed",
    says="An iterator that was handed in stays open: whoever made it goes on with it.",
    hint="iter(it) is it. So who opened it?",
    source=lambda family: sources(family.items(least=1), "ends", "raises", handed=["iterator"]),
    taken=lambda family: integers(1, 6),
)
def leaves_open_what_it_was_handed(case: Case, source: SourceSpec, taken: int) -> None:
    made, probe = case.run(source)
    read_and_close(made, taken)
    holds(probe.closes == 0, "it closed the iterator that it was handed", "left open")


@clause(
    "starts-afresh",
    promise="fresh",
    says="Two runs of one stage do not know of each other.",
    hint="What is kept outside the function that runs for each stream?",
    first=lambda family: sources(family.items()),
    second=lambda family: sources(family.items()),
    ahead=lambda family: integers(0, 3),
)
def starts_afresh(case: Case, first: SourceSpec, second: SourceSpec, ahead: int) -> None:
    one = case.world.iterator(case.run(first)[0])
    begun = list(islice(one, ahead))
    other = case.world.items(case.run(second)[0])
    same(list(case.told(other)), case.twin(second.items), "the second run gave {}")
    same(list(case.told([*begun, *islice(one, 200)])), case.twin(first.items), "the first run gave {}")


ONCE = (
    equals_its_eager_twin,
    starts_nothing_at_birth,
    asks_for_no_more_than_it_needs,
    passes_errors_on_to_you,
    closes_what_it_opened,
    leaves_open_what_it_was_handed,
)
"""What is owed by a plain function of its stream, of which there is no second run."""

PLAIN = (*ONCE, starts_afresh)
"""What every transform of one stream owes."""

WHOLE = (*PLAIN, pays_once_for_the_end)
"""The same, and that the end is asked for only once: of stages that read their input to its end."""


def saying(
    what: str = "It changes no item and no order: what goes in comes out.",
    pulls: str = "It adds no pull: k items cost the k pulls that they cost without it.",
) -> tuple[Clause, ...]:
    """`PLAIN` in the words of a stage that passes items on: what comes through it, and what it costs."""
    hint = "Work the smallest input through by hand. Which item is missing, extra, or another one?"
    return reworded(
        PLAIN,
        equals_its_eager_twin._replace(says=what, hint=hint),
        asks_for_no_more_than_it_needs._replace(says=pulls),
    )


def reworded(clauses: Iterable[Clause], *words: Clause) -> tuple[Clause, ...]:
    """The clauses, those in `words` in the place of those with their ids."""
    said = {one.id: one for one in words}
    return tuple(said.get(one.id, one) for one in clauses)


PASSING = saying()
"""What a stage owes that passes all items on as they are."""


def passing(
    name: str, config: dict[str, Input[Any]], make: Callable[..., Any], twin: Callable[..., Any]
) -> Family:
    """A stage that passes items on, all of them or a choice."""
    return Family(name, config, make, twin, quiet=True, prefix=name.removeprefix("make_").replace("_", "-"))


@clause(
    "equals-its-eager-twin",
    promise="same answer",
    says="The result is the one that a loop over the listed items would have come to.",
    hint="Work the smallest input through by hand. What was counted twice, or not at all?",
    source=lambda family: sources(family.items()),
)
def sinks_to_its_eager_twin(case: Case, source: SourceSpec) -> None:
    result, _probe = case.run(source)
    same(case.family.told(result), case.twin(source.items))


@clause(
    "asks-once-for-each-item",
    promise="on demand",
    says="A sink reads each item once, and the end once.",
    hint="How often does your function go through its input?",
    items=lambda family: family.items(),
)
def asks_once_for_each_item(case: Case, items: Items) -> None:
    xs, probe = case.world.stream(SourceSpec(items, reiterable=True), budget=len(items) + 1)
    case.world.run(case.stage, xs)
    holds(probe.opens == 1, f"it opened its input {times(probe.opens)}", "once")
    holds(probe.pulls == len(items) + 1, f"{probe.pulls} pulls", f"{len(items) + 1}")


@clause(
    "passes-errors-on",
    promise="same answer",
    late=True,
    says="An error of the input comes out as it is, and there is no result.",
    hint="Which errors does your loop take for the end?",
    source=lambda family: sources(family.items(), "raises"),
)
def gives_no_result_of_half_a_stream(case: Case, source: SourceSpec) -> None:
    try:
        result, _probe = case.run(source)
    except Boom:
        return
    holds(False, f"{case.family.told(result)!r}", "the error")


@clause(
    "closes-what-it-opened",
    promise="closed",
    says="What the sink opened, it closes, once; what it was handed, it leaves open.",
    hint="Who called iter() on the collection? Who closes what that gave?",
    source=lambda family: sources(family.items(), "ends", "raises"),
)
def closes_with_its_result(case: Case, source: SourceSpec) -> None:
    xs, probe = case.world.stream(source)
    with suppress(Boom):
        case.world.run(case.stage, xs)
    only_its_own_is_closed(probe, source)


@clause(
    "starts-afresh",
    promise="fresh",
    says="Each run begins from nothing, whatever another one has counted.",
    hint="What is kept outside the function that runs for each stream?",
    first=lambda family: sources(family.items()),
    second=lambda family: sources(family.items()),
)
def counts_afresh(case: Case, first: SourceSpec, second: SourceSpec) -> None:
    for place, source in (("first", first), ("second", second)):
        result, _probe = case.run(source)
        same(case.family.told(result), case.twin(source.items), f"the {place} run gave {{}}")


SINK = (
    sinks_to_its_eager_twin,
    asks_once_for_each_item,
    gives_no_result_of_half_a_stream,
    closes_with_its_result,
    counts_afresh,
)
"""What every sink owes."""


def passes_errors_on(made: Iterator[Any], expected: list[Any], *, may_end: bool = False) -> None:
    """Break the law unless `made` gives `expected` and then raises `Boom`, or ends where it may."""
    got = []
    try:
        for item in made:
            got.append(item)
            holds(len(got) <= 200, "it gave more than 200 items", "the error")
    except Boom:
        same(got, expected, "before the error it gave {}")
        return
    except Exception as error:
        raise Broken(f"{type(error).__name__} came out", "Boom, the source's own error") from error
    holds(
        may_end, f"it gave {got} and then ended as if nothing had happened", f"{expected} and then the error"
    )
    same(got, expected)


def read_and_close(made: Any, k: int) -> None:
    """Read at most `k` items of `made`, then close it, whether it ended, failed, or could go on."""
    with suppress(Boom):
        deque(zip(range(k), made, strict=False), maxlen=0)
    holds(hasattr(made, "close"), f"a {type(made).__name__} came, which cannot be closed", "a close()")
    with suppress(Boom):
        made.close()


def only_its_own_is_closed(probe: Probe, source: SourceSpec) -> None:
    """Break the law unless what the implementation opened is closed, once, and what it was handed is open."""
    expected = probe.opens if source.reiterable else 0
    holds(
        probe.closes == expected,
        f"opened {times(probe.opens)}, {'here' if source.reiterable else 'by you'}; closed {times(probe.closes)}",
        times(expected),
    )
