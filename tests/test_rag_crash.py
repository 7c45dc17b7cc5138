"""kill -9 at any statement of a build, a re-build or a rebuild: nothing is lost, doubled or half there.

The child kills itself when it is about to run its n-th statement, so that every place in a build can be reached,
also the middle of a staged document and of a delete pass; `test_rag_index` kills from outside, at full speed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from funcpipe_rag.rag import Index, RagEnv, RawDoc, build_index, gen_ingest, make_embedder

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="wants SIGKILL")

ROOT = Path(__file__).parent.parent
ENV = RagEnv(40, 10, boundary="word")
OTHER = RagEnv(50, 10, boundary="word")


def text(name: str, version: int, words: int) -> str:
    return " ".join(f"{name}{w if w % 50 else f'v{version}'}" for w in range(words))


def corpus(version: int) -> list[RawDoc]:
    """Forty small documents and two that take several transactions; version 2 changes, adds and leaves out."""
    small = {f"{n:03}.txt": text(f"word{n}x", version if n % 4 == 0 else 1, 60) for n in range(40)}
    large = {f"large{n}.txt": text(f"w{n}x", version, 30_000) for n in range(2)}
    if version == 2:
        for name in ("005.txt", "006.txt", "033.txt", "large1.txt"):
            small.pop(name, None)
            large.pop(name, None)
        small["new.txt"] = text("new", 2, 60)
    return [RawDoc(name, words, name) for name, words in (small | large).items()]


CHILD = """
import os, signal, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests"]
import test_rag_crash as it
from funcpipe_rag.rag import make_embedder, build_index, writer

opened, left, log = writer._opened, int(sys.argv[4]), open(sys.argv[5], "a", buffering=1)

def counted(statement):
    global left
    left -= 1
    if left == 0:
        log.write("KILLED " + " ".join(statement.split()) + chr(10))
        os.kill(os.getpid(), signal.SIGKILL)
    if left < 0:
        log.write(" ".join(statement.split()[:5]) + chr(10))

def watched(path, patience):
    connection = opened(path, patience)
    connection.set_trace_callback(counted)
    return connection

writer._opened = watched
rebuild = sys.argv[3] == "rebuild"
build_index(
    sys.argv[2], it.corpus(2), it.OTHER if rebuild else it.ENV, rebuild=rebuild, embedder=make_embedder("hash:16")
)
"""


def build(index: Path, how: str, kill_at: int) -> tuple[int, list[str]]:
    log = index.with_suffix(".log")
    log.unlink(missing_ok=True)
    words = [str(ROOT), str(index), how, str(kill_at), str(log)]
    done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, log.read_text().splitlines()


def state(index: Path) -> dict[str, list[bytes]]:
    """The chunk ids of each document that a reader sees, after a check of everything."""
    with Index(index) as opened:
        assert list(opened.check()) == []
        found: dict[str, list[bytes]] = {}
        for source, one in opened.rows(
            "SELECT source, chunk_id FROM chunk JOIN document ON document.id = document ORDER BY source, ordinal"
        ):
            found.setdefault(source, []).append(one)
        return found


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, list[bytes]]]]:
    """The undisturbed runs: version 1, version 2, version 2 with other settings."""
    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for name, version, env in (("one", 1, ENV), ("update", 2, ENV), ("rebuild", 2, OTHER)):
        build_index(folder / f"{name}.db", corpus(version), env, embedder=make_embedder("hash:16"))
        found[name] = folder / f"{name}.db", state(folder / f"{name}.db")
    return found


@pytest.fixture(scope="module")
def statements(
    tmp_path_factory: pytest.TempPathFactory, states: dict[str, tuple[Path, dict[str, list[bytes]]]]
) -> dict[str, list[str]]:
    """What a build runs when nobody kills it."""
    found = {}
    for how in ("update", "rebuild"):
        index = tmp_path_factory.mktemp("counted") / "docs.db"
        shutil.copy(states["one"][0], index)
        code, found[how] = build(index, how, 0)
        assert code == 0
        assert state(index) == states[how][1]
    return found


STAGING, MOVING, SWEEPING, REMOVING = (
    "INSERT INTO staged_chunk VALUES",
    "SELECT text, raw, start, stop,",
    "DELETE FROM stored_chunk WHERE id",
    "DELETE FROM stored_document WHERE id",
)
"""The beginnings of statements: staging a document, moving it, taking away what it left, a delete pass."""


def check_kills(
    tmp_path: Path,
    states: dict[str, tuple[Path, dict[str, list[bytes]]]],
    statements: dict[str, list[str]],
    turns: int,
    seed: int,
) -> Counter[str]:
    choose = random.Random(seed)
    killed_in: Counter[str] = Counter()
    before = states["one"][1]
    for turn in range(turns):
        how = "rebuild" if turn % 5 == 4 else "update"
        wanted = states[how][1]
        index = tmp_path / f"{turn}.db"
        shutil.copy(states["one"][0], index)
        kinds = [[kind] for kind in (STAGING, MOVING, SWEEPING, REMOVING)]
        of = kinds[turn % 5] if turn % 5 < 4 else [""]
        places = [n for n, one in enumerate(statements[how], 1) if one.startswith(tuple(of))]
        for place in (choose.choice(places), choose.randrange(1, len(statements[how]))):
            code, log = build(index, how, place)
            if code == 0:
                break  # the second build had less to do
            killed_in.update(
                kind for kind in (STAGING, MOVING, SWEEPING, REMOVING) if log[0].startswith(f"KILLED {kind}")
            )
            now = state(index)
            if how == "rebuild":
                assert now in (before, wanted)
            for source in {*before, *now, *wanted}:
                assert now.get(source) in (before.get(source), wanted.get(source)), source
        again = build_index(
            index,
            corpus(2),
            OTHER if how == "rebuild" else ENV,
            rebuild=how == "rebuild",
            embedder=make_embedder("hash:16"),
        )
        assert state(index) == wanted
        assert again.quarantined == 0
        assert not list(tmp_path.glob("*.rebuild*"))
        index.unlink()
    return killed_in


def test_killed_at_5_statements_the_next_run_ends_as_if_nothing_had_been(
    tmp_path: Path,
    states: dict[str, tuple[Path, dict[str, list[bytes]]]],
    statements: dict[str, list[str]],
) -> None:
    killed_in = check_kills(tmp_path, states, statements, 5, seed=1)
    assert set(killed_in) == {STAGING, MOVING, SWEEPING, REMOVING}


@pytest.mark.slow
def test_killed_at_50_statements_the_next_run_ends_as_if_nothing_had_been(
    tmp_path: Path,
    states: dict[str, tuple[Path, dict[str, list[bytes]]]],
    statements: dict[str, list[str]],
) -> None:
    killed_in = check_kills(tmp_path, states, statements, 50, seed=2)
    assert min(killed_in[kind] for kind in (STAGING, MOVING, SWEEPING, REMOVING)) >= 5


@pytest.mark.slow
def test_killed_from_outside_at_50_moments_the_next_run_ends_as_if_nothing_had_been(
    tmp_path: Path, states: dict[str, tuple[Path, dict[str, list[bytes]]]]
) -> None:
    choose = random.Random(3)
    before, wanted = states["one"][1], states["update"][1]
    index = tmp_path / "docs.db"
    log = tmp_path / "docs.log"
    kills = 0
    while kills < 50:
        for ending in ("", "-wal", "-shm"):
            (tmp_path / f"docs.db{ending}").unlink(missing_ok=True)
        shutil.copy(states["one"][0], index)
        for _ in range(10):
            words = [str(ROOT), str(index), "update", "0", str(log)]
            child = subprocess.Popen([sys.executable, "-c", CHILD, *words], stderr=subprocess.PIPE)
            log.write_text("")
            # Moments are counted in statements, not in seconds: a slow machine is killed in the same places.
            at = choose.randrange(1, 20_000)
            while child.poll() is None and len(log.read_bytes()) < at * 20:
                os.sched_yield()
            child.kill()
            child.communicate()
            if child.returncode == 0:
                break
            kills += 1
            now = state(index)
            for source in {*before, *now, *wanted}:
                assert now.get(source) in (before.get(source), wanted.get(source)), source
        for _ in gen_ingest(index, corpus(2), ENV, embedder=make_embedder("hash:16")):
            pass
        assert state(index) == wanted
