"""M03C02 takes every right answer, whatever it is made of, and refuses the near misses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag.course import check
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m03c02_generator_expressions import LAWS, late_binding, searches
from funcpipe_rag.laws import Remote, judge, run
from funcpipe_rag.rag import clean

Docs = Iterable[tuple[str, str]]


class Lowered:
    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = iter(texts)

    def __iter__(self) -> Lowered:
        return self

    def __next__(self) -> str:
        return next(self.texts).lower()


def with_yield(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield text.lower()


@pytest.mark.parametrize(
    "answer",
    [Lowered, with_yield, lambda texts: map(str.lower, texts), lambda texts: (t.lower() for t in texts)],
)
def test_each_way_to_lower_on_demand_is_right(answer: Callable[..., Any]) -> None:
    assert check("m03c02e1", answer).passed


@pytest.mark.parametrize("answer", [lambda texts: None, lambda texts: with_yield(list(texts)), str, print])
def test_no_other_is(answer: Callable[..., Any]) -> None:
    assert not check("m03c02e1", answer).passed


def one_expression(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    return ((name, clean(text)) for name, text in docs if len(clean(text)) >= min_len)


def named_on_the_way(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    return ((name, tidy) for name, text in docs for tidy in [clean(text)] if len(tidy) >= min_len)


def a_generator(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    for name, text in docs:
        if len(tidy := clean(text)) >= min_len:
            yield name, tidy


def map_and_filter(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    def cleaned(doc: tuple[str, str]) -> tuple[str, str]:
        return doc[0], clean(doc[1])

    return filter(lambda doc: len(doc[1]) >= min_len, map(cleaned, docs))


def stricter(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    return (doc for doc in one_expression(docs, min_len=min_len) if len(doc[1]) > min_len)


def cleans_nothing(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    return (doc for doc in docs if len(clean(doc[1])) >= min_len)


def looks_ahead(docs: Docs, *, min_len: int) -> Iterator[tuple[str, str]]:
    held: list[tuple[str, str]] = []
    for doc in one_expression(docs, min_len=min_len):
        held.append(doc)
        if len(held) == 2:
            yield held.pop(0)
    yield from held


@pytest.mark.parametrize("answer", [one_expression, named_on_the_way, a_generator, map_and_filter])
def test_each_way_to_clean_on_demand_is_right(answer: Callable[..., Any]) -> None:
    assert check("m03c02e2", answer).passed


@pytest.mark.parametrize("answer", [stricter, cleans_nothing, looks_ahead, lambda docs, *, min_len: []])
def test_a_near_miss_is_not(answer: Callable[..., Any]) -> None:
    assert not check("m03c02e2", answer).passed


def test_both_functions_are_judged_from_another_process_too(tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(
        "from funcpipe_rag.rag import clean\n"
        "def lower_all(texts):\n    return (text.lower() for text in texts)\n"
        "def gen_clean_docs(docs, *, min_len):\n"
        "    cleaned = ((name, clean(text)) for name, text in docs)\n"
        "    return (doc for doc in cleaned if len(doc[1]) >= min_len)\n"
        "def listed(docs, *, min_len):\n    return iter(list(gen_clean_docs(docs, min_len=min_len)))\n"
        "def unmask():\n    return ['a', 'b'], ['a', 'b']\n",
        encoding="utf-8",
    )
    passed = {}
    for id, name in ("e1", "lower_all"), ("e2", "gen_clean_docs"), ("e2", "listed"), ("e3", "unmask"):
        with Remote(f"{file}:{name}") as remote:
            laws = EXERCISES[f"m03c02{id}"].laws
            passed[name] = all(judge(laws, remote.impl, world=remote.world, examples=20))
    assert passed == {"lower_all": True, "gen_clean_docs": True, "listed": False, "unmask": True}


def test_the_searches_of_the_hunt_differ_by_a_law() -> None:
    law = LAWS["each-search-finds-its-own-word"]
    assert run(law, searches)
    assert run(law, late_binding).smallest == "docs = ('a',), words = ('a', 'b')"


@pytest.mark.parametrize("given", [(["a", "b"], ["a", "b"]), (["x", ""], ["x", "y"]), (["ab"], ["c", "b"])])
def test_an_input_on_which_they_differ_unmasks(given: object) -> None:
    assert check("m03c02e3", lambda: given).passed


@pytest.mark.parametrize(
    "given", [None, 3, ("ab", "ab"), (["a"], "a"), (["a"], [1]), (["a"],), ([], ["a", "b"]), (["a"], ["a"])]
)
def test_no_other_input_does(given: object) -> None:
    assert not check("m03c02e3", lambda: given).passed
