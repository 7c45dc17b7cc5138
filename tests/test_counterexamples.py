"""A counterexample that a lesson prints is the same wherever it is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KEPT = json.loads((HERE / "counterexamples.json").read_text(encoding="utf-8"))
PYTHONS = os.environ.get("FUNCPIPE_PYTHONS", "python3.11:python3.12:python3.13").split(":")


def found_by(python: str, *, where: Path) -> dict[str, list[str]]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-P", str(HERE / "counterexamples.py")],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_smallest_inputs_are_the_ones_we_keep(tmp_path: Path) -> None:
    """In a process of its own, from another folder, with another hash seed each time."""
    assert found_by(sys.executable, where=tmp_path) == KEPT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(out), str(HERE.parent)], check=True, timeout=300)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_and_so_they_are_on_every_python_and_from_a_wheel(python: str, wheel: Path, tmp_path: Path) -> None:
    found = shutil.which(python)
    answers = found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0
    if not answers:
        pytest.skip(f"{python} is not on this machine (FUNCPIPE_PYTHONS names others)")
    subprocess.run([python, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    inside = str(tmp_path / "venv" / "bin" / "python")
    install = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, str(wheel), f"hypothesis=={version('hypothesis')}"], check=True, timeout=300)
    assert found_by(inside, where=tmp_path) == KEPT
