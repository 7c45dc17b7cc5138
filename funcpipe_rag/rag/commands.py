"""The index on the command line: build, ask, search, eval, status, verify, gc, demo.

Facts go to standard output, one a line; the progress bar and what went wrong go to standard error.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sysconfig
from collections.abc import Iterator
from contextlib import nullcontext
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, cast

import typer

import funcpipe_rag

from .answer import NO_ANSWER, Answer, gen_answers
from .asking import LexicalOption, SourceOption, WhereOption, embedder_of, filter_of
from .building import LISTED, Corpus, run_build, tell, tell_troubles
from .citing import Citation
from .console import (
    DONE,
    FAILED,
    INTERRUPTED,
    PARTLY,
    IndexOption,
    JsonOption,
    Usage,
    amount,
    fact,
    megabytes,
    mistakes,
    one_line,
    out,
    print_json,
    shortened,
)
from .fast_views import fast_views
from .generating import Cited, Words, gen_llm_answer, make_llm
from .index import Index, stored_settings
from .measuring import KnownItemCorpus, as_dict, measure, read_questions, sample, tell_measured
from .quarantine import Quarantined
from .retrieve import search
from .types import Boundary, RagEnv
from .writer import sweep

CHUNK_SIZE, OVERLAP = 1000, 200

app = typer.Typer(
    name="funcpipe-rag",
    help="Index documents in one file, and answer from them with citations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Question = Annotated[str, typer.Argument(metavar='"…"', help="Any text.")]


@app.command()
def build(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS…",
            help='Folders, files and patterns ("docs/**/*.md"): .md .rst .txt .py .html .csv .jsonl .ipynb',
        ),
    ],
    index: IndexOption,
    encoding: Annotated[
        str,
        typer.Option(
            help="How files are read that are not UTF-8 and do not say it (by a mark, a coding line)."
        ),
    ] = "utf-8",
    chunk_size: Annotated[
        int | None,
        typer.Option(help=f"Characters of a passage. [default: as the index has it, or {CHUNK_SIZE}]"),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help=f"Characters that neighbours share, at most. [default: as the index has it, or {OVERLAP}]"
        ),
    ] = None,
    boundary: Annotated[
        str | None,
        typer.Option(
            help="Where passages are cut: char, word, sentence, markdown, code. "
            "[default: as the index has it, or word]"
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Also keep a vector of each passage: model2vec:PATH_OR_ID, sentence-transformers:PATH_OR_ID, "
            "openai:MODEL@BASE_URL, or the teaching double hash:256. [default: as the index has it, or none]",
        ),
    ] = None,
    tantivy: Annotated[
        bool | None,
        typer.Option(
            "--tantivy/--no-tantivy",
            help="Also keep the full text for tantivy, beside the index: searches take a tenth of the time. "
            "[default: as the index has it, or no]",
        ),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Make the index anew; the old one is there until the new one is whole."
        ),
    ] = False,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write a line of JSON for each document: time, memory, what became of it."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring an index up to date with folders and files.

    Unchanged documents are skipped, vanished ones removed. What cannot be read is listed and the rest indexed
    (exit code 3). Ctrl-C keeps what is done; the same command goes on from there.
    """
    with mistakes(index):
        had = {} if rebuild else stored_settings(index)
        size = chunk_size if chunk_size is not None else had.get("chunk_size", CHUNK_SIZE)
        lap = overlap if overlap is not None else had.get("overlap", OVERLAP)
        if overlap is None and "overlap" not in had:
            lap = min(lap, size // 5)
        env = RagEnv(size, lap, boundary=cast(Boundary, boundary or had.get("boundary", "word")))
        spec = embedder if embedder is not None else had.get("embedder_spec")
        corpus = Corpus(paths, encoding, spec)
        if log and corpus.reads(log):
            # Each document adds a line to it, and each line would be a document: the build would never end.
            raise Usage(
                f"--log {log} would be read as a document of this corpus; write it to another folder, "
                "or give it a name that ends in .log"
            )
        with open(log, "w", encoding="utf-8", buffering=1) if log else nullcontext() as written:
            built = run_build(
                corpus, index, env, rebuild=rebuild, fast_views=tantivy, quiet=as_json, log=written
            )
        if as_json:
            print_json({"index": index, **built.as_dict()})
        else:
            tell(built, index, encoding)
        raise typer.Exit(built.exit_code)


@app.command()
def ask(
    question: Question,
    index: IndexOption,
    sentences: Annotated[int, typer.Option(min=1, help="How many sentences, at most.")] = 3,
    llm: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Answer in the words of a model instead: openai:MODEL@BASE_URL, any OpenAI-compatible server.",
        ),
    ] = None,
    source: SourceOption = None,
    where: WhereOption = None,
    lexical: LexicalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Answer a question with sentences of the corpus, each cited.

    A citation is SOURCE:START-STOP in characters of the raw text, checked against the file if it is unchanged
    there, else against the raw text in the index. If nothing answers, it says so (exit code 0).

    With --llm a model answers from the best passages, and names them by number; where each stands is checked alike. A
    number that no passage has is shown as such. OPENAI_API_KEY is sent if it is set.
    """
    with mistakes(index), Index(index) as opened:
        model = None if llm is None else make_llm(llm)
        embedder = embedder_of(opened, lexical=lexical)
        if model is not None:
            events = gen_llm_answer(
                opened, question, model, where=filter_of(source, where), embedder=embedder
            )
            if as_json:
                print_json({"question": question, **told_by_llm(events)})
            else:
                print_llm_answer(events)
            return
        answers = gen_answers(
            opened, question, sentences=sentences, where=filter_of(source, where), embedder=embedder
        )
        if as_json:
            found = [{**one._asdict(), "citation": one.citation._asdict()} for one in answers]
            print_json({"question": question, "answers": found})
            return
        if not print_answers(answers):
            fact("next", f"funcpipe-rag search {shlex.quote(question)} --index {shlex.quote(index)}")


@app.command(name="search")
def search_(
    query: Question,
    index: IndexOption,
    k: Annotated[int, typer.Option("-k", min=1, help="How many documents, at most.")] = 5,
    source: SourceOption = None,
    where: WhereOption = None,
    lexical: LexicalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find documents, each with the passage that fits best."""
    with mistakes(index), Index(index) as opened:
        embedder = embedder_of(opened, lexical=lexical)
        hits = search(opened, query, k, where=filter_of(source, where), embedder=embedder)
        if as_json:
            wanted = ("source", "start", "stop", "heading", "text", "score", "chunk_id")
            print_json(
                {"query": query, "hits": [{name: getattr(hit, name) for name in wanted} for hit in hits]}
            )
            return
        for place, hit in enumerate(hits, 1):
            found = f"{place:>2}  {hit.source}:{hit.start}-{hit.stop}  {hit.heading}"
            out.print(one_line(found.rstrip()), style="bold")
            lines = [line.strip() for line in hit.text.splitlines() if line.strip()]
            out.print(f"    {shortened(' '.join(lines), 240)}")
        if not hits:
            out.print("Nothing found.")


@app.command(name="eval")
def eval_(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS…",
            help="Folders, files and patterns. Each document is asked for by a heading or the first sentence of a "
            "docstring that was taken out of it.",
        ),
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", metavar="FILE", help="Ask this index instead, with --questions.")
    ] = None,
    questions: Annotated[
        str | None,
        typer.Option(metavar="FILE", help='JSON lines: {"question": "…", "relevant": ["SOURCE", …]}'),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many documents count.")] = 10,
    limit: Annotated[int, typer.Option(min=1, help="Ask at most so many of the corpus's questions.")] = 500,
    seed: Annotated[int, typer.Option(help="Which of them, and which draws the intervals are from.")] = 0,
    chunk_size: Annotated[int, typer.Option(help="Characters of a passage.")] = CHUNK_SIZE,
    overlap: Annotated[int | None, typer.Option(help="Characters that neighbours share, at most.")] = None,
    boundary: Annotated[
        str, typer.Option(help="Where passages are cut: char, word, sentence, markdown, code.")
    ] = "word",
    embedder: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Rank by vectors too: an embedder, as for build.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="How files are read that do not say it.")] = "utf-8",
    lexical: LexicalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure how well questions find their documents: recall, MRR and nDCG, with intervals.

    With PATHS, an index is made for it and thrown away. The intervals hold the middle 95 of 100 draws.
    """
    with mistakes(index or ""), TemporaryDirectory(prefix="funcpipe-rag-") as folder:
        if bool(paths) == bool(index):
            raise Usage("eval wants PATHS, or --index FILE with --questions FILE")
        if index and not questions:
            raise Usage(
                "eval --index wants --questions FILE: a corpus can be asked for what it says only "
                "before it is indexed (funcpipe-rag eval PATHS…)"
            )
        wanted = read_questions(questions) if questions else []
        said, troubles = amount(len(wanted), "question"), 0
        if paths:
            index = os.path.join(folder, "eval.db")
            corpus = (Corpus if questions else KnownItemCorpus)(paths, encoding, embedder)
            lap = overlap if overlap is not None else min(OVERLAP, chunk_size // 5)
            built = run_build(
                corpus, index, RagEnv(chunk_size, lap, boundary=cast(Boundary, boundary)), quiet=as_json
            )
            if built.interrupted:
                raise typer.Exit(INTERRUPTED)
            troubles = len(built.quarantine)
            if isinstance(corpus, KnownItemCorpus):
                wanted, asked, doubled = sample(corpus.asked, limit, seed)
                if not wanted:
                    raise Usage(
                        f"{amount(built.holds, 'document')}, and none with a question of its own; give --questions"
                    )
                said = f"{len(wanted):,} of the {asked:,} that the documents ask"
                said += f" ({doubled:,} left out: several documents ask them)" if doubled else ""
        with Index(cast(str, index)) as opened:
            measured = measure(
                opened,
                wanted,
                k=k,
                seed=seed,
                embedder=embedder_of(opened, lexical=lexical),
                shown=not as_json,
            )
        if as_json:
            print_json({"questions": len(wanted), "quarantined": troubles, **as_dict(measured)})
        else:
            tell_measured(measured, said)
            if troubles:
                fact("quarantine", f"{amount(troubles, 'document')}, not asked for (build lists them)")
        raise typer.Exit(PARTLY if troubles else DONE)


@app.command()
def status(index: IndexOption, as_json: JsonOption = False) -> None:
    """What an index holds, how it was built, and what it could not read."""
    with mistakes(index), Index(index) as opened:
        counts, settings = opened.counts(), opened.settings()
        runs = list(
            opened.rows(
                "SELECT id, state, started, finished FROM run WHERE state <> 'swept' ORDER BY id DESC LIMIT 1"
            )
        )
        troubles = [
            Quarantined(source, reason, line)
            for source, reason, line in opened.rows(
                "SELECT source, reason, line FROM quarantine ORDER BY source"
            )
        ]
        if as_json:
            last = dict(zip(("id", "state", "started", "finished"), runs[0], strict=True)) if runs else None
            quarantine = [trouble._asdict() for trouble in troubles]
            print_json(
                {"index": index, **counts, "settings": settings, "last_run": last, "quarantine": quarantine}
            )
            return
        fact("index", f"{index} ({megabytes(os.path.getsize(index))})")
        fact("holds", f"{amount(counts['documents'], 'document')}, {amount(counts['chunks'], 'chunk')}")
        for name, root in settings.get("roots", {}).items():
            fact("corpus", f"{name}, from {root}")
        if settings.get("embedder_spec"):
            fact("vectors", f"{settings['embedder_spec']}")
        if settings.get("fast_views"):
            fact(
                "tantivy", "in use" if fast_views(opened) else "not in use: of another run, or not installed"
            )
        cut = f"{settings['chunk_size']} characters, at most {settings['overlap']} shared"
        fact("chunks", f"{cut}, cut by {settings['boundary']}")
        for number, state, *_ in runs:
            # A run that was killed could not say so; only the next one finds out.
            how = "still running, or killed" if state == "running" else state
            fact("last run", f"{how}, number {number}")
        if counts["stale"]:
            fact("stale", f"{amount(counts['stale'], 'document')}, kept as last read")
        tell_troubles(troubles, settings.get("encoding", "utf-8"), len(troubles))


@app.command()
def verify(index: IndexOption, as_json: JsonOption = False) -> None:
    """Read all of an index and make every hash again; exit code 1 if something is wrong."""
    with mistakes(index), Index(index) as opened:
        found = list(opened.check())
        counts = opened.counts()
        if as_json:
            print_json({"index": index, "sound": not found, "problems": found, **counts})
        elif not found:
            fact("sound", f"{amount(counts['documents'], 'document')}, {amount(counts['chunks'], 'chunk')}")
        else:
            for problem in found[:LISTED]:
                fact("problem", problem)
            if len(found) > LISTED:
                fact("", f"and {len(found) - LISTED:,} more")
            fact("next", f"funcpipe-rag build PATHS… --index {shlex.quote(index)} --rebuild")
        raise typer.Exit(FAILED if found else DONE)


@app.command()
def gc(index: IndexOption, as_json: JsonOption = False) -> None:
    """Give back the space of what nobody asks for any more: old vectors, traces of builds that were killed."""
    with mistakes(index):
        swept = sweep(index)
        if as_json:
            print_json({"index": index, **swept._asdict()})
            return
        fact("freed", f"{amount(swept.vectors, 'vector')}, {megabytes(swept.bytes)}")


DEMO_QUESTIONS = (
    "How do I merge sorted iterators?",
    "Why did my limit read the whole file?",
    "What is a least recently used cache?",
    "What is the boiling point of water?",
)


@app.command()
def demo(
    index: Annotated[
        str | None, typer.Option("--index", metavar="FILE", help="Keep the index here. [default: not kept]")
    ] = None,
) -> None:
    """Answer from the field notes and the standard library, offline."""
    with mistakes(index or ""), TemporaryDirectory(prefix="funcpipe-rag-") as folder:
        file = index or os.path.join(folder, "demo.db")
        notes = os.path.join(os.path.dirname(funcpipe_rag.__file__), "course", "data", "notes")
        corpus = Corpus(
            [path for path in (notes, sysconfig.get_path("stdlib")) if os.path.isdir(path)], "utf-8"
        )
        out.print(
            f"Indexing {' and '.join(corpus.roots)}: the field notes and this Python's standard library."
        )
        built = run_build(corpus, file, RagEnv(CHUNK_SIZE, OVERLAP, boundary="word"))
        tell(built, file, "utf-8", listed=2, next_step=False)
        if built.interrupted:
            raise typer.Exit(INTERRUPTED)
        with Index(file) as opened:
            for question in DEMO_QUESTIONS:
                began = perf_counter()
                out.print(f"\n$ funcpipe-rag ask {json.dumps(question)}", style="bold")
                print_answers(gen_answers(opened, question, sentences=2))
                out.print(f"({1000 * (perf_counter() - began):.0f} ms)", style="dim")
        if index:
            out.print(f'\nnext       funcpipe-rag ask "…" --index {shlex.quote(index)}')
        else:
            out.print("\nnext       funcpipe-rag build FOLDER --index FILE     (your own documents)")


_UNPRINTABLE = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def print_llm_answer(events: Iterator[Words | Cited]) -> None:
    """A model's words as they come, then the places that they cite; says so if there is none."""
    cited: list[Cited] = []
    words = ""
    whole = False
    try:
        for event in events:
            if isinstance(event, Cited):
                cited.append(event)
            else:
                words += event.text
                # What a model says is not for the terminal to obey.
                out.file.write(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", event.text))
                out.file.flush()
        whole = True
    finally:
        # A model that failed has not said that there is no answer.
        if words or whole:
            out.print("" if words else NO_ANSWER)
        for number, citation, heading in cited:
            if citation is None:
                out.print(f"    [{number}] is the number of no passage: not verified", style="yellow")
                continue
            under = f"  under {heading}" if heading else ""
            stands = one_line(f"{citation}{under}")
            out.print(f"    [{number}] {stands}  {checked_against(citation)}", style="cyan")
        if words.strip() and not cited and words.strip() != NO_ANSWER:
            out.print("    it cites no passage: none of this is verified", style="yellow")


def told_by_llm(events: Iterator[Words | Cited]) -> dict[str, object]:
    """A model's answer, for machines."""
    words, cited = "", []
    for event in events:
        if isinstance(event, Cited):
            cited.append(event)
        else:
            words += event.text
    return {
        "text": words,
        "citations": [
            {"number": one.number, "heading": one.heading, **one.citation._asdict()}
            for one in cited
            if one.citation
        ],
        "unverified": [one.number for one in cited if one.citation is None],
    }


def checked_against(citation: Citation) -> str:
    """What a citation was compared with."""
    against = "the file" if citation.checked == "file" else "the index's own copy"
    return f"(checked against {against})"


def print_answers(answers: Iterator[Answer]) -> int:
    """The answers as they come; says so if there is none. Returns how many there were."""
    count = 0
    for answer in answers:
        count += 1
        out.print(" ".join(answer.text.split()))
        under = f"  under {answer.heading}" if answer.heading else ""
        out.print(one_line(f"    {answer.citation}{under}  {checked_against(answer.citation)}"), style="cyan")
    if not count:
        out.print(NO_ANSWER)
    return count
