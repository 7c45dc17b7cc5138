"""The package keeps every law, and the laws are kept honest by mutants."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest

import funcpipe_rag
from funcpipe_rag import aio, laws
from funcpipe_rag.laws.mutants import MUTANTS, mutants_of

# What an exercise or a row of the curriculum names, and so owes at least four mutants; every async function does.
TAUGHT = (
    "make_chain",
    "make_roundrobin",
    "fork2_lockstep",
    "multicast_bounded",
    "fence_k",
    "compose",
    "fmap",
    "make_batched",
    "make_sliding",
    "make_grouped",
    "ensure_contiguous",
    "make_merge_late",
    "make_router",
    "make_rolling_mean",
    "make_throttle",
    "make_rate_limit",
    "make_tap",
    "make_sampler_stable",
)


@pytest.mark.parametrize("law", laws.LAWS.values(), ids=lambda law: law.id)
def test_the_package_keeps_the_law(law: laws.Law) -> None:
    verdict = laws.run(law, getattr(funcpipe_rag, law.about))
    assert verdict.passed, f"{verdict.smallest}: {verdict.came}; expected {verdict.expected}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.of}-{mutant.name}")
def test_the_mutant_is_killed_by_the_law_it_names(mutant) -> None:
    verdict = laws.run(laws.LAWS[mutant.killed_by], mutant.impl, examples=200)
    assert not verdict.passed
    assert verdict.smallest
    assert verdict.came != verdict.expected


def test_every_law_kills_a_mutant() -> None:
    idle = set(laws.LAWS) - {mutant.killed_by for mutant in MUTANTS}
    assert not idle, f"laws that kill nothing: {sorted(idle)}"


def test_every_function_with_a_law_is_on_the_face_and_has_its_mutants() -> None:
    for function in {law.about for law in laws.LAWS.values()}:
        assert hasattr(funcpipe_rag, function)
        owed = 4 if function in (*TAUGHT, *aio.__all__) else 1
        assert len(mutants_of(function)) >= owed, function


NOT_FOR_LAWS = (
    *("Branch", "Pipeline", "Sink", "Source", "Stage", "Transform"),
    *(
        "Backoff",
        "Breaker",
        "BreakerOpen",
        "Counter",
        "FakeTime",
        "Handler",
        "HeavyHitter",
        "Page",
        "Report",
        "RetryPolicy",
        "SpaceSaving",
        "UndecodableText",
    ),
    *("Chunk", "ChunkWithoutEmbedding", "CleanDoc", "Quarantined", "RagEnv", "RawDoc"),
    *("Err", "Nothing", "Ok", "Option", "Result", "Some"),
    *("AsyncBranch", "AsyncPipeline", "AsyncSource", "AsyncStage", "AsyncStream"),
    *(
        "CircuitBreakerHandler",
        "CollectingErrorHandler",
        "ErrorHandler",
        "LoggingErrorHandler",
        "PipelineContext",
    ),
)
"""Types: what they promise is in the laws of the functions that give or take them."""
JOINING = ("source", "stage", "sink", "asource")
"""What makes a stage of something: its laws are those of the stage that comes out, which `compose` keeps."""


@pytest.mark.parametrize(
    "name", [name for name in funcpipe_rag.__all__ if name not in (*NOT_FOR_LAWS, *JOINING)]
)
def test_every_public_function_has_a_law_for_each_promise_that_its_class_owes(name: str) -> None:
    kept = {law.promise for law in laws.of(name)}
    owed = set(laws.OWED[laws.class_of(getattr(funcpipe_rag, name))])
    # What is given one stream, and not a stage that runs on many, has no second run to be fresh for; what is given
    # a text has no stream to ask or to close either.
    free = {
        "abroadcast": {"fresh"},
        "batched": {"fresh"},
        "collect": {"fresh"},
        "from_sync": {"fresh"},
        "multicast_bounded": {"fresh"},
        "to_sync": {"fresh"},
        **{
            name: {"fresh"} for name in ("gen_bounded_chunks", "gen_chunks", "near_dedup", "structural_dedup")
        },
        "parse_ts": {"on demand", "fresh", "closed"},
        # It looks up; there is nothing to ask for and nothing to close.
        "get_current_context": {"on demand", "closed"},
    }
    assert owed - free.get(name, set()) <= kept, f"{name} owes a law about {sorted(owed - kept)}"


def test_no_mutant_stands_twice() -> None:
    twice = [name for name, many in Counter((m.of, m.name) for m in MUTANTS).items() if many > 1]
    assert not twice


@pytest.mark.parametrize("law", laws.LAWS.values(), ids=lambda law: law.id)
def test_a_law_is_a_sentence_with_a_question_or_a_way_on(law: laws.Law) -> None:
    assert law.says.endswith(".")
    assert law.hint.endswith("?") or law.hint.endswith(".")
    assert law.promise in laws.PROMISES
    assert law.id == law.id.lower()
    assert not set(law.id) & set(" _")


def test_a_verdict_does_not_change_from_run_to_run() -> None:
    law = laws.LAWS["roundrobin-passes-nobody-over"]
    (chains,) = (mutant.impl for mutant in mutants_of("make_roundrobin") if mutant.name == "chains_instead")
    first, second = laws.run(law, chains), laws.run(law, chains)
    assert first.smallest == second.smallest == "sizes = [2, 1]"
    assert first.came == second.came


def test_an_implementation_that_swallows_the_refusal_still_fails() -> None:
    """OverPulled is no Exception, and a bare except does not help either: the probe remembers."""

    def fence_k(k):
        def stream(xs):
            it = iter(xs)
            got = []
            try:
                for _ in range(k + 1):
                    got.append(next(it))
            except BaseException:
                pass
            yield from got[:k]

        return stream

    verdict = laws.run(laws.LAWS["fence-k-never-asks-again"], fence_k)
    assert not verdict.passed
    assert "pulls" in verdict.came


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda *sources: lambda: None, "it returned None"),
        (lambda *sources: lambda: [1, 2], "it returned a list"),
        (lambda *sources: None, "the call returned None"),
        (lambda *sources: iter(()), "the call returned a tuple_iterator"),
        (lambda a, b, c: lambda: iter(()), "TypeError"),
    ],
    ids=["none", "list", "no source", "no function around it", "wrong arity"],
)
def test_a_wrong_kind_of_answer_is_told_by_its_kind(answer, said) -> None:
    verdict = laws.run(laws.LAWS["chain-keeps-source-order"], answer)
    assert not verdict.passed
    assert said in verdict.came


def test_what_was_printed_in_place_of_yielded_is_told(capsys) -> None:
    def make_chain(*sources):
        def run():
            for source in sources:
                for item in source():
                    print("item", item)

        return run

    verdict = laws.run(laws.LAWS["chain-keeps-source-order"], make_chain)
    assert "it returned None" in verdict.came
    assert capsys.readouterr().out == ""


def test_a_loop_that_never_asks_and_never_gives_is_stopped() -> None:
    def make_chain(*sources):
        def run():
            while True:
                pass
            yield

        return run

    verdict = laws.run(laws.LAWS["chain-keeps-source-order"], make_chain, limit=0.2)
    assert not verdict.passed
    assert "nothing came" in verdict.came
    assert "What should end it?" in verdict.hint


def test_asking_an_ended_source_for_ever_is_stopped_by_its_budget() -> None:
    def make_roundrobin(*sources):
        def run():
            live = [source() for source in sources]
            while live:
                for it in live:
                    with suppress(StopIteration):
                        yield next(it)

        return run

    verdict = laws.run(laws.LAWS["roundrobin-takes-turns"], make_roundrobin)
    assert not verdict.passed
    assert "source 0 was asked 31 times" in verdict.came


def taken_by_name(sources, *, size):
    return iter(())


def gives_nothing(source):
    source()


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (lambda *sources: lambda: (next(it) for it in [iter(())]), "Who catches it?"),
        (lambda *sources: lambda: (x for source in sources for x in source), "A source is a function"),
        (lambda a, b, c: lambda: iter(()), "How is make_chain called?"),
        (lambda *sources: lambda: taken_by_name(sources, 2), "How is taken_by_name called?"),
        (lambda *sources: lambda: iter(source()[0] for source in sources), "it has no length and no [0]"),
        (lambda *sources: lambda: (x for source in sources for x in gives_nothing(source)), "has no return"),
        (lambda *sources: lambda: (x for x in sorces), "Which name is spelled otherwise"),  # noqa: F821
    ],
    ids=[
        *(
            "StopIteration in a generator",
            "a source not called",
            "wrong arity",
            "by name",
            "a stream as a list",
        ),
        *("a helper without a return", "a name misspelled"),
    ],
)
def test_an_error_that_learners_meet_is_answered_with_its_own_question(answer, asks) -> None:
    assert asks in laws.run(laws.LAWS["chain-keeps-source-order"], answer).hint


def test_two_laws_cannot_share_an_id() -> None:
    with pytest.raises(ValueError, match="chain-keeps-source-order"):
        laws.law("chain-keeps-source-order", about="x", promise="fresh", says="s.", hint="h?")(
            lambda world: None
        )


def test_asking_for_laws_of_something_unknown_names_what_there_is() -> None:
    with pytest.raises(KeyError, match="make_chain"):
        laws.of("make_chian")


def test_hypothesis_writes_nothing_into_the_working_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    laws.run(laws.LAWS["chain-keeps-source-order"], funcpipe_rag.make_chain, examples=5)
    assert list(tmp_path.iterdir()) == []
