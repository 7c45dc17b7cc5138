"""Answer a question in a model's own words, with citations that are checked.

The model is given numbered passages and asked to name the number behind each statement. What it says is its own;
where a number points is ours, and is compared with the raw text before anybody is shown it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import sleep
from typing import NamedTuple, Protocol, TypeAlias

from funcpipe_rag.streams import Backoff, RetryPolicy, retry
from funcpipe_rag.streams.arguments import a_whole_number
from funcpipe_rag.streams.ownership import Owned

from .answer import NO_ANSWER
from .citing import Citation, cite_passage
from .embedding import Embedder
from .filters import EVERYTHING, Filter
from .index import Index
from .openai_server import ServerBusy, ServerProblem, asked, check_address, gen_server_events
from .retrieve import best_passages, query_words

# An answer that is sent in one piece is read up to so many bytes.
LONGEST_ANSWER = 8 << 20

TASK = (
    "Answer the question from the numbered passages alone. Behind each statement put the number of the passage that "
    "says it in square brackets, such as [2]. Be brief. If the passages do not answer the question, say exactly: "
    f"{NO_ANSWER}"
)

Message: TypeAlias = Mapping[str, str]
"""A "role" and a "content", as chat models take them."""


class LLM(Protocol):
    """What goes on with a conversation, word by word."""

    def __call__(self, messages: Sequence[Message], /) -> Iterator[str]:
        """The model's words as they come; LLMProblem if it cannot, or does not come to an end."""
        ...


class LLMProblem(Exception):
    """A model that is not there, or does not answer as it should; the message says which, and what it said."""


class Words(NamedTuple):
    """Some of the model's words, as they are."""

    text: str


class Cited(NamedTuple):
    """The first time that the words name a passage: its number, and where it stands.

    None stands for a number that no passage has: nobody knows what the model means by it.
    """

    number: int
    citation: Citation | None
    heading: str = ""


def make_llm(spec: str) -> LLM:
    """The model of a specification, openai:MODEL@BASE_URL: any server with OpenAI's `/chat/completions`.

    >>> make_llm("llama")
    Traceback (most recent call last):
    ...
    ValueError: make_llm: wants "openai:MODEL@BASE_URL", such as "openai:llama3@http://localhost:8080/v1", got 'llama'

    OPENAI_API_KEY is sent if it is set. A server that is busy is asked five times, as long as it has said nothing.

    Class: external. Errors: ValueError for a bad specification.
    """
    kind, _, what = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if kind != "openai" or not what:
        raise ValueError(
            'make_llm: wants "openai:MODEL@BASE_URL", such as "openai:llama3@http://localhost:8080/v1", '
            f"got {spec!r}"
        )
    model, _, base_url = what.partition("@")
    return OpenAIChat(model, base_url)


class OpenAIChat:
    """A chat model on an OpenAI-compatible server."""

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        sleeper: Callable[[float], object] = sleep,
        timeout: float = 120.0,
    ) -> None:
        check_address("make_llm", "llama3", model, base_url)
        self._model, self._where, self._timeout = model, f"{base_url.rstrip('/')}/chat/completions", timeout
        policy = RetryPolicy(attempts=5, backoff=Backoff(base=1), retry_on=(ServerBusy,))
        self._patiently = retry(policy, sleeper=sleeper)(self._begun)

    def __call__(self, messages: Sequence[Message], /) -> Iterator[str]:
        try:
            first, words = self._patiently(messages)
        except ServerBusy as error:
            raise LLMProblem(f"{error}; it was asked 5 times") from None
        except ServerProblem as error:
            raise LLMProblem(str(error)) from None
        with Owned() as owned:
            owned.take(words)
            try:
                yield from first
                yield from words
            except ServerProblem as error:
                # Words have come, so asking again would say them twice.
                raise LLMProblem(f"{error}; what came before is not the whole answer") from None

    def _begun(self, messages: Sequence[Message]) -> tuple[list[str], Iterator[str]]:
        words = self._words(messages)
        return [word for word in [next(words, None)] if word is not None], words

    def _words(self, messages: Sequence[Message]) -> Iterator[str]:
        body = {"model": self._model, "messages": list(messages), "stream": True, "temperature": 0}
        with asked(self._where, body, timeout=self._timeout) as answer:
            if "event-stream" in answer.headers.get("Content-Type", ""):
                yield from self._streamed(iter(lambda: answer.read1(1 << 16), b""))
            else:
                # Some servers do not stream, and send the whole at its end.
                yield from self._at_once(answer.read(LONGEST_ANSWER))

    def _streamed(self, blocks: Iterator[bytes]) -> Iterator[str]:
        ended = ""
        for data in gen_server_events(blocks):
            if data == "[DONE]":
                ended = ended or "stop"
                break
            piece = self._piece(data, "delta")
            yield from piece.words
            ended = piece.ended or ended
        self._check_end(ended)

    def _at_once(self, data: bytes) -> Iterator[str]:
        piece = self._piece(data.decode("utf-8", "replace"), "message")
        yield from piece.words
        self._check_end(piece.ended or "stop")

    def _check_end(self, ended: str) -> None:
        if not ended:
            raise ServerProblem(f"{self._where} broke off")
        if ended == "length":
            raise ServerProblem(f"{self._where} stopped at the length that it may say")

    def _piece(self, data: str, part: str) -> _Piece:
        try:
            piece = json.loads(data)
            if isinstance(piece, dict) and piece.get("error"):
                error = piece["error"]
                said = error.get("message", error) if isinstance(error, dict) else error
                raise ServerProblem(f"{self._where}: {said}")
            choices = piece["choices"]
            if not choices:
                return _Piece([], "")  # a last word about what it cost
            words = choices[0][part].get("content")
            ended = choices[0].get("finish_reason")
            if not isinstance(words, str | None) or not isinstance(ended, str | None):
                raise TypeError
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise ServerProblem(f"{self._where}: its answer is not one of a chat: {data[:100]}") from None
        return _Piece([words] if words else [], ended or "")


class _Piece(NamedTuple):
    words: list[str]
    ended: str


def gen_llm_answer(
    index: Index,
    query: str,
    llm: LLM,
    *,
    passages: int = 8,
    budget: int = 8000,
    where: Filter = EVERYTHING,
    embedder: Embedder | None = None,
) -> Iterator[Words | Cited]:
    """A model's answer to a question from the best passages, word by word, with the places that it cites.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import Index, RagEnv, RawDoc, build_index
    >>> def llm(messages):  # stands for a model: it says these pieces, whatever it is asked
    ...     return iter(["A tee splits ", "a stream [", "1]. It is quick [7]."])
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     _ = build_index(path, [RawDoc("tee", "A tee splits a stream.", "tee.md")], RagEnv(chunk_size=1000))
    ...     with Index(path) as index:
    ...         for event in gen_llm_answer(index, "What does a tee split?", llm):
    ...             if isinstance(event, Words):
    ...                 print(repr(event.text))
    ...             else:
    ...                 print(event.number, event.citation)
    'A tee splits '
    'a stream '
    '[1]'
    1 tee.md:0-22
    '. It is quick '
    '[7]'
    7 None
    '.'

    Where no passage has a word of the question, the model is not asked, and nothing comes.

    At most `passages` passages are handed over, of at most `budget` characters in all, best first; one that is no
    longer what was indexed is left out. `where` and `embedder` are for `search`.

    Class: external. Demand: the model is asked when the first event is asked for, and read as far as the events are.
    Memory: the passages. Closing: ends the model's answer. Errors: QueryError for a question without words;
    ValueError for `passages` or `budget` < 1; LLMProblem.
    """
    a_whole_number("gen_llm_answer", "passages", passages, least=1)
    a_whole_number("gen_llm_answer", "budget", budget, least=1)
    query_words(query)

    def run() -> Iterator[Words | Cited]:
        given: list[tuple[str, Cited]] = []
        with index.snapshot():
            hits = best_passages(index, query, documents=passages, each=3, where=where, embedder=embedder)
            left = budget
            for hit in hits:
                if len(given) == passages or left <= 0:
                    break
                citation = cite_passage(index, hit)
                if citation is not None:
                    text = hit.text[:left]
                    left -= len(text)
                    given.append((text, Cited(len(given) + 1, citation, hit.heading)))
        if given:
            yield from _with_citations(llm(_messages(query, given)), [cited for _, cited in given])

    return run()


def _messages(query: str, given: Sequence[tuple[str, Cited]]) -> list[Message]:
    parts = []
    for text, (number, citation, heading) in given:
        source = citation.source if citation else ""
        parts.append(f"[{number}] {source}{f', under {heading}' if heading else ''}\n{text.strip()}")
    asked_for = "\n\n".join([*parts, f"Question: {query}"])
    return [{"role": "system", "content": TASK}, {"role": "user", "content": asked_for}]


# A number may come in several pieces, so what may become one is held back until it is one or is not.
_MARK = re.compile(r"\[(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]")
_BEGUN = re.compile(r"\[[\d\s,;]{0,40}\Z")


def _with_citations(words: Iterator[str], given: Sequence[Cited]) -> Iterator[Words | Cited]:
    known = {cited.number: cited for cited in given}
    named: set[int] = set()
    held = ""
    with Owned() as owned:
        for piece in owned.opened(words):
            held += piece
            begun = _BEGUN.search(held)
            ready, held = (held[: begun.start()], held[begun.start() :]) if begun else (held, "")
            yield from _cut(ready, known, named)
    yield from _cut(held, known, named)


def _cut(text: str, known: Mapping[int, Cited], named: set[int]) -> Iterator[Words | Cited]:
    at = 0
    for mark in _MARK.finditer(text):
        if text[at : mark.start()]:
            yield Words(text[at : mark.start()])
        yield Words(mark[0])
        at = mark.end()
        for number in map(int, re.findall(r"\d+", mark[1])):
            if number not in named:
                named.add(number)
                yield known.get(number, Cited(number, None))
    if text[at:]:
        yield Words(text[at:])
