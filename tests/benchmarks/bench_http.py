"""Requests a second over HTTP on loopback, from another process: our service, and a bare endpoint with the same model.

    python tests/benchmarks/bench_http.py [--rounds N] [--requests N] [--clients N]

`bare` is a Starlette endpoint that parses the request, asks the model and answers: what one would write without us. The
model takes 0.1 ms of the processor. `one by one` and `batched` have a model that takes 5 ms a call, for one request as for
many. Rounds alternate; the best one of each is shown, and the median of the ratios, as other work on the machine
slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """One round: requests a second, and latency in milliseconds."""

    rate: float
    p50: float
    p99: float


class Busy:
    """A model that takes 0.1 ms of the processor."""

    def predict(self, features: Any) -> float:
        end = perf_counter() + 0.0001
        while perf_counter() < end:
            pass
        return 0.5


class FixedCost:
    """A model on another machine: 5 ms a call, for one or for many."""

    async def predict(self, features: Any) -> float:
        return (await self.predict_many([features]))[0]

    async def predict_many(self, features: Any) -> list[float]:
        await asyncio.sleep(0.005)
        return [0.5] * len(features)


def bare() -> None:
    """Serve the bare endpoint."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from funcpipe_rag.serving.access import address_of, listening

    model = Busy()

    async def endpoint(request: Request) -> JSONResponse:
        given = await request.json()
        return JSONResponse(
            {"version": 1, "request_id": given["request_id"], "status": "ok", "value": model.predict(given)}
        )

    app = Starlette(routes=[Route("/requests", endpoint, methods=["POST"])])
    bound = listening("127.0.0.1", 0)
    print(address_of(bound), flush=True)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[bound])


def served(kind: str) -> None:
    """Serve one of ours."""
    from funcpipe_rag.serving import Batched, Service
    from funcpipe_rag.serving.lifetime import Addresses, serve

    def ready(addresses: Addresses) -> None:
        print(addresses.http, flush=True)

    async def run() -> None:
        if kind == "batched":
            async with Batched(FixedCost(), max_size=32, max_wait=0.002) as model:
                await serve(Service(model), lanes=32, ready=ready)
        else:
            await serve(Service(Busy() if kind == "ours" else FixedCost()), ready=ready)

    asyncio.run(run())


async def load(port: int, requests: int, clients: int) -> Measured:
    """Ask from so many connections, each in turn."""
    took: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for n in range(requests // clients):
            body = json.dumps({"request_id": f"{number}-{n}", "text": "What is a fence?"}).encode()
            since = perf_counter()
            head = b"POST /requests HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            said = await reader.readuntil(b"\r\n\r\n")
            if not said.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(said.decode())
            length = said.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            took.append(perf_counter() - since)
        writer.close()

    since = perf_counter()
    await asyncio.gather(*map(client, range(clients)))
    rate = len(took) / (perf_counter() - since)
    took.sort()
    return Measured(rate, 1000 * took[len(took) // 2], 1000 * took[len(took) * 99 // 100])


def compared(one: str, other: str, rounds: int, requests: int, clients: int) -> None:
    """Measure two kinds in turns, and print what came."""
    processes = {
        kind: subprocess.Popen([sys.executable, __file__, "--serve", kind], stdout=subprocess.PIPE, text=True)
        for kind in (one, other)
    }
    try:
        ports = {}
        for kind, process in processes.items():
            assert process.stdout is not None
            ports[kind] = int(process.stdout.readline().rpartition(":")[2])
        found: dict[str, list[Measured]] = {kind: [] for kind in ports}
        for _ in range(rounds):
            for kind, port in ports.items():
                found[kind].append(asyncio.run(load(port, requests, clients)))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    for kind, measured in found.items():
        best = max(measured)
        print(f"{kind:<11} {best.rate:>7,.0f} requests/s   p50 {best.p50:6.2f} ms   p99 {best.p99:6.2f} ms")
    ratio = median(b.rate / a.rate for a, b in zip(found[one], found[other], strict=True))
    print(f"{other} / {one}: {ratio:.2f} times the requests a second, in the median of {rounds} rounds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=2000, help="a round")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve == "bare":
        bare()
    elif given.serve:
        served(given.serve)
    else:
        compared("bare", "ours", given.rounds, given.requests, given.clients)
        compared("one by one", "batched", given.rounds, given.requests // 4, given.clients)


if __name__ == "__main__":
    main()
