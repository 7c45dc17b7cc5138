"""Texts as vectors: a double that needs nothing, and real embedders behind extras.

A vector is an array of float32, so that an index stores what the embedder gave and no package is needed to hold it.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from math import hypot, isfinite
from time import sleep
from typing import Any, Protocol, TypeAlias

from funcpipe_rag.streams import Backoff, RetryPolicy, retry
from funcpipe_rag.streams.arguments import a_whole_number

from .openai_server import ServerBusy, ServerProblem, asked, check_address

Vector: TypeAlias = "array[float]"
"""float32, `dimension` of them."""


class Embedder(Protocol):
    """What turns texts into vectors.

    `fingerprint` stands for all that decides a vector: two embedders that could differ have different ones. `batch`
    is how many texts it likes to be given at once.
    """

    fingerprint: str
    batch: int

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        """A vector for each text, in order; EmbedderProblem if it cannot."""
        ...


class EmbedderProblem(Exception):
    """An embedder that is not there, or does not answer as it should; the message says what to do."""


def make_embedder(spec: str) -> Embedder:
    """The embedder of a specification: hash:DIMENSION, model2vec:, sentence-transformers: or openai:.

    >>> embed = make_embedder("hash:256")
    >>> same, near, far = embed(["one stream, two", "one stream, two!", "boiling point"])
    >>> same == near, sum(a * b for a, b in zip(same, far, strict=True))
    (True, 0.0)

    What it does not know, it says.

    >>> make_embedder("word2vec:x")
    Traceback (most recent call last):
    ...
    ValueError: make_embedder: wants "hash:DIMENSION", "model2vec:PATH_OR_ID", "sentence-transformers:PATH_OR_ID" or "openai:MODEL@BASE_URL", got 'word2vec:x'

    "hash:256" is a teaching double: it knows which words two texts share, and nothing of what they mean. The next two
    load a model from a folder, or by its name from where their package keeps models; their fingerprint is that of
    the model's numbers. "openai:MODEL@BASE_URL" asks any server with OpenAI's `/embeddings`, with OPENAI_API_KEY if
    that is set; it tries again when the server is busy.

    Class: external. Errors: ValueError for a bad specification; EmbedderProblem for a package or a model that is not
    there, and from a call, for a server that does not answer.
    """
    kind, _, what = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    make = _KINDS.get(kind)
    if make is None or not what:
        raise ValueError(
            'make_embedder: wants "hash:DIMENSION", "model2vec:PATH_OR_ID", "sentence-transformers:PATH_OR_ID" '
            f'or "openai:MODEL@BASE_URL", got {spec!r}'
        )
    return make(what)


def gen_vectors(
    embed: Embedder, texts: Sequence[str], *, check: int | None = None
) -> Iterator[tuple[str, Vector]]:
    """Texts with their vectors, batch by batch; EmbedderProblem unless they are as many, and as long, as they should be.

    >>> [(text, len(vector)) for text, vector in gen_vectors(make_embedder("hash:4"), ["a", "b"])]
    [('a', 4), ('b', 4)]

    `check` is the length that is wanted; without it, that of the first. Memory: one batch.
    """
    for at in range(0, len(texts), embed.batch):
        batch = texts[at : at + embed.batch]
        vectors = embed(batch)
        if len(vectors) != len(batch):
            raise EmbedderProblem(f"{embed.fingerprint}: gave {len(vectors)} vectors for {len(batch)} texts")
        for text, vector in zip(batch, vectors, strict=True):
            check = len(vector) if check is None else check
            if len(vector) != check:
                raise EmbedderProblem(
                    f"{embed.fingerprint}: gave a vector of {len(vector)} numbers, and before of {check}"
                )
            yield text, vector


class HashEmbedder:
    """Words by their hashes, each adding or taking one at its place, to the length 1 (Weinberger et al. 2009)."""

    batch = 256

    def __init__(self, dimension: int) -> None:
        self.dimension = a_whole_number("make_embedder", "DIMENSION", dimension, least=1)
        self.fingerprint = f"hash:{self.dimension}"
        self._places: dict[str, tuple[int, float]] = {}

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Vector:
        sums = [0.0] * self.dimension
        places = self._places
        for word in _WORD.findall(text.lower()):
            try:
                place, sign = places[word]
            except KeyError:
                place, sign = self._place(word)
            sums[place] += sign
        length = hypot(*sums) or 1.0
        return array("f", [one / length for one in sums])

    def _place(self, word: str) -> tuple[int, float]:
        if len(self._places) >= 32768:
            self._places.clear()  # rare words come and go; the frequent ones are back at once
        number = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        found = (number >> 1) % self.dimension, 1.0 if number & 1 else -1.0
        self._places[word] = found
        return found


_WORD = re.compile(r"\w+")


class _Model2Vec:
    batch = 1024

    def __init__(self, name: str) -> None:
        model2vec = _package("model2vec", "model2vec")
        self._model = _loaded(name, lambda: model2vec.StaticModel.from_pretrained(name))
        self.fingerprint = f"model2vec:{_digest([self._model.embedding])}"

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        return _vectors(self._model.encode(list(texts)))


class _SentenceTransformers:
    batch = 64

    def __init__(self, name: str) -> None:
        package = _package("sentence_transformers", "st")
        self._model = _loaded(name, lambda: package.SentenceTransformer(name))
        numbers = (one.detach().cpu().float().numpy() for one in self._model.state_dict().values())
        self.fingerprint = f"sentence-transformers:{_digest(numbers)}"

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        return _vectors(self._model.encode(list(texts), batch_size=self.batch, normalize_embeddings=True))


class OpenAIEmbedder:
    """The embeddings of an OpenAI-compatible server."""

    batch = 64

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        sleeper: Callable[[float], object] = sleep,
        timeout: float = 60.0,
    ) -> None:
        check_address("make_embedder", "bge-m3", model, base_url)
        self._model, self._base, self._timeout = model, base_url.rstrip("/"), timeout
        self.fingerprint = f"openai:{model}@{self._base}"
        policy = RetryPolicy(attempts=5, backoff=Backoff(base=1), retry_on=(ServerBusy,))
        self._patiently = retry(policy, sleeper=sleeper)(self._asked)

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        try:
            answer = self._patiently(list(texts))
        except ServerBusy as error:
            raise EmbedderProblem(f"{error}; it was asked 5 times") from None
        except ServerProblem as error:
            raise EmbedderProblem(str(error)) from None
        try:
            rows = sorted(answer["data"], key=lambda row: int(row["index"]))
            vectors = [array("f", row["embedding"]) for row in rows]
            # NaN and infinity are near nothing and far from nothing: a ranking with them has no order.
            if any(int(row["index"]) != place for place, row in enumerate(rows)) or not all(
                isfinite(sum(vector)) for vector in vectors
            ):
                raise ValueError
            return vectors
        except (KeyError, TypeError, ValueError, OverflowError):
            raise EmbedderProblem(f"{self._base}/embeddings: its answer is not one of embeddings") from None

    def _asked(self, texts: list[str]) -> Any:
        where = f"{self._base}/embeddings"
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        with asked(where, body, timeout=self._timeout) as answer:
            try:
                return json.loads(answer.read())
            except (ValueError, RecursionError):
                raise ServerProblem(f"{where}: its answer is no JSON") from None


def _hash(what: str) -> Embedder:
    if not what.isascii() or not what.isdigit():
        raise ValueError(
            f'make_embedder: "hash:" wants a number of dimensions, such as hash:256, got {what!r}'
        )
    return HashEmbedder(int(what))


def _openai(what: str) -> Embedder:
    model, _, base_url = what.partition("@")
    return OpenAIEmbedder(model, base_url)


_KINDS: Mapping[str, Callable[[str], Embedder]] = {
    "hash": _hash,
    "model2vec": _Model2Vec,
    "sentence-transformers": _SentenceTransformers,
    "openai": _openai,
}


def _package(name: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise EmbedderProblem(
            f'this embedder needs {error.name}, which is not installed: pip install "funcpipe-rag[{extra}]"'
        ) from None


def _loaded(name: str, load: Callable[[], Any]) -> Any:
    # What can only be a path is not looked for elsewhere: a package would take it for a name, and speak of that.
    if (os.path.isabs(name) or name.startswith((".", "~"))) and not os.path.exists(name):
        raise EmbedderProblem(f"the model {name} cannot be loaded: there is no such folder")
    try:
        return load()
    except Exception as error:  # each package has errors of its own for a model that is not there
        raise EmbedderProblem(f"the model {name} cannot be loaded: {' '.join(str(error).split())}") from error


def _digest(arrays: Iterator[Any] | Sequence[Any]) -> str:
    hasher = blake2b(digest_size=16)
    for one in arrays:
        hasher.update(f"{one.dtype}{one.shape}".encode())
        hasher.update(one.tobytes())
    return hasher.hexdigest()


def _vectors(rows: Any) -> list[Vector]:
    """The rows of a numpy matrix, as arrays."""
    vectors = []
    for row in rows.astype("float32"):
        vector: Vector = array("f")
        vector.frombytes(row.tobytes())
        vectors.append(vector)
    return vectors
