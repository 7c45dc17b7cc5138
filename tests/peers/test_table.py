"""The table in README.md is what a run gives: here the rows of the standard library, which need nothing installed."""

from __future__ import annotations

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def test_the_standard_library_rows_are_those_of_a_fresh_run() -> None:
    """Who keeps what, and the smallest inputs. How a law words it may change: `--check` looks at that too."""
    script = runpy.run_path(str(HERE / "keep_our_laws.py"))
    fresh = "\n".join(script["tables"](script["standard_library"](), with_ours=False))
    written = script["rows"]((HERE / "README.md").read_text("utf-8"), wording=False)
    assert [row for row in script["rows"](fresh, wording=False) if row not in written] == []


def test_every_standard_library_row_is_still_made() -> None:
    script = runpy.run_path(str(HERE / "keep_our_laws.py"))
    table = (HERE / "README.md").read_text("utf-8")
    assert [peer.name for peer in script["standard_library"]() if f"| `{peer.name}` |" not in table] == []
