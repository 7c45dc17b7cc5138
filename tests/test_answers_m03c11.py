"""The capstone gives points law by law: to every right answer a hundred, to a wrong one what it has earned."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from itertools import chain, islice
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from funcpipe_rag import fence_k, make_roundrobin, make_tap, make_throttle
from funcpipe_rag.course import check
from funcpipe_rag.course.answers import find_answer, read_notebook
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m03c11_ask_the_manual import (
    HELD,
    LAWS,
    MUTANTS,
    documents_held,
    eager_rag,
    right_chunks,
    two_faults,
)
from funcpipe_rag.course.judging import judge_answer
from funcpipe_rag.course.lessons import find_lessons, find_places
from funcpipe_rag.laws import Remote, judge, run

POINTS = {
    "drops_the_tail": 70,
    "counts_from_one": 85,
    "redundant_tail": 85,
    "counts_on": 85,
    "eager_inside": 75,
    "one_pull_too_many": 80,
    "reads_a_row_ahead": 80,
    "chains_instead": 90,
    "shared_count": 90,
    "captured_iterator": 75,
    "ends_in_islice": 85,
    "leaks_its_sources": 85,
    "ignores_the_work": 95,
    "paces_the_documents": 95,
    "shows_the_documents": 95,
    "shows_it_afterwards": 95,
    "remembers_every_name": 95,
}
"""What each wrong pipeline is worth."""


def cutter(size: int, overlap: int) -> Callable[..., Iterator[Any]]:
    def cut(docs):
        for name, text in docs:
            start = stop = 0
            while stop < len(text):
                stop = min(start + size, len(text))
                yield name, start, stop, text[start:stop]
                start += size - overlap

    return cut


def of_stages(sources, *, size, overlap, max_chunks, gap, clock, sleeper, see):
    paced = make_throttle(gap, clock=clock, sleeper=sleeper)
    return make_roundrobin(*sources) | cutter(size, overlap) | fence_k(max_chunks) | paced | make_tap(see)


def of_own_functions(sources, *, size, overlap, max_chunks, gap, clock, sleeper, see):
    """What a learner has written in the ten lessons, pasted together."""
    end = object()

    def in_turns():
        opened = [source() for source in sources]
        live = list(opened)
        try:
            while live:
                for it in list(live):
                    item = next(it, end)
                    if item is end:
                        live.remove(it)
                    else:
                        yield item
        finally:
            for it in reversed(opened):
                it.close()

    def throttle(xs):
        last = -inf
        for x in xs:
            sleeper(max(0, last + gap - clock()))
            last = clock()
            yield x

    def tap(xs):
        for x in xs:
            see(x)
            yield x

    def run():
        yield from tap(throttle(islice(cutter(size, overlap)(in_turns()), max_chunks)))

    return run


def of_one_generator(sources, *, size, overlap, max_chunks, gap, clock, sleeper, see):
    """All of it in one function, closed by hand."""

    def run():
        if not max_chunks:
            return
        docs = make_roundrobin(*sources)()
        due, given = -inf, 0
        try:
            for chunk in cutter(size, overlap)(docs):
                while clock() < due:
                    sleeper(due - clock())
                due = clock() + gap
                see(chunk)
                given += 1
                yield chunk
                if given == max_chunks:
                    return
        finally:
            docs.close()

    return run


@pytest.mark.parametrize("answer", [of_stages, of_own_functions, of_one_generator])
def test_every_right_answer_gets_a_hundred_points(answer: Callable[..., Any]) -> None:
    card = check("m03c11e1", answer)
    assert card.points == card.exercise.points == 100
    assert card.passed
    assert repr(card).startswith(
        "✓ m03c11e1 my_rag: 100 of 100 points, every law holds.\n  ✓ 1  15 of 15  Chunks"
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_wrong_pipeline_gets_the_points_it_has_earned(mutant: Any) -> None:
    card = check("m03c11e1", mutant.impl)
    assert card.points == POINTS[mutant.name]
    assert len(card.verdicts) == 9
    assert card.points == 100 - sum(verdict.law.points for verdict in card.verdicts if not verdict.passed)


def test_the_points_are_those_of_the_syllabus() -> None:
    assert [law.points for law in LAWS.values()] == [15, 15, 20, 10, 10, 15, 5, 5, 5]
    assert list(POINTS) == [mutant.name for mutant in MUTANTS]


def test_the_eager_program_gets_half_and_the_card_says_for_what() -> None:
    card = check("m03c11e1", eager_rag)
    assert card.points == 50
    head, *rows = repr(card).splitlines()[:10]
    assert head == "✗ m03c11e1 my_rag: 50 of 100 points"
    assert [row.split()[:5] for row in rows][2] == ["✗", "3", "0", "of", "20"]
    assert "".join(row.strip()[0] for row in rows) == "✓✓✗✓✓✗✗✗✗"
    assert "smallest input   sources = [('a',)], k = 0, fenced = False" in repr(card)
    html = card._repr_html_()
    assert html.count("<li>✓") + html.count("<li>✗") == 9
    assert "<li>✗ 0 of 20, <b>On demand</b>: A chunk costs" in html
    assert "`" not in html
    assert html.count("smallest input") == 1


def test_a_card_with_points_unfolds_for_its_first_broken_law() -> None:
    def my_rag(*sources, **settings):
        return eager_rag(*sources, **settings)

    for failure in range(1, 5):
        card = check("m03c11e1", my_rag)
        text, html = repr(card), card._repr_html_()
        assert card.failures == failure
        assert ("source 0  ('a0', 'a')" in text) == (failure >= 2)
        for shown in text, html:
            assert ("Which of your lines asks for a document" in shown) == (failure >= 3)
            assert ("course reveal m03c11e1" in shown) == (failure >= 4)


def test_the_eager_program_of_the_lesson_is_the_one_that_the_laws_know() -> None:
    (lesson,) = find_lessons(find_places().modules, ["M03C11"])
    shown = next(cell.source for cell in lesson.cells if "def eager_rag" in cell.source)
    ours, theirs = (
        next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
        for text in (inspect.getsource(eager_rag), shown)
    )
    assert list(map(ast.dump, ours.body[1:])) == list(map(ast.dump, theirs.body))


def step(number: int) -> Callable[..., Any]:
    """What somebody has after each step of the path, who writes no more than it asks for."""

    def my_rag(sources, *, size, overlap, max_chunks, gap, clock, sleeper, see):
        cut = cutter(size, overlap if number >= 2 else 0)
        merged = make_roundrobin(*sources) if number >= 4 else sources[0]

        def first(docs):
            return cut(docs if number >= 3 else list(docs))

        def chunks():
            yield from islice(first(merged()), max_chunks)

        if number >= 6:
            row = make_roundrobin(*sources) | cut | fence_k(max_chunks)
        elif number == 5:
            return lambda: islice(first(merged()), max_chunks)
        else:
            made = chunks()
            return lambda: made
        if number >= 7:
            row |= make_throttle(gap, clock=clock, sleeper=sleeper)
        return row | make_tap(see) if number >= 8 else row

    return my_rag


@pytest.mark.parametrize("number", range(1, 10))
def test_each_step_of_the_path_earns_its_tick(number: int) -> None:
    verdicts = check("m03c11e1", step(number)).verdicts
    assert all(verdicts[:number])
    if number < 9:
        assert [bool(verdict) for verdict in verdicts][number] == (number == 8)


class Chunk(NamedTuple):
    name: str
    start: int
    stop: int
    text: str


def with_names(*sources, **settings):
    chunks = of_stages(*sources, **settings)
    return lambda: (Chunk(*chunk) for chunk in chunks())


def an_iterator(*sources, **settings):
    return of_stages(*sources, **settings)()


def nothing(*sources, **settings):
    return None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            with_names,
            "Chunk(name='a0', start=0, stop=1, text='a') came; expected a plain tuple (name, start, stop, t",
        ),
        (nothing, "the call returned None; expected a source"),
        (an_iterator, "expected a source"),
    ],
)
def test_an_answer_of_another_shape_is_told_what_is_wanted(answer: Callable[..., Any], said: str) -> None:
    card = check("m03c11e1", answer)
    assert not card.verdicts[0]
    assert said in repr(card)


def test_a_hundred_thousand_documents_are_held_by_two() -> None:
    assert documents_held(of_stages, 100_000) == documents_held(of_stages, 1_000) == 2
    assert documents_held(of_own_functions, 10_000) <= HELD
    assert (
        documents_held(lambda sources, **given: lambda: iter(list(of_stages(sources, **given)())), 100) == 100
    )


@pytest.mark.parametrize(("answer", "points"), [("of_stages", 100), ("of_own_functions", 100), ("eager", 50)])
def test_the_points_are_the_same_from_another_process(tmp_path: Path, answer: str, points: int) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(
        "from itertools import *\nfrom math import inf\nfrom funcpipe_rag import *\n"
        "from funcpipe_rag.course.exercises.m03c11_ask_the_manual import eager_rag as eager\n"
        + "\n".join(map(inspect.getsource, (cutter, of_stages, of_own_functions))).replace(
            "-> Callable[..., Iterator[Any]]", ""
        ),
        encoding="utf-8",
    )
    earned = 0
    for law in EXERCISES["m03c11e1"].laws:
        with Remote(f"{file}:{answer}") as remote:
            earned += law.points * run(law, remote.impl, world=remote.world, examples=15).passed
    assert earned == points


def test_what_is_held_in_another_process_is_counted_too(tmp_path: Path) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "remembers_every_name")
    with Remote(f"{mutant.impl.__module__}:{mutant.name}") as remote:
        verdict = run(LAWS["rag-holds-a-few-documents"], remote.impl, world=remote.world)
    assert verdict.came == "it held 1000 documents at once"


LOOPS_WITH_OVERLAP = """\
from funcpipe_rag import fence_k, make_roundrobin, make_tap, make_throttle

def my_rag(sources, *, size, overlap, max_chunks, gap, clock, sleeper, see):
    def cut(docs):
        for name, text in docs:
            for start in range(0, len(text), size):
                while overlap:
                    pass
                yield name, start, min(start + size, len(text)), text[start : start + size]

    paced = make_throttle(gap, clock=clock, sleeper=sleeper)
    return make_roundrobin(*sources) | cut | fence_k(max_chunks) | paced | make_tap(see)
"""


def test_an_endless_loop_costs_one_law(tmp_path: Path) -> None:
    path = tmp_path / "11-ask-the-manual.ipynb"
    cell = new_code_cell(LOOPS_WITH_OVERLAP, metadata={"tags": ["exercise"]})
    nbformat.write(new_notebook(cells=[cell]), path)
    exercise = EXERCISES["m03c11e1"]
    verdicts = judge_answer(find_answer(read_notebook(path), exercise), seconds=3)
    assert [verdict.law for verdict in verdicts] == list(exercise.laws)
    assert [verdict.law.id for verdict in verdicts if not verdict.passed] == [
        "rag-covers-each-document-with-true-offsets"
    ]


TURNS, TAIL = ([[], ["a"], ["a"]], 1, 0), ([["ab"]], 2, 1)


@pytest.mark.parametrize(
    "given",
    [
        (TURNS, TAIL),
        [TAIL, TURNS],
        (([["", "b"], [], ["c"]], 1, 0), TAIL),
        (([[], ["x"], ["y"]], 1, 0), TAIL),
    ],
)
def test_two_smallest_inputs_unmask_both_faults(given: Any) -> None:
    assert all(two_faults(*case) != right_chunks(*case) for case in given)
    assert check("m03c11e2", lambda: given).passed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "it returned None; expected two inputs, each (a list of lists of texts"),
        ((TURNS,), "expected two inputs"),
        ((TURNS, ([["ab"]], 2, 2)), "expected two inputs"),
        ((TURNS, (["ab"], 2, 1)), "expected two inputs"),
        ((TURNS, ([["ab"], ["c"]], 2, 0)), "the second input ([['ab'], ['c']], 2, 0) comes out right"),
        ((TURNS, TURNS), "both show the fault in the turns; expected one each"),
        ((([[], ["a"], ["ab"]], 1, 0), TAIL), "shows a fault without a letter of 'ab' of source 2 as well"),
        ((TURNS, ([["abc"]], 3, 1)), "shows a fault without one of the size as well"),
        ((TURNS, ([["ab"], []], 2, 1)), "shows a fault without source 1 as well"),
        (
            (([["a", "b"], [], ["c"]], 1, 0), TAIL),
            "shows a fault without a letter of 'a' of source 0 as well",
        ),
        ((TURNS, ([["abcd"]], 4, 2)), "as well; expected an input from which nothing can be taken"),
    ],
)
def test_other_inputs_are_told_what_they_show(given: Any, said: str) -> None:
    card = check("m03c11e2", lambda: given)
    assert card.attempted
    assert not card.passed
    assert said in repr(card)


def test_the_hunt_is_judged_from_another_process_too(tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(f"def unmask():\n    return {TURNS!r}, {TAIL!r}\n", encoding="utf-8")
    with Remote(f"{file}:unmask") as remote:
        assert all(judge(EXERCISES["m03c11e2"].laws, remote.impl, world=remote.world))


def test_chained_sources_are_one_source_where_nobody_takes_turns() -> None:
    docs = [("a", "abcdef"), ("b", ""), ("c", "xy")]
    given = {
        "size": 4,
        "overlap": 1,
        "max_chunks": 9,
        "gap": 0,
        "clock": lambda: 0.0,
        "sleeper": len,
        "see": len,
    }
    one = [lambda: iter(docs)]
    assert list(of_stages(one, **given)()) == list(eager_rag(one, **given)())
    each = [lambda doc=doc: iter([doc]) for doc in docs]
    assert list(chain(of_stages(each, **given)())) == list(eager_rag(each, **given)())


@pytest.mark.parametrize("nothing", [lambda: iter(()), lambda: (x for x in ()), list])
def test_who_gives_nothing_earns_nothing(nothing: Callable[[], Any]) -> None:
    def my_rag(sources, **settings):
        return nothing

    assert check("m03c11e1", my_rag).points == 0
