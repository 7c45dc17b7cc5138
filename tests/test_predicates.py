"""A predicate exercise tells a law from what only looks like one, and shows the call that was answered badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag.course.exercises.predicates import predicate_laws
from funcpipe_rag.laws import Law, Remote, SourceSpec, World, judge, run
from funcpipe_rag.laws.inputs import choice, integers, numbers


def keeps_order(xs: list[int]) -> list[int]:
    return sorted(set(xs), key=xs.index)


HINTS = ("Which order is right?", "In what do the two differ?")
ACCEPTS, REFUSES = predicate_laws(
    "deduped",
    right=keeps_order,
    wrong=lambda xs: sorted(set(xs)),
    xs=numbers(),
    differ_on={"xs": (1, 0)},
    hints=HINTS,
)


def says_in_order(xs: list[int], ys: list[int]) -> bool:
    return ys == sorted(set(xs), key=xs.index)


def test_a_law_that_tells_the_two_apart_passes_both() -> None:
    assert all(judge((ACCEPTS, REFUSES), says_in_order))


def test_a_law_that_is_weaker_than_the_reference_passes_when_it_catches_the_mutant() -> None:
    assert all(judge((ACCEPTS, REFUSES), lambda xs, ys: ys[:1] == xs[:1]))


@pytest.mark.parametrize(
    ("law", "broken", "came"),
    [
        (lambda xs, ys: False, ACCEPTS, "law([], []) says False"),
        (lambda xs, ys: len(xs) == len(ys), ACCEPTS, "law([0, 0], [0]) says False"),
        (lambda xs, ys: True, REFUSES, "it never says False, and law([1, 0], [0, 1]) says True"),
        (
            lambda xs, ys: set(xs) == set(ys),
            REFUSES,
            "it never says False, and law([1, 0], [0, 1]) says True",
        ),
        (lambda xs, ys: None, ACCEPTS, "law([], []) returned None (is a return missing?)"),
        (lambda xs, ys: xs and True, ACCEPTS, "law([], []) returned []"),
        (lambda xs, ys: 1, ACCEPTS, "law([], []) returned 1"),
        (lambda xs: True, ACCEPTS, "it raised TypeError"),
        (lambda xs, ys: ys == keeps_order(xs) or 1 / 0 > 1, REFUSES, "it raised ZeroDivisionError"),
        (lambda xs, ys: ys == keeps_order(xs) or None, REFUSES, "law([1, 0], [0, 1]) returned None"),
    ],
)
def test_the_card_shows_the_call_that_was_answered_badly(
    law: Callable[..., Any], broken: Law, came: str
) -> None:
    verdict = judge((ACCEPTS, REFUSES), law)[-1]
    assert not verdict.passed
    assert verdict.law is broken
    assert verdict.came.startswith(came), verdict.came
    if "raised" not in came:
        assert verdict.hint == HINTS[(ACCEPTS, REFUSES).index(broken)]


def test_an_error_names_the_input_that_it_came_on() -> None:
    came = run(REFUSES, lambda xs, ys: ys == keeps_order(xs) or 1 / 0 > 1).came
    assert came.endswith("for xs = (1, 0)")


def test_a_law_may_use_up_or_spoil_what_it_is_given() -> None:
    def spoils(xs: list[int], ys: list[int]) -> bool:
        first = xs[:1] == ys[:1]
        xs.clear()
        ys.clear()
        return first

    assert all(judge((ACCEPTS, REFUSES), spoils))
    assert "law([1, 0], [0, 1])" in run(REFUSES, lambda xs, ys: ys.clear() is xs.clear()).came


def test_the_law_is_called_with_the_inputs_in_their_order() -> None:
    laws = predicate_laws(
        "repeated",
        right=lambda text, size, at: text * size,
        wrong=lambda text, size, at: "",
        text=choice("x", "yy"),
        size=integers(3, 4),
        at=integers(0, 1),
        differ_on={"text": "x", "size": 3, "at": 0},
        hints=HINTS,
        called="repeated",
    )

    def law(text: str, size: int, at: int, answer: str) -> bool:
        return isinstance(text, str) and size >= 3 and at <= 1 and len(answer) >= 3

    assert all(judge(laws, law))


def fence(xs: Any, k: int) -> Iterator[Any]:
    return islice(xs, k)


def one_pull_too_many(xs: Any, k: int) -> Iterator[Any]:
    for i, x in enumerate(xs):
        if i >= k:
            return
        yield x


def with_a_probe(world: World, program: Callable[..., Any], *, k: int) -> tuple[Any, ...]:
    return program, k, world.source(SourceSpec(endless=True))


def test_a_law_may_get_the_program_itself_and_a_probe() -> None:
    laws = predicate_laws(
        "fence",
        right=fence,
        wrong=one_pull_too_many,
        asked=with_a_probe,
        k=integers(0, 3),
        differ_on={"k": 0},
        promise="on demand",
        hints=HINTS,
    )

    def law(fence: Any, k: int, probe: Any) -> bool:
        list(fence(probe(), k))
        return bool(probe.pulls <= k)

    assert all(judge(laws, law))
    blind = judge(laws, lambda fence, k, probe: len(list(fence(probe(), k))) == k)
    assert [bool(verdict) for verdict in blind] == [True, False]
    assert blind[-1].came == "it never says False, and law(one_pull_too_many, 0, source) says True"


@pytest.mark.parametrize(
    ("body", "passed"),
    [
        ("return ys == sorted(set(xs), key=xs.index)", [True, True]),
        ("return set(xs) == set(ys)", [True, False]),
        ("return False", [False]),
    ],
)
def test_a_law_may_live_in_another_process(tmp_path: Path, body: str, passed: list[bool]) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(f"def law(xs, ys):\n    {body}\n", encoding="utf-8")
    with Remote(f"{file}:law") as remote:
        verdicts = judge((ACCEPTS, REFUSES), remote.impl, world=remote.world)
    assert [bool(verdict) for verdict in verdicts] == passed


def test_the_inputs_to_show_are_the_inputs_that_are_drawn() -> None:
    with pytest.raises(ValueError, match=r"differ_on must name xs, got .'ys': 1"):
        predicate_laws(
            "x", right=keeps_order, wrong=sorted, xs=numbers(), differ_on={"ys": 1}, hints=("", "")
        )
