"""Time the RAG builder's ingest, and judge its retrieval, against its peers, side by side on one corpus: every row with its bar.

`python tests/benchmarks/bench_rag.py [--only WORD] [--rounds 3]` prints a Markdown table; `make bench-rag` makes an
environment with the peers first. Ratios are of rates, so more is better; what has a peer is measured in turns, and
the best of its rounds counts. Ingest runs in a child each, timed there from its first import to the last byte on
disk, and a row says whether wall or CPU time is compared. A bar that is met by less than 5 % is reported as met,
and nothing is asserted: a shared machine's clock proves nothing.

The corpus: the HTML, POD and manual pages of Debian's documentation packages where `apt-get download` has them,
and the standard library's source; it is kept in .bench-corpus/.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / ".bench-corpus"
PACKAGES = ("python3.11-doc", "postgresql-doc-15", "git-doc", "perl-doc", "manpages", "manpages-dev")
ENDINGS = (".html", ".txt", ".pod", ".py", ".rst", ".md", ".gz")
SIZE, OVERLAP, DIMENSION = 1000, 200, 256


class Row(NamedTuple):
    """A measured figure with its bar."""

    what: str
    against: str
    found: float
    bar: float | None
    unit: str = "×"
    at_most: bool = False
    note: str = ""

    def __str__(self) -> str:
        met = ""
        if self.bar is not None:
            ok = self.found <= self.bar if self.at_most else self.found >= self.bar
            close = abs(self.found / self.bar - 1) < 0.05
            met = ("met" if ok else "missed") + (", by less than 5 %" if close else "")
        sign = "≤" if self.at_most else "≥"
        bar = "" if self.bar is None else f"{sign} {self.bar:g} {self.unit}"
        return (
            f"| {self.what} | {self.against} | {self.found:.2f} {self.unit} | {bar} | {met} | {self.note} |"
        )


def make_corpus(megabytes: int) -> None:
    """Files 00000.html, 00001.py … of real text, no two the same, in an order that does not change."""
    done = CORPUS / "made"
    if done.exists():
        return
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    origins = []
    with TemporaryDirectory() as folder:
        for package in PACKAGES:
            got = subprocess.run(
                ["apt-get", "download", package], cwd=folder, capture_output=True, check=False
            )
            debs = list(Path(folder).glob(f"{package}_*.deb"))
            if got.returncode == 0 and debs:
                subprocess.run(["dpkg-deb", "-x", debs[0], f"{folder}/unpacked"], check=True)
                origins.append(debs[0].name.split("_")[0])
        roots = [Path(folder) / "unpacked", Path(sysconfig.get_path("stdlib"))]
        paths = sorted(
            path
            for root in roots
            for path in root.rglob("*")
            if path.suffix in ENDINGS and path.is_file() and "site-packages" not in path.parts
        )
        random.Random(7).shuffle(paths)
        seen: set[int] = set()
        size = number = 0
        for path in paths:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            try:
                text = data.decode()
            except UnicodeDecodeError:
                continue
            if len(text) < 200 or "\0" in text or hash(text) in seen:
                continue
            seen.add(hash(text))
            ending = path.suffix if path.suffix in (".html", ".py", ".rst", ".md") else ".txt"
            (CORPUS / f"{number:05}{ending}").write_bytes(data)
            number += 1
            size += len(data)
            if size > megabytes * 1_000_000:
                break
    origins.append(f"the standard library of Python {sys.version.split()[0]}")
    done.write_text(f"{number:,} documents, {size / 1e6:.1f} MB, from {', '.join(origins)}")


@cache
def paths() -> list[Path]:
    return sorted(CORPUS.glob("[0-9]*.*"))


def slice_of(megabytes: float) -> Iterator[tuple[str, str]]:
    """The first so many megabytes of the corpus: names and texts."""
    left = megabytes * 1_000_000
    for path in paths():
        if left <= 0:
            return
        data = path.read_bytes()
        left -= len(data)
        # As plain text for everybody: what is timed is the work, not who knows which kind of file.
        yield f"{path.stem}.txt", data.decode()


def chunk_rows(only: str, rounds: int) -> Iterator[Row]:
    from funcpipe_rag.rag import RagEnv, RawDoc, gen_chunks, gen_clean_docs, gen_overlapping_chunks

    texts = [text for _, text in slice_of(10)]
    few = [text for _, text in slice_of(1)]
    size = sum(map(len, texts)) / 1e6

    def ours(boundary: Any, over: list[str] = texts, overlap: int = OVERLAP) -> Callable[[], Any]:
        # Read as what it is, a stream; a peer gives lists of text, and has no other way.
        return lambda: [
            deque(gen_overlapping_chunks("d", text, size=SIZE, overlap=overlap, boundary=boundary), maxlen=0)
            for text in over
        ]

    def whole(boundary: Any) -> Callable[[], int]:
        docs = [RawDoc(str(n), text, f"{n}.txt") for n, text in enumerate(texts)]
        env = RagEnv(SIZE, OVERLAP, boundary=boundary)
        return lambda: sum(1 for _ in gen_chunks(gen_clean_docs(docs), env))

    def langchain() -> Iterator[tuple[str, Callable[[], Any]]]:
        from langchain_core.documents import Document
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        plain = RecursiveCharacterTextSplitter(chunk_size=SIZE, chunk_overlap=OVERLAP)
        placed = RecursiveCharacterTextSplitter(chunk_size=SIZE, chunk_overlap=OVERLAP, add_start_index=True)
        docs = [Document(text) for text in texts]
        yield "langchain Recursive split_text", lambda: [plain.split_text(text) for text in texts]
        yield "langchain Recursive, with start index", lambda: placed.split_documents(docs)

    def chonkie() -> Iterator[tuple[str, Callable[[], Any]]]:
        from chonkie import FastChunker, SentenceChunker

        fast = FastChunker(chunk_size=SIZE)
        yield "chonkie FastChunker, both without overlap", lambda: [fast.chunk(text) for text in texts]
        sentence = SentenceChunker(tokenizer="character", chunk_size=SIZE, chunk_overlap=OVERLAP)
        yield "chonkie SentenceChunker", lambda: [sentence.chunk(text) for text in texts]

    def llama() -> Iterator[tuple[str, Callable[[], Any]]]:
        from llama_index.core.node_parser import SentenceSplitter

        splitter = SentenceSplitter(tokenizer=list, chunk_size=SIZE, chunk_overlap=OVERLAP)
        yield "llama SentenceSplitter, on 1 MB", lambda: [splitter.split_text(text) for text in few]

    peers: dict[str, Callable[[], Any]] = {}
    for made in (langchain, chonkie, llama):
        try:
            peers.update(made())
        except ImportError as error:
            print(f"| {made.__name__} | | | | not installed: {error.name} | |", flush=True)
    bars = (
        ("word", "langchain Recursive split_text", 4.5),
        ("word", "langchain Recursive, with start index", 9.0),
        ("word", "chonkie FastChunker, both without overlap", 2.5),
        ("markdown", "langchain Recursive split_text", None),
        ("markdown", "langchain Recursive, with start index", None),
        ("sentence", "chonkie SentenceChunker", 5.0),
        ("sentence", "llama SentenceSplitter, on 1 MB", 40.0),
    )
    for boundary, against, bar in bars:
        if against in peers and only in f"chunker {boundary} {against}":
            # Like for like: a peer that knows no overlap is compared with none.
            overlap = 0 if "without overlap" in against else OVERLAP
            mine = ours(boundary, few if "1 MB" in against else texts, overlap)
            took, theirs = in_turns([mine, peers[against]], 1 if "llama" in against else rounds)
            mb = sum(map(len, few)) / 1e6 if "1 MB" in against else size
            note = f"{mb / took:.0f} against {mb / theirs:.1f} MB/s"
            yield Row(f'chunker, boundary "{boundary}"', against, theirs / took, bar, note=note)
    for boundary in ("word", "sentence", "markdown", "code"):
        if only in f"clean and chunk {boundary}":
            [took] = in_turns([whole(boundary)], rounds)
            yield Row(f'clean and chunk, boundary "{boundary}"', "own", size / took, None, "MB/s")
    if only in "giant":
        giant = ["".join(texts)[:5_000_000]]
        small = [giant[0][at : at + 5000] for at in range(0, 5_000_000, 5000)]
        took, shorts = in_turns([ours("word", giant), ours("word", small)], rounds)
        yield Row("one 5 MB document", "5 MB of small ones", shorts / took, 0.6, note=f"{5 / took:.0f} MB/s")


def in_turns(jobs: list[Callable[[], Any]], rounds: int) -> list[float]:
    """The least CPU seconds of each job, run in turns."""
    best = [float("inf")] * len(jobs)
    for _ in range(rounds):
        for place, job in enumerate(jobs):
            gc.collect()
            began = process_time()
            job()
            best[place] = min(best[place], process_time() - began)
    return best


def chunks_of(megabytes: float) -> Iterator[tuple[str, int, str]]:
    """The same passages for everybody: document, ordinal, text."""
    from funcpipe_rag.rag import gen_overlapping_chunks

    for name, text in slice_of(megabytes):
        for chunk in gen_overlapping_chunks(name, text, size=SIZE, overlap=OVERLAP, boundary="word"):
            yield name, chunk.ordinal, chunk.text


def embedder() -> Any:
    from funcpipe_rag.rag import make_embedder

    return make_embedder(f"hash:{DIMENSION}")


def ingest_ours(folder: Path, megabytes: float, again: bool) -> float:
    from funcpipe_rag.rag import RagEnv, RawDoc, build_index

    def build() -> None:
        docs = (RawDoc(name, text, name) for name, text in slice_of(megabytes))
        env = RagEnv(SIZE, OVERLAP, boundary="word")
        build_index(folder / "i.db", docs, env, embedder=embedder())

    build()
    return timed(build) if again else 0.0


def timed(job: Callable[[], Any]) -> float:
    began = process_time()
    job()
    return process_time() - began


def ingest_llm(folder: Path, megabytes: float, again: bool) -> float:
    import llm
    import sqlite_utils

    embed = embedder()

    class Hash(llm.EmbeddingModel):
        model_id = "hash"

        def embed_batch(self, items: Any) -> Iterator[list[float]]:
            return iter(map(list, embed(list(items))))

    collection = llm.Collection("docs", sqlite_utils.Database(folder / "i.db"), model=Hash())
    rows = ((f"{name}:{ordinal}", text) for name, ordinal, text in chunks_of(megabytes))
    collection.embed_multi(rows, store=True, batch_size=256)
    return 0.0


def langchain_store() -> tuple[Any, Any]:
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore

    embed = embedder()

    class Hash(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return list(map(list, embed(texts)))

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    return InMemoryVectorStore(Hash()), Hash


def ingest_langchain(folder: Path, megabytes: float, again: bool, *, sql: bool = False) -> float:
    from langchain_core.documents import Document
    from langchain_core.indexing import InMemoryRecordManager, index

    store, _ = langchain_store()
    if sql:
        from langchain_classic.indexes import SQLRecordManager

        manager: Any = SQLRecordManager("docs", db_url=f"sqlite:///{folder}/records.db")
    else:
        manager = InMemoryRecordManager("docs")
    manager.create_schema()

    def build() -> None:
        docs = (Document(text, metadata={"source": name}) for name, _, text in chunks_of(megabytes))
        index(
            docs,
            manager,
            store,
            cleanup="scoped_full",
            source_id_key="source",
            batch_size=256,
            key_encoder="blake2b",
        )

    build()
    if again:
        return timed(build)
    store.dump(str(folder / "store.json"))
    return 0.0


def ingest_langchain_sql(folder: Path, megabytes: float, again: bool) -> float:
    return ingest_langchain(folder, megabytes, again, sql=True)


def ingest_haystack(folder: Path, megabytes: float, again: bool) -> float:
    # Its splitter is a part of its pipeline; the other peers are given our passages, which is to their advantage.
    from haystack import Document, Pipeline, component
    from haystack.components.preprocessors import RecursiveDocumentSplitter
    from haystack.components.writers import DocumentWriter
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    embed = embedder()

    @component
    class Hash:
        @component.output_types(documents=list[Document])
        def run(self, documents: Any) -> dict[str, Any]:
            for document, vector in zip(
                documents, embed([one.content or "" for one in documents]), strict=True
            ):
                document.embedding = list(vector)
            return {"documents": documents}

    store = InMemoryDocumentStore()
    pipeline = Pipeline()
    pipeline.add_component(
        "split",
        RecursiveDocumentSplitter(
            split_length=SIZE, split_overlap=OVERLAP, split_unit="char", separators=["\n\n", "\n", " "]
        ),
    )
    pipeline.add_component("hash", Hash())
    pipeline.add_component("writer", DocumentWriter(store))
    pipeline.connect("split.documents", "hash.documents")
    pipeline.connect("hash.documents", "writer.documents")
    docs = [Document(content=text, meta={"source": name}) for name, text in slice_of(megabytes)]
    pipeline.run({"split": {"documents": docs}})
    store.save_to_disk(str(folder / "store.json"))
    return 0.0


def ingest_llama(folder: Path, megabytes: float, again: bool) -> float:
    from llama_index.core.embeddings import BaseEmbedding
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.schema import TextNode
    from llama_index.core.storage.docstore import SimpleDocumentStore
    from llama_index.core.vector_stores import SimpleVectorStore

    embed = embedder()

    class Hash(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return list(embed([text])[0])

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return list(map(list, embed(texts)))

        _get_query_embedding = _get_text_embedding

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    store = SimpleVectorStore()
    pipeline = IngestionPipeline(
        transformations=[Hash(embed_batch_size=256)], vector_store=store, docstore=SimpleDocumentStore()
    )
    nodes = [TextNode(text=text, id_=f"{name}:{n}") for name, n, text in chunks_of(megabytes)]
    pipeline.run(nodes=nodes)
    pipeline.persist(str(folder / "pipeline"))
    store.persist(str(folder / "vectors.json"))
    return 0.0


def ingest_lancedb(folder: Path, megabytes: float, again: bool) -> float:
    import lancedb
    import pyarrow as pa

    from funcpipe_rag.streams import batched

    embed = embedder()
    schema = pa.schema(
        [("id", pa.string()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), DIMENSION))]
    )

    def batches() -> Iterator[Any]:
        for rows in batched(chunks_of(megabytes), 512):
            texts = [text for _, _, text in rows]
            yield pa.RecordBatch.from_pydict(
                {
                    "id": [f"{name}:{n}" for name, n, _ in rows],
                    "text": texts,
                    "vector": list(map(list, embed(texts))),
                },
                schema=schema,
            )

    table = lancedb.connect(folder / "lance").create_table("docs", batches(), schema=schema)
    table.create_fts_index("text", use_tantivy=False)
    return 0.0


def stream_ours(folder: Path, megabytes: float, again: bool) -> float:
    """Read one file of so many megabytes, cleaned and cut; nothing is stored."""
    from funcpipe_rag.rag import RagEnv, gen_chunks, gen_clean_docs, make_docs_source

    docs = gen_clean_docs(make_docs_source(folder / "one.txt")())
    for _ in gen_chunks(docs, RagEnv(SIZE, OVERLAP, boundary="sentence")):
        pass
    return 0.0


def ingest_one_file(folder: Path, megabytes: float, again: bool) -> float:
    from funcpipe_rag.rag import RagEnv, build_index, make_docs_source

    build_index(
        folder / "i.db", make_docs_source(folder / "one.txt")(), RagEnv(SIZE, OVERLAP, boundary="sentence")
    )
    return 0.0


CHILDREN: dict[str, Callable[[Path, float, bool], float]] = {
    "ours": ingest_ours,
    "llm embed-multi": ingest_llm,
    "langchain index, dump": ingest_langchain,
    "langchain SQLRecordManager": ingest_langchain_sql,
    "haystack": ingest_haystack,
    "llama-index": ingest_llama,
    "LanceDB": ingest_lancedb,
    "one file, streamed": stream_ours,
    "one file, ingested": ingest_one_file,
}


class Ran(NamedTuple):
    """A child's wall and CPU seconds, peak memory in MB, and the CPU seconds of a second run in it."""

    wall: float
    cpu: float
    rss: float
    again: float


def child(name: str, folder: str, megabytes: float, again: bool) -> None:
    began = perf_counter()
    second = CHILDREN[name](Path(folder), megabytes, again)
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/status") as status:
        [peak] = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
    print(json.dumps(Ran(perf_counter() - began, used.ru_utime + used.ru_stime, peak / 1024, second)))


def in_a_child(name: str, megabytes: float, *, again: bool = False, one_file: bool = False) -> Ran | str:
    with TemporaryDirectory() as folder:
        if one_file:
            write_one_file(Path(folder) / "one.txt", megabytes)
        words = [
            "--child",
            name,
            "--folder",
            folder,
            "--megabytes",
            str(megabytes),
            *(["--again"] if again else []),
        ]
        done = subprocess.run(
            [sys.executable, __file__, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["failed"])[-1]
        return Ran(*json.loads(done.stdout.splitlines()[-1]))


def write_one_file(path: Path, megabytes: float) -> None:
    """One file of so many megabytes, without a line end."""
    sentence = "".join(f"word{n} goes on. " for n in range(600))
    with open(path, "w") as file:
        for _ in range(int(megabytes * 1_000_000 / len(sentence))):
            file.write(sentence)


INGEST_BARS = (
    ("llm embed-multi", 1.1, "wall"),
    ("langchain index, dump", 3.0, "wall"),
    ("haystack", 7.0, "wall"),
    ("llama-index", 7.0, "wall"),
    ("LanceDB", 1.4, "cpu"),
)


def ingest_rows(only: str, rounds: int) -> Iterator[Row]:
    wanted = [row for row in INGEST_BARS if only in f"ingest {row[0]}"]
    best: dict[str, Ran] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds if wanted else 0):
        for name in ("ours", *(name for name, _, _ in wanted)):
            ran = in_a_child(name, 10)
            if isinstance(ran, str):
                failed[name] = ran
            elif name not in best:
                best[name] = ran
            else:
                best[name] = Ran(*map(min, best[name], ran))
    for name, bar, clock in wanted:
        if name in failed or "ours" in failed:
            print(
                f"| durable ingest, 10 MB | {name} | | | failed: {failed.get(name, failed.get('ours'))} | |",
                flush=True,
            )
            continue
        mine, theirs = getattr(best["ours"], clock), getattr(best[name], clock)
        note = f"{mine:.1f} against {theirs:.1f} s {clock}; peak {best['ours'].rss:.0f} against {best[name].rss:.0f} MB"
        yield Row("durable ingest, 10 MB", name, theirs / mine, bar, note=note)


def memory_rows(only: str) -> Iterator[Row]:
    if only in "peak memory":
        small, large = in_a_child("ours", 10), in_a_child("ours", 100)
        if isinstance(small, Ran) and isinstance(large, Ran):
            yield Row(
                "peak memory, 100 MB of documents",
                "own",
                large.rss,
                70,
                "MB",
                True,
                f"{100 / large.wall:.1f} MB/s",
            )
            yield Row("growth from 10 to 100 MB", "own", large.rss - small.rss, 22, "MB", True)
    for name, size, bar in (("one file, streamed", 1000, 60), ("one file, ingested", 200, None)):
        if only in name:
            ran = in_a_child(name, size, one_file=True)
            if isinstance(ran, Ran):
                yield Row(
                    f"peak memory, {name}: {size} MB",
                    "own",
                    ran.rss,
                    bar,
                    "MB",
                    True,
                    f"{size / ran.wall:.1f} MB/s",
                )
            else:
                print(f"| {name} | | | | failed: {ran} | |", flush=True)


def again_rows(only: str) -> Iterator[Row]:
    if only not in "unchanged re-index":
        return
    mine = in_a_child("ours", 10, again=True)
    for name, bar in (("langchain index, dump", 7.0), ("langchain SQLRecordManager", 45.0)):
        theirs = in_a_child(name, 10, again=True)
        if isinstance(mine, Ran) and isinstance(theirs, Ran):
            note = f"{mine.again:.2f} against {theirs.again:.2f} s CPU"
            yield Row(
                "unchanged re-index, 10 MB",
                name.removesuffix(", dump"),
                theirs.again / mine.again,
                bar,
                note=note,
            )
        else:
            print(
                f"| unchanged re-index | {name} | | | failed: {theirs if isinstance(theirs, str) else mine} | |",
                flush=True,
            )


def without_questions(asked: list[Any], megabytes: float) -> Iterator[Any]:
    """The corpus as it is read from its files, each without the question that it will be asked."""
    from funcpipe_rag.rag import Question, known_items, make_docs_source

    left = megabytes * 1_000_000
    for question, doc in known_items(make_docs_source(CORPUS)()):
        if question is not None:
            asked.append(Question(question, frozenset({doc.source})))
        yield doc
        left -= os.path.getsize(CORPUS / doc.source)
        if left <= 0:
            return


def retrieval_rows(only: str) -> Iterator[Row]:
    """500 known items: our ranking, and theirs over the same passages."""
    if not any(only in name for name in ("retrieval nDCG", "query p95")):
        return
    from funcpipe_rag.rag import Index, RagEnv, build_index, evaluate, ratio_of_means, search
    from funcpipe_rag.rag.measuring import sample

    with TemporaryDirectory() as folder:
        path, asked = f"{folder}/i.db", []  # type: ignore[var-annotated]
        docs = without_questions(asked, 1000)
        build_index(path, docs, RagEnv(SIZE, OVERLAP, boundary="word"), fast_views=False)
        questions = sample(asked, 500, seed=0).questions
        seconds: dict[str, list[float]] = {}

        def measured(name: str, rank: Callable[[str, int], list[str]]) -> list[float]:
            took = seconds[name] = []

            def timed(text: str, k: int) -> list[str]:
                began = perf_counter()
                found = rank(text, k)
                took.append(perf_counter() - began)
                return found

            evaluation = evaluate(timed, questions)
            print(
                f"| {name} | {len(questions)} known items | {evaluation.ndcg} nDCG@10 | | "
                f"recall@10 {evaluation.recall.mean:.3f}, MRR@10 {evaluation.mrr.mean:.3f} | "
                f"p50 {1000 * at(took, 0.5):.1f}, p95 {1000 * at(took, 0.95):.1f} ms |",
                flush=True,
            )
            return [one.ndcg for one in evaluation.judged]

        with Index(path) as index:
            rows = list(
                index.rows(
                    "SELECT source, header, body FROM chunk JOIN chunk_view ON chunk_view.id = chunk.id "
                    "JOIN document ON document.id = chunk.document"
                )
            )
            sections = list(index.rows("SELECT header, body FROM section_view"))
            mine = measured("ours", lambda text, k: [hit.source for hit in search(index, text, k)])
            for name, bar, note, peer in (
                ("tantivy en_stem", 1.03, "its plain use: passages alone", tantivy_plain),
                ("bm25s, stemmed", 1.05, "its plain use: passages alone", bm25s_plain),
                ("tantivy with our two views", None, "like for like", tantivy_two_views),
            ):
                try:
                    rank = peer(rows, sections)
                except ImportError as error:
                    print(f"| retrieval nDCG@10 | {name} | | | not installed: {error.name} | |", flush=True)
                    continue
                ratio = ratio_of_means(mine, measured(name, rank))
                yield Row("retrieval nDCG@10", name, ratio.mean, bar, note=note)
                yield Row("the same, paired bootstrap, low end", name, ratio.low, bar and 1.0)
        chunks = f"{len(rows):,} chunks"
        yield Row("query p95", chunks, 1000 * at(seconds["ours"], 0.95), 100, "ms", True, "goal 60")
        try:
            build_index(
                path, without_questions([], 1000), RagEnv(SIZE, OVERLAP, boundary="word"), fast_views=True
            )
        except Exception as error:
            print(f"| query p95, with tantivy | {chunks} | | | {error} | |", flush=True)
            return
        with Index(path) as index:
            search(index, "warm", 10)
            measured("ours, with tantivy", lambda text, k: [hit.source for hit in search(index, text, k)])
        yield Row(
            "query p95, with [tantivy]", chunks, 1000 * at(seconds["ours, with tantivy"], 0.95), 2, "ms", True
        )


def at(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[int(share * (len(values) - 1))]


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def tantivy_ranker(texts: list[str]) -> Callable[[list[str], int], list[int]]:
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_text_field("text", tokenizer_name="en_stem")
    schema.add_integer_field("row", stored=True)
    made = tantivy.Index(schema.build())
    writer = made.writer(64_000_000, 1)
    for row, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=text, row=row))
    writer.commit()
    writer.wait_merging_threads()
    made.reload()
    searcher = made.searcher()

    def rank(words: list[str], most: int) -> list[int]:
        query = made.parse_query(" ".join(f'"{word}"' for word in words), ["text"])
        return [searcher.doc(place).get_first("row") for _, place in searcher.search(query, most).hits]

    return rank


def tantivy_plain(rows: list[Any], sections: list[Any]) -> Callable[[str, int], list[str]]:
    rank = tantivy_ranker([body for _, _, body in rows])

    def found(text: str, k: int) -> list[str]:
        return list(dict.fromkeys(rows[row][0] for row in rank(words_of(text), 100)))[:k]

    return found


def tantivy_two_views(rows: list[Any], sections: list[Any]) -> Callable[[str, int], list[str]]:
    from funcpipe_rag.rag.retrieve import query_words

    passages = tantivy_ranker([f"{header} {body}" for _, header, body in rows])
    wholes = tantivy_ranker([f"{header} {body}" for header, body in sections])

    def found(text: str, k: int) -> list[str]:
        words = query_words(text)
        scores: dict[str, float] = {}
        for sources in (
            [rows[row][0] for row in passages(words, 500)],
            [sections[row][0] for row in wholes(words, 100)],
        ):
            for place, source in enumerate(dict.fromkeys(sources), 1):
                scores[source] = scores.get(source, 0.0) + 1 / (60 + place)
        return sorted(scores, key=lambda source: -scores[source])[:k]

    return found


def bm25s_plain(rows: list[Any], sections: list[Any]) -> Callable[[str, int], list[str]]:
    import bm25s
    import Stemmer

    stems: dict[str, Any] = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
    made = bm25s.BM25()
    made.index(bm25s.tokenize([body for _, _, body in rows], **stems), show_progress=False)

    def found(text: str, k: int) -> list[str]:
        ids, _ = made.retrieve(bm25s.tokenize([text], **stems), k=100, show_progress=False)
        return list(dict.fromkeys(rows[row][0] for row in ids[0].tolist()))[:k]

    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    parser.add_argument("--megabytes", type=float, default=100, help=argparse.SUPPRESS)
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.folder, asked.megabytes, asked.again)
        return
    make_corpus(110)
    print(
        f"{(CORPUS / 'made').read_text()}. Python {sys.version.split()[0]}, best of {asked.rounds} rounds.\n"
    )
    print("| what | against | found | bar | | |")
    print("|---|---|---|---|---|---|")
    for rows in (
        chunk_rows(asked.only, asked.rounds),
        ingest_rows(asked.only, asked.rounds),
        again_rows(asked.only),
        memory_rows(asked.only),
        retrieval_rows(asked.only),
    ):
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main()
