"""The laws as a tool for others: `prove`, `each_law`, and `funcpipe-rag laws`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from funcpipe_rag import fence_k, laws, make_roundrobin
from funcpipe_rag.laws import assert_kept, each_law, prove
from funcpipe_rag.laws.commands import FUNCTIONS, app
from funcpipe_rag.laws.mutants import mutants_of
from funcpipe_rag.laws.mutants.twins import TWINS
from funcpipe_rag.laws.proving import deaths


def bare_fence(k: int):
    return lambda xs: islice(xs, k)


def test_a_proof_of_what_keeps_every_law() -> None:
    proof = prove(make_roundrobin, like="make_roundrobin", examples=20)
    assert proof
    assert proof.broken == ()
    assert repr(proof).startswith("9 of 9 laws of make_roundrobin hold\n✓ ")
    assert proof._repr_html_().count("✓") == 9


def test_a_proof_of_what_does_not_names_each_broken_law_with_its_input() -> None:
    proof = prove(bare_fence, like="fence_k", examples=30)
    assert not proof
    broken = {verdict.law.id for verdict in proof.broken}
    assert "fence-k-starts-nothing-at-birth" in broken
    assert "fence-k-never-asks-again" not in broken
    assert all(verdict.law.id in broken or verdict.passed for verdict in proof.verdicts)
    assert "smallest input" in repr(proof)


def test_laws_that_yours_does_not_promise_can_be_left_out() -> None:
    broken = {verdict.law.id for verdict in prove(bare_fence, like="fence_k", examples=30).broken}
    assert prove(bare_fence, like="fence_k", but=broken, examples=30)
    with pytest.raises(ValueError, match="fence_k has no law fence-is-red; it has fence-k-"):
        prove(bare_fence, like="fence_k", but=["fence-is-red"])
    with pytest.raises(KeyError, match="there are laws about"):
        prove(bare_fence, like="fence")


@each_law("fence_k")
def test_each_law_makes_a_test_of_every_law(law: laws.Law) -> None:
    assert_kept(law, fence_k, examples=10)


def test_a_broken_law_fails_a_test_with_its_card() -> None:
    law = laws.LAWS["fence-k-starts-nothing-at-birth"]
    with pytest.raises(AssertionError, match="✗ On demand: Building a stream pulls nothing") as raised:
        assert_kept(law, bare_fence)
    assert "what came" in str(raised.value)


runner = CliRunner()


def test_list_says_each_law() -> None:
    said = runner.invoke(app, ["list", "make_chain"])
    assert said.exit_code == 0
    assert [law.says in said.output for law in laws.of("make_chain")] == [True] * len(laws.of("make_chain"))
    everything = runner.invoke(app, ["list"]).output
    assert all(f"\n{function}\n" in f"\n{everything}" for function in FUNCTIONS)


def test_matrix_shows_who_kills_whom() -> None:
    said = runner.invoke(app, ["matrix", "as_source", "--json", "--examples", "60"])
    assert said.exit_code == 0
    found = json.loads(said.stdout)["as_source"]
    assert set(found) == {mutant.name for mutant in mutants_of("as_source")}
    assert all(mutant.killed_by in found[mutant.name] for mutant in mutants_of("as_source"))
    table = runner.invoke(app, ["matrix", "as_source", "--examples", "60"]).stdout
    assert " X" in table
    assert "as-source-gives-its-items-each-time" in table


def test_prove_runs_a_file_in_a_process_of_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from itertools import islice\ndef fence(k):\n    return lambda xs: islice(xs, k)\n")
    said = runner.invoke(app, ["prove", f"{mine}:fence", "--like", "fence_k", "--examples", "10"])
    assert said.exit_code == 1
    assert "laws of fence_k hold" in said.stdout
    kept = runner.invoke(app, ["prove", "funcpipe_rag:fence_k", "--like", "fence_k", "--examples", "10"])
    assert kept.exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "make_chian"], "no law is about make_chian; did you mean make_chain?"),
        (["list", "zebra"], "no law is about zebra; there are laws about fmap"),
        (["matrix", "fence"], "no law is about fence"),
        (["prove", "funcpipe_rag:fence_k", "--like", "fence"], "no law is about fence"),
        (["prove", "funcpipe_rag:fence", "--like", "fence_k"], "cannot load funcpipe_rag:fence"),
        (["prove", "nofile.py:fence", "--like", "fence_k"], "cannot load nofile.py:fence"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words: list[str], said: str) -> None:
    result = runner.invoke(app, words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def groups_of(function: str) -> Iterator[frozenset[str]]:
    same: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for mutant, killed in deaths(function, examples=100):
        same[frozenset(law for law, dead in killed.items() if dead)].add(mutant)
    return (frozenset(group) for group in same.values() if len(group) > 1)


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_two_mutants_die_of_the_same_laws_without_a_sentence_why(function: str) -> None:
    told = {twins.mutants for twins in TWINS if function in twins.functions}
    assert set(groups_of(function)) == told


def test_a_law_behind_a_process_that_ended_is_judged_by_itself(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import os\n"
        "from funcpipe_rag import fence_k\n"
        f"BEEN = {str(tmp_path / 'been')!r}\n"
        "def fence(k):\n"
        "    if not os.path.exists(BEEN):\n"
        "        open(BEEN, 'w').close()\n"
        "        os._exit(0)\n"
        "    return fence_k(k)\n"
    )
    said = runner.invoke(app, ["prove", f"{mine}:fence", "--like", "fence_k", "--examples", "5"]).output
    assert said.startswith("8 of 9 laws of fence_k hold")
    assert said.count("the process has ended") == 1


def test_a_file_that_ends_its_process_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os; os._exit(0)\n")
    said = runner.invoke(app, ["prove", f"{tmp_path}/mine.py:fence", "--like", "fence_k"])
    assert said.exit_code == 2
    assert "mine.py:fence: the process has ended" in said.output
