"""The exercises of M03C06, Reusable stages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from funcpipe_rag.laws import LAWS as PACKAGE, Law, World, law, same
from funcpipe_rag.laws.inputs import integers, numbers
from funcpipe_rag.laws.mutants import Mutant, mutant, mutants_of

from .exercise import Exercise
from .predicates import predicate_laws

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

T = TypeVar("T", bound=Hashable)
Transform = Callable[[Iterable[T]], Iterator[T]]


FMAP = Exercise(
    id="m03c06e1",
    title="A function for each item, as a stage",
    function="fmap",
    starter="""\
def fmap(fn):
    def run(xs):
        ...
    return run
""",
    laws=(
        PACKAGE["fmap-equals-its-eager-twin"],
        PACKAGE["fmap-asks-for-no-more-than-it-needs"],
        PACKAGE["fmap-starts-afresh"],
    ),
    hints=(
        "fmap gets the function, run gets the stream. Which of the two is called once for each stream?",
        "One `for x in xs` with one `yield fn(x)`, inside `run`; or `return map(fn, xs)` there.",
    ),
    mutants=mutants_of(
        "fmap", "drops_the_last", "eager_inside", "looks_ahead", "born_eager", "captured_iterator"
    ),
    withheld=("fmap",),
)

COMPOSE = Exercise(
    id="m03c06e2",
    title="One stage of several",
    function="compose",
    starter="""\
def compose(*transforms):
    def run(xs):
        ...
    return run
""",
    laws=(
        PACKAGE["compose-applies-left-to-right"],
        PACKAGE["compose-takes-each-item-through-before-the-next"],
        PACKAGE["compose-starts-afresh"],
    ),
    hints=(
        "compose(t, u)(xs) is u(t(xs)). With a third stage, what is handed to what?",
        "A `for` over the transforms, inside `run`: `xs = transform(xs)` takes the stream one stage further. "
        "Behind the loop, `return xs`.",
    ),
    mutants=mutants_of("compose", "backwards", "late_lambda", "lists_between", "captured_stages"),
    withheld=("compose",),
)


@law(
    "dedup-starts-afresh",
    about="make_dedup",
    promise="fresh",
    says="Two runs of one stage do not know of each other: each gives every item that is new to it.",
    hint="Where is the memory of what has been seen: in the recipe, or in the run?",
    among=LAWS,
    xs=numbers(),
    ahead=integers(0, 3),
)
def _(world: World, make_dedup: Any, xs: tuple[int, ...], ahead: int) -> None:
    stage = make_dedup()
    first = world.iterator(world.run(stage, list(xs)))
    begun = list(islice(first, ahead))
    new = list(dict.fromkeys(xs))
    same(world.items(world.run(stage, list(xs))), new, "the second run gave {}")
    same([*begun, *first], new, "the first run gave {}")


def make_dedup() -> Transform[T]:
    """A stage that leaves out what its run has seen already."""

    def dedup(items: Iterable[T]) -> Iterator[T]:
        seen = set()
        for item in items:
            if item not in seen:
                seen.add(item)
                yield item

    return dedup


@mutant(of="make_dedup", killed_by="dedup-starts-afresh", among=MUTANTS, laws=LAWS)
def shared_state() -> Transform[T]:
    """Makes the set beside the stage: what one run has seen, the next one leaves out."""
    seen = set()

    def dedup(items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if item not in seen:
                seen.add(item)
                yield item

    return dedup


def _factory_and_items(
    world: World, make_stage: Callable[[], Any], xs: tuple[int, ...]
) -> tuple[Callable[[], Any], list[int]]:
    return make_stage, list(xs)


LAW = Exercise(
    id="m03c06e3",
    title="A law that unmasks the shared state",
    function="law",
    starter="""\
def law(make_stage, xs) -> bool:
    ...
""",
    laws=predicate_laws(
        "two-runs",
        right=make_dedup,
        wrong=shared_state,
        asked=_factory_and_items,
        promise="fresh",
        xs=numbers(),
        differ_on={"xs": (0,)},
        hints=(
            "The right stage leaves out what comes twice. Does your law compare its runs with each other, or with xs?",
            "How many stages does your law make, and how many runs?",
        ),
    ),
    hints=(
        "How often is the factory called in the lesson's first program, and how often is the stage?",
        "One `stage = make_stage()`. Run it on `xs` twice, make a list of each run, and compare the two with `==`.",
    ),
    mutants=tuple(MUTANTS),
)

EXERCISES = (FMAP, COMPOSE, LAW)
