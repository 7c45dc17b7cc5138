"""The exercises of M06C01: other right answers pass, what is of another kind is told so, and a child judges as we do."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import reduce
from pathlib import Path

import pytest

from funcpipe_rag.course import check
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m06c01_the_iterator_protocol_as_a_pipeline import (
    meeting,
    one_by_one,
    waits_for_a_pair,
)
from funcpipe_rag.laws import Remote, judge


def by_an_else(features, model):
    for request_id, row in features:
        try:
            value = model(row)
        except Exception as error:
            yield request_id, "error", type(error).__name__
        else:
            yield request_id, "ok", value


def by_a_map(features, model):
    def answered(pair):
        request_id, row = pair
        try:
            return request_id, "ok", model(row)
        except Exception as error:
            return request_id, "error", error.__class__.__name__

    return map(answered, features)


class ByAClass:
    def __init__(self, features, model):
        self.features, self.model = iter(features), model

    def __iter__(self):
        return self

    def __next__(self):
        request_id, row = next(self.features)
        try:
            return request_id, "ok", self.model(row)
        except Exception as error:
            return request_id, "error", type(error).__name__


def by_a_generator(read, write, *stages):
    def requests():
        while (request := read()) is not None:
            yield request

    for answer in reduce(lambda stream, stage: stage(stream), stages, requests()):
        write(answer)


def by_a_deque(read, write, *stages):
    stream = iter(read, None)
    for stage in stages:
        stream = stage(stream)
    deque(map(write, stream), maxlen=0)


def by_next(read, write, *stages):
    stream = iter(read, None)
    for stage in stages:
        stream = stage(stream)
    it = iter(stream)
    while True:
        try:
            answer = next(it)
        except StopIteration:
            return
        write(answer)


@pytest.mark.parametrize(
    ("id", "right"),
    [
        ("m06c01e1", by_an_else),
        ("m06c01e1", by_a_map),
        ("m06c01e1", ByAClass),
        ("m06c01e2", by_a_generator),
        ("m06c01e2", by_a_deque),
        ("m06c01e2", by_next),
    ],
)
def test_another_right_program_passes(id: str, right) -> None:
    card = check(id, right)
    assert card.passed, card


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "it returned None"),
        ([], "it returned a list"),
        ("r1", "it returned a str"),
        (iter([("r1", "ok", 0)]), "expected []"),
    ],
)
def test_answers_of_the_wrong_kind_are_told_what_is_wanted(answer: object, said: str) -> None:
    card = check("m06c01e1", lambda features, model: answer)
    assert not card.passed
    assert said in repr(card)


def test_the_shape_of_an_answer_is_told() -> None:
    card = check("m06c01e1", lambda features, model: ([id, "ok", model(row)] for id, row in features))
    assert "which are round" in repr(card)


def test_a_driver_that_is_a_generator_is_told_that_nobody_reads_it() -> None:
    def lazy(read, write, *stages):
        yield from map(write, iter(read, None))

    card = check("m06c01e2", lazy)
    assert not card.passed
    assert "it returned a generator" in repr(card)
    assert "Who would read this one?" in repr(card)


def test_a_card_of_infer_names_the_model_that_fails() -> None:
    def around(features, model):
        try:
            for request_id, row in features:
                yield request_id, "ok", model(row)
        except Exception as error:
            yield request_id, "error", type(error).__name__

    assert "where the model raises Boom at 3, it gave" in repr(check("m06c01e1", around))


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_infer_that_answers_its_own_close_is_told_so_and_python_says_nothing() -> None:
    [mutant] = [one for one in EXERCISES["m06c01e1"].mutants if one.name == "answers_its_own_close"]
    card = repr(check("m06c01e1", mutant.impl))
    assert "closed behind 1 answer, it gave one more" in card
    assert "raises GeneratorExit" in card


def wired(read, stages):
    stream = iter(read, None)
    for stage in stages:
        stream = stage(stream)
    return stream


def passes_each_request_as_a_stream(read, write, *stages):
    for request in iter(read, None):
        for stage in stages:
            request = stage(request)
        write(request)


def builds_the_chain_anew(read, write, *stages):
    for request in iter(read, None):
        for answer in wired(iter([request, None]).__next__, stages):
            write(answer)


def writes_within_the_wiring(read, write, *stages):
    stream = iter(read, None)
    for stage in stages:
        stream = stage(stream)
        for answer in stream:
            write(answer)


def writes_the_stream(read, write, *stages):
    write(wired(read, stages))


def takes_an_answer_for_the_end(read, write, *stages):
    answers = wired(read, stages)
    while (answer := next(answers, None)) is not None:
        write(answer)


def says_nothing_of_an_error(read, write, *stages):
    with suppress(Exception):
        for answer in wired(read, stages):
            write(answer)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (passes_each_request_as_a_stream, "A whole stream was written"),
        (builds_the_chain_anew, "How often have you built it?"),
        (writes_within_the_wiring, "`read` was not called once"),
        (writes_the_stream, "A whole stream was written"),
        (takes_an_answer_for_the_end, "What was taken for the end?"),
        (says_nothing_of_an_error, "then came a request 3, at which the stage raises: it wrote nothing"),
    ],
)
def test_a_natural_wrong_driver_is_asked_about_its_own_mistake(wrong, said: str) -> None:
    card = check("m06c01e2", wrong)
    assert not card.passed
    assert said in repr(card)


def test_a_driver_that_reads_on_and_on_is_stopped() -> None:
    def deaf(read, write, *stages):
        while True:
            read()

    card = check("m06c01e2", deaf)
    assert not card.passed
    assert "read was asked 9 times" in repr(card)


def test_the_right_driver_reads_as_often_as_it_must_and_no_more() -> None:
    asked = []

    def read():
        asked.append(None)
        return len(asked) if len(asked) < 4 else None

    told: list[tuple[int, int]] = []
    by_a_deque(read, lambda answer: told.append((len(asked), answer)), lambda xs: (2 * x for x in xs))
    assert told == [(1, 2), (2, 4), (3, 6)]
    assert len(asked) == 4


@pytest.mark.parametrize(
    "moves",
    [
        ["ask", "wait"],
        ["wait", "ask", "wait", "ask"],
        ["ask", "ask", "wait", "ask", "wait"],
        ["ask", "ask", "ask", "wait"],
        ["ask", "wait", "wait", "wait", "wait", "wait"],
    ],
)
def test_a_client_that_unmasks_the_pairs_passes(moves: list[str]) -> None:
    assert check("m06c01e3", lambda: moves).passed
    assert meeting(waits_for_a_pair, moves).endswith("each waits for the other")
    assert meeting(one_by_one, moves).endswith("both are done")


@pytest.mark.parametrize("moves", [[], ["wait"], ["ask"], ["ask", "ask", "wait"], ["ask"] * 5])
def test_a_client_that_shows_nothing_is_told_what_became_of_it(moves: list[str]) -> None:
    card = check("m06c01e3", lambda: moves)
    assert card.attempted
    assert not card.passed
    asked = moves.count("ask")
    assert f"asked {asked}, answered {asked}: both are done" in repr(card)


@pytest.mark.parametrize("answer", [None, "ask", ("ask", "wait"), ["ask", 1], ["Ask", "wait"], [["ask"]]])
def test_moves_of_the_wrong_kind_are_told_what_is_wanted(answer: object) -> None:
    card = check("m06c01e3", lambda: answer)
    assert not card.passed
    assert "expected a list of moves" in repr(card)
    assert meeting(one_by_one, answer) == 'not played: it takes a list of "ask" and "wait"'


def test_too_many_moves_are_counted() -> None:
    assert "7 moves; expected at most 6" in repr(check("m06c01e3", lambda: ["ask", *["wait"] * 6]))


SUBMITTED = """
def infer(features, model):
    for request_id, row in features:
        try:
            answer = "ok", model(row)
        except Exception as error:
            answer = "error", type(error).__name__
        yield request_id, *answer

def serve(read, write, *stages):
    stream = iter(read, None)
    for stage in stages:
        stream = stage(stream)
    for answer in stream:
        write(answer)

def client():
    return ["ask", "wait"]
"""


@pytest.mark.parametrize("id", ["m06c01e1", "m06c01e2", "m06c01e3"])
def test_a_submission_is_judged_from_another_process(id: str, tmp_path: Path) -> None:
    exercise = EXERCISES[id]
    place = tmp_path / "submitted.py"
    place.write_text(SUBMITTED)
    with Remote(f"{place}:{exercise.function}") as remote:
        verdicts = judge(exercise.laws, remote.impl, world=remote.world, examples=20)
    assert all(verdicts), verdicts[-1]
    assert len(verdicts) == len(exercise.laws)


HOME = "funcpipe_rag.course.exercises.m06c01_the_iterator_protocol_as_a_pipeline"


@pytest.mark.parametrize(
    ("id", "name"), [(id, mutant.name) for id in ("m06c01e1", "m06c01e2") for mutant in EXERCISES[id].mutants]
)
def test_a_wrong_answer_breaks_the_same_law_in_another_process(id: str, name: str) -> None:
    exercise = EXERCISES[id]
    [mutant] = [mutant for mutant in exercise.mutants if mutant.name == name]
    with Remote(f"{HOME}:{name}") as remote:
        verdicts = judge(exercise.laws, remote.impl, world=remote.world, examples=60)
    here = check(id, mutant.impl).verdicts
    assert not verdicts[-1].passed
    assert [one.law.id for one in verdicts] == [one.law.id for one in here]
    assert verdicts[-1].law.id == mutant.killed_by
