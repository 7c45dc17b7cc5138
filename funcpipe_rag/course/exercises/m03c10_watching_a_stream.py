"""The exercises of M03C10, Watching a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import compress, cycle, islice
from random import Random
from typing import Any

from funcpipe_rag.laws import Broken, Law, SourceSpec, World, holds, law, same
from funcpipe_rag.laws.inputs import choice, integers, items_of, things
from funcpipe_rag.laws.mutants import Mutant, mutant
from funcpipe_rag.streams.probe import Boom

from .exercise import Exercise
from .predicates import predicate_laws

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []


def share(text: str) -> float:
    """A number from 0 up to 1 that belongs to a text: the same in every process and on every machine.

    >>> share("tee") == share("tee"), 0 <= share("fence") < 1
    (True, True)
    """
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@law(
    "a-tap-passes-every-item-on",
    about="tap",
    promise="same answer",
    says="A tap changes no item and no order: what goes in comes out.",
    hint="Who has the item when `see` is done with it? And what does `see` return?",
    among=LAWS,
    items=things(most=4),
)
def _(world: World, tap: Any, items: tuple[Any, ...]) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    same(world.items(tap(xs, lambda item: None)), list(items))


@law(
    "a-tap-sees-an-item-before-you-do",
    about="tap",
    promise="same answer",
    says="It sees each item once, before you have it.",
    hint="You stop after an item. Has it been seen by then? Which line stands first: the one that sees, or the one that gives?",
    among=LAWS,
    items=items_of(choice("a", "b"), most=3),
    taken=integers(0, 3),
)
def _(world: World, tap: Any, items: tuple[str, ...], taken: int) -> None:
    happened: list[str] = []
    xs, _probe = world.stream(SourceSpec(items))
    made = world.iterator(tap(xs, lambda item: happened.append(f"saw {item}")))
    for item in islice(made, taken):
        happened.append(f"you got {item}")
    same(
        happened,
        [f"{who} {item}" for item in items[:taken] for who in ("saw", "you got")],
        "in this order: {}",
    )


@law(
    "a-tap-costs-no-pull-of-its-own",
    about="tap",
    promise="on demand",
    says="k items through a tap cost k pulls, and making it costs none.",
    hint="How many items has your tap in its hands when it gives you one?",
    among=LAWS,
    items=items_of(choice("a", "b"), most=3),
    k=integers(0, 3),
)
def _(world: World, tap: Any, items: tuple[str, ...], k: int) -> None:
    wanted = min(k, len(items))
    xs, probe = world.stream(SourceSpec(items))
    got = list(islice(world.iterator(tap(xs, lambda item: None)), wanted))
    same(got, list(items[:wanted]))
    holds(probe.pulls <= wanted, f"{wanted} of them cost {probe.pulls} pulls", f"{wanted}")


@law(
    "a-tap-keeps-no-error-to-itself",
    about="tap",
    promise="same answer",
    late=True,
    says="When `see` fails, you hear of it: its error comes in place of the item.",
    hint="What becomes of an error that nobody hears of, and of the item that it came with?",
    among=LAWS,
    items=items_of(choice("a", "b"), least=1, most=3),
    at=integers(0, 2),
)
def _(world: World, tap: Any, items: tuple[str, ...], at: int) -> None:
    place, seen = min(at, len(items) - 1), []

    def see(item: str) -> None:
        seen.append(item)
        if len(seen) == place + 1:
            raise Boom(f"see failed on item {place}")

    xs, _probe = world.stream(SourceSpec(items))
    made = world.iterator(tap(xs, see))
    got: list[Any] = []
    try:
        got.extend(islice(made, len(items) + 1))
    except Boom:
        same(got, list(items[:place]), "before the error it gave {}")
        return
    raise Broken(
        f"see failed on item {place}, and it gave {got}", f"its error, and {list(items[:place])} before it"
    )


@mutant(of="tap", killed_by="a-tap-passes-every-item-on", among=MUTANTS, laws=LAWS)
def tap_consumes(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """Looks at everything first and hands the stream on afterwards: there is nothing left in it."""
    for item in xs:
        see(item)
    yield from xs


@mutant(of="tap", killed_by="a-tap-passes-every-item-on", among=MUTANTS, laws=LAWS)
def map_not_tap(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """Is `map`: gives what `see` returns, None as a rule, in place of the item."""
    return map(see, xs)


@mutant(of="tap", killed_by="a-tap-passes-every-item-on", among=MUTANTS, laws=LAWS)
def filter_not_tap(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """Hands an item on only when `see` says something true of it."""
    for item in xs:
        if see(item):
            yield item


@mutant(of="tap", killed_by="a-tap-sees-an-item-before-you-do", among=MUTANTS, laws=LAWS)
def sees_afterwards(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """Gives the item first: whoever stops there has an item that was never seen."""
    for item in xs:
        yield item
        see(item)


@mutant(of="tap", killed_by="a-tap-costs-no-pull-of-its-own", among=MUTANTS, laws=LAWS)
def looks_ahead(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """Asks for the next item before it gives this one, to know whether this one is the last."""
    it = iter(xs)
    ahead = next(it, _END)
    while ahead is not _END:
        item, ahead = ahead, next(it, _END)
        see(item)
        yield item


_END = object()


@mutant(of="tap", killed_by="a-tap-keeps-no-error-to-itself", among=MUTANTS, laws=LAWS)
def swallows(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """Catches whatever `see` raises and goes on with the next item: an error and an item are gone."""
    for item in xs:
        try:
            see(item)
        except Exception:
            continue
        yield item


def _initial(item: str) -> str:
    return item[:1]


_WORDS = items_of(choice("a1", "a2", "b1", "b2"), most=4)
_RATES = choice(0.5, 0.25, 0.75, 1.0, 0.0)


@law(
    "a-sample-is-some-of-the-stream",
    about="sample",
    promise="same answer",
    says="It gives some of the items, as they are and in their order; all of them at rate 1, and none at rate 0.",
    hint="What do you give: the item, or what you made of it to decide?",
    among=LAWS,
    items=_WORDS,
    rate=_RATES,
)
def _(world: World, sample: Any, items: tuple[str, ...], rate: float) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    got = world.items(sample(xs, rate=rate, key=_initial))
    rest = iter(items)
    holds(all(item in rest for item in got), f"{got}", "items of the stream, in their order")
    if rate in (0.0, 1.0):
        same(got, list(items) if rate else [], f"at rate {rate:.0f} it gave {{}}")


@law(
    "a-sample-keeps-a-key-or-leaves-it",
    about="sample",
    promise="same answer",
    says="Items with one key share one fate, wherever they stand.",
    hint="On what does your choice depend: on the item's key alone, or on something else too?",
    among=LAWS,
    items=_WORDS,
    rate=_RATES,
)
def _(world: World, sample: Any, items: tuple[str, ...], rate: float) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    got = world.items(sample(xs, rate=rate, key=_initial))
    for key in dict.fromkeys(map(_initial, items)):
        alike = [item for item in items if _initial(item) == key]
        kept = [item for item in got if _initial(item) == key]
        holds(
            kept in ([], alike),
            f"of {alike} it kept {kept}",
            "all of them, or none: the key is the first letter",
        )


@law(
    "a-sample-is-the-same-everywhere",
    about="sample",
    promise="fresh",
    says="It keeps what has a share below the rate: the same choice in every run, process and machine.",
    hint="Start Python anew and ask for hash('tee') once more. What decides about your items: that, or their `share`?",
    among=LAWS,
    rate=choice(0.5, 0.25, 0.75),
)
def _(world: World, sample: Any, rate: float) -> None:
    names = [f"note-{n}" for n in range(64)]
    xs, _probe = world.stream(SourceSpec(tuple(names)))
    got = world.items(sample(xs, rate=rate, key=_itself))
    # Not the names themselves: with hash() they would be others in each process, and so would the card.
    holds(
        got == [name for name in names if share(name) < rate],
        "of 64 names it kept others than those with a share below the rate",
        "these, wherever it runs",
    )


def _itself(item: str) -> str:
    return item


@law(
    "a-sample-stops-at-the-item-it-gives",
    about="sample",
    promise="on demand",
    says="k items of a sample cost the items up to the k-th that it keeps, and no more.",
    hint="Which line reads the stream before the first item is given?",
    among=LAWS,
    k=integers(0, 3),
)
def _(world: World, sample: Any, k: int) -> None:
    names = [f"note-{n}" for n in range(12)]
    kept = [place for place, name in enumerate(names, start=1) if share(name) < 0.5][:k]
    xs, probe = world.stream(SourceSpec(tuple(names)))
    got = list(islice(world.iterator(sample(xs, rate=0.5, key=_itself)), k))
    needed = kept[-1] if kept else 0
    same(len(got), len(kept), "it gave {}")
    holds(
        probe.pulls <= needed,
        f"for {k} of them it asked {probe.pulls} times",
        f"{needed}, for the others come later",
    )


@mutant(of="sample", killed_by="a-sample-is-some-of-the-stream", among=MUTANTS, laws=LAWS)
def gives_the_keys(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Makes keys of the items first, and samples those."""
    return (told for told in map(key, xs) if share(told) < rate)


@mutant(of="sample", killed_by="a-sample-is-some-of-the-stream", among=MUTANTS, laws=LAWS)
def below_or_at(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Rounds the share down and compares with `<=`: too many are kept, and some even at rate 0."""
    return (item for item in xs if int(share(key(item)) * 2) <= rate * 2)


@mutant(of="sample", killed_by="a-sample-keeps-a-key-or-leaves-it", among=MUTANTS, laws=LAWS)
def every_kth(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Keeps every k-th item: the choice hangs on the place, and moves when one item more comes in."""
    every = round(1 / rate) if rate else 0
    return compress(xs, cycle([True, *[False] * (every - 1)])) if every else iter(())


@mutant(of="sample", killed_by="a-sample-keeps-a-key-or-leaves-it", among=MUTANTS, laws=LAWS)
def rolls_dice(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Rolls dice for each item: of one customer's orders some are in, and some are out."""
    roll = Random(1).random
    return (item for item in xs if roll() < rate)


@mutant(of="sample", killed_by="a-sample-is-the-same-everywhere", among=MUTANTS, laws=LAWS)
def hash_sample(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Decides by `hash()`, which Python seeds anew in every process: tomorrow it is another sample."""
    return (item for item in xs if hash(key(item)) % 1000 < rate * 1000)


@mutant(of="sample", killed_by="a-sample-is-the-same-everywhere", among=MUTANTS, laws=LAWS)
def takes_the_other_half(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Keeps the upper part: stable, and yet nobody else's sample."""
    return (item for item in xs if share(key(item)) >= 1 - rate)


@mutant(of="sample", killed_by="a-sample-stops-at-the-item-it-gives", among=MUTANTS, laws=LAWS)
def reads_it_all(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Builds the sample as a list, and then gives it."""
    yield from [item for item in xs if share(key(item)) < rate]


TAP = Exercise(
    id="m03c10e1",
    title="Look at every item, and hand it on",
    function="tap",
    starter="""\
def tap(xs, see):
    ...
""",
    laws=(
        LAWS["a-tap-passes-every-item-on"],
        LAWS["a-tap-sees-an-item-before-you-do"],
        LAWS["a-tap-costs-no-pull-of-its-own"],
        LAWS["a-tap-keeps-no-error-to-itself"],
    ),
    hints=(
        "An item comes. Two things must happen to it. In which order?",
        "A `for` with two lines in it: one calls `see`, the other is a `yield`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "tap"),
    withheld=("make_tap", "make_peek"),
)

SAMPLE = Exercise(
    id="m03c10e2",
    title="The same choice in every run",
    function="sample",
    starter="""\
def sample(xs, *, rate, key):
    ...
""",
    laws=(
        LAWS["a-sample-is-some-of-the-stream"],
        LAWS["a-sample-keeps-a-key-or-leaves-it"],
        LAWS["a-sample-is-the-same-everywhere"],
        LAWS["a-sample-stops-at-the-item-it-gives"],
    ),
    hints=(
        "Two items have one key. What must your choice depend on, so that they share one fate?",
        "A `for` with an `if` and a `yield` in it. `share` of the item's key is a number; compare it with the rate.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "sample"),
    withheld=("make_sampler_stable",),
)


def right_tap(xs: Iterable[Any], see: Callable[[Any], object]) -> Iterator[Any]:
    """A tap as it should be.

    >>> list(right_tap("ab", print))
    a
    b
    ['a', 'b']
    """
    for item in xs:
        see(item)
        yield item


def _tap_and_probe(world: World, tap: Callable[..., Any], items: tuple[int, ...]) -> tuple[Any, ...]:
    return tap, world.source(SourceSpec(items))


ACCEPTS, REFUSES = predicate_laws(
    "tap-is-neutral",
    right=right_tap,
    wrong=looks_ahead,
    called="tap",
    asked=_tap_and_probe,
    items=items_of(integers(0, 3), least=1, most=4),
    differ_on={"items": (0,)},
    promise="on demand",
    hints=(
        "Do by hand what your law does with a source of one item. What should it see?",
        "The items are right, and so is their order. What else does a tap promise? Where can you read it?",
    ),
)

LAW = Exercise(
    id="m03c10e3",
    title="Write the law that unmasks the tap that looks ahead",
    function="law",
    starter="""\
def law(tap, probe):
    ...
""",
    laws=(ACCEPTS, REFUSES),
    hints=(
        "The items are right, and so is their order. What else does a tap promise? Where can you read it?",
        "Make the tap over `probe()`, take one item of it with `next`, and then look at `probe.pulls`.",
    ),
    mutants=(
        Mutant(
            "looks_ahead",
            "right_tap",
            REFUSES.id,
            "Asks for the next item before it gives this one.",
            looks_ahead,
        ),
    ),
)

EXERCISES = (TAP, SAMPLE, LAW)
