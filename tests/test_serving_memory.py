"""A long run in a process of its own: memory stays where it was, and the audit counts who is in the chain."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MIB = 2**20

LONG_RUN = """
import asyncio, gc, json, os, sys, tempfile
from collections import Counter
from time import perf_counter

from funcpipe_rag.serving import AuditFile, MemoryConnection, Service, SQLiteFeatures

many, warm, overlap, to_disk = json.loads(sys.argv[1])
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident():
    gc.collect()
    with open("/proc/self/statm") as said:
        return int(said.read().split()[1]) * PAGE


seen = {"most_in_chain": 0, "records": 0, "first": 0, "most": 0}


class Counts:
    '''An audit that keeps nothing: who is in the chain, and how much memory there is.'''

    clock = staticmethod(perf_counter)

    def __init__(self):
        self.counts = Counter()
        self.came = self.went = 0

    def note(self, stage, request_id, began, ended, last):
        seen["records"] += 1
        if stage == "parse_requests":
            self.came += 1
            seen["most_in_chain"] = max(seen["most_in_chain"], self.came - self.went)
            if self.came == warm:
                seen["first"] = seen["most"] = resident()
            elif self.came > warm and self.came % (many // 20) == 0:
                seen["most"] = max(seen["most"], resident())
        elif stage == "write_responses":
            self.went += 1


class AlsoOnDisk(Counts):
    def __init__(self, path):
        super().__init__()
        self.file = AuditFile(path)

    def note(self, *record):
        super().note(*record)
        self.file.note(*record)


class Sums:
    def predict(self, features):
        return float(features.feature_vec.sum())


def lines():
    for place in range(many):
        yield '{"request_id": "r%d", "entity_id": "u%d", "live_signals": {"clicks": %d}}' % (place, place % 100, place)


with tempfile.TemporaryDirectory() as folder:
    store = SQLiteFeatures(folder + "/features.db", signals=["clicks"])
    store.put({f"u{place}": [place / 2, 1.0] for place in range(100)})
    log = AlsoOnDisk(folder + "/audit.jsonl") if to_disk else Counts()
    connection = MemoryConnection(lines(), keep=False)
    answered = asyncio.run(Service(Sums(), features=store, overlap=overlap, audit=log).run(connection))
    store.close()
print(json.dumps(seen | {"answered": answered["ok"], "came": log.came, "went": log.went}))
"""


def long_run(many: int, warm: int, *, overlap: bool = False, to_disk: bool = False) -> dict[str, int]:
    asked = json.dumps([many, warm, overlap, to_disk])
    done = subprocess.run(
        [sys.executable, "-c", LONG_RUN, asked], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, int] = json.loads(done.stdout)
    assert seen["answered"] == seen["came"] == seen["went"] == many
    assert seen["records"] == 5 * many
    return seen


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory from /proc")


@linux_only
@pytest.mark.parametrize(("overlap", "in_the_chain"), [(False, 1), (True, 5)])
def test_memory_stays_where_it_was(overlap: bool, in_the_chain: int) -> None:
    seen = long_run(30_000, 10_000, overlap=overlap, to_disk=True)
    assert seen["most"] - seen["first"] <= 5 * MIB
    assert seen["most_in_chain"] <= in_the_chain


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize(("overlap", "in_the_chain"), [(False, 1), (True, 5)])
def test_of_a_million_requests_no_more_are_in_the_chain_than_of_a_few(
    overlap: bool, in_the_chain: int
) -> None:
    seen = long_run(1_000_000, 20_000, overlap=overlap)
    assert seen["most"] - seen["first"] <= 5 * MIB
    assert 1 <= seen["most_in_chain"] <= in_the_chain
    assert overlap or seen["most_in_chain"] == 1
