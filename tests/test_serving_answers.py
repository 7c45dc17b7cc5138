"""Answers that are kept, and features that are stored: one file each, for one process or for several."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.aio.testing import run
from funcpipe_rag.serving import (
    Answers,
    Conflict,
    Features,
    MemoryConnection,
    Request,
    Response,
    Service,
    SQLiteFeatures,
    UnknownEntity,
)
from funcpipe_rag.serving.tables import opened


class Counting:
    """A model that says how often it was asked in all."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict(self, features: Features) -> Any:
        self.asked.append(features.request_id)
        return len(self.asked)


class Speaking:
    """A model that answers in parts, fewer each time; it breaks off when it is asked for the first time."""

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, features: Features) -> AsyncIterator[Any]:
        self.asked += 1
        for place in range(5 - self.asked):
            if self.asked == 1 and place == 3:
                raise OSError("the line is dead")
            yield f"{self.asked}.{place}"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "answers.db")


@pytest.fixture
def answers(path: str) -> Iterator[Answers]:
    made = Answers(path)
    yield made
    made.close()


def said(service: Service, *requests: Request | str) -> list[tuple[Any, ...]]:
    given = [one if isinstance(one, str) else one.to_json() for one in requests]
    connection = MemoryConnection(given)
    run(service.run(connection))
    return [(one.request_id, one.value, one.code) for one in connection.written]


def test_what_comes_again_is_answered_as_before(answers: Answers, path: str) -> None:
    model = Counting()
    one, two = Request("r1", text="why"), Request("r2")
    assert said(Service(model, answers=answers), one, two, one) == [
        ("r1", 1, 200),
        ("r2", 2, 200),
        ("r1", 1, 200),
    ]
    # By another process, too: the file is all that it knows.
    again = Answers(path)
    assert said(Service(model, answers=again), two, one) == [("r2", 2, 200), ("r1", 1, 200)]
    again.close()
    assert model.asked == ["r1", "r2"]


def test_the_same_request_may_be_written_differently(answers: Answers) -> None:
    model = Counting()
    first = '{"request_id": "r1", "live_signals": {"a": 1, "b": 2.0}, "version": 1}'
    again = '{"live_signals": {"b": 2, "a": 1.0}, "text": "", "request_id": "r1"}'
    assert said(Service(model, answers=answers), first, again) == [("r1", 1, 200)] * 2


def test_the_same_id_with_another_request_is_a_conflict(answers: Answers) -> None:
    model = Counting()
    told = said(Service(model, answers=answers), Request("r1", text="why"), Request("r1", text="how"))
    assert [code for *_, code in told] == [200, 409] and model.asked == ["r1"]
    for other in Request("r1", text="how"), Request("r1", text="why", kind="x"), Request("r1"):
        with pytest.raises(Conflict, match="request_id 'r1' was used for another request"):
            answers.known(other)


def test_without_answers_a_request_is_asked_each_time() -> None:
    model = Counting()
    assert [value for _, value, _ in said(Service(model), Request("r1"), Request("r1"))] == [1, 2]


def test_what_failed_or_was_shed_is_worth_another_try(answers: Answers) -> None:
    class Fickle(Counting):
        def predict(self, features: Features) -> Any:
            super().predict(features)
            if len(self.asked) < 3:
                raise OSError("not yet")
            return "at last"

    model = Fickle()
    told = said(Service(model, answers=answers), *[Request("r1")] * 4)
    assert [(value, code) for _, value, code in told] == [
        (None, 500),
        (None, 500),
        ("at last", 200),
        ("at last", 200),
    ]
    assert len(model.asked) == 3


def test_an_answer_that_broke_off_is_given_anew_and_then_kept_whole(answers: Answers) -> None:
    model = Speaking()
    service = Service(model, answers=answers)
    assert [value for _, value, _ in said(service, Request("r1"))] == ["1.0", "1.1", "1.2", None]
    whole = [("r1", "2.0", 200), ("r1", "2.1", 200), ("r1", "2.2", 200), ("r1", None, 200)]
    assert said(service, Request("r1")) == whole
    connection = MemoryConnection([Request("r1").to_json()])
    run(service.run(connection))
    assert [(one.part, one.last, one.value) for one in connection.written] == [
        (0, False, "2.0"),
        (1, False, "2.1"),
        (2, False, "2.2"),
        (3, True, None),
    ]
    assert model.asked == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5
    )
)
@settings(max_examples=50)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    answers = Answers(":memory:")
    request = Request("r1", text="why")
    assert answers.known(request) == []
    answers.keep(Response("r1", value=value))
    assert answers.known(request) == [Response("r1", value=value)]
    answers.close()


BOTH = """
import sys
from funcpipe_rag.serving import Answers, Request, Response

print("ready", flush=True)
sys.stdin.readline()
answers = Answers(sys.argv[1])
for place in range(1500):
    request = Request(f"r{place}", text="why")
    known = answers.known(request)
    if not known:
        answers.keep(Response(request.request_id, value=sys.argv[2]))
    assert len(answers.known(request)) == 1
answers.close()
"""


def test_two_processes_may_be_asked_the_same_at_the_same_time(path: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", BOTH, path, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("left", "right")
    ]
    try:
        for process in started:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in started:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
    finally:
        for process in started:
            process.kill()
            process.wait()
    answers = Answers(path)
    told = {answers.known(Request(f"r{place}", text="why"))[0].value for place in range(1500)}
    assert told <= {"left", "right"}
    answers.close()


@pytest.mark.parametrize("kind", [Answers, SQLiteFeatures])
def test_a_file_that_somebody_else_is_making_is_waited_for(
    kind: type[Answers | SQLiteFeatures], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr("funcpipe_rag.serving.tables.sleep", wait)
    kind(path).close()
    assert len(waits) == 3
    other.close()


def test_a_file_that_stays_busy_is_an_error_in_the_end(path: str) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        opened(path, patience=0.01)
    other.close()


def test_a_file_that_is_no_database_is_said_at_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(path).write_bytes(b"no database" * 100)
    monkeypatch.delattr("funcpipe_rag.serving.tables.sleep")
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        Answers(path)


def test_features_are_stored_all_or_none(tmp_path: Path) -> None:
    store = SQLiteFeatures(str(tmp_path / "features.db"), signals=["clicks"])
    store.put({"a": [1, 2.5], "b": [0, -1]})
    with pytest.raises(ValueError, match=r"equally many features; got rows of \[2, 3\]"):
        store.put({"c": [1, 2], "d": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"got rows of \[3\], and 2 are stored"):
        store.put({"c": [1, 2, 3]})
    with pytest.raises((TypeError, ValueError)):
        store.put({"c": [1, 2], "d": [1, "x"]})  # type: ignore[list-item]
    assert len(store) == 2
    with pytest.raises(UnknownEntity, match="no features are stored for 'c'"):
        store.stored("c")
    store.put({"a": [7, 8]})
    assert (store.stored("a"), store.stored("b"), len(store)) == ((7.0, 8.0), (0.0, -1.0), 2)
    store.put({})
    store.close()
    again = SQLiteFeatures(str(tmp_path / "features.db"))
    assert again.stored("a") == (7.0, 8.0)
    again.close()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_not_stored(number: float) -> None:
    store = SQLiteFeatures(":memory:")
    with pytest.raises(ValueError, match="SQLiteFeatures: 'a' must have finite numbers, each for a float32"):
        store.put({"a": [1.0, number]})
    assert len(store) == 0
    store.close()


def test_an_entity_is_a_key_and_nothing_else() -> None:
    store = SQLiteFeatures(":memory:")
    names = ["'; DROP TABLE features; --", "", "é\u0000x", "x" * 1000]
    store.put({name: [float(place)] for place, name in enumerate(names)})
    assert [store.stored(name) for name in names] == [(float(place),) for place in range(4)]
    with pytest.raises(UnknownEntity) as told:
        store.stored("y" * 10_000)
    assert len(str(told.value)) < 120
    store.close()


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, but long enough to be looked at " * 20)
    for opens in (Answers, SQLiteFeatures):
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            opens(str(path))
    assert path.read_text().startswith("no database")


def test_a_request_is_json_as_ever_when_answers_are_kept(answers: Answers) -> None:
    given = [json.dumps({"request_id": "r1"}), "nonsense", json.dumps({"request_id": "r1"})]
    assert [code for *_, code in said(Service(Counting(), answers=answers), *given)] == [200, 400, 200]
