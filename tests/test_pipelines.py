"""What a pipeline says of itself: where an error came from, item by item, and what it looks like."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag import (
    Pipeline,
    amap,
    amerge,
    as_source,
    asource,
    compose,
    fence_k,
    ffilter,
    fmap,
    fork2_lockstep,
    fork_lockstep,
    laws,
    make_batched,
    make_chain,
    make_keyed_join,
    make_merge,
    make_roundrobin,
    make_router,
    sink,
    source,
)
from funcpipe_rag.aio.testing import run
from funcpipe_rag.streams.drawing import to_mermaid, to_svg, to_words
from funcpipe_rag.streams.probe import Boom, Probe


def traced_compose(*transforms: Callable[[Iterable[Any]], Iterable[Any]]) -> Pipeline[Any, Any]:
    return compose(*transforms).traced()


@laws.each_law("compose")
def test_a_traced_pipeline_keeps_every_law(law: laws.Law) -> None:
    laws.assert_kept(law, traced_compose, examples=40)


def notes_of(pipeline: Pipeline[Any, Any], *given: Iterable[Any]) -> list[str]:
    with pytest.raises((LookupError, ZeroDivisionError, TypeError, Boom)) as raised:
        pipeline.as_function()(*given)
    return list(raised.value.__notes__)


@settings(deadline=None, max_examples=60)
@given(items=st.lists(st.integers(-9, 9), min_size=1, max_size=12), data=st.data())
def test_a_trace_names_the_item_and_counts_every_seam(items: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(items) - 1))
    place = data.draw(st.integers(1, 3))
    seen = count()

    def fails(n: int) -> int:
        if next(seen) == at:
            raise LookupError(n)
        return n

    steps = [fmap(abs), fmap(abs), fmap(abs)]
    steps[place - 1] = fmap(fails)
    pipeline = as_source(items) | steps[0] | steps[1] | steps[2]
    where, at_item = notes_of(pipeline.traced())
    assert where.startswith(f"raised in stage {place + 1} of 4, fmap(")
    shown = items[at] if place == 1 else abs(items[at])
    counts = [at + 1] * place + [at] * (4 - place)
    gave = ", ".join(f"{step.name} {number}" for step, number in zip(pipeline.stages, counts, strict=True))
    assert at_item == f"at item {at}, {shown}; items so far: {gave}"


def test_a_trace_of_a_source_of_an_input_and_before_the_first_item() -> None:
    @source
    def three_then_none() -> Iterator[int]:
        yield from (1, 2, 3)
        raise LookupError

    def eager(_: Iterable[Any]) -> Iterator[Any]:
        raise LookupError
        yield

    assert (
        notes_of((three_then_none | fmap(str)).traced())[1]
        == "after 3 items; items so far: three_then_none 3, fmap 3"
    )
    assert notes_of(fmap(str).__or__(fence_k(9)).traced(), three_then_none()) == [
        "raised in the input of: fmap(str) | fence_k(9)",
        "after 3 items; items so far: fmap 3, fence_k 3",
    ]
    assert (
        notes_of((as_source("ab") | eager).traced())[1]
        == "before its first item; items so far: as_source 0, eager 0"
    )
    assert notes_of((as_source("ab") | fmap(str) | sink(sum)).traced())[1].startswith(
        "at item 0, 'a'; items so far: as_source 1, "
    )


def test_a_trace_stays_when_the_pipeline_grows_and_the_old_one_stays_untraced() -> None:
    plain = as_source([1, 0]) | fmap(lambda n: 1 // n)
    traced = plain.traced()
    assert len(notes_of(plain)) == 1
    assert len(notes_of(traced)) == len(notes_of(traced | fmap(str))) == 2
    assert repr(traced) == repr(plain)
    assert list((as_source("ab") | fmap(str.upper)).traced()()) == ["A", "B"]


def test_an_item_that_cannot_be_shown_does_not_hide_the_error() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("nobody may see me")

    notes = notes_of((as_source([Shy()]) | fmap(len)).traced())
    assert notes[1].startswith("at item 0, <Shy>;")


def test_a_trace_closes_what_the_pipeline_made_and_asks_for_no_more() -> None:
    probe = Probe("abcdef", budget=3)
    it = ((lambda: probe()) | fmap(str.upper) | ffilter(str.isalpha)).traced()()
    assert list(islice(it, 3)) == ["A", "B", "C"]
    it.close()
    assert (probe.pulls, probe.closes) == (3, 1)


PICTURED: dict[str, Pipeline[Any, Any] | Any] = {
    "row": as_source("abc") | fmap(str.upper) | sink(list),
    "merge": make_merge(as_source([1]) | fmap(abs), lambda: iter([2]), key=abs) | fence_k(3),
    "fork": as_source("ab")
    | fork_lockstep(fmap(ord), fmap(str.upper) | fmap(str.lower), fork2_lockstep(fmap(len), fmap(str))),
    "join": as_source("ab") | make_keyed_join(lambda pair: pair, fmap(str), fmap(str.upper)),
    "router": as_source("ab") | make_router(str.upper, {"A": str.upper, "B": str.lower}),
    "nested": make_chain(make_roundrobin(as_source("a"), as_source("b")), as_source("c") | make_batched(2))
    | fmap(str),
    "long": compose(
        *(fmap(step) for step in [str.upper, str.lower, str.title, str.strip, str.casefold, str.swapcase] * 3)
    ),
    "hostile": as_source('<script>alert("1")</script>&\n\x00') | fmap(lambda s: s) | fmap(str),
    "wide": as_source(["x" * 500]) | fork2_lockstep(fmap(str), fmap(str)),
}


@pytest.mark.parametrize("name", PICTURED)
def test_a_picture_holds_every_stage_inside_its_frame_and_none_upon_another(name: str) -> None:
    drawn = ET.fromstring(to_svg(PICTURED[name]))
    space = "{http://www.w3.org/2000/svg}"
    wide, tall = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    boxes = []
    for group in drawn.iter(f"{space}g"):
        rect, text = group.find(f"{space}rect"), group.find(f"{space}text")
        assert rect is not None and text is not None and text.text
        x, y, w, h = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + w <= wide and y + h <= tall
        assert len(text.text) * 7.3 <= w - 18
        assert group.find(f"{space}title") is not None
        boxes.append((x, y, w, h))
    assert len(boxes) == len(re.findall(r"^    n\d+[(\[]", to_mermaid(PICTURED[name]), re.MULTILINE))
    for one, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[one + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y, "two boxes overlap"
    assert drawn.attrib["role"] == "img"
    assert drawn.attrib["aria-label"] == drawn.findtext(f"{space}title") == to_words(PICTURED[name])


def test_a_long_pipeline_goes_on_below() -> None:
    drawn = ET.fromstring(to_svg(PICTURED["long"]))
    assert float(drawn.attrib["width"]) < 920
    rows = {rect.get("y") for rect in drawn.iter("{http://www.w3.org/2000/svg}rect")}
    assert len(rows) > 3


def test_a_notebook_gets_the_picture_and_a_terminal_the_line() -> None:
    bundle = PICTURED["merge"]._repr_mimebundle_()
    assert bundle["text/plain"] == repr(PICTURED["merge"])
    assert bundle["image/svg+xml"] == to_svg(PICTURED["merge"])
    assert set(fmap(str)._repr_mimebundle_()) == {"text/plain"}


def test_a_flowchart_joins_what_the_pipeline_joins() -> None:
    lines = PICTURED["fork"].to_mermaid().splitlines()
    names = dict(re.findall(r"(n\d+)[(\[]+\"(\w+)", "\n".join(lines)))
    edges = [tuple(names[end] for end in line.strip().split(" --> ")) for line in lines if "-->" in line]
    assert edges == [
        ("as_source", "fork_lockstep"),
        ("fork_lockstep", "fmap"),
        ("fork_lockstep", "fmap"),
        ("fmap", "fmap"),
        ("fork_lockstep", "fork2_lockstep"),
        ("fork2_lockstep", "fmap"),
        ("fork2_lockstep", "fmap"),
    ]


def test_the_same_pipeline_gives_the_same_picture() -> None:
    def built() -> Pipeline[Any, Any]:
        return as_source("ab") | fmap(lambda s: s) | fork2_lockstep(fmap(ord), fmap(str))

    assert to_svg(built()) == to_svg(built())


def test_an_error_in_a_branch_names_the_fork() -> None:
    def fails(_: Any) -> Any:
        raise Boom("here")

    notes = notes_of((as_source("ab") | fork2_lockstep(fmap(str), fmap(fails)) | fmap(str)).traced())
    assert notes[0].startswith("raised in stage 2 of 3, fork2_lockstep(")
    assert notes[1].startswith("at item 0, 'a'")


def test_a_stage_that_is_not_async_says_so_where_it_is_joined_to_one_that_is() -> None:
    async def passes(xs: Any) -> Any:
        async for x in xs:
            yield x

    numbers = as_source([1, 2])
    for other in amap(str), passes, amap(str) | amap(int):
        with pytest.raises(
            TypeError, match=r"the right side is async; begin with asource\(as_source\(\[1, 2\]\)\)"
        ):
            numbers | other
    with pytest.raises(TypeError, match=r"fmap\(str\) \| amap\(str\): the right side is async"):
        fmap(str) | amap(str)  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"fmap\(str\) is not async and cannot read this stream; take amap"):
        amap(str) | fmap(str)
    assert run((asource(numbers) | amap(str))().collect()) == ["1", "2"]


def test_what_is_no_source_is_told_what_makes_one_of_it() -> None:
    async def pages(many: int) -> Any:
        for page in range(many):
            yield page

    with pytest.raises(
        TypeError, match=r"pages wants many, and a source is called with nothing; write asource\(lambda"
    ):
        asource(pages)  # type: ignore[arg-type]
    assert run(asource(lambda: pages(2))().collect()) == [0, 1]
    with pytest.raises(TypeError, match=r"got a list; write lambda: \(...\)"):
        asource([1, 2])  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"source 0 must be .*, got a one-shot iterator; pass the function that makes it"
    ):
        amerge(amap(str)([1]))  # type: ignore[arg-type]
