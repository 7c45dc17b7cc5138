"""What mypy and pyright make of pipelines: `streams.py` and `tasks.py` in tests/typed are right, `refused.py` is wrong where it says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TYPED = ROOT / "tests" / "typed"
REFUSED = TYPED / "refused.py"

pytestmark = pytest.mark.slow


def _marked() -> set[int]:
    lines = enumerate(REFUSED.read_text(encoding="utf-8").splitlines(), start=1)
    return {number for number, line in lines if line.endswith("# refused")}


def test_mypy_knows_the_types_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    options = ["--strict", "--no-pretty", "--hide-error-context", f"--cache-dir={tmp_path}"]
    run = [
        sys.executable,
        "-m",
        "mypy",
        *options,
        *map(str, (TYPED / "streams.py", TYPED / "tasks.py", REFUSED)),
    ]
    said = subprocess.run(run, cwd=ROOT, capture_output=True, text=True).stdout
    errors = [line.split(":", 2) for line in said.splitlines() if ": error:" in line]
    assert {path for path, *_ in errors} == {"tests/typed/refused.py"}, said
    assert {int(number) for _, number, _ in errors} == _marked(), said


def test_pyright_knows_the_types_and_refuses_what_does_not_fit() -> None:
    pyright = shutil.which("pyright", path=str(ROOT / ".venv-pyright" / "bin")) or shutil.which("pyright")
    if pyright is None:
        pytest.skip("needs pyright: make check-all installs it into .venv-pyright")
    run = [pyright, "--outputjson", f"--pythonpath={sys.executable}", str(TYPED)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in found
        if each["severity"] == "error"
    ]
    assert {name for name, _ in errors} == {"refused.py"}, found
    assert {line for _, line in errors} == _marked(), found
