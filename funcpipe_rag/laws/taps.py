"""The laws of looking at a stream without touching it, and of taking a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import islice
from random import Random
from typing import Any

from funcpipe_rag.streams.probe import Boom

from .inputs import FUNCTIONS, SourceSpec, choice, integers, numbers, sources
from .law import Broken, holds, law, same
from .stages import PASSING, in_quiet, laws_of, passes_errors_on, passing, read_and_close, saying
from .worlds import World

_SHARES = choice(0.5, 0.25, 1.0, 0.0)
_CHOSEN = "It gives the chosen items and no others, as they are, in their order."
_LOOKED_AT = "k items cost the items up to the k-th chosen one, and not one pull more."


def _drawn(xs: list[Any], rate: float, seed: int) -> list[Any]:
    draw = Random(seed).random
    return [x for x in xs if draw() < rate]


def _stable(xs: Iterable[Any], rate: float, key: Callable[[Any], Any]) -> list[Any]:
    def part(told: Any) -> float:
        data = told.encode() if isinstance(told, str) else repr(told).encode()
        return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") / 2**64

    return [x for x in xs if part(key(x)) < rate]


WATCHERS = (
    passing(
        "make_tap",
        {"on_error": choice("fail", "skip")},
        lambda world, factory, on_error: factory(world.fn("negate"), on_error=on_error),
        lambda xs, on_error: xs,
    ),
    passing("make_counter", {}, lambda world, factory: factory(), lambda xs: xs),
    passing(
        "make_peek",
        {"n": integers(0, 3), "stride": integers(1, 3)},
        lambda world, factory, n, stride: factory(n, world.fn("negate"), stride=stride),
        lambda xs, n, stride: xs,
    ),
)
SAMPLERS = (
    passing(
        "make_sampler_bernoulli",
        {"rate": _SHARES, "seed": integers(0, 5)},
        lambda world, factory, rate, seed: factory(rate, seed=seed),
        _drawn,
    ),
    passing(
        "make_sampler_periodic",
        {"k": integers(1, 4), "offset": integers(0, 3)},
        lambda world, factory, k, offset: factory(k, offset=offset % k),
        lambda xs, k, offset: xs[offset % k :: k],
    ),
    passing(
        "make_sampler_stable",
        {"rate": _SHARES, "key": choice("negate", "double", "is_even")},
        lambda world, factory, rate, key: factory(rate, key=world.fn(key)),
        lambda xs, rate, key: _stable(xs, rate, FUNCTIONS[key]),
    ),
)
PROGRESS = passing(
    "make_progress",
    {"total": choice(None, 3)},
    lambda world, factory, total: factory(total=total),
    lambda xs, total: xs,
)
FAMILIES = (*WATCHERS, *SAMPLERS, PROGRESS)

for _family in WATCHERS:
    laws_of(_family, PASSING)
for _family in SAMPLERS:
    laws_of(_family, saying(_CHOSEN, _LOOKED_AT))
laws_of(PROGRESS, PASSING)


@law(
    "tap-sees-an-item-before-you-do",
    about="make_tap",
    promise="on demand",
    says="Each item is seen once, when it is asked for and before you have it.",
    hint="What does your loop do first: show the item, or hand it on?",
    items=numbers(),
    taken=integers(0, 4),
)
def _(world: World, make_tap: Any, items: tuple[int, ...], taken: int) -> None:
    happened: list[tuple[str, Any]] = []
    xs, _probe = world.stream(SourceSpec(items))
    made = world.run(make_tap(lambda item: happened.append(("seen", item))), xs)
    for item in islice(world.iterator(made), taken):
        happened.append(("got", item))
    expected = [(what, item) for item in items[:taken] for what in ("seen", "got")]
    same(happened, expected, "in this order: {}")


def _fails_at(place: int, seen: list[Any]) -> Callable[[Any], None]:
    def callback(item: Any) -> None:
        seen.append(item)
        if len(seen) == place + 1:
            raise Boom(f"the callback failed at item {place}")

    return callback


@law(
    "tap-fails-when-its-callback-does",
    about="make_tap",
    promise="same answer",
    late=True,
    says="An error of the callback reaches you in place of its item, behind those before it.",
    hint="Who hears of it when the callback fails?",
    items=numbers(least=1),
    place=integers(0, 5),
)
def _(world: World, make_tap: Any, items: tuple[int, ...], place: int) -> None:
    at = min(place, len(items) - 1)
    xs, _probe = world.stream(SourceSpec(items))
    passes_errors_on(world.run(make_tap(_fails_at(at, [])), xs), list(items[:at]))


@law(
    "tap-skips-the-failure-and-not-the-item",
    about="make_tap",
    promise="same answer",
    late=True,
    says='With on_error="skip" an item goes on although its callback failed, and the next one is seen again.',
    hint="What is lost when the callback fails: its answer, or your item?",
    items=numbers(least=1),
    place=integers(0, 5),
)
@in_quiet
def _(world: World, make_tap: Any, items: tuple[int, ...], place: int) -> None:
    seen: list[Any] = []
    xs, _probe = world.stream(SourceSpec(items))
    made = world.run(make_tap(_fails_at(min(place, len(items) - 1), seen), on_error="skip"), xs)
    same(world.items(made), list(items))
    same(seen, list(items), "the callback saw {}")


@law(
    "counter-tells-each-run-its-count",
    about="make_counter",
    promise="fresh",
    says="When a run ends, fails or is closed, `emit` is told once how many items went through it, and it alone.",
    hint="Where is the number kept, and which end of the run did you not think of?",
    first=sources(None, "ends", "raises"),
    second=sources(None, "ends", "raises"),
    taken=integers(1, 6),
)
def _(world: World, make_counter: Any, first: SourceSpec, second: SourceSpec, taken: int) -> None:
    told: list[int] = []
    stage = make_counter(emit=told.append)
    for source in (first, second):
        read_and_close(world.run(stage, world.stream(source)[0]), taken)
    same(told, [min(taken, len(source.given)) for source in (first, second)], "told: {}")


@law(
    "peek-shows-the-first-n-as-they-come",
    about="make_peek",
    promise="on demand",
    says="Of the items that you take, every stride-th is shown before you have it: n of them, and then no more.",
    hint="Count what was shown. When was it shown, and which one was too many?",
    n=integers(0, 3),
    stride=integers(1, 3),
    items=numbers(most=8),
    taken=integers(0, 8),
)
def _(world: World, make_peek: Any, n: int, stride: int, items: tuple[int, ...], taken: int) -> None:
    happened: list[tuple[str, Any]] = []
    xs, _probe = world.stream(SourceSpec(items))
    emit = lambda item: happened.append(("shown", item))  # noqa: E731
    made = world.run(make_peek(n, emit, stride=stride), xs)
    for item in islice(world.iterator(made), taken):
        happened.append(("got", item))
    expected: list[tuple[str, Any]] = []
    for place, item in enumerate(items[:taken]):
        if place % stride == 0 and place // stride < n:
            expected.append(("shown", item))
        expected.append(("got", item))
    same(happened, expected, "in this order: {}")


@law(
    "sampler-bernoulli-chooses-by-place-alone",
    about="make_sampler_bernoulli",
    promise="fresh",
    says="With one seed, every run chooses the same places, whatever stands there.",
    hint="When was your generator of random numbers made: once, or for each run?",
    rate=choice(0.5, 0.25),
    seed=integers(0, 5),
    n=integers(1, 12),
)
def _(world: World, make_sampler_bernoulli: Any, rate: float, seed: int, n: int) -> None:
    stage = make_sampler_bernoulli(rate, seed=seed)
    places = world.items(world.run(stage, range(n)))
    doubled = world.items(world.run(stage, range(0, 2 * n, 2)))
    same(doubled, [2 * place for place in places], f"places {places} in the first run, in the second: {{}}")


@law(
    "sampler-periodic-goes-on-for-ever",
    about="make_sampler_periodic",
    promise="same answer",
    says="From the offset on, between two chosen items lie k - 1 others, as long as the stream goes on.",
    hint="Write down the places that were chosen. Where does their distance change?",
    k=integers(1, 4),
    offset=integers(0, 3),
    n=integers(0, 8),
)
def _(world: World, make_sampler_periodic: Any, k: int, offset: int, n: int) -> None:
    start = offset % k
    xs, _probe = world.stream(SourceSpec(endless=True), budget=start + k * n)
    got = list(islice(world.iterator(world.run(make_sampler_periodic(k, offset=start), xs)), n))
    same(got, [start + k * place for place in range(n)])


_NOTES = tuple(f"note-{number}" for number in range(64))


@law(
    "sampler-stable-chooses-the-same-in-every-process",
    about="make_sampler_stable",
    promise="fresh",
    says="The choice is a matter of the key's own bytes: every run, process and machine makes the same one.",
    hint="hash() of a text is another number in every process. What is not?",
    rate=choice(0.5, 0.25),
)
def _(world: World, make_sampler_stable: Any, rate: float) -> None:
    xs, _probe = world.stream(SourceSpec(_NOTES))
    got = world.items(world.run(make_sampler_stable(rate, key=str.lower), xs))
    # Which ones came instead is another answer in every process, and no help.
    if got != _stable(_NOTES, rate, str):
        raise Broken(
            f"of {len(_NOTES)} notes, this process chose others", "the ones that every process chooses"
        )


@law(
    "sampler-stable-does-not-mind-the-order",
    about="make_sampler_stable",
    promise="same answer",
    says="An item's fate does not depend on its place: turned round, the stream gives the same sample, turned round.",
    hint="What does your choice look at besides the key?",
    rate=_SHARES,
    items=numbers(),
)
def _(world: World, make_sampler_stable: Any, rate: float, items: tuple[int, ...]) -> None:
    stage = make_sampler_stable(rate, key=world.fn("double"))
    forth, back = (
        world.items(world.run(stage, world.stream(SourceSpec(given))[0])) for given in (items, items[::-1])
    )
    same(back, forth[::-1], f"forth it gave {forth}, and back {{}}")


@law(
    "sampler-stable-keeps-items-of-one-key-together",
    about="make_sampler_stable",
    promise="same answer",
    says="Items with one key share one fate: all of them are kept, or none.",
    hint="What do you hash: the item, or its key?",
    rate=choice(0.5, 0.25),
    items=numbers(),
)
def _(world: World, make_sampler_stable: Any, rate: float, items: tuple[int, ...]) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    got = world.items(world.run(make_sampler_stable(rate, key=world.fn("is_even")), xs))
    for even in (True, False):
        alike = [item for item in items if (item % 2 == 0) is even]
        kept = [item for item in got if (item % 2 == 0) is even]
        holds(kept in ([], alike), f"of {alike}, which have one key, it kept {kept}", "all, or none")


@law(
    "sampler-stable-grows-with-the-rate",
    about="make_sampler_stable",
    promise="same answer",
    says="A larger rate keeps all that a smaller one kept.",
    hint="Does the rate have a say in an item's number, or only in where the line is drawn?",
    less=choice(0.25, 0.5, 0.0),
    more=choice(0.5, 0.75, 1.0),
    items=numbers(),
)
def _(world: World, make_sampler_stable: Any, less: float, more: float, items: tuple[int, ...]) -> None:
    small, large = (
        world.items(
            world.run(make_sampler_stable(rate, key=world.fn("double")), world.stream(SourceSpec(items))[0])
        )
        for rate in (less, more)
    )
    lost = [item for item in small if item not in large]
    holds(not lost, f"{lost} kept at {less} and left out at {more}", f"kept at {more} too")
