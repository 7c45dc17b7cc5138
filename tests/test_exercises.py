"""Every exercise is honest: its starter is not judged, its reference passes, its mutants do not."""

from __future__ import annotations

import re
from functools import reduce
from itertools import zip_longest
from pathlib import Path

import nbformat
import pytest

from funcpipe_rag import make_chain
from funcpipe_rag.course import check
from funcpipe_rag.course.build import build_lesson, notebook_path
from funcpipe_rag.course.editions import Edition
from funcpipe_rag.course.exercises import EXERCISES, Exercise
from funcpipe_rag.course.lessons import find_lessons, find_places
from funcpipe_rag.laws import LAWS, Remote, judge
from funcpipe_rag.laws.mutants import mutants_of

GONE = object()
ALL = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def starter_of(exercise: Exercise):
    namespace: dict[str, object] = {}
    exec(exercise.starter, namespace)
    return namespace[exercise.function]


@ALL
def test_an_untouched_starter_is_not_attempted_yet(exercise: Exercise) -> None:
    card = check(exercise.id, starter_of(exercise))
    assert not card.attempted
    assert repr(card) == f"{exercise.id} {exercise.function}: not attempted yet"
    assert "not attempted yet" in card._repr_html_()


HUNTS = [
    e for e in EXERCISES.values() if not {law.about for law in e.laws} & {mutant.of for mutant in e.mutants}
]
"""Exercises in which the learner unmasks a mutant: their law is about the learner's answer, not about its function."""


@pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if e not in HUNTS], ids=lambda e: e.id)
def test_each_mutant_breaks_a_law_and_its_card_teaches(exercise: Exercise) -> None:
    for mutant in exercise.mutants:
        card = check(exercise.id, mutant.impl)
        assert card.attempted, mutant.name
        assert not card.passed, mutant.name
        if mutant.killed_by not in LAWS:
            assert card.broken.law.id == mutant.killed_by, mutant.name
        text, html = repr(card), card._repr_html_()
        assert text.startswith("✗ ")
        for fact in ("what came", "expected"):
            assert fact in text, (mutant.name, text)
        assert "<script" not in html
        assert "<style" not in html
        assert "Traceback" not in text


def test_a_law_of_an_exercise_has_an_id_of_its_own_and_kills_a_mutant() -> None:
    said: dict[str, str] = {}
    for exercise in EXERCISES.values():
        for law in exercise.laws:
            assert LAWS.get(law.id, law) is law
            assert said.setdefault(law.id, law.says) == law.says
        if exercise not in HUNTS:
            idle = {law.id for law in exercise.laws} - set(LAWS) - {m.killed_by for m in exercise.mutants}
            assert not idle, f"laws of {exercise.id} that kill nothing: {sorted(idle)}"


def test_an_exercise_has_hints_four_mutants_or_one_to_hunt_and_points() -> None:
    for exercise in EXERCISES.values():
        assert all(hint.strip() for hint in exercise.hints)
        assert len(exercise.mutants) >= (1 if exercise in HUNTS else 4)
        assert exercise.points == (100 if exercise.all_laws else len(exercise.laws))


@pytest.mark.parametrize(
    "exercise", [e for e in HUNTS if e.laws[0].id.endswith("-accepts-the-right-program")], ids=lambda e: e.id
)
@pytest.mark.parametrize(
    ("says", "came"), [(True, "says True"), (False, "says False"), (None, "returned None")]
)
def test_a_law_of_the_learners_that_tells_nothing_apart_is_shown_where(
    exercise: Exercise, says: bool | None, came: str
) -> None:
    card = check(exercise.id, lambda *_: says)
    assert card.attempted
    assert not card.passed
    assert card.verdicts[-1].law is exercise.laws[says is True]
    assert f"{exercise.function}(" in card.verdicts[-1].came
    assert came in card.verdicts[-1].came


@pytest.mark.parametrize("order", [[], [0, 0, 1], [0, 1, 0, 1], [1, 0]])
def test_a_schedule_that_shows_nothing_is_told_what_it_showed(order: list[int]) -> None:
    card = check("m03c07e4", lambda: order)
    assert card.attempted
    assert not card.passed
    assert "it answered as it should" in repr(card)


@pytest.mark.parametrize("order", [[0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]])
def test_a_schedule_that_unmasks_the_split_passes(order: list[int]) -> None:
    assert check("m03c07e4", lambda: order).passed


@pytest.mark.parametrize("answer", [None, "0011", [0, 2], (0, 1), [0] * 21])
def test_a_schedule_of_the_wrong_kind_is_told_what_is_wanted(answer: object) -> None:
    card = check("m03c07e4", lambda: answer)
    assert not card.passed
    assert "expected a" in repr(card)


def shelved(fn):
    return lambda xs: map(fn, xs)


class Mapped:
    def __init__(self, fn):
        self.fn = fn

    def __call__(self, xs):
        return (self.fn(x) for x in xs)


def folded(*transforms):
    return lambda xs: reduce(lambda stream, transform: transform(stream), transforms, xs)


def yielded(*transforms):
    def run(xs):
        yield from folded(*transforms)(xs)

    return run


def in_pairs(first, *rest):
    return in_pairs(lambda xs: rest[0](first(xs)), *rest[1:]) if rest else first


def paired(xs, *, clock):
    return ((clock(), x) for x in xs)


def due(xs, *, gap, clock, sleeper):
    due = None
    for x in xs:
        while due is not None and clock() < due:
            sleeper((due - clock()) / 2 if due - clock() > gap / 8 else due - clock())
        due = clock() + gap
        yield x


class Throttled:
    def __init__(self, xs, *, gap, clock, sleeper):
        self.xs, self.gap, self.clock, self.sleeper, self.last = iter(xs), gap, clock, sleeper, None

    def __iter__(self):
        return self

    def __next__(self):
        x = next(self.xs)
        if self.last is not None and (left := self.gap - (self.clock() - self.last)) > 0:
            self.sleeper(left)
        self.last = self.clock()
        return x


@pytest.mark.parametrize(
    ("id", "right"),
    [
        ("m03c06e1", shelved),
        ("m03c06e1", Mapped),
        ("m03c06e2", folded),
        ("m03c06e2", yielded),
        ("m03c06e2", in_pairs),
        ("m03c08e1", paired),
        ("m03c08e2", due),
        ("m03c08e2", Throttled),
    ],
)
def test_another_right_program_passes(id: str, right) -> None:
    assert check(id, right).passed


def runs_twice(make_stage, xs):
    stage = make_stage()
    return list(stage(xs)) == list(stage(xs))


def runs_in_turns(make_stage, xs):
    stage = make_stage()
    return all(a == b for a, b in zip_longest(stage(xs), stage(xs), fillvalue=GONE))


def makes_two_stages(make_stage, xs):
    return list(make_stage()(xs)) == list(make_stage()(xs))


def wants_all_items(make_stage, xs):
    stage = make_stage()
    return list(stage(xs)) == list(stage(xs)) == xs


@pytest.mark.parametrize("law", [runs_twice, runs_in_turns])
def test_a_law_of_two_runs_unmasks_the_shared_state(law) -> None:
    assert check("m03c06e3", law).passed


@pytest.mark.parametrize(
    ("law", "came"),
    [
        (makes_two_stages, "it never says False, and law(shared_state, [0]) says True"),
        (wants_all_items, "law(make_dedup, [0, 0]) says False"),
        (lambda make_stage, xs: make_stage() is make_stage(), "law(make_dedup, []) says False"),
    ],
)
def test_a_law_that_is_blind_or_too_strict_is_told_on_what(law, came: str) -> None:
    card = check("m03c06e3", law)
    assert not card.passed
    assert came in repr(card)


def counts_from_your_return(xs, *, gap, clock, sleeper):
    last = None
    for x in xs:
        if last is not None:
            sleeper(max(0.0, last + gap - clock()))
        yield x
        last = clock()


def test_a_gap_that_begins_when_the_reader_returns_waits_too_long() -> None:
    card = check("m03c08e2", counts_from_your_return)
    assert "it waits for what is left of the gap, and no longer" in repr(card)
    assert "pause = 0.25" in repr(card)


@pytest.mark.parametrize("times", [[], [0, 0, 0, 0], [0, 1, 2, 3.5], [2, 2, 3]])
def test_visits_that_show_nothing_are_told_what_they_showed(times: list[float]) -> None:
    card = check("m03c08e3", lambda: times)
    assert card.attempted
    assert not card.passed
    assert "as they should be" in repr(card)


@pytest.mark.parametrize("times", [[0, 60, 60, 60], [5, 5, 5], [0, 0, 2.5, 4.5, 4.5, 4.5]])
def test_visits_that_unmask_the_limit_pass(times: list[float]) -> None:
    assert check("m03c08e3", lambda: times).passed


@pytest.mark.parametrize("times", [None, "005", [3, 1], (0, 1), [-1], [True], [float("inf")], [0] * 21])
def test_visits_of_the_wrong_kind_are_told_what_is_wanted(times: object) -> None:
    card = check("m03c08e3", lambda: times)
    assert not card.passed
    assert "expected a list" in repr(card)


SUBMITTED = """
def fmap(fn):
    return lambda xs: (fn(x) for x in xs)

def compose(*transforms):
    def run(xs):
        for transform in transforms:
            xs = transform(xs)
        return xs
    return run

def law(make_stage, xs):
    stage = make_stage()
    return list(stage(xs)) == list(stage(xs))

def with_time(xs, *, clock):
    for x in xs:
        yield clock(), x

def throttle(xs, *, gap, clock, sleeper):
    last = None
    for x in xs:
        if last is not None:
            sleeper(max(0, last + gap - clock()))
        last = clock()
        yield x

def visits():
    return [0, 60, 60, 60]
"""


@pytest.mark.parametrize(
    "exercise", [e for e in EXERCISES.values() if e.id[:6] in ("m03c06", "m03c08")], ids=lambda e: e.id
)
def test_a_submission_is_judged_from_another_process(exercise: Exercise, tmp_path: Path) -> None:
    place = tmp_path / "submitted.py"
    place.write_text(SUBMITTED)
    with Remote(f"{place}:{exercise.function}") as remote:
        verdicts = judge(exercise.laws, remote.impl, world=remote.world, examples=20)
    assert all(verdicts), verdicts[-1]
    assert len(verdicts) == len(exercise.laws)


def test_a_card_unfolds_with_each_failure_of_the_same_law() -> None:
    def make_roundrobin(*sources):
        def run():
            for row in zip_longest(*(source() for source in sources), fillvalue=GONE):
                yield from (item for item in row if item is not GONE)

        return run

    for failure in range(1, 6):
        text = repr(check("m03c07e2", make_roundrobin))
        assert text.startswith("✗ On demand: ")
        assert "(Same answer ✓)" in text
        assert "smallest input" in text
        assert ("source 0 gave 0; source 1 gave 0" in text) == (failure >= 2)
        assert ("\n  hint " in text) == (failure >= 3)
        assert ("\n  hint 2 " in text) == (failure >= 4)
        assert ("funcpipe-rag course reveal m03c07e2" in text) == (failure >= 4)


def test_check_names_the_way_out() -> None:
    with pytest.raises(ValueError, match="there are: m00c01e1, m03c01e1"):
        check("m03c07e9", print)
    with pytest.raises(TypeError, match="pass the function itself, make_chain, not list"):
        check("m03c07e1", [1])
    with pytest.raises(TypeError, match="the exercise's id comes first"):
        check(print, "m03c07e1")
    assert not check("M03C07E1", starter_of(EXERCISES["m03c07e1"])).attempted


def test_a_card_does_not_change_from_run_to_run() -> None:
    (mutant,) = mutants_of("make_roundrobin", "removes_while_looping")
    first = check("m03c07e2", mutant.impl)
    assert repr(first) == repr(check("m03c07e2", mutant.impl))
    assert "sizes = [2, 0, 1]" in repr(first)


def test_the_solved_edition_is_all_ticks(tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for lesson in find_lessons(find_places().modules):
        build_lesson(lesson, tmp_path, edition=Edition.solved)
        for cell in nbformat.read(notebook_path(lesson, tmp_path), 4).cells:
            if "exercise" in cell.metadata.get("tags", ()):
                id = re.findall(r'check\("(m\d\dc\d\de\d)"', cell.source)[-1]
                said[id] = [o["data"]["text/plain"] for o in cell.outputs if "data" in o][-1]
    assert list(said) == list(EXERCISES)
    assert all(text.startswith("✓ ") for text in said.values()), said


def test_a_card_names_each_promise_in_words_and_reads_without_its_tags() -> None:
    (mutant,) = mutants_of("make_chain", "lists_each_source")
    card = check("m03c07e1", mutant.impl)
    assert card.promises == {"same answer": "✓", "on demand": "✗", "fresh": ""}
    html = card._repr_html_()
    assert html.startswith("<h4>✗ <b>On demand</b>: k items cost k pulls, over all sources together.</h4>\n")
    lines = re.sub(r"<[^>]+>", "", html).splitlines()
    assert lines[1] == "Same answer ✓ · On demand ✗ · not looked at yet: Fresh"
    assert lines[3].startswith("smallest input: sources = [")
    assert lines[-1] == (
        "In words: source 0 gave 0; source 0 was asked for 1, past its budget; you have nothing. "
        "Kept: source 0 gave 0; you got 0."
    )
    assert "style=" not in html
    passed = check("m03c07e1", make_chain)
    assert passed.promises == {"same answer": "✓", "on demand": "✓", "fresh": "✓"}
    assert re.sub(r"<[^>]+>", "", passed._repr_html_()).startswith("✓ m03c07e1 make_chain: every law holds\n")


@ALL
def test_a_second_failure_shows_who_pulled_what_for_every_promise(exercise: Exercise) -> None:
    for mutant in exercise.mutants:
        verdict = check(exercise.id, mutant.impl).broken
        only_failed = all(event.kind not in ("yield", "refuse", "close") for event in verdict.log.events)
        if not only_failed and verdict.kept is not None and verdict.kept.events:
            assert "the same law, kept:" in verdict.diagram(), mutant.name
            broken, kept = verdict.spoken().removeprefix("In words: ").split(" Kept: ")
            assert broken != kept, mutant.name
