"""Requests and responses as JSON: what was written is read, and whatever else comes is a BadRequest and nothing else."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from funcpipe_rag.aio.testing import run
from funcpipe_rag.serving import BadRequest, Features, MemoryConnection, Request, Response, Service
from funcpipe_rag.serving.requests import LONGEST_ID

# What a line in UTF-8 can carry: half a surrogate pair is no character.
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.floats(allow_nan=False, allow_infinity=False)
requests = st.builds(
    Request,
    request_id=texts.filter(bool).filter(lambda name: len(name) <= LONGEST_ID),
    entity_id=texts,
    live_signals=st.dictionaries(texts, numbers),
    text=texts,
    kind=texts,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@given(requests)
def test_a_request_comes_back_as_it_was(request: Request) -> None:
    line = request.to_json()
    assert "\n" not in line
    for text in line, line.encode():
        again = Request.from_json(text)
        assert again == request and hash(again) == hash(request)
        assert again.to_json() == line


@given(requests, requests)
def test_different_requests_are_written_differently(one: Request, two: Request) -> None:
    assert (one == two) == (
        one.to_json() == two.to_json()
    ) or one.live_signals.keys() == two.live_signals.keys()


@given(
    st.builds(
        Response,
        request_id=st.none() | texts,
        value=values,
        part=st.integers(0, 5),
        last=st.booleans(),
        line=st.none() | st.integers(1),
    )
)
def test_an_answer_comes_back_as_it_was(response: Response) -> None:
    assert "\n" not in response.to_json()
    again = Response.from_json(response.to_json())
    # A last part 0 is the whole, and is not said to be one.
    assert again == response


@given(
    st.builds(
        Response,
        request_id=st.none() | texts,
        status=st.sampled_from(["error", "shed"]),
        code=st.sampled_from([400, 500, 503]),
        error=texts,
        retry_after=st.none() | st.floats(0.001, 1e6),
    )
)
def test_a_refusal_comes_back_as_it_was(response: Response) -> None:
    assert Response.from_json(response.to_json()) == response


def outcome(line: str | bytes) -> Request | BadRequest:
    try:
        return Request.from_json(line)
    except BadRequest as error:
        return error


def of_json(value: Any) -> str:
    return json.dumps(value)


@given(st.binary(max_size=300) | st.text(max_size=300) | values.map(of_json))
@example("")
@example("{" * 100_000)
@example("[" * 100_000)
@example("1" * 100_000)
@example('{"request_id": 1e999}')
@example('{"request_id": NaN}')
@example('{"request_id": "r", "live_signals": {"a": 1' + "0" * 400 + "}}")
@example('{"request_id": "r", "live_signals": {"a": -Infinity}}')
@example('{"request_id": "r", "live_signals": {"a": true}}')
@example('{"request_id": "r", "version": true}')
@example('{"request_id": "r", "version": 1.0}')
@example('{"request_id": "\\ud800"}')
@example(b"\xff\xfe{\x00")
@example(b"\xef\xbb\xbf{}")
@settings(max_examples=300)
def test_garbage_is_a_bad_request_and_nothing_else(line: str | bytes) -> None:
    read = outcome(line)
    if isinstance(read, BadRequest):
        assert str(read) and len(str(read)) < 700 and str(read).isprintable()
        assert read.__cause__ is None
    else:
        assert Request.from_json(read.to_json()) == read


fields = st.fixed_dictionaries(
    {"request_id": st.one_of(texts, values)},
    optional={
        "entity_id": st.one_of(texts, values),
        "live_signals": st.one_of(st.dictionaries(texts, st.one_of(numbers, values)), values),
        "text": st.one_of(texts, values),
        "kind": st.one_of(texts, values),
        "version": st.one_of(st.just(1), values),
        "more": values,
    },
)


@given(fields)
@settings(max_examples=300)
def test_what_is_nearly_a_request_is_one_or_is_refused_with_its_id(given: dict[str, Any]) -> None:
    wanted = (
        isinstance(given["request_id"], str)
        and 0 < len(given["request_id"]) <= LONGEST_ID
        and all(isinstance(given.get(name, ""), str) for name in ("entity_id", "text", "kind"))
        and type(given.get("version", 1)) in (int, float)
        and given.get("version", 1) == 1
        and "more" not in given
        and isinstance(given.get("live_signals", {}), dict)
        and all(
            type(number) in (int, float) and abs(number) < 1e308 * 1.79
            for number in given.get("live_signals", {}).values()
        )
    )
    read = outcome(json.dumps(given))
    if isinstance(read, BadRequest):
        name = given["request_id"]
        known = isinstance(name, str) and 0 < len(name) <= LONGEST_ID
        assert not wanted and read.request_id == (name if known else None)
    else:
        assert wanted and read.request_id == given["request_id"]
        assert all(math.isfinite(number) for number in read.live_signals.values())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "the request is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[1]", "a request is a JSON object, got a list"),
        ("null", "a request is a JSON object, got null"),
        ("{}", "request_id is missing"),
        ('{"request_id": ""}', "request_id must have 1 to 200 characters, got 0"),
        ('{"request_id": "r", "text": 7}', "text must be a text, got 7"),
        ('{"request_id": "r", "version": 2}', "version must be 1, got 2"),
        ('{"request_id": "r", "user": 1}', 'there is no field "user" in a request of version 1'),
        ('{"request_id": "r", "live_signals": [1]}', "live_signals must be an object of numbers, got a list"),
        (
            '{"request_id": "r", "live_signals": {"age": "old"}}',
            'live_signals: "age" must be a finite number, got "old"',
        ),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_with_it(line: str, says: str) -> None:
    with pytest.raises(BadRequest) as told:
        Request.from_json(line)
    assert str(told.value) == says


@given(st.lists(st.binary(max_size=60) | st.text(max_size=60), max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_connection_of_garbage_is_answered_line_by_line(lines: list[str | bytes]) -> None:
    class Length:
        def predict(self, features: Features) -> Any:
            return len(features.request.text)

    good = '{"request_id": "good"}'
    connection = MemoryConnection([*lines, good])
    run(Service(Length()).run(connection))
    assert [one.line or number for number, one in enumerate(connection.written, 1)] == list(
        range(1, len(lines) + 2)
    )
    assert (connection.written[-1].request_id, connection.written[-1].code) == ("good", 200)


def test_a_request_does_not_change() -> None:
    request = Request.from_json('{"request_id": "r1", "live_signals": {"a": 1}}')
    with pytest.raises(AttributeError):
        request.text = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        request.live_signals["a"] = 2.0  # type: ignore[index]
    response = Response("r1", value=1)
    assert pickle.loads(pickle.dumps(response)) == response


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", "null", '{"status": "fine"}', '{"status": "ok", "more": 1}']
)
def test_what_is_no_answer_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Response.from_json(line)


def test_a_version_is_a_whole_number() -> None:
    # 1.0 would be answered as another request than 1.
    with pytest.raises(BadRequest, match=r"version must be 1, got 1\.0"):
        Request.from_json('{"request_id": "r1", "version": 1.0}')
