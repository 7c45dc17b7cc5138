"""The audit timeline: a bar for each request at each stage, where the clock says, and the gaps upon it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.aio.testing import run
from funcpipe_rag.plots import AuditTimeline
from funcpipe_rag.serving import (
    STAGES,
    Features,
    MemoryConnection,
    Policy,
    Record,
    Request,
    Service,
    Trail,
    replay,
)

SVG = "{http://www.w3.org/2000/svg}"


class Second:
    """A model that takes a second, or an hour for one request."""

    async def predict(self, features: Features) -> Any:
        await asyncio.sleep(3600 if features.request_id == "hangs" else 1)
        return 1


def records(ids: list[str], **service: Any) -> list[Record]:
    trail = Trail(clock=lambda: asyncio.get_running_loop().time())

    async def go() -> None:
        given = [Request(name).to_json() for name in ids]
        task = asyncio.create_task(Service(Second(), audit=trail, **service).run(MemoryConnection(given)))
        await asyncio.wait([task], timeout=60)
        task.cancel()
        await asyncio.wait([task])

    run(go())
    return trail.records


def drawn(picture: AuditTimeline) -> ElementTree.Element:
    return ElementTree.fromstring(picture.to_svg())


def bars(picture: AuditTimeline) -> list[tuple[str, int, int, int]]:
    """What each bar is called, and where it is: from, to, and how far down."""
    found = []
    for group in drawn(picture).iter(f"{SVG}g"):
        box, title = group.find(f"{SVG}rect"), group.find(f"{SVG}title")
        if box is not None and title is not None:
            x, width, y = (int(box.get(name, "")) for name in ("x", "width", "y"))
            found.append((str(title.text), x, x + width, y))
    return found


def test_each_request_has_a_bar_at_each_stage_where_the_clock_says() -> None:
    picture = AuditTimeline(replay(records(["r0", "r1", "r2"])))
    of_infer = [bar for bar in bars(picture) if ": infer" in bar[0]]
    assert [name for name, *_ in of_infer] == [
        f"{place + 1}. 'r{place}': infer, 1 s, from {place} s" for place in range(3)
    ]
    (_, left, _, _), *_, (_, _, right, _) = of_infer
    third = (right - left) / 3
    for place, (_, start, stop, _) in enumerate(of_infer):
        assert abs(start - left - place * third) <= 1 and abs(stop - start - third) <= 1
    assert len(bars(picture)) == 15 and len({y for *_, y in of_infer}) == 1
    assert picture.alt == "3 requests, 3 answered, in 3 s; of the time in stages infer took 100 %"


def test_requests_that_a_stage_has_at_the_same_time_are_beside_each_other() -> None:
    picture = AuditTimeline(replay(records(["a", "b", "c"], policies={"infer": Policy(concurrency=3)})))
    places = {(start, stop): y for name, start, stop, y in bars(picture) if ": infer" in name}
    assert len({y for name, *_, y in bars(picture) if ": infer" in name}) == 3 and len(places) == 1
    rows = picture.to_text().split("infer ")[1].split("post_process")[0].splitlines()
    assert [line.split() for line in rows] == [["1" * 84], ["2" * 84], ["3" * 84]]


def test_who_was_not_answered_is_marked_three_times() -> None:
    picture = AuditTimeline(replay(records(["r0", "hangs"])))
    assert picture.to_text().splitlines()[-3].startswith("gaps") and "?" in picture.to_text().splitlines()[-3]
    says = "unanswered: 'hangs' came in, and its last sign is from featurize"
    assert picture.to_text().endswith(f"? {says}") and picture.alt.endswith(says)
    crosses = [
        str(title.text) for title in drawn(picture).iter(f"{SVG}title") if "not answered" in str(title.text)
    ]
    assert crosses == ["'hangs' was not answered"]


def test_gaps_in_the_record_go_through_all_rows_and_are_told() -> None:
    given = [json.dumps({"run": "monday", "begun": 0, "batch": 512})]
    given += [json.dumps(one._asdict() | {"run": "monday"}) for one in records(["r0", "r1", "r2"])]
    del given[3]
    picture = AuditTimeline(replay([*given, '{"run": "mon']), run="monday")
    titles = [str(title.text) for title in drawn(picture).iter(f"{SVG}title")]
    for kind in "killed", "missing":
        assert sum(title.startswith(f"{kind}: ") for title in titles) == 1
    assert [gap.kind for gap in picture.gaps] == ["killed", "cut", "missing", "skipped"]
    words = [str(text.text) for text in drawn(picture).iter(f"{SVG}text")]
    assert [word for word in words if word in ("killed", "missing")] == ["missing", "killed"]
    assert "cut: line 16 breaks off" in words


def test_of_several_runs_one_is_drawn() -> None:
    both = [
        one._replace(run=name) for name in ("one", "two") for one in records(["r0", "r1"][: len(name) - 1])
    ]
    told = replay(both)
    assert AuditTimeline(told).run == "two"
    assert AuditTimeline(told, run="one").requests == 2
    with pytest.raises(ValueError, match="AuditTimeline: no run 'three' in this audit; it has one, two"):
        AuditTimeline(told, run="three")
    with pytest.raises(ValueError, match="most must be >= 1, got 0"):
        AuditTimeline(told, most=0)


def test_of_many_requests_the_first_are_drawn_and_the_rest_counted() -> None:
    told = replay(records([f"r{place}" for place in range(9)]))
    picture = AuditTimeline(told, most=3)
    assert len(bars(picture)) == 15 and picture.requests == 9
    assert "the first 3 are drawn, in 3 s" in picture.alt and "the first 3 of 9 requests" in picture.to_svg()
    assert picture.to_text().splitlines()[-1] == "1 'r0', 2 'r1', 3 'r2', and 6 more"


HOSTILE = [
    "<script>alert('x')</script>",
    "]]>&amp;\"'",
    "\x00\x1b[31m\n",
    "x" * 200,
    "日本語のとても長い",
    "\ud800",
    "",
]
ids = st.one_of(st.none(), st.sampled_from(HOSTILE), st.text(max_size=20))
spans = st.floats(0, 1e6, allow_nan=False)


@given(
    st.lists(st.tuples(st.sampled_from([*STAGES, "other"]), ids, spans, spans, st.booleans()), max_size=30),
    st.integers(1, 10),
    st.sampled_from(HOSTILE),
)
@settings(max_examples=100, deadline=None)
def test_it_is_well_drawn_whatever_the_record(given: list[tuple[Any, ...]], most: int, name: str) -> None:
    made = [
        Record(t, name, stage, seq, request_id, took, last)
        for seq, (stage, request_id, t, took, last) in enumerate(given)
    ]
    picture = AuditTimeline(replay(made), most=most)
    root = drawn(picture)
    wide, high = int(root.get("width", "")), int(root.get("height", ""))
    for box in root.iter(f"{SVG}rect"):
        x, y, width, height = (int(box.get(key, "")) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= wide and 0 <= y <= y + height <= high
    for words in root.iter(f"{SVG}text"):
        assert int(words.get("y", "")) <= high
    lines = repr(picture).splitlines()
    assert all(line.isprintable() for line in lines)
    assert root.get("aria-label") == picture.alt


def test_the_path_of_an_audit_is_told_to_be_replayed_first() -> None:
    with pytest.raises(TypeError, match=r"got str; write AuditTimeline\(replay\(...\)\)"):
        AuditTimeline("audit.jsonl")  # type: ignore[arg-type]
