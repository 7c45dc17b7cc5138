"""Right answers to M03C09 and M03C10 of other builds, and answers that are nearly right: here and in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from funcpipe_rag import make_tap
from funcpipe_rag.course import check
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m03c10_watching_a_stream import share
from funcpipe_rag.laws import Remote, judge


class DocsByHand:
    def __init__(self, source):
        self.open = source

    def __iter__(self):
        return self.open()


class LinesOverAGenerator:
    """Half of it is a generator, which keeps most of the promises by itself."""

    def __init__(self, path, *, opener=open):
        self.position = 0
        self._lines = self._read(path, opener)

    def _read(self, path, opener):
        file = opener(path)
        try:
            for line in file:
                self.position += 1
                yield line.rstrip("\n")
        finally:
            file.close()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._lines)

    def close(self):
        self._lines.close()


class LinesByStates:
    """It knows what to do next: open, read, or nothing."""

    def __init__(self, path, *, opener=open):
        self.path, self.opener, self.position = path, opener, 0
        self.ask, self.shut = self.begin, lambda: None

    def begin(self):
        file = self.opener(self.path)
        self.ask, self.shut = file.__next__, file.close
        return self.ask()

    def over(self):
        raise StopIteration

    def __iter__(self):
        return self

    def __next__(self):
        try:
            line = self.ask()
        except StopIteration:
            self.close()
            raise
        self.position += 1
        return line.removesuffix("\n")

    def close(self):
        shut, self.ask, self.shut = self.shut, self.over, lambda: None
        shut()


@pytest.mark.parametrize(
    ("id", "right"),
    [("m03c09e1", DocsByHand), ("m03c09e2", LinesOverAGenerator), ("m03c09e2", LinesByStates)],
)
def test_a_class_of_another_build_passes(id: str, right: type) -> None:
    card = check(id, right)
    assert card.passed, card


@pytest.mark.parametrize("lines", [LinesOverAGenerator, LinesByStates])
def test_what_passes_for_lines_reads_a_real_file(lines: type, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one\n\nthree", encoding="utf-8")
    it = lines(tmp_path / "notes.txt")
    assert [(line, it.position) for line in it] == [("one", 1), ("", 2), ("three", 3)]


LOOPS = {
    "pairs": ("list((a, b) for a in make(n) for b in make(n))", False),
    "nested": ("(xs := make(n)) and [b for a in xs for b in xs] == [*range(n)] * n", True),
    "first again": ("(xs := make(n)) and [next(iter(xs)) for _ in xs] == [0] * n", False),
    "zipped": ("(xs := make(n)) and list(zip(xs, xs)) == [(i, i) for i in range(n)]", True),
    "in a row": ("(xs := make(n)) and list(xs) == list(xs)", False),
    "not itself": ("iter(xs := make(n)) is not xs", True),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_law_passes_when_it_tells_a_rewinding_object_from_a_right_one(name: str) -> None:
    body, passes = LOOPS[name]
    assert check("m03c09e3", eval(f"lambda make, n: {body}")).passed is passes


def test_a_law_that_makes_the_wrong_one_go_round_for_ever_is_told_so() -> None:
    card = check(
        "m03c09e3", eval("lambda make, n: [next(iter(xs)) for xs in [make(n)] for _ in xs] == [0] * n")
    )
    assert "rewinds_in_iter was asked 201 times" in repr(card)


def tap_by_expression(xs, see):
    return ((see(item), item)[1] for item in xs)


class TapByHand:
    def __init__(self, xs, see):
        self.it, self.see = iter(xs), see

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.it)
        self.see(item)
        return item


def sample_by_filter(xs, *, rate, key):
    return filter(lambda item: share(key(item)) < rate, xs)


def sample_by_expression(xs, *, rate, key):
    return (item for item in xs if rate > share(key(item)))


@pytest.mark.parametrize(
    ("id", "right"),
    [
        ("m03c10e1", tap_by_expression),
        ("m03c10e1", TapByHand),
        ("m03c10e1", lambda xs, see: make_tap(see)(xs)),
        ("m03c10e2", sample_by_filter),
        ("m03c10e2", sample_by_expression),
    ],
)
def test_a_tap_and_a_sample_of_another_build_pass(id: str, right: Callable[..., object]) -> None:
    card = check(id, right)
    assert card.passed, card


LOOKS = {
    "pulls of one": ("[next(tap(probe(), str)), probe.pulls][1] == 1", True),
    "the diary": ("(s := []) == [] and next(tap(probe(), s.append)) == s[0] and probe.pulls == len(s)", True),
    "who asks next": ("(it := probe()) and [next(tap(it, str)), it.pulls][1] == 1", True),
    "pulls of all": ("(n := len(list(tap(probe(), str)))) and probe.pulls == n + 1", False),
    "at birth": ("(tap(probe(), str), probe.pulls)[1] == 0", False),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_law_passes_when_it_tells_a_tap_that_looks_ahead(name: str) -> None:
    body, passes = LOOKS[name]
    assert check("m03c10e3", eval(f"lambda tap, probe: {body}")).passed is passes


@pytest.mark.parametrize("name", LOOKS)
def test_a_law_that_reads_a_probe_may_live_in_another_process(name: str, tmp_path: Path) -> None:
    body, passes = LOOKS[name]
    (tmp_path / "theirs.py").write_text(f"def law(tap, probe):\n    return {body}\n", encoding="utf-8")
    with Remote(f"{tmp_path / 'theirs.py'}:law") as remote:
        verdicts = judge(EXERCISES["m03c10e3"].laws, remote.impl, world=remote.world, examples=10)
    assert all(verdicts) is passes


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_sample_by_hash_is_found_whatever_the_process(seed: str) -> None:
    code = (
        "from funcpipe_rag.course import check\n"
        "from funcpipe_rag.course.exercises import EXERCISES\n"
        "mutant = next(m for m in EXERCISES['m03c10e2'].mutants if m.name == 'hash_sample')\n"
        "print(check('m03c10e2', mutant.impl))"
    )
    here = next(m for m in EXERCISES["m03c10e2"].mutants if m.name == "hash_sample")
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, encoding="utf-8", check=True
    )
    # Which items it takes differs from process to process, and so do the diagrams: that is its fault.
    assert said.stdout.splitlines()[0] == repr(check("m03c10e2", here.impl)).splitlines()[0]


def test_a_class_is_untouched_until_its_code_changes() -> None:
    lines = EXERCISES["m03c09e2"]
    assert lines.untouched(
        defined("\n# mine\n" + lines.starter.replace("        ...", "        ...  # later"))
    )
    assert lines.untouched(defined(lines.starter, open=print)), "a notebook has an open of its own"
    for written in (
        lines.starter.replace("self.position = 0", "self.position = 1"),
        lines.starter.replace("class Lines:", "class Lines(dict):"),
        lines.starter + "\n    limit = 3\n",
        lines.starter + "\n    def more(self):\n        ...\n",
    ):
        assert not lines.untouched(defined(written)), written
    assert not lines.untouched(lambda path: None)
    assert not EXERCISES["m03c01e1"].untouched(defined(lines.starter))


def defined(text: str, **namespace: object) -> object:
    exec(text, namespace)
    return namespace["Lines"]


@pytest.mark.parametrize("lines", ["LinesOverAGenerator", "LinesByStates"])
def test_a_class_may_live_in_another_process(lines: str) -> None:
    with Remote(f"{__file__}:{lines}") as remote:
        verdicts = judge(EXERCISES["m03c09e2"].laws, remote.impl, world=remote.world, examples=10)
    assert [verdict.passed for verdict in verdicts] == [True] * 6


@pytest.mark.parametrize("id", ["m03c09e1", "m03c09e2"])
def test_a_wrong_class_dies_the_same_death_in_another_process(id: str) -> None:
    for mutant in EXERCISES[id].mutants:
        here = judge(EXERCISES[id].laws, mutant.impl, examples=30)[-1]
        with Remote(f"{mutant.impl.__module__}:{mutant.impl.__name__}") as remote:
            there = judge(EXERCISES[id].laws, remote.impl, world=remote.world, examples=30)[-1]
        assert (there.law, there.smallest, there.came) == (here.law, here.smallest, here.came), mutant.name
