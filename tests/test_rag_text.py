"""Cleaning and chunking: the laws that make a citation exact."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, strategies as st

from funcpipe_rag.rag import (
    ChunkWithoutEmbedding,
    CleanDoc,
    RagEnv,
    RawDoc,
    clean,
    gen_bounded_chunks,
    gen_chunks,
    gen_clean_docs,
    gen_overlapping_chunks,
    make_multi_rag_fn,
)
from funcpipe_rag.rag.outline import Outline, markdown_headings
from funcpipe_rag.streams import as_source

characters = st.text(alphabet=st.sampled_from("ab#. \t\n\r\x00\x0c\x85\ud800é\u00a0"), max_size=80)
phrases = st.lists(
    st.sampled_from(
        [
            "# A\n",
            "## B\n",
            "\n\n",
            "One. ",
            "two",
            "e.g. ",
            "def f():\n",
            "@x\n",
            "  def g(self):\n",
            "```\n",
            "\r\n",
            "  ",
        ]
    ),
    max_size=16,
).map("".join)
raws = characters | phrases


def envs_with(*tails: str) -> st.SearchStrategy[RagEnv]:
    """Settings with any sizes and boundary, and one of these tails."""
    return st.builds(
        lambda size, share, tail, boundary: RagEnv(size, min(int(size * share), size - 1), tail, boundary),
        st.integers(1, 20),
        st.floats(0, 1),
        st.sampled_from(tails),
        st.sampled_from(["char", "word", "sentence", "markdown", "code"]),
    )


envs = envs_with("emit")


def streamed(text: str, cuts: list[int]) -> Callable[[], Iterator[str]]:
    """A text in blocks that end at `cuts`."""

    def blocks() -> Iterator[str]:
        at = 0
        for cut in sorted(cut % (len(text) + 1) for cut in cuts):
            yield text[at:cut]
            at = max(at, cut)
        yield text[at:]

    return blocks


def chunks_of(text: object, env: RagEnv, source: str = "a.md") -> list[ChunkWithoutEmbedding]:
    return list(gen_chunks(gen_clean_docs([RawDoc("d", text, source)]), env))  # type: ignore[arg-type]


@given(raws)
def test_cleaning_is_idempotent_and_leaves_nothing_irregular(raw: str) -> None:
    text = clean(raw)
    assert clean(text) == text
    assert not set(text) & set("\r\x00\x0c\x85\ud800")
    assert " \n" not in text
    assert "\t\n" not in text


@given(raws, st.lists(st.integers(0, 80), max_size=6))
def test_clean_blocks_are_the_clean_text_and_know_their_raw_offsets(raw: str, cuts: list[int]) -> None:
    [doc] = gen_clean_docs([RawDoc("d", streamed(raw, cuts), "a.txt")])
    assert doc.text == clean(raw)
    at = 0
    for block in doc.blocks():
        assert block.start == at
        at = block.raw(len(block.text))
        for place in range(len(block.text) + 1):
            assert clean(raw[block.start : block.raw(place)]) == block.text[:place]
    assert at == len(raw)


@given(raws, envs)
def test_a_chunks_raw_slice_cleans_to_its_text(raw: str, env: RagEnv) -> None:
    for chunk in chunks_of(raw, env):
        assert clean(raw[chunk.start : chunk.stop]) == chunk.text
        assert 0 < len(chunk.text) <= env.chunk_size


@given(raws, envs)
def test_chunks_go_forward_cover_everything_and_repeat_nothing_needlessly(raw: str, env: RagEnv) -> None:
    chunks = chunks_of(raw, env)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    reached, rebuilt, before = 0, "", None
    for chunk in chunks:
        assert chunk.start <= reached < chunk.stop
        if before is not None:
            assert before.start < chunk.start
            shared = clean(raw[chunk.start : before.stop])
            assert len(shared) <= env.overlap
            assert len(shared) == env.overlap or env.boundary != "char"
            assert chunk.text.startswith(shared)
            rebuilt += chunk.text[len(shared) :]
        else:
            rebuilt += chunk.text
        reached, before = chunk.stop, chunk
    assert reached == len(raw)
    assert rebuilt == clean(raw)


@given(raws, envs_with("emit", "drop", "pad"), st.lists(st.integers(0, 80), max_size=8))
@pytest.mark.filterwarnings("ignore:gen_chunks:RuntimeWarning")
def test_chunks_do_not_depend_on_the_blocks_that_the_text_came_in(
    raw: str, env: RagEnv, cuts: list[int]
) -> None:
    assert chunks_of(streamed(raw, cuts), env) == chunks_of(raw, env)


@given(st.text(alphabet="ab \n", max_size=60), st.integers(2, 12), st.integers(0, 11))
def test_word_chunks_cut_no_word_that_has_a_gap_in_reach(text: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    chunks = list(gen_overlapping_chunks("d", text, size=size, overlap=overlap, boundary="word"))

    def gap(place: int) -> bool:
        return place in (0, len(text)) or text[place - 1].isspace() or text[place].isspace()

    stop = 0
    for chunk in chunks:
        if not gap(chunk.stop):
            least = max(stop, chunk.start + size // 2)
            assert not any(map(gap, range(least + 1, chunk.start + size + 1)))
        if not gap(chunk.start):
            assert chunk.start == stop
        stop = chunk.stop


@pytest.mark.parametrize(
    ("boundary", "text", "chunks"),
    [
        (
            "sentence",
            "It is, e.g. here. Two! Three goes on and on",
            ["It is, e.g. here. ", "Two! Three goes on ", "and on"],
        ),
        ("sentence", "A long title\n\nIts text goes on", ["A long title\n\n", "Its text goes on"]),
        ("markdown", "intro\n# A\none\n\ntwo\n## B\nx\n", ["intro\n", "# A\none\n\ntwo\n", "## B\nx\n"]),
        ("markdown", "# Abcd\n```\n# no heading\n```\n", ["# Abcd\n```\n", "# no heading\n```\n"]),
        (
            "code",
            "import a\n\n@x\ndef f():\n    y\n\nclass C:\n    z\n",
            ["import a\n\n", "@x\ndef f():\n    y\n\n", "class C:\n    z\n"],
        ),
        (
            "code",
            "class Cls:\n    def f(): x\n    def g(): y\n",
            ["class Cls:\n", "    def f(): x\n", "    def g(): y\n"],
        ),
    ],
)
def test_cuts_fall_where_the_text_itself_divides(boundary: str, text: str, chunks: list[str]) -> None:
    assert [chunk.text for chunk in gen_overlapping_chunks("d", text, size=20, boundary=boundary)] == chunks  # type: ignore[arg-type]


lines = st.text(alphabet="ab .", max_size=30)


@pytest.mark.parametrize(("boundary", "opens"), [("markdown", "# {}\n"), ("code", "def f{}():\n")])
@given(
    sections=st.lists(lines, min_size=2, max_size=5),
    place=st.integers(0, 4),
    edited=lines,
    size=st.integers(2, 12),
)
def test_an_edit_changes_only_the_chunks_of_its_section(
    boundary: str, opens: str, sections: list[str], place: int, edited: str, size: int
) -> None:
    place %= len(sections)

    def texts(bodies: list[str]) -> list[str]:
        text = "".join(opens.format(n) + f" {body}\n" for n, body in enumerate(bodies))
        return [chunk.text for chunk in chunks_of(text, RagEnv(size, size // 3, boundary=boundary))]  # type: ignore[arg-type]

    after = [*sections[:place], edited, *sections[place + 1 :]]
    head, tail = texts(sections[:place]), texts([""] * (place + 1) + sections[place + 1 :])
    tail = tail[len(texts([""] * (place + 1))) :]
    for now in (texts(sections), texts(after)):
        assert now[: len(head)] == head
        assert now[len(now) - len(tail) :] == tail


def test_no_chunk_lies_inside_the_one_before_it() -> None:
    texts = [chunk.text for chunk in gen_overlapping_chunks("d", "abcdefghij", size=4, overlap=2)]
    assert texts == ["abcd", "cdef", "efgh", "ghij"]


@given(st.text(alphabet="ab", min_size=1, max_size=30), st.integers(1, 9))
def test_pad_adds_only_to_the_text_and_drop_reports_what_it_leaves_out(text: str, size: int) -> None:
    emitted = list(gen_overlapping_chunks("d", text, size=size))
    padded = list(gen_overlapping_chunks("d", text, size=size, tail="pad"))
    assert [chunk._replace(text=chunk.text.rstrip()) for chunk in padded] == emitted
    assert all(len(chunk.text) == size for chunk in padded)
    dropped: list[int] = []
    kept = list(
        gen_overlapping_chunks("d", text, size=size, tail="drop", on_drop=lambda _, n: dropped.append(n))
    )
    assert kept == [chunk for chunk in emitted if len(chunk.text) == size]
    assert sum(dropped) == len(text) - size * len(kept)


@given(raws, envs_with("drop", "pad"))
def test_a_tail_changes_nothing_but_the_last_chunk(raw: str, env: RagEnv) -> None:
    dropped: list[int] = []
    docs = gen_clean_docs([RawDoc("d", raw, "a.md")])
    got = list(gen_chunks(docs, env, on_drop=lambda _, characters: dropped.append(characters)))
    emitted = chunks_of(raw, RagEnv(env.chunk_size, env.overlap, boundary=env.boundary))
    if env.tail == "drop":
        assert got == emitted[: len(got)]
        covered = clean(raw[: got[-1].stop]) if got else ""
        assert len(covered) + sum(dropped) == len(clean(raw))
        return
    assert got[:-1] == emitted[:-1]
    for padded, plain in zip(got[-1:], emitted[-1:], strict=True):
        assert padded._replace(text="") == plain._replace(text="")
        assert padded.text in (plain.text, plain.text.ljust(env.chunk_size))
        assert clean(raw[padded.start : padded.stop]) == plain.text


def test_drop_warns_once_when_nobody_asked_to_be_told() -> None:
    docs = gen_clean_docs([RawDoc("a", "abcde", "a"), RawDoc("b", "abc", "b")])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(list(gen_chunks(docs, RagEnv(chunk_size=2, tail="drop")))) == 3
    [warning] = caught
    assert "2 tails, 2 characters" in str(warning.message)


def test_a_chunk_costs_no_more_text_than_its_window() -> None:
    pulled: list[int] = []

    def blocks() -> Iterator[str]:
        n = 0
        while True:
            pulled.append(n)
            yield "ab cd "
            n += 1

    [doc] = gen_clean_docs([RawDoc("d", blocks, "a.txt")])
    chunks = gen_chunks([doc], RagEnv(chunk_size=12, overlap=3))
    next(chunks)
    # A block's last blank stays undecided until the next block is there: 12 characters take 3 blocks, not 2.
    assert len(pulled) == 3
    chunks.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [gen_chunks, lambda docs, env: gen_bounded_chunks(docs, env, 99)])
def test_a_text_is_closed_early_and_on_error(make: Callable[..., Iterator[ChunkWithoutEmbedding]]) -> None:
    closed: list[str] = []

    def blocks() -> Iterator[str]:
        try:
            yield "abcdefgh"
            raise OSError("torn")
        finally:
            closed.append("closed")

    docs = [RawDoc("d", blocks, "a.txt")]
    chunks = make(gen_clean_docs(docs), RagEnv(chunk_size=4))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert closed == ["closed"]
    chunks = make(gen_clean_docs(docs), RagEnv(chunk_size=5))
    assert next(chunks).text == "abcde"
    with pytest.raises(OSError, match="torn"):
        list(chunks)
    assert closed == ["closed", "closed"]


def test_bounded_chunks_ask_for_no_document_behind_the_one_they_need() -> None:
    asked: list[int] = []

    def docs() -> Iterator[RawDoc]:
        for n in range(100):
            asked.append(n)
            yield RawDoc(str(n), "abcdefgh", "a.txt")

    for bound, needs in ((0, []), (1, [0]), (2, [0]), (3, [0, 1])):
        asked.clear()
        chunks = list(gen_bounded_chunks(gen_clean_docs(docs()), RagEnv(chunk_size=4), bound))
        assert (len(chunks), asked) == (bound, needs)


def test_multi_rag_merges_its_sources_and_opens_none_before_the_first_pull() -> None:
    opened: list[str] = []

    def source(name: str, texts: list[str]) -> Callable[[], Iterator[RawDoc]]:
        def docs() -> Iterator[RawDoc]:
            opened.append(name)
            try:
                yield from (RawDoc(f"{name}{n}", text, f"{name}{n}.md") for n, text in enumerate(texts))
            finally:
                opened.append(f"-{name}")

        return docs

    rag = make_multi_rag_fn(RagEnv(chunk_size=2), 3, [source("a", ["11", "22"]), source("b", ["33"])])
    chunks = rag()
    assert opened == []
    assert [chunk.text for chunk in chunks] == ["11", "33", "22"]
    assert opened == ["a", "b", "-b", "-a"]
    assert [chunk.text for chunk in rag()] == ["11", "33", "22"]
    chained = make_multi_rag_fn(
        RagEnv(2), 9, [source("a", ["11", "22"]), source("b", ["33"])], fan_in="chain"
    )
    assert [chunk.text for chunk in chained()] == ["11", "22", "33"]


def test_memory_does_not_grow_with_the_document() -> None:
    def peak(blocks: int) -> int:
        def text() -> Iterator[str]:
            return iter(f"line {n} of the text  \r\n" * 500 for n in range(blocks))

        tracemalloc.start()
        for _ in gen_chunks(gen_clean_docs([RawDoc("d", text, "a.md")]), RagEnv(1000, 200, boundary="word")):
            pass
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return got

    peak(2)
    assert peak(160) < 1.5 * peak(20)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RagEnv(0), "chunk_size must be >= 1, got 0"),
        (lambda: RagEnv(5, -1), "overlap must be >= 0, got -1"),
        (lambda: RagEnv(5, 5), r"overlap must be less than chunk_size \(5\), got 5"),
        (lambda: RagEnv("5"), "chunk_size must be a whole number, got '5'"),
        (lambda: RagEnv(5, tail="cut"), 'tail must be "emit", "drop" or "pad", got \'cut\''),
        (lambda: RagEnv(5, boundary="paragraph"), '"markdown" or "code", got'),
        (lambda: gen_overlapping_chunks("d", "", size=0), "size must be >= 1"),
        (lambda: gen_bounded_chunks([], RagEnv(5), -1), "max_chunks must be >= 0"),
        (lambda: make_multi_rag_fn(RagEnv(5), -1, []), "max_chunks must be >= 0"),
        (lambda: make_multi_rag_fn(RagEnv(5), 1, [[]]), "source 0"),
        (lambda: make_multi_rag_fn(RagEnv(5), 1, [as_source([])], fan_in="zip"), "fan_in must be"),
        (lambda: next(gen_clean_docs(["text"])), "wants RawDoc items, got str"),
        (lambda: next(gen_chunks([RawDoc("d", "", "")], RagEnv(5))), "wants CleanDoc items"),
    ],
)
def test_bad_arguments_name_themselves(make: Callable[[], object], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make()


MARKDOWN = "# A\n\ntext\n\n```python\n# no heading\n```\n\n## B\nx\n# C\n"
RST = "Title\n=====\n\nPart\n----\ntext\n\nNext\n----\n"
PYTHON = "import os\n\nclass A:\n    async def run(self):\n        pass\n\ndef f[T](x): ...\n"


@pytest.mark.parametrize(
    ("source", "text", "paths"),
    [
        ("a.md", MARKDOWN, {"text": ["A"], "# no": ["A"], "x\n": ["A", "B"], "# C": ["C"]}),
        ("a.rst", RST, {"Title": ["Title"], "text": ["Title", "Part"], "Next": ["Title", "Next"]}),
        ("a.py", PYTHON, {"import": [], "pass": ["A", "run"], "(x)": ["f"]}),
        ("a.txt", MARKDOWN, {"x\n": []}),
    ],
)
@given(cuts=st.lists(st.integers(0, 80), max_size=8))
def test_an_outline_knows_the_headings_whatever_the_blocks(
    source: str, text: str, paths: dict[str, list[str]], cuts: list[int]
) -> None:
    outline = Outline(source)
    for block in streamed(text, cuts)():
        outline.feed(block)
    outline.feed("\n")
    assert {mark: list(outline.path(text.index(mark))) for mark in paths} == paths


def test_a_line_too_long_for_a_heading_is_forgotten_and_hides_nothing_behind_it() -> None:
    outline = Outline("a.md")
    for _ in range(50):
        outline.feed("x" * 1000)
    outline.feed("# not a heading\n# One\n")
    assert outline.path(50_016) == ("One",)
    assert outline.path(50_016 + 99) == ("One",)


def test_chunks_carry_their_headings() -> None:
    chunks = chunks_of("# A\n\naaaa\n\n## B\n\nbbbb\n", RagEnv(10))
    assert [chunk.metadata.get("heading") for chunk in chunks] == ["A", "A", "A > B"]
    assert [heading.level for heading in markdown_headings("## B", [])] == [1]
    assert isinstance(next(gen_clean_docs([RawDoc("d", "", "a")])), CleanDoc)
