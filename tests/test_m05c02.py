"""The exercises of M05C02: other right answers pass, what shows nothing is told so, and a child judges as we do."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest

from funcpipe_rag.aio import amap
from funcpipe_rag.course import check
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m05c02_gather_wait_as_completed_taskgroup import gathers, times_of
from funcpipe_rag.laws import Remote, judge

EIGHT = [0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 0.7, 0.8]


def by_a_loop(delays):
    times = []
    for delay in delays:
        times.append(max(delay, times[-1]) if times else delay)
    return times


def by_slices(delays):
    return [max(delays[: place + 1]) for place in range(len(delays))]


def as_a_line_of_places(delays, *, concurrency):
    free, now, times = [0] * concurrency, 0, []
    for delay in delays:
        now = max(now, free.pop(0) + delay)
        free.append(now)
        times.append(now)
    return times


def by_recursion(delays, *, concurrency):
    if not delays:
        return []
    times = by_recursion(delays[:-1], concurrency=concurrency)
    begun = times[-concurrency] if len(times) >= concurrency else 0
    return [*times, max([begun + delays[-1], *times[-1:]])]


@pytest.mark.parametrize(
    ("id", "right"),
    [
        ("m05c02e1", by_a_loop),
        ("m05c02e1", by_slices),
        ("m05c02e2", as_a_line_of_places),
        ("m05c02e2", by_recursion),
    ],
)
def test_another_right_program_passes(id: str, right) -> None:
    assert check(id, right).passed


def test_the_two_exercises_tell_what_the_stage_does_with_the_eight_delays_of_the_lesson() -> None:
    eight = by_a_loop(EIGHT)
    assert eight == [0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 2.0, 2.0]
    assert as_a_line_of_places(EIGHT, concurrency=8) == eight
    assert as_a_line_of_places(EIGHT, concurrency=1)[-1] == pytest.approx(5)


@pytest.mark.parametrize("answer", [None, "12", (1.0,), [None], [True], iter([])])
def test_times_of_the_wrong_kind_are_told_what_is_wanted(answer: object) -> None:
    for id in ("m05c02e1", "m05c02e2"):
        card = check(id, lambda delays, concurrency=1: answer)
        assert not card.passed
        assert "a list of times, in seconds" in repr(card)


@pytest.mark.parametrize("delays", [[1, 2, 1], [0, 5, 0.5], [1, 2, 2], [2, 2, 1, 3, 1]])
def test_delays_that_unmask_the_batches_pass(delays: list[float]) -> None:
    assert check("m05c02e3", lambda: delays).passed
    assert times_of(gathers, delays)[-1] > as_a_line_of_places(delays, concurrency=2)[-1]


@pytest.mark.parametrize("delays", [[1], [2, 1, 1], [1, 1, 1, 1], [5, 1]])
def test_delays_that_show_nothing_are_told_what_they_showed(delays: list[float]) -> None:
    card = check("m05c02e3", lambda: delays)
    assert card.attempted
    assert not card.passed
    assert "both give their last result at" in repr(card)
    assert "there is no result" in repr(check("m05c02e3", list))


@pytest.mark.parametrize(
    "answer", [None, "121", (1, 2, 1), [-1], [True], [float("inf")], [float("nan")], [1] * 9, ["1"]]
)
def test_delays_of_the_wrong_kind_are_told_what_is_wanted(answer: object) -> None:
    card = check("m05c02e3", lambda: answer)
    assert not card.passed
    assert "expected a list" in repr(card)


SUBMITTED = """
from itertools import accumulate

def in_order(delays):
    return list(accumulate(delays, max))

def handed_on(delays, *, concurrency):
    times = []
    for place, seconds in enumerate(delays):
        begun = times[place - concurrency] if place >= concurrency else 0
        times.append(max([begun + seconds, *times[-1:]]))
    return times

def delays():
    return [1, 2, 1]
"""


@pytest.mark.parametrize("id", ["m05c02e1", "m05c02e2", "m05c02e3"])
def test_a_submission_is_judged_from_another_process(id: str, tmp_path: Path) -> None:
    exercise = EXERCISES[id]
    place = tmp_path / "submitted.py"
    place.write_text(SUBMITTED)
    with Remote(f"{place}:{exercise.function}") as remote:
        verdicts = judge(exercise.laws, remote.impl, world=remote.world, examples=20)
    assert all(verdicts), verdicts[-1]
    assert len(verdicts) == len(exercise.laws)


def test_the_first_exercise_is_the_second_with_room_for_all() -> None:
    assert not check("m05c02e2", lambda delays, concurrency: list(accumulate(delays, max))).passed
    card = check("m05c02e2", lambda delays, concurrency: list(accumulate(delays, max)))
    assert card.verdicts[0].passed
    assert card.broken.law.id == "handed-on-one-after-another"


@pytest.mark.parametrize("delays", [[1, -2], (1, 2, 1), "121", 2, [1, None, 1], [1, float("inf")]])
def test_below_a_card_about_delays_that_are_none_stands_no_error_of_ours(delays: object) -> None:
    assert "in seconds" in repr(check("m05c02e3", lambda: delays))
    assert times_of(amap, delays) == times_of(gathers, delays) == []
