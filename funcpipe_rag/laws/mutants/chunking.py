"""What people write in place of cleaning and chunking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from funcpipe_rag import rag
from funcpipe_rag.laws.chunking import BOUNDED, CHUNKING, CLEANING
from funcpipe_rag.rag import ChunkWithoutEmbedding, CleanBlock, CleanDoc, RagEnv, RawDoc

from .mutant import mutant
from .stages import wrapped

Chunks = Iterator[ChunkWithoutEmbedding]

for _family in (CLEANING, CHUNKING, BOUNDED):
    wrapped(_family)


@mutant(of="gen_clean_docs", killed_by="gen-clean-docs-keeps-the-way-back")
def counts_clean_characters(docs: Iterable[RawDoc]) -> Iterator[CleanDoc]:
    """Cleans well, and takes a place in the clean text for one in the raw text."""
    for doc in rag.gen_clean_docs(docs):
        yield doc._replace(blocks=_one_block(doc.text))


@mutant(of="gen_clean_docs", killed_by="gen-clean-docs-reads-a-text-anew")
def gives_its_blocks_once(docs: Iterable[RawDoc]) -> Iterator[CleanDoc]:
    """Opens the text when the document is made: the second reader finds it used up."""
    for doc in rag.gen_clean_docs(docs):
        yield doc._replace(blocks=partial(iter, doc.blocks()))


@mutant(of="gen_clean_docs", killed_by="gen-clean-docs-changes-nothing-twice")
def ends_each_text_with_a_newline(docs: Iterable[RawDoc]) -> Iterator[CleanDoc]:
    """Adds a line end each time, so that what was clean changes again."""
    for doc in rag.gen_clean_docs(docs):
        yield doc._replace(blocks=_one_block(doc.text + "\n"))


def _one_block(text: str) -> Callable[[], Iterator[CleanBlock]]:
    return lambda: iter([CleanBlock(text, 0)])


@mutant(of="gen_chunks", killed_by="gen-chunks-cleans-its-slice")
def looks_the_passage_up(docs: Iterable[CleanDoc], env: RagEnv, **options: Any) -> Chunks:
    """Cuts first and finds the place afterwards with `text.find`, in the clean text."""
    for doc in docs:
        for chunk in rag.gen_chunks([doc], env, **options):
            at = doc.text.find(chunk.text)
            yield chunk._replace(start=at, stop=at + len(chunk.text))


@mutant(of="gen_chunks", killed_by="gen-chunks-covers-the-raw-text")
def gives_a_tail_that_was_there(docs: Iterable[CleanDoc], env: RagEnv, **options: Any) -> Chunks:
    """Moves on by size minus overlap until the text is used up: the last window lies inside the one before."""
    step = env.chunk_size - env.overlap
    for doc in docs:
        for ordinal, at in enumerate(range(0, len(doc.text), step)):
            text = doc.text[at : at + env.chunk_size]
            yield ChunkWithoutEmbedding(doc.doc_id, text, at, at + len(text), ordinal)


@mutant(of="gen_chunks", killed_by="gen-chunks-does-not-see-the-blocks")
def cuts_each_block_by_itself(docs: Iterable[CleanDoc], env: RagEnv, **options: Any) -> Chunks:
    """Chunks what it reads as it reads it: a passage ends where a block does."""
    for doc in docs:
        ordinal = 0
        for block in doc.blocks():
            for at in range(0, len(block.text), env.chunk_size):
                text = block.text[at : at + env.chunk_size]
                yield ChunkWithoutEmbedding(
                    doc.doc_id, text, block.raw(at), block.raw(at + len(text)), ordinal
                )
                ordinal += 1


@mutant(of="gen_overlapping_chunks", killed_by="overlapping-chunks-are-slices-that-cover-the-text")
def leaves_the_tail_out(doc_id: str, text: Any, *, size: int, overlap: int = 0, **options: Any) -> Chunks:
    """Gives whole windows alone: `range(0, len(text) - size + 1, step)`."""
    for chunk in rag.gen_overlapping_chunks(doc_id, text, size=size, overlap=overlap):
        if len(chunk.text) == size:
            yield chunk


@mutant(of="gen_overlapping_chunks", killed_by="overlapping-chunks-pad-adds-only-to-the-text")
def pads_the_offsets_too(doc_id: str, text: Any, *, size: int, **options: Any) -> Chunks:
    """Takes the length of the padded text for that of the slice."""
    for chunk in rag.gen_overlapping_chunks(doc_id, text, size=size, **options):
        yield chunk._replace(stop=chunk.start + len(chunk.text))


@mutant(of="gen_overlapping_chunks", killed_by="overlapping-chunks-drop-says-how-much")
def counts_what_was_shared(
    doc_id: str, text: Any, *, overlap: int = 0, on_drop: Any = None, **options: Any
) -> Chunks:
    """Counts the whole of the dropped window, also what the one before it has said."""
    told = None if on_drop is None else (lambda doc_id, characters: on_drop(doc_id, characters + overlap))
    return rag.gen_overlapping_chunks(doc_id, text, overlap=overlap, on_drop=told, **options)


@mutant(of="gen_overlapping_chunks", killed_by="overlapping-chunks-read-no-further")
def reads_the_whole_text(doc_id: str, text: Any, **options: Any) -> Chunks:
    """Joins the text first, however long it is."""
    whole = text if isinstance(text, str) else "".join(text())
    yield from rag.gen_overlapping_chunks(doc_id, whole, **options)


@mutant(of="gen_overlapping_chunks", killed_by="overlapping-chunks-start-afresh")
def one_buffer_for_all_readings(doc_id: str, text: Any, *, size: int, **options: Any) -> Chunks:
    """Holds what is read in a list outside the function: two readings share it."""
    _HELD.clear()
    at = 0
    for block in [text] if isinstance(text, str) else text():
        _HELD.extend(block)
        while len(_HELD) >= size:
            yield ChunkWithoutEmbedding(doc_id, "".join(_HELD[:size]), at, at + size, at // size)
            del _HELD[:size]
            at += size
    if _HELD:
        yield ChunkWithoutEmbedding(doc_id, "".join(_HELD), at, at + len(_HELD), at // size)


_HELD: list[str] = []


@mutant(of="gen_overlapping_chunks", killed_by="overlapping-chunks-close-the-text")
def leaves_the_text_open(doc_id: str, text: Any, **options: Any) -> Chunks:
    """Loops over the text with `for`, which closes nothing when it is left."""
    given = text if isinstance(text, str) else lambda: (block for block in text())
    yield from rag.gen_overlapping_chunks(doc_id, given, **options)


Multi = Callable[[], Chunks]


@mutant(of="make_multi_rag_fn", killed_by="multi-rag-chunks-all-of-its-sources")
def bounds_the_documents(env: RagEnv, most: int, sources: list[Any], **options: Any) -> Multi:
    """Counts documents where passages were meant."""

    def docs() -> Iterator[RawDoc]:
        return islice(rag.gen_clean_docs(doc for source in sources for doc in source()), most)  # type: ignore[arg-type]

    return lambda: rag.gen_chunks(docs(), env)  # type: ignore[arg-type]


@mutant(of="make_multi_rag_fn", killed_by="multi-rag-opens-nothing-at-birth")
def opens_its_sources_first(env: RagEnv, most: int, sources: list[Any], **options: Any) -> Multi:
    """Asks each source for its first document while the pipeline is being built."""

    def run() -> Chunks:
        opened = [source() for source in sources]
        first = [doc for it in opened for doc in islice(it, 1)]

        def docs() -> Iterator[RawDoc]:
            yield from first
            for it in opened:
                yield from it

        return rag.gen_bounded_chunks(rag.gen_clean_docs(docs()), env, most)

    return run


@mutant(of="make_multi_rag_fn", killed_by="multi-rag-starts-afresh")
def opens_once_for_all_runs(env: RagEnv, most: int, sources: list[Any], **options: Any) -> Multi:
    """Opens its sources when it is made: the second call goes on where the first one stopped."""
    docs = (doc for source in sources for doc in source())
    return lambda: (chunk for chunk in rag.gen_bounded_chunks(rag.gen_clean_docs(docs), env, most))


@mutant(of="make_multi_rag_fn", killed_by="multi-rag-closes-what-it-opened")
def leaves_its_sources_to_the_collector(env: RagEnv, most: int, sources: list[Any], **options: Any) -> Multi:
    """Chains its sources with `for`, and closes none that it stops reading."""

    def docs() -> Iterator[RawDoc]:
        for source in sources:
            yield from iter(source().__next__, None)

    return lambda: rag.gen_bounded_chunks(rag.gen_clean_docs(docs()), env, most)
