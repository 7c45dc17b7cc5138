"""COSTS.md lists every public function of the streams, and says of each what its docstring says today. (Times are not asserted.)"""

from __future__ import annotations

import re

import bench_cost
import pytest
import samples


def cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


ROWS = {
    row[0].strip("`"): row
    for row in map(cells, bench_cost.PAGE.read_text(encoding="utf-8").splitlines())
    if row and row[0].startswith("`")
}


def test_the_page_lists_the_public_functions_and_no_other() -> None:
    assert list(ROWS) == list(samples.public_functions()), "make costs"


@pytest.mark.parametrize("name", samples.public_functions())
def test_the_page_says_what_the_docstring_says(name: str) -> None:
    functions = samples.public_functions()
    assert ROWS[name] == cells(bench_cost.row(name, ROWS[name][1], functions)), "make costs"
    assert re.fullmatch(r"\d+(\.\d+)?", ROWS[name][1])
    # parse_ts is the one function that takes a value and no stream.
    assert bench_cost.said(name, functions)["Demand"] or name == "parse_ts", f"{name} does not say its demand"


def test_what_is_said_of_another_function_is_what_that_one_says() -> None:
    functions = samples.public_functions()
    assert bench_cost.said("batched", functions) == bench_cost.said("make_batched", functions)
    assert bench_cost.said("make_rolling_mean", functions) == bench_cost.said("make_rolling_sum", functions)
    assert bench_cost.said("stage", functions)["Memory"] == "as the function has them"


def test_a_function_without_a_sample_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(samples.SAMPLES, "fmap")
    with pytest.raises(LookupError, match=r"no sample for fmap: add a row to SAMPLES in samples\.py"):
        samples.samples()
    monkeypatch.setitem(samples.SAMPLES, "fmop", samples.SAMPLES["ffilter"])
    monkeypatch.setitem(samples.SAMPLES, "fmap", samples.SAMPLES["ffilter"])
    with pytest.raises(LookupError, match="no public function of streams or aio: fmop"):
        samples.samples()


def test_times_are_rounded_to_two_figures() -> None:
    assert list(map(bench_cost.rounded, [0.0123, 0.26, 1.26, 9.97, 12.4, 123])) == [
        "0.01", "0.3", "1.3", "10", "12", "120",
    ]  # fmt: skip
