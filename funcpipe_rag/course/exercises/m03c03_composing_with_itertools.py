"""The exercises of M03C03, Composing with itertools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, groupby, islice, pairwise, takewhile
from typing import Any, TypeAlias

from funcpipe_rag.laws import Law, World, WrongKind, kind_of, law, same
from funcpipe_rag.laws.inputs import FUNCTIONS, SourceSpec, choice, integers, items_of
from funcpipe_rag.laws.mutants import Mutant, mutant

from .exercise import Exercise
from .predicates import predicate_laws

Key: TypeAlias = Callable[[Any], Any]

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

_KEYS = choice("is_even", "is_small", "to_none")


@law(
    "running-total-gives-each-sum-so-far",
    about="running_total",
    promise="same answer",
    says="Behind each size comes the sum of all sizes up to it; without sizes, nothing comes.",
    hint="Add up the sizes by hand, from the left. Which of your numbers is another one?",
    among=LAWS,
    sizes=items_of(integers(0, 3), most=4),
)
def _(world: World, running_total: Any, sizes: tuple[int, ...]) -> None:
    xs, _probe = world.stream(SourceSpec(sizes))
    made = running_total(xs)
    if not hasattr(made, "__iter__"):
        hint = "Each size has a total of its own. What does your return hand over?"
        raise WrongKind(f"it returned {kind_of(made)}", "totals, one for each size", hint)
    same(list(islice(made, len(sizes) + 2)), [sum(sizes[: at + 1]) for at in range(len(sizes))])


@law(
    "running-total-costs-one-size-a-total",
    about="running_total",
    promise="on demand",
    says="k totals cost k sizes.",
    hint="How many sizes must be known for the first total?",
    among=LAWS,
    sizes=items_of(integers(0, 3), least=1, most=4),
    k=integers(1, 3),
)
def _(world: World, running_total: Any, sizes: tuple[int, ...], k: int) -> None:
    k = min(k, len(sizes))
    xs, _probe = world.stream(SourceSpec(sizes), budget=k)
    same(len(list(islice(world.iterator(running_total(xs)), k))), k, "it gave {} totals")


@law(
    "runs-expanded-give-the-stream-back",
    about="gen_runs",
    promise="same answer",
    says="Runs, expanded, give the keys of the stream back, in order; two neighbouring runs have different keys.",
    hint="Write each key as often as its run says. Where does that row leave the stream?",
    among=LAWS,
    xs=items_of(integers(0, 3), most=5),
    key=_KEYS,
)
def _(world: World, gen_runs: Any, xs: tuple[int, ...], key: str) -> None:
    stream, _probe = world.stream(SourceSpec(xs))
    runs = world.items(gen_runs(stream, key=world.fn(key)))
    same(list(map(_pair, runs)), _runs(xs, FUNCTIONS[key]))


@law(
    "k-runs-cost-their-items-and-one-more",
    about="gen_runs",
    promise="on demand",
    says="k runs cost the items in them and one more, with which the next run begins.",
    hint="A run is over when another key comes. Which items need not be read by then?",
    among=LAWS,
    xs=items_of(integers(0, 3), least=1, most=5),
    key=_KEYS,
    k=integers(1, 2),
)
def _(world: World, gen_runs: Any, xs: tuple[int, ...], key: str, k: int) -> None:
    wanted = _runs(xs, FUNCTIONS[key])[:k]
    needed = sum(length for _key, length in wanted) + 1
    stream, _probe = world.stream(SourceSpec(xs), budget=needed)
    got = list(islice(world.iterator(gen_runs(stream, key=world.fn(key))), len(wanted)))
    same(list(map(_pair, got)), wanted)


def _pair(run: object) -> object:
    """A run may be any pair, a list of two for instance."""
    return tuple(run) if isinstance(run, list) else run


def _runs(xs: Iterable[Any], key: Key = lambda x: x) -> list[tuple[Any, int]]:
    runs: list[tuple[Any, int]] = []
    for value in map(key, xs):
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    return runs


@mutant(of="running_total", killed_by="running-total-gives-each-sum-so-far", among=MUTANTS, laws=LAWS)
def begins_with_zero(sizes: Iterable[int]) -> Iterator[int]:
    """Gives the total before the first size as well: one number more than there are sizes."""
    return accumulate(sizes, initial=0)


@mutant(of="running_total", killed_by="running-total-gives-each-sum-so-far", among=MUTANTS, laws=LAWS)
def the_last_total_alone(sizes: Iterable[int]) -> Iterator[int]:
    """Adds everything up and gives the sum: a total, and not a running one."""
    yield sum(sizes)


@mutant(of="running_total", killed_by="running-total-gives-each-sum-so-far", among=MUTANTS, laws=LAWS)
def adds_neighbours(sizes: Iterable[int]) -> Iterator[int]:
    """Adds each size to the one before it, and forgets what came before that."""
    return (left + right for left, right in pairwise([0, *sizes]))


@mutant(of="running_total", killed_by="running-total-costs-one-size-a-total", among=MUTANTS, laws=LAWS)
def sums_each_beginning(sizes: Iterable[int]) -> Iterator[int]:
    """Makes a list for its slices, and adds up each beginning of it anew."""
    sizes = list(sizes)
    return (sum(sizes[: at + 1]) for at in range(len(sizes)))


@mutant(of="gen_runs", killed_by="runs-expanded-give-the-stream-back", among=MUTANTS, laws=LAWS)
def counts_in_a_dict(xs: Iterable[Any], *, key: Key = lambda x: x) -> Iterator[tuple[Any, int]]:
    """Counts each key over the whole stream: runs of the same key fall together."""
    yield from Counter(map(key, xs)).items()


@mutant(of="gen_runs", killed_by="runs-expanded-give-the-stream-back", among=MUTANTS, laws=LAWS)
def saved_groups(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    """Saves the groups for later: each of them is over as soon as groupby moves on."""
    saved = list(groupby(xs, key))
    return ((value, sum(1 for _ in run)) for value, run in saved)


@mutant(of="gen_runs", killed_by="runs-expanded-give-the-stream-back", among=MUTANTS, laws=LAWS)
def sorts_first(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    """Sorts, so that groupby finds each key once: the order of the stream is gone."""
    return ((value, sum(1 for _ in run)) for value, run in groupby(sorted(map(key, xs), key=repr)))


@mutant(of="gen_runs", killed_by="runs-expanded-give-the-stream-back", among=MUTANTS, laws=LAWS)
def islice_as_index(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    """Takes islice(xs, start, None) for xs[start:]. An iterator begins where it stands, and so skips twice."""
    start = 0
    while first := list(islice(xs, start, start + 1)):
        value = key(first[0])
        length = 1 + _matching(value, key, islice(xs, start + 1, None))
        yield value, length
        start += length


@mutant(of="gen_runs", killed_by="runs-expanded-give-the-stream-back", among=MUTANTS, laws=LAWS)
def takewhile_eats_one(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    """Reads each run with takewhile: the item that ends a run is taken away, and begins no other."""
    it = iter(xs)
    for first in it:
        yield key(first), 1 + _matching(key(first), key, it)


def _matching(value: Any, key: Key, xs: Iterable[Any]) -> int:
    """How many items at the beginning have this key; the one behind them is read, too."""
    return sum(1 for _ in takewhile(lambda x: key(x) == value, xs))


@mutant(of="gen_runs", killed_by="runs-expanded-give-the-stream-back", among=MUTANTS, laws=LAWS)
def none_is_no_run_yet(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    """Lets None stand for 'no run yet': a run whose key is None is never given."""
    last, length = None, 0
    for value in map(key, xs):
        if value != last:
            if last is not None:
                yield last, length
            last, length = value, 0
        length += 1
    if last is not None:
        yield last, length


@mutant(of="gen_runs", killed_by="k-runs-cost-their-items-and-one-more", among=MUTANTS, laws=LAWS)
def lists_first(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    """Makes a list before it groups: the first run costs the whole stream."""
    return ((value, sum(1 for _ in run)) for value, run in groupby(list(xs), key))


RUNNING_TOTAL = Exercise(
    id="m03c03e1",
    title="Each sum so far",
    function="running_total",
    starter="""\
def running_total(sizes):
    ...
""",
    laws=(
        LAWS["running-total-gives-each-sum-so-far"],
        LAWS["running-total-costs-one-size-a-total"],
    ),
    hints=(
        "Each size brings one new total. What must you keep of the sizes before?",
        "One `return`, and `accumulate` of the sizes. It adds, unless you tell it otherwise.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "running_total"),
    withheld=("make_accumulate",),
)

GEN_RUNS = Exercise(
    id="m03c03e2",
    title="Runs of equal keys, counted while they stream",
    function="gen_runs",
    starter="""\
def gen_runs(xs, *, key):
    ...
""",
    laws=(
        LAWS["runs-expanded-give-the-stream-back"],
        LAWS["k-runs-cost-their-items-and-one-more"],
    ),
    hints=(
        "When groupby hands you a group, how long can you wait before you read it?",
        "One `for` over `groupby(xs, key)`, and in it one `yield`. `sum(1 for _ in group)` counts a group and "
        "holds none of it.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "gen_runs"),
    withheld=("make_grouped",),
)


def right_runs(xs: list[Any]) -> list[tuple[Any, int]]:
    """The runs of a list: what the right program gives.

    >>> right_runs(["a", "b", "b"])
    [('a', 1), ('b', 2)]
    """
    return _runs(xs)


LAW = Exercise(
    id="m03c03e3",
    title="A law that kills the program which counts in a dictionary",
    function="law",
    starter="""\
def law(xs: list, runs: list) -> bool:
    ...
""",
    laws=predicate_laws(
        "runs",
        right=right_runs,
        wrong=counts_in_a_dict,
        called="gen_runs",
        xs=items_of(choice("a", "b", "c"), most=5),
        differ_on={"xs": ("a", "b", "a")},
        hints=(
            "Expand these runs by hand: you get the stream. What does your law compare?",
            "Expand these runs by hand, and lay the row beside the stream. What does your law not look at?",
        ),
    ),
    hints=(
        "Say the law aloud. Which two rows must be the same?",
        "A list of `value`, with `for value, length in runs` and then `for _ in range(length)`. Compare it with `xs`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.name == "counts_in_a_dict"),
)

EXERCISES = (RUNNING_TOTAL, GEN_RUNS, LAW)
