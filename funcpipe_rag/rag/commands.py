"""The index on the command line: build, ask, search, status, verify, gc, demo.

Facts go to standard output, one a line; the progress bar and what went wrong go to standard error.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from time import perf_counter
from types import FrameType
from typing import Annotated, Any, NamedTuple, NoReturn, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import funcpipe_rag

from .answer import NO_ANSWER, Answer, gen_answers
from .embedding import EmbedderProblem, make_embedder
from .index import BESIDE, Index, IndexProblem, stored_settings
from .ingest import Event, Report, gen_ingest
from .loading import SUFFIXES, corpus_roots, make_docs_source
from .quarantine import Quarantined
from .retrieve import QueryError, search
from .types import Boundary, RagEnv
from .writer import sweep

DONE, FAILED, USAGE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130

CHUNK_SIZE, OVERLAP = 1000, 200

# So many quarantined documents are listed after a build; `status` lists all.
LISTED = 20

app = typer.Typer(
    name="funcpipe-rag",
    help="Index documents in one file, and answer from them with citations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

IndexOption = Annotated[str, typer.Option("--index", metavar="FILE", help="The index: one file.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON value, and nothing else, on stdout.")
]
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
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Make the index anew; the old one is there until the new one is whole."
        ),
    ] = False,
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
        built = run_build(corpus, index, env, rebuild=rebuild, quiet=as_json)
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
    as_json: JsonOption = False,
) -> None:
    """Answer a question with sentences of the corpus, each cited.

    A citation is SOURCE:START-STOP in characters of the raw text, checked against the file if it is unchanged
    there, else against the raw text in the index. If nothing answers, it says so (exit code 0).
    """
    with mistakes(index), Index(index) as opened:
        answers = gen_answers(opened, question, sentences=sentences)
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
    as_json: JsonOption = False,
) -> None:
    """Find documents, each with the passage that fits best."""
    with mistakes(index), Index(index) as opened:
        hits = search(opened, query, k)
        if as_json:
            wanted = ("source", "start", "stop", "heading", "text", "score", "chunk_id")
            print_json(
                {"query": query, "hits": [{name: getattr(hit, name) for name in wanted} for hit in hits]}
            )
            return
        for place, hit in enumerate(hits, 1):
            out.print(
                f"{place:>2}  {hit.source}:{hit.start}-{hit.stop}  {hit.heading}".rstrip(), style="bold"
            )
            lines = [line.strip() for line in hit.text.splitlines() if line.strip()]
            out.print(f"    {shortened(' '.join(lines), 240)}")
        if not hits:
            out.print("Nothing found.")


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


class Corpus:
    """The folders and files of a build, by name."""

    def __init__(self, paths: list[str], encoding: str, embedder: str | None = None) -> None:
        for path in paths:
            if not path:
                raise Usage("PATHS has an empty path; give folders and files")
        try:
            roots = corpus_roots(paths)
            self.docs = make_docs_source(*paths, encoding=encoding, on_error="collect")
        except ValueError as error:
            raise Usage(str(error).removeprefix("make_docs_source: ")) from None
        if not any(os.path.exists(root.path) for root in roots):
            try:
                os.stat(roots[0].path)
            except FileNotFoundError:
                raise Usage(f"{roots[0].path}: there is no such folder or file") from None
        self.roots = {root.name: os.path.abspath(root.path) for root in roots}
        self.encoding = encoding
        self.spec = embedder
        self.embedder = None if embedder is None else make_embedder(embedder)

    def settings(self) -> dict[str, Any]:
        """What the index keeps of where its documents came from, and of where the embedder is."""
        return {
            "corpus": sorted(self.roots),
            "roots": self.roots,
            "encoding": self.encoding,
            "embedder_spec": self.spec,
        }


class Built(NamedTuple):
    """How a build went."""

    report: Report
    quarantine: list[Quarantined]
    seconds: float
    interrupted: bool

    @property
    def holds(self) -> int:
        """How many documents the index has of what was there."""
        return self.report.indexed + self.report.unchanged + self.report.stale

    @property
    def seen(self) -> int:
        """How many documents were there, readable or not."""
        return self.holds + len(self.quarantine)

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        return PARTLY if self.quarantine else DONE

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": "interrupted" if self.interrupted else "complete",
            **self.report._asdict(),
            "seconds": round(self.seconds, 3),
            "quarantine": [trouble._asdict() for trouble in self.quarantine],
        }


def run_build(
    corpus: Corpus, index: str, env: RagEnv, *, rebuild: bool = False, quiet: bool = False
) -> Built:
    """Build to the end or to Ctrl-C, with a progress bar where somebody can see it."""
    report, quarantine = Report(), []
    began = perf_counter()
    shown = err.is_terminal and not quiet
    total = sum(1 for _ in corpus.docs()) if shown else None
    with stopped_by_ctrl_c() as stop, bar(shown, "+".join(corpus.roots), total) as advance:
        events = gen_ingest(
            index,
            corpus.docs(),
            env,
            embedder=corpus.embedder,
            rebuild=rebuild,
            settings=corpus.settings(),
            stop=lambda: bool(stop),
        )
        try:
            for event in events:
                report = report.plus(event)
                if event.kind == "quarantined":
                    quarantine.append(Quarantined(event.source, event.reason, event.line))
                advance(event, report)
        except KeyboardInterrupt:
            stop.append(signal.SIGINT)
        finally:
            events.close()  # type: ignore[attr-defined]
    return Built(report, quarantine, perf_counter() - began, bool(stop))


@contextmanager
def stopped_by_ctrl_c() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C is pressed; pressed again, it interrupts at once."""
    stop: list[int] = []

    def pressed(number: int, frame: FrameType | None) -> None:
        stop.append(number)
        if len(stop) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def bar(shown: bool, name: str, total: int | None) -> Iterator[Any]:
    """A progress bar with documents, MB/s and errors, as a function of events; nothing when not shown."""
    if not shown:
        yield lambda event, report: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[bad]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(name, total=total, rate="", bad="")
        began = perf_counter()

        def advance(event: Event, report: Report) -> None:
            rate = f"{report.size / 1e6 / max(perf_counter() - began, 0.001):.1f} MB/s"
            bad = f"{report.quarantined:,} quarantined" if report.quarantined else ""
            progress.update(task, advance=event.kind != "removed", rate=rate, bad=bad)

        yield advance


def tell(built: Built, index: str, encoding: str, *, listed: int = LISTED, next_step: bool = True) -> None:
    """What a build did, one line a fact, and what to do next."""
    report = built.report
    size = megabytes(os.path.getsize(index))
    rate = f"{report.size / 1e6 / built.seconds:.1f} MB/s" if built.seconds else ""
    made = f"{amount(report.indexed, 'document')}, {amount(report.chunks, 'chunk')} in {index} ({size})"
    fact("indexed", f"{made}, {built.seconds:.1f} s, {rate}")
    for kind in ("unchanged", "removed", "stale"):
        count = getattr(report, kind)
        if count:
            kept = ", kept as last read" if kind == "stale" else ""
            fact(kind, amount(count, "document") + kept)
    tell_troubles(built.quarantine, encoding, listed)
    if built.interrupted:
        if os.path.exists(index + BESIDE):
            fact("stopped", "the index is as it was; the same command goes on with the new one from here")
        else:
            fact("stopped", "what is indexed stays; the same command goes on from here")
    elif not built.seen:
        fact("note", f"no {' '.join(SUFFIXES)} files there; other kinds are not read")
    elif next_step and built.holds:
        fact("next", f'funcpipe-rag ask "…" --index {shlex.quote(index)}')


def tell_troubles(troubles: list[Quarantined], encoding: str, listed: int) -> None:
    """The quarantined documents, each with where and why."""
    label = "quarantine"
    for source, reason, line in troubles[:listed]:
        hint = (
            " (try --encoding NAME, such as latin-1)"
            if reason.startswith("not utf-8") and encoding == "utf-8"
            else ""
        )
        fact(label, f"{source}{f':{line}' if line else ''}  {reason}{hint}")
        label = ""
    if len(troubles) > listed:
        fact(label, f"and {len(troubles) - listed:,} more")


def print_answers(answers: Iterator[Answer]) -> int:
    """The answers as they come; says so if there is none. Returns how many there were."""
    count = 0
    for answer in answers:
        count += 1
        out.print(" ".join(answer.text.split()))
        against = "the file" if answer.citation.checked == "file" else "the index's own copy"
        under = f"  under {answer.heading}" if answer.heading else ""
        out.print(f"    {answer.citation}{under}  (checked against {against})", style="cyan")
    if not count:
        out.print(NO_ANSWER)
    return count


class Usage(Exception):
    """Something in the command that cannot be right."""


@contextmanager
def mistakes(index: str) -> Iterator[None]:
    """A user's mistake is one line on standard error and an exit code, never a traceback."""
    try:
        yield
    except (Usage, QueryError) as error:
        give_up(str(error), USAGE)
    except (IndexProblem, EmbedderProblem) as error:
        give_up(str(error), FAILED)
    except ValueError as error:
        give_up(str(error), USAGE)
    except sqlite3.Error as error:
        give_up(f"{index} is damaged ({error}); delete it and build it again", FAILED)
    except BrokenPipeError:
        raise  # the reader has seen enough: typer ends quietly
    except OSError as error:
        give_up(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "), FAILED)


def give_up(message: str, code: int) -> NoReturn:
    """Say what is wrong, and exit."""
    err.print(f"funcpipe-rag: {message}")
    raise typer.Exit(code) from None


def fact(name: str, value: str) -> None:
    """One line: a word, and what there is to say about it."""
    out.print(f"{name:<10} {value}")


def print_json(value: dict[str, Any]) -> None:
    """One JSON value, for machines."""
    json.dump(value, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")


def amount(count: int, thing: str) -> str:
    """A number of things."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def megabytes(size: int) -> str:
    """A size in bytes, as people read it."""
    return f"{size / 1e6:,.0f} MB" if size >= 10_000_000 else f"{size / 1e6:,.1f} MB"


def shortened(text: str, most: int) -> str:
    """A text cut at a word, with an ellipsis."""
    return text if len(text) <= most else text[:most].rpartition(" ")[0] + " …"
