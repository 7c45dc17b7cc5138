"""Two worlds, one verdict: what holds in this process holds in a child, and what dies here dies there the same death."""

from __future__ import annotations

import gc
from itertools import count
from pathlib import Path

import pytest

from funcpipe_rag import laws
from funcpipe_rag.laws import Remote
from funcpipe_rag.laws.mutants import MUTANTS, Mutant
from funcpipe_rag.laws.wire import WireError
from funcpipe_rag.streams.probe import Boom, Probe

FUNCTIONS = sorted({law.about for law in laws.LAWS.values() if not law.is_async})
"""Async code is judged in this process: its loop cannot be in another one than its law."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_package_keeps_its_laws_in_a_child(function: str) -> None:
    with Remote(f"funcpipe_rag:{function}") as remote:
        for law in laws.of(function):
            verdict = laws.run(law, remote.impl, world=remote.world, examples=30)
            assert verdict.passed, (
                f"{law.id}: {verdict.smallest}: {verdict.came}; expected {verdict.expected}"
            )


@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if one.of in FUNCTIONS], ids=lambda mutant: mutant.id
)
def test_a_mutant_dies_the_same_death_in_a_child(mutant: Mutant) -> None:
    law = laws.LAWS[mutant.killed_by]
    here = laws.run(law, mutant.impl)
    with Remote(f"funcpipe_rag.laws.mutants:IMPLEMENTATIONS/{mutant.id}") as remote:
        there = laws.run(law, remote.impl, world=remote.world)
    assert not here.passed
    assert (there.passed, there.smallest) == (here.passed, here.smallest)
    # What a mutant goes on changing after it was given arrives in the other process as it was.
    assert there.came == here.came or mutant.name == "window_reuse"


def test_a_law_about_async_code_says_that_it_knows_no_child() -> None:
    law = next(law for law in laws.LAWS.values() if law.is_async)
    with (
        Remote(f"funcpipe_rag:{law.about}") as remote,
        pytest.raises(ValueError, match="in this process alone"),
    ):
        laws.run(law, remote.impl, world=remote.world)


def submission(tmp_path: Path, text: str) -> str:
    path = tmp_path / "submission.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:make_chain"


RIGHT = """
def make_chain(*sources):
    def run():
        for source in sources:
            yield from source()
    return run
"""


def test_a_file_that_nobody_imports_can_be_judged(tmp_path: Path) -> None:
    with Remote(submission(tmp_path, RIGHT)) as remote:
        assert laws.run(laws.LAWS["chain-keeps-source-order"], remote.impl, world=remote.world, examples=10)


def test_an_implementation_may_be_a_class_whose_instances_are_iterators(tmp_path: Path) -> None:
    text = (
        "class Chain:\n"
        "    def __init__(self, *sources):\n        self.rest = (x for make in sources for x in make())\n"
        "    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        return next(self.rest)\n"
        "    def close(self):\n        self.rest.close()\n"
        "    def __call__(self):\n        return self\n"
        "make_chain = Chain\n"
    )
    with Remote(submission(tmp_path, text)) as remote:
        assert laws.run(laws.LAWS["chain-keeps-source-order"], remote.impl, world=remote.world, examples=10)
        assert not laws.run(laws.LAWS["chain-starts-afresh"], remote.impl, world=remote.world, examples=10)


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("def make_chain(*sources):\n    while True: pass\n", "no answer in time"),
        ("import os\ndef make_chain(*sources):\n    os._exit(0)\n", "the process has ended"),
        ("def make_chain(*sources):\n    raise SystemExit(0)\n", "SystemExit"),
        ("def make_chain(*sources):\n    raise KeyError('x')\n", "it raised KeyError"),
        ("class Own(Exception): pass\ndef make_chain(*sources):\n    raise Own('x')\n", "it raised Own: x"),
    ],
    ids=["endless", "exits at once", "exits", "raises", "raises its own"],
)
def test_whatever_a_child_does_the_judge_has_a_verdict(tmp_path: Path, text: str, came: str) -> None:
    with Remote(submission(tmp_path, text), limit=2.0) as remote:
        verdict = laws.run(
            laws.LAWS["chain-keeps-source-order"], remote.impl, world=remote.world, examples=10
        )
    assert not verdict.passed
    assert came in verdict.came


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("funcpipe_rag:make_chian", "make_chian"),
        ("funcpipe_rag.nowhere:make_chain", "nowhere"),
        ("funcpipe_rag:__version__", "not a function"),
        ("no/such/file.py:make_chain", "file.py"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_named(target: str, said: str) -> None:
    with pytest.raises(Exception, match=said), Remote(target):
        pass


def test_the_child_ends_with_the_block() -> None:
    with Remote("funcpipe_rag:fmap") as remote:
        child = remote._child
    assert child.poll() is not None
    with pytest.raises(WireError):
        remote.wire.request("call", 1, (), {})


def test_values_go_over_by_value_and_objects_stay_where_they_are() -> None:
    with Remote("funcpipe_rag:fmap") as remote:
        remote.world()
        given = [
            None,
            True,
            -1,
            10**30,
            1.5,
            float("inf"),
            "é\n\u2028",
            (1, [2]),
            {"a": {1, 2}},
            frozenset({3}),
        ]
        kept = object()
        came = list(remote.impl(lambda item: item)([*given, kept, len]))
        assert came[:-2] == given
        assert list(map(type, came[:-2])) == list(map(type, given))
        assert came[-2] is kept
        assert came[-1] is len


def test_an_error_keeps_its_identity_on_the_way_through_the_child() -> None:
    boom = Boom("mine")

    def raises(item: object) -> object:
        raise boom

    with Remote("funcpipe_rag:fmap") as remote:
        remote.world()
        with pytest.raises(Boom) as raised:
            list(remote.impl(raises)([1]))
        assert raised.value is boom


def test_each_pull_and_close_happens_at_the_probe_in_this_process() -> None:
    with Remote("funcpipe_rag:make_roundrobin") as remote:
        remote.world()
        probes = [Probe(count(), name="a"), Probe(count(), name="b")]
        it = remote.impl(*probes)()
        assert [next(it), next(it), next(it)] == [0, 0, 1]
        assert [probe.pulls for probe in probes] == [2, 1]
        it.close()
        assert [probe.closes for probe in probes] == [1, 1]


def test_an_iterator_dropped_here_is_dropped_there() -> None:
    with Remote("funcpipe_rag:multicast_bounded") as remote:
        remote.world()
        leader, follower = remote.impl("abcd", 2, maxlen=1)
        assert next(leader) == "a"
        with pytest.raises(BufferError):
            next(leader)
        del follower
        gc.collect()
        assert list(leader) == ["b", "c", "d"]


def test_what_the_implementation_prints_goes_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noisy = RIGHT.replace("    def run", "    print('✓ every law holds')\n    def run")
    with Remote(submission(tmp_path, noisy)) as remote:
        assert laws.run(laws.LAWS["chain-keeps-source-order"], remote.impl, world=remote.world, examples=5)
    assert capfd.readouterr().out == ""
