"""Time the five stages against the same five written by hand, and many calls as one against one call each.

    python tests/benchmarks/bench_serving.py [--rounds 7] [--requests 3000] [--only NAME] [--strict]

The work is real: each request is a line of JSON, its features come from SQLite, a scikit-learn classifier that was
trained here says what it is, and the answer is an object that goes to a connection. Time is CPU time as a ratio to
the same five stages as bare async generators, in turns with them, best of several rounds: absolute times mean little,
so none are compared. A bar that is missed is told, and with `--strict` is the exit status.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from os.path import join
from statistics import quantiles
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy
import sklearn
from sklearn.linear_model import LogisticRegression

from funcpipe_rag.serving import (
    AuditFile,
    Batched,
    Classifier,
    Features,
    MemoryConnection,
    Policy,
    Prediction,
    Request,
    Response,
    Service,
    SQLiteFeatures,
    StructlogAudit,
)
from funcpipe_rag.serving.features import combined

ENTITIES, STORED, SIGNALS = 1000, 16, ("clicks", "age")


def trained() -> LogisticRegression:
    """A classifier of features that two classes differ in."""
    random = numpy.random.default_rng(0)
    classes = random.integers(0, 2, 4000)
    rows = random.normal(size=(4000, STORED + len(SIGNALS))) + classes[:, None] * 0.7
    return LogisticRegression(max_iter=500).fit(rows.astype(numpy.float32), classes)


def stored(path: str) -> SQLiteFeatures:
    random = numpy.random.default_rng(1)
    store = SQLiteFeatures(path, signals=SIGNALS)
    store.put({f"user {place}": random.normal(size=STORED).tolist() for place in range(ENTITIES)})
    return store


def lines(many: int) -> list[str]:
    return [
        json.dumps(
            {
                "request_id": f"request {place}",
                "entity_id": f"user {place % ENTITIES}",
                "live_signals": {"clicks": place % 7, "age": 20.0 + place % 50},
            }
        )
        for place in range(many)
    ]


class Weighted:
    """A model that costs next to nothing: what remains is what the stages themselves take."""

    def __init__(self, fitted: LogisticRegression) -> None:
        self._weights = fitted.coef_[0].astype(numpy.float32)

    def predict(self, features: Features) -> Any:
        return float(self._weights @ features.feature_vec)


async def by_hand(connection: MemoryConnection, store: SQLiteFeatures, model: Any) -> int:
    """The same work in five bare async generators: no errors caught, nothing closed, nothing configured."""

    async def parsed() -> AsyncIterator[Request]:
        while (line := await connection.read_request()) is not None:
            yield Request.from_json(line.text)

    async def joined(requests: AsyncIterator[Request]) -> AsyncIterator[Features]:
        async for request in requests:
            yield combined(request, store.stored(request.entity_id), store.signals)

    async def predicted(vectors: AsyncIterator[Features]) -> AsyncIterator[Prediction]:
        async for features in vectors:
            yield Prediction(features.request_id, model.predict(features), features.request)

    async def processed(predictions: AsyncIterator[Prediction]) -> AsyncIterator[Response]:
        async for said in predictions:
            yield Response(said.request_id, said.value)

    async def written(responses: AsyncIterator[Response]) -> AsyncIterator[str | None]:
        async for response in responses:
            await connection.write_response(response.request_id, response)
            yield response.request_id

    count = 0
    async for _ in written(processed(predicted(joined(parsed())))):
        count += 1
    return count


class Job(NamedTuple):
    """One way to serve, and the bar that the ratio of its time to that of the hand-written stages should not pass."""

    name: str
    serve: Callable[[MemoryConnection], Awaitable[int]]
    bar: float | None = None


def jobs(folder: str, store: SQLiteFeatures, model: Any) -> Iterable[Job]:
    async def served(connection: MemoryConnection, **settings: Any) -> int:
        return (await Service(model, features=store, **settings).run(connection))["ok"]

    async def audited(connection: MemoryConnection, log: Callable[[str], Any]) -> int:
        with log(join(folder, "audit.jsonl")) as audit:
            return await served(connection, audit=audit)

    yield Job("audit off", served, 1.1)
    yield Job("audit on, in batches", lambda connection: audited(connection, AuditFile), 1.5)
    yield Job("audit on, structlog", lambda connection: audited(connection, StructlogAudit), 1.5)
    yield Job("check_schemas", lambda connection: served(connection, check_schemas=True))
    limits = {"infer": Policy(timeout=1.0, breaker_failures=5)}
    yield Job("a timeout and a breaker", lambda connection: served(connection, policies=limits))
    yield Job("overlap", lambda connection: served(connection, overlap=True))


def timed(serve: Callable[[MemoryConnection], Awaitable[int]], given: Sequence[str]) -> float:
    connection = MemoryConnection(given, keep=False)

    async def go() -> float:
        gc.collect()
        start = process_time()
        count = await serve(connection)
        took = process_time() - start
        assert count == connection.count == len(given)
        return took

    return asyncio.run(go())


def told(cells: Iterable[str], widths: Sequence[int]) -> None:
    line = " | ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    print(f"| {line} |", flush=True)


def pipeline(many: int, rounds: int, only: str) -> list[str]:
    """Print what the stages take; give the names of the jobs that missed their bar."""
    given, missed = lines(many), []
    widths = (46, 12, 10, 6, 7)
    told(("five stages", "a request", "by hand: 1", "bar", "verdict"), widths)
    told(("-" * width for width in widths), widths)
    with tempfile.TemporaryDirectory() as folder:
        store, fitted = stored(join(folder, "features.db")), trained()
        for what, model in (("classifier", Classifier(fitted)), ("next to no model", Weighted(fitted))):
            rows = [job for job in jobs(folder, store, model) if only in f"{what}: {job.name}"]
            if not rows:
                continue
            best = dict.fromkeys(["by hand", *(job.name for job in rows)], float("inf"))
            for _ in range(rounds):
                for name, serve in (
                    ("by hand", lambda connection, model=model: by_hand(connection, store, model)),
                    *((job.name, job.serve) for job in rows),
                ):
                    best[name] = min(best[name], timed(serve, given))
            told((f"{what}: by hand", f"{best['by hand'] / many * 1e6:.1f} µs", "", "", ""), widths)
            for job in rows:
                found = best[job.name] / best["by hand"]
                # The bars are for real work; of a model that does nothing the ratio is told and not judged.
                bar = job.bar if what == "classifier" else None
                met = "" if bar is None else "met" if found <= bar else "missed"
                took = f"{best[job.name] / many * 1e6:.1f} µs"
                told((f"{what}: {job.name}", took, f"{found:.2f}", f"≤ {bar}" if bar else "", met), widths)
                missed += [f"{what}: {job.name}"] * (met == "missed")
        store.close()
    return missed


def records(rounds: int) -> list[str]:
    """Print what a record of the audit takes; give the names of the logs that missed their bar."""
    many, missed = 20_000, []
    widths = (46, 12, 10, 6, 7)
    given = [Response(f"request {place}") for place in range(many)]

    async def passed(items: Any) -> AsyncIterator[Response]:
        async for item in items:
            yield item

    async def source() -> AsyncIterator[Response]:
        for item in given:
            yield item

    async def five(wrap: Callable[[Any, str], Any]) -> float:
        stream: Any = source()
        for name in "abcde":
            stream = wrap(passed, name)(stream)
        gc.collect()
        start = process_time()
        async for _ in stream:
            pass
        return process_time() - start

    from funcpipe_rag.serving import audited

    logs: dict[str, tuple[Callable[[str], Any] | None, float | None]] = {
        "none": (None, None),
        "in batches": (AuditFile, 1.5),
        "structlog": (StructlogAudit, 8.0),
    }
    best = dict.fromkeys(logs, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, (log, _bar) in logs.items():
                if log is None:
                    best[name] = min(best[name], asyncio.run(five(lambda stage, name: stage)))
                    continue
                with log(join(folder, "audit.jsonl")) as audit:
                    wrap = lambda stage, name, audit=audit: audited(stage, audit, name=name)  # noqa: E731
                    # What is still to be written when the stream has ended is part of the price.
                    took = asyncio.run(five(wrap))
                    start = process_time()
                best[name] = min(best[name], took + process_time() - start)
    print()
    told(("audit", "a record", "", "bar", "verdict"), widths)
    told(("-" * width for width in widths), widths)
    for name, (_, bar) in logs.items():
        if bar is not None:
            found = (best[name] - best["none"]) / (5 * many) * 1e6
            met = "met" if found <= bar else "missed"
            told((name, f"{found:.2f} µs", "", f"≤ {bar}", met), widths)
            missed += [f"audit {name}"] * (met == "missed")
    return missed


COST, BOUND = 0.005, 0.050
"""What a call costs, for one request as for many, and what 99 of 100 requests may take; in seconds."""


class Device:
    """One device: a call has it for itself and takes as long for one request as for many, plus what a row takes."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()

    async def predict_many(self, features: Sequence[Features]) -> Sequence[Any]:
        async with self._free:
            await asyncio.sleep(COST)
            return [float(one.feature_vec[0]) for one in features]

    async def predict(self, features: Features) -> Any:
        return (await self.predict_many([features]))[0]


async def load(
    predict: Callable[[Features], Awaitable[Any]], clients: int, seconds: float
) -> tuple[float, float]:
    """So many clients, each of which asks again when it is answered: answers a second, and the 99th percentile."""
    features = combined(Request("r"), [1.0], [])
    took: list[float] = []
    end = perf_counter() + seconds

    async def client() -> None:
        while (start := perf_counter()) < end:
            await predict(features)
            took.append(perf_counter() - start)

    start = perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(took) / (perf_counter() - start), quantiles(took, n=100)[98]


async def most(predict: Callable[[Features], Awaitable[Any]], seconds: float) -> tuple[float, float, int]:
    """The most answers a second, with as many clients as keep the bound."""
    best = (0.0, 0.0, 0)
    clients = 1
    while True:
        rate, p99 = await load(predict, clients, seconds)
        if p99 > BOUND:
            return best
        best = max(best, (rate, p99, clients))
        clients *= 2


def batching(seconds: float) -> list[str]:
    """Print how many answers a second there are with many calls as one, and without, within the same bound."""

    async def both() -> tuple[tuple[float, float, int], tuple[float, float, int]]:
        alone = await most(Device().predict, seconds)
        async with Batched(Device(), max_size=64, max_wait=0.002) as batched:
            return alone, await most(batched.predict, seconds)

    alone, together = asyncio.run(both())
    print(
        f"\na call takes {COST * 1e3:g} ms, for one as for many; 99 of 100 answers within {BOUND * 1e3:g} ms\n"
    )
    widths = (46, 12, 10, 6, 7)
    told(("many calls as one", "answers/s", "clients", "p99", ""), widths)
    told(("-" * width for width in widths), widths)
    for name, (rate, p99, clients) in (("one call each", alone), ("Batched(max_size=64)", together)):
        told((name, f"{rate:,.0f}", str(clients), f"{p99 * 1e3:.0f} ms", ""), widths)
    found = together[0] / alone[0]
    met = "met" if found >= 4 else "missed"
    told(("ratio", f"{found:.1f}", "", "≥ 4", met), widths)
    return ["many calls as one"] * (met == "missed")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each number of clients asks")
    parser.add_argument("--only", default="", metavar="NAME", help="jobs with this in their name")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    asked = parser.parse_args()
    python = sys.version.split()[0]
    print(
        f"Python {python}, scikit-learn {sklearn.__version__}, {asked.requests:,} requests, best of {asked.rounds}\n"
    )
    missed = pipeline(asked.requests, asked.rounds, asked.only)
    if asked.only in "audit a record":
        missed += records(asked.rounds)
    if asked.only in "many calls as one":
        missed += batching(asked.seconds)
    if missed:
        print(f"\n{len(missed)} missed: {'; '.join(missed)}")
    if missed and asked.strict:
        sys.exit(1)


if __name__ == "__main__":
    main()
