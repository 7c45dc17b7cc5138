"""What a card says before any law can speak, and what it is headed with where no function is judged."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import pytest

from funcpipe_rag import as_source, fence_k, make_roundrobin
from funcpipe_rag.course import check
from funcpipe_rag.laws import WrongKind, same


def as_list(docs: Any, *, size: int) -> Any:
    return [doc[at : at + size] for doc in docs for at in range(0, len(doc), size)]


def as_number(docs: Any, *, size: int) -> Any:
    return 3


def as_nothing(docs: Any, *, size: int) -> Any:
    for doc in docs:
        doc[:size]


@pytest.mark.parametrize(
    ("program", "came", "hint"),
    [
        (as_list, "it returned a list; expected an iterator", "And one that builds a list?"),
        (as_number, "it returned an int; expected an iterator", "What does your return hand over?"),
        (as_nothing, "it returned None; expected an iterator", "Which line hands the result over?"),
    ],
)
def test_an_answer_of_another_kind_is_told_its_kind_and_no_law_s_hint(
    program: Callable[..., Any], came: str, hint: str
) -> None:
    card = check("m03c01e2", program)
    assert card.broken is not None and card.broken.kind
    for told in (repr(card), card._repr_html_()):
        assert "Before the law can look" in told
        assert came in told and hint in told
        assert "source was opened" not in told and "last letters" not in told


def test_a_law_that_is_about_the_kind_keeps_its_own_words() -> None:
    def gen_spans(length: int, *, size: int) -> Any:
        return [(at, min(at + size, length)) for at in range(0, length, size)]

    told = repr(check("m03c01e1", gen_spans))
    assert told.startswith("✗ On demand: You get an iterator")
    assert "Same answer ✓" in told


def test_brackets_of_another_kind_and_a_generator_for_a_value_are_told_apart_from_wrong_values() -> None:
    with pytest.raises(WrongKind) as brackets:
        same([[0, 1]], [(0, 1)])
    assert "brackets" in brackets.value.hint
    with pytest.raises(WrongKind) as generator:
        same((item for item in "a"), "a")
    assert generator.value.came == "it returned a generator" and "0x" not in str(generator.value)
    for came, expected in (([1], [2]), ([1], [True]), ("a", ["a"])):
        with pytest.raises(AssertionError) as broken:
            same(came, expected)
        assert not isinstance(broken.value, WrongKind)


def test_a_stream_that_goes_on_is_said_to_go_on() -> None:
    def gen_spans(length: int, *, size: int) -> Iterator[tuple[int, int]]:
        at = 0
        while True:
            yield at, at + size
            at += size

    assert "[(0, 1)], and so on; expected [], and an end" in repr(check("m03c01e1", gen_spans))


def test_a_hunt_is_headed_with_what_is_judged() -> None:
    def unmask() -> Any:
        return ["ab"], 2

    assert repr(check("m03c01e3", unmask)).startswith("✗ Your input: ")

    def law(fence: Any, k: int, probe: Any) -> bool:
        return True

    card = check("m03c05e3", law)
    assert repr(card).startswith("✗ Your law: ")
    assert "Same answer" not in card._repr_html_()


def test_a_check_without_a_function_says_how_to_pass_it() -> None:
    with pytest.raises(TypeError, match=r'check\("m03c01e2", gen_chunks\)'):
        check("m03c01e2")
    with pytest.raises(ValueError, match="there is no exercise 'm99c01e1'"):
        check("m99c01e1", as_list)


def a_source_not_called(*sources: Any) -> Any:
    def run() -> Iterator[Any]:
        for source in sources:
            yield from source

    return run


def iterators_for_items(*sources: Any) -> Any:
    def run() -> Iterator[Any]:
        for source in sources:
            yield source()

    return run


def test_what_a_lesson_hands_out_is_called_as_the_lesson_calls_it() -> None:
    told = repr(check("m03c07e1", a_source_not_called))
    assert "TypeError: a source is not iterable" in told
    assert "A source is a function. What must you do to it" in told
    told = repr(check("m03c07e1", iterators_for_items))
    assert "what came        [an iterator]; expected []" in told and "0x" not in told
    assert "What hands over each item of it?" in told


def calls_a_stage_with_two(sources: Any, **_: Any) -> Any:
    return lambda: fence_k(sources[0](), 3)  # type: ignore[call-arg]


def pipes_two_plain_functions(sources: Any, **_: Any) -> Any:
    def cut(docs: Any) -> Any:
        return docs

    return sources[0] | cut


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        (calls_a_stage_with_two, "How is fence_k called? It is fence_k(k). It gives a stage:"),
        (pipes_two_plain_functions, "Two plain functions know nothing of |."),
        (
            lambda sources, **_: make_roundrobin(sources),
            "got a list of them; write make_roundrobin(*...) with a star",
        ),
        (
            lambda sources, **_: as_source(sources[0]),
            "it is a source already if it opens a stream when called",
        ),
    ],
    ids=["a call that does not fit", "two plain functions", "a star is missing", "a source of a source"],
)
def test_a_call_that_does_not_fit_is_answered_at_once_and_does_not_count_as_a_failure(
    program: Callable[..., Any], hint: str
) -> None:
    for _ in range(6):
        card = check("m03c11e1", program)
        assert hint in repr(card)
        assert "hard to see" not in repr(card) and "Which chunk is missing" not in repr(card)


def closes_in_the_order_of_opening(*sources: Any) -> Any:
    def run() -> Iterator[Any]:
        opened = [source() for source in sources]
        live = list(opened)
        try:
            while live:
                for it in list(live):
                    try:
                        yield next(it)
                    except StopIteration:
                        live.remove(it)
        finally:
            for it in opened:
                it.close()

    return run


def test_a_run_that_opened_other_sources_is_no_example_of_closing() -> None:
    for _ in range(3):
        told = repr(check("m03c07e2", closes_in_the_order_of_opening))
    assert "closed in the order" in told
    assert "the same law, kept" not in told


def test_who_ended_the_loop_is_asked_where_items_are_left() -> None:
    def by_zip(*sources: Any) -> Any:
        def run() -> Iterator[Any]:
            for row in zip(*[source() for source in sources], strict=False):
                yield from row

        return run

    for _ in range(3):
        told = repr(check("m03c07e2", by_zip))
    assert "Who ended your loop" in told


@pytest.mark.parametrize(
    ("id", "name", "given", "hint"),
    [
        ("m03c07e4", "schedule", None, "It gives nothing. Is a return missing?"),
        ("m03c07e4", "schedule", "LLR", "Which part of it is of another kind"),
        ("m03c07e4", "schedule", (turn for turn in [0, 1]), "gives a generator"),
        ("m03c07e4", "schedule", iter([0, 1]), "and only once. What makes a list of it?"),
        ("m03c07e4", "schedule", "01", "it returned '01'"),
        ("m03c01e3", "unmask", ["abcd"], "Which part of it is of another kind"),
        ("m03c11e2", "unmask", [([["a"]], 1, 0)], "Which part of it is of another kind"),
    ],
)
def test_an_input_of_another_shape_is_told_so_and_does_not_count(
    id: str, name: str, given: object, hint: str
) -> None:
    def answer() -> object:
        print(end="")
        return given

    answer.__name__ = name
    for _ in range(5):
        told = repr(check(id, answer))
        assert hint in told
        assert "hard to see" not in told


def test_a_stage_that_was_called_too_early_is_told_from_a_collection() -> None:
    def cut(docs: Any) -> Iterator[Any]:
        yield from docs

    with pytest.raises(TypeError, match="not a generator, which was called too early; join the functions"):
        cut([]) | fence_k(1)
    with pytest.raises(TypeError, match=r"not a list; write as_source\(\[\]\)"):
        [] | fence_k(1)  # type: ignore[operator]


@pytest.mark.filterwarnings("error")
def test_a_coroutine_in_the_place_of_a_list_is_named_and_leaves_no_warning_behind() -> None:
    async def in_order(delays: Any) -> Any:
        return list(delays)

    told = repr(check("m05c02e1", in_order))
    assert "it returned a coroutine" in told
    assert "Is a plain `def` meant?" in told
    gc.collect()


def test_another_iterator_is_not_said_to_have_a_yield_in_it() -> None:
    told = repr(check("m05c02e1", lambda delays: accumulate(delays, max)))
    assert "it returned an accumulate" in told
    assert "What makes a list of it?" in told and "yield" not in told


def test_a_call_by_the_law_that_does_not_fit_shows_your_own_first_line_as_yours() -> None:
    def in_order() -> list[float]:
        return []

    told = repr(check("m05c02e1", in_order))
    assert "Your first line is in_order(), and the law calls it otherwise" in told
