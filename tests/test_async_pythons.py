"""The async room does the same on every Python: its doctests pass, and every schedule is the one we have here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PYTHONS = os.environ.get("FUNCPIPE_PYTHONS", "python3.11:python3.12:python3.13").split(":")


def told_by(python: str) -> dict[str, Any]:
    # The room needs the standard library alone, so the checkout on the path is all that an interpreter is given.
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-W", "error", str(HERE / "schedules.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    # What a failing doctest prints stands before the last line.
    *said, last = done.stdout.splitlines()
    assert said == []
    told: dict[str, Any] = json.loads(last)
    return told


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    return told_by(sys.executable)


def test_the_doctests_and_schedules_come_out_in_a_process_of_their_own(here: dict[str, Any]) -> None:
    assert {"mapping", "stages", "testing"} <= here["doctests"].keys()
    assert sum(many for many, _ in here["doctests"].values()) > 50
    assert {name: failed for name, (_, failed) in here["doctests"].items() if failed} == {}
    endings = {how.rpartition(" ")[2]: came for how, (came, _, _) in here["mapped"].items()}
    assert endings["fails"][-2][1] == "Boom('the call with 7 failed')"
    assert {how: most for how, (_, most) in here["eager"].items() if most > int(how[0])} == {}
    # Nothing in flight, the source closed once, however it ended.
    assert {tuple(came[-1][1:]) for came, _, _ in here["mapped"].values()} == {(0, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_and_the_same_on_every_python(python: str, here: dict[str, Any]) -> None:
    found = shutil.which(python)
    answers = found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0
    if not answers:
        pytest.skip(f"{python} is not on this machine (FUNCPIPE_PYTHONS names others)")
    assert told_by(python) == here
