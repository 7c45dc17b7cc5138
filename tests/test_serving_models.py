"""Models as clients: many calls as one, on the virtual clock; a classifier that was trained here; a team."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from funcpipe_rag.aio.testing import run
from funcpipe_rag.serving import (
    Batched,
    Classifier,
    Features,
    MemoryConnection,
    NoSpecialist,
    Policy,
    Request,
    Service,
    Shed,
    Specialists,
)
from funcpipe_rag.serving.features import combined


def of(place: int, *stored: float) -> Features:
    return combined(Request(f"r{place}"), stored, ())


class Fixed:
    """A model whose call takes a second, for one request as for many."""

    def __init__(self, *, seconds: float = 1, fails: Sequence[str] = (), short: int = 0) -> None:
        self.seconds, self.fails, self.short = seconds, fails, short
        self.calls: list[tuple[float, list[str]]] = []
        self.live = self.most = self.cancelled = 0

    async def predict_many(self, features: Sequence[Features]) -> Sequence[Any]:
        ids = [one.request_id for one in features]
        self.calls.append((asyncio.get_running_loop().time(), ids))
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            self.cancelled += 1
            raise
        finally:
            self.live -= 1
        if any(one in self.fails for one in ids):
            raise OSError("the device is gone")
        return [name.upper() for name in ids][: len(ids) - self.short]


async def asked(model: Batched, *times: float) -> list[tuple[float, Any]]:
    """Ask at these times; when each was answered, and with what."""
    clock = asyncio.get_running_loop().time

    async def one(place: int, at: float) -> tuple[float, Any]:
        await asyncio.sleep(at)
        try:
            said = await model.predict(of(place))
        except Exception as error:
            said = error
        return round(clock(), 6), said

    return await asyncio.gather(*(one(place, at) for place, at in enumerate(times)))


def test_a_batch_leaves_when_it_is_full_and_when_its_oldest_has_waited() -> None:
    async def go() -> list[tuple[float, Any]]:
        async with Batched(model, max_size=3, max_wait=0.5) as batched:
            return await asked(batched, 0, 0, 0, 5, 5.2, 10, 10.1, 10.2)

    model = Fixed()
    assert run(go()) == [
        (1, "R0"),
        (1, "R1"),
        (1, "R2"),
        (6.5, "R3"),
        (6.5, "R4"),
        (11.2, "R5"),
        (11.2, "R6"),
        (11.2, "R7"),
    ]
    assert model.calls == [(0, ["r0", "r1", "r2"]), (5.5, ["r3", "r4"]), (10.2, ["r5", "r6", "r7"])]


def test_what_comes_while_the_model_works_is_its_next_batch() -> None:
    async def go() -> list[tuple[float, Any]]:
        async with Batched(model, max_size=8, max_wait=0.001) as batched:
            return await asked(batched, 0, *[0.2 + place / 100 for place in range(14)])

    model = Fixed()
    answered = [t for t, _ in run(go())]
    assert [len(ids) for _, ids in model.calls] == [1, 8, 6]
    assert answered == sorted(answered) and model.most == 1


def test_for_a_fixed_cost_many_as_one_is_that_many_times_faster() -> None:
    async def go(max_size: int) -> float:
        async with Batched(Fixed(), max_size=max_size, max_wait=0.001) as batched:
            await asked(batched, *[0.0] * 64)
        return asyncio.get_running_loop().time()

    assert (run(go(1)), run(go(16)), run(go(64))) == (64, 4, 1)


def test_several_calls_may_be_on_their_way() -> None:
    async def go() -> None:
        async with Batched(model, max_size=2, max_wait=0.1, concurrency=3) as batched:
            await asked(batched, *[0.0] * 12)

    model = Fixed()
    run(go())
    assert model.most == 3
    assert [t for t, _ in model.calls] == [0, 0, 0, 1, 1, 1]


def test_a_caller_that_is_cancelled_takes_nobody_with_it() -> None:
    async def go() -> list[Any]:
        async with Batched(model, max_size=3, max_wait=1) as batched:
            tasks = [asyncio.create_task(batched.predict(of(place))) for place in range(5)]
            await asyncio.sleep(0.5)
            tasks[1].cancel()  # in a call that is on its way
            tasks[3].cancel()  # waiting for one
            return await asyncio.gather(*tasks, return_exceptions=True)

    model = Fixed(seconds=2)
    r0, gone, r2, left, r4 = run(go())
    assert (r0, r2, r4) == ("R0", "R2", "R4")
    assert isinstance(gone, asyncio.CancelledError) and isinstance(left, asyncio.CancelledError)
    assert [ids for _, ids in model.calls] == [["r0", "r1", "r2"], ["r4"]]


def test_a_batch_that_everybody_has_left_is_not_asked() -> None:
    async def go() -> None:
        async with Batched(model, max_size=3, max_wait=1) as batched:
            task = asyncio.create_task(batched.predict(of(0)))
            await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.sleep(5)
            assert await batched.predict(of(1)) == "R1"

    model = Fixed()
    run(go())
    assert [ids for _, ids in model.calls] == [["r1"]]


def test_beyond_those_who_wait_requests_are_shed_at_once() -> None:
    async def go() -> list[tuple[float, Any]]:
        async with Batched(Fixed(), max_size=2, max_wait=0.25, waiting=3) as batched:
            return await asked(batched, 0, 0, 0, 0, 0.1, 1.1)

    first, second, third, fourth, fifth, later = run(go())
    assert [said for _, said in (first, second, third, later)] == ["R0", "R1", "R2", "R5"]
    for t, shed in (fourth, fifth):
        assert t in (0, 0.1) and isinstance(shed, Shed)
        assert (str(shed), shed.retry_after) == ("3 requests are waiting", 0.25)


def test_callers_who_leave_and_come_again_do_not_fill_the_memory() -> None:
    async def go() -> int:
        async with Batched(Fixed(seconds=3600), max_size=1, max_wait=1, waiting=10) as batched:
            shed = 0
            for place in range(200):
                task = asyncio.create_task(batched.predict(of(place)))
                await asyncio.sleep(0.01)
                task.cancel()
                (said,) = await asyncio.gather(task, return_exceptions=True)
                shed += isinstance(said, Shed)
            return shed

    assert run(go()) >= 200 - 10 - 3


def test_a_model_that_fails_fails_for_the_whole_batch_and_for_no_other() -> None:
    async def go() -> list[tuple[float, Any]]:
        async with Batched(Fixed(fails=["r1"]), max_size=2, max_wait=0.1) as batched:
            return await asked(batched, 0, 0, 0, 0)

    (_, first), (_, second), (_, third), (_, fourth) = run(go())
    assert isinstance(first, OSError) and first is second
    assert (third, fourth) == ("R2", "R3")


def test_another_number_of_answers_than_requests_is_an_error() -> None:
    async def go() -> list[tuple[float, Any]]:
        async with Batched(Fixed(short=1), max_size=3, max_wait=0.1) as batched:
            return await asked(batched, 0, 0, 0)

    for _, said in run(go()):
        assert isinstance(said, ValueError) and str(said) == "the model gave 2 answers to 3 requests"


def test_a_model_whose_own_call_was_cancelled_goes_on_with_the_next() -> None:
    class Closed(Fixed):
        async def predict_many(self, features: Sequence[Features]) -> Sequence[Any]:
            if features[0].request_id == "r0":
                raise asyncio.CancelledError
            return await super().predict_many(features)

    async def go() -> list[tuple[float, Any]]:
        async with Batched(Closed(), max_size=1, max_wait=0.1) as batched:
            return await asked(batched, 0, 1)

    (_, first), (_, second) = run(go())
    assert isinstance(first, RuntimeError) and second == "R1"


def test_closing_sheds_those_who_wait_and_ends_the_calls_on_their_way() -> None:
    async def go() -> list[Any]:
        batched = Batched(model, max_size=2, max_wait=0.1)
        async with batched:
            tasks = [asyncio.create_task(batched.predict(of(place))) for place in range(5)]
            await asyncio.sleep(0.5)
        assert model.live == 0 and model.cancelled == 1
        with pytest.raises(RuntimeError, match="async with"):
            await batched.predict(of(9))
        return await asyncio.gather(*tasks, return_exceptions=True)

    model = Fixed(seconds=60)
    said = run(go())
    assert [(type(one), str(one)) for one in said] == [(Shed, "the model is closing")] * 5


def test_it_is_used_with_async_with() -> None:
    async def go() -> None:
        with pytest.raises(RuntimeError, match="use it with `async with`"):
            await Batched(Fixed()).predict(of(0))

    run(go())


@pytest.mark.parametrize(
    "bad", [{"max_size": 0}, {"max_wait": 0}, {"waiting": 0}, {"concurrency": 0}, {"max_size": 1.5}]
)
def test_what_cannot_work_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=rf": {next(iter(bad))} must be"):
        Batched(Fixed(), **bad)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_connections_are_batched_together(concurrency: int) -> None:
    model = Fixed()
    given = [[json.dumps({"request_id": f"c{c}r{r}"}) for r in range(4)] for c in range(8)]
    connections = [MemoryConnection(one) for one in given]

    async def go() -> float:
        async with Batched(model, max_size=8 * concurrency, max_wait=0.1) as batched:
            service = Service(batched, policies={"infer": Policy(concurrency=concurrency)})
            await asyncio.gather(*(service.run(connection) for connection in connections))
        return asyncio.get_running_loop().time()

    # Every connection has as many requests in its chain as its policy allows, and each call takes those of all.
    assert run(go()) == 4 / concurrency
    assert {len(ids) for _, ids in model.calls} == {8 * concurrency}
    for connection in connections:
        assert [one.value for one in connection.written] == [
            str(one.request_id).upper() for one in connection.written
        ]


def test_a_classifier_says_the_same_of_one_and_of_many() -> None:
    numpy = pytest.importorskip("numpy")
    linear_model = pytest.importorskip("sklearn.linear_model")
    random = numpy.random.default_rng(0)
    classes = random.integers(0, 3, 300)
    rows = random.normal(size=(300, 4)) + classes[:, None]
    names = numpy.array(["low", "middle", "high"])[classes]
    model = Classifier(linear_model.LogisticRegression(max_iter=500).fit(rows, names))
    vectors = [of(place, *row) for place, row in enumerate(rows[:20])]
    together = model.predict_many(vectors)
    alone = [model.predict(one) for one in vectors]
    assert [one["class"] for one in together] == [one["class"] for one in alone]
    assert json.loads(json.dumps(together)) == together
    assert all(
        abs(one["probability"] - two["probability"]) < 1e-5 for one, two in zip(together, alone, strict=True)
    )
    assert sum(one["class"] == name for one, name in zip(together, names, strict=False)) >= 14


@pytest.mark.parametrize("what", [object(), 3])
def test_what_was_not_trained_is_no_classifier(what: Any) -> None:
    with pytest.raises(TypeError, match=r"wants a fitted estimator with predict_proba\(\), got"):
        Classifier(what)


def test_a_kind_that_nobody_is_named_for_goes_to_the_default() -> None:
    class Says:
        def __init__(self, word: str) -> None:
            self.word = word

        def predict(self, features: Features) -> Any:
            return self.word

    def to(kind: str) -> Features:
        return combined(Request("r", kind=kind), (), ())

    team = Specialists({"weather": Says("rain")}, default=Says("ask somebody else"))
    assert [team.predict(to(kind)) for kind in ("weather", "", "sport")] == [
        "rain",
        *["ask somebody else"] * 2,
    ]
    with pytest.raises(NoSpecialist, match=r"nobody is named for 'x{60}'; there are weather$"):
        Specialists({"weather": Says("rain")}).predict(to("x" * 10_000))
