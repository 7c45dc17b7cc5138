"""CPU time of an import, as a ratio to `python -c pass`: python tests/benchmarks/bench_import.py [ROUNDS]

The runs take turns, so a busy machine slows all of them alike. The bounds are the project's promise;
they are printed and not asserted, since a shared machine's clock proves nothing. Unix only (wait4).
"""

import os
import statistics
import sys

BASE = "pass"
BOUNDS = {
    "import funcpipe_rag": 1.2,
    "from funcpipe_rag import make_chain, fork2_lockstep, multicast_bounded, fence_k": 2.5,
}
CACHING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Compiling is not what we time, so the first run may keep what it has compiled."""


def cpu_ms(statement: str) -> float:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", statement], CACHING)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"failed: python -c {statement!r}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def main(rounds: int) -> None:
    for statement in (BASE, *BOUNDS):
        cpu_ms(statement)  # writes the bytecode, which is not what we time
    times: dict[str, list[float]] = {statement: [] for statement in (BASE, *BOUNDS)}
    for _ in range(rounds):
        for statement, taken in times.items():
            taken.append(cpu_ms(statement))
    least, middle = min(times[BASE]), statistics.median(times[BASE])
    print(f"python -c pass takes {middle:.1f} ms of CPU (median; min {least:.1f} ms); {rounds} rounds")
    for statement, bound in BOUNDS.items():
        by_middle, by_least = statistics.median(times[statement]) / middle, min(times[statement]) / least
        print(f"{by_middle:4.2f}× (by min {by_least:4.2f}×), bound {bound}×: {statement}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
