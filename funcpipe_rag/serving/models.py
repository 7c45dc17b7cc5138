"""Models as clients: an index that answers, a classifier, many calls as one, and a team of specialists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from funcpipe_rag.aio import abatch, amap, from_sync
from funcpipe_rag.aio.ownership import Owned
from funcpipe_rag.rag import Index, gen_answers
from funcpipe_rag.streams.arguments import a_number, a_whole_number

from .features import Features
from .policies import NoSpecialist, Shed, to_await
from .stages import ModelClient


class IndexModel:
    """The RAG index as a model: each request's text is a question, each part of the answer a sentence with its place.

    The index is read in a thread of its own, so that a slow question does not keep the loop. Use it with `async with`.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import RagEnv, RawDoc, build_index
    >>> from funcpipe_rag.serving.features import combined
    >>> from funcpipe_rag.serving.requests import Request
    >>> async def answered(path, question):
    ...     async with IndexModel(path) as model:
    ...         asked = combined(Request("r1", text=question), [], [])
    ...         return [(part["text"], part["citation"]) async for part in model.stream(asked)]
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     _ = build_index(path, [RawDoc("tee", "A tee splits one stream into two.", "tee.md")], RagEnv(chunk_size=1000))
    ...     asyncio.run(answered(path, "How do I split a stream?"))
    [('A tee splits one stream into two.', 'tee.md:0-33')]

    Class: external. Demand: a sentence when it is asked for. Memory: as `gen_answers`. Closing: closes the index and
    ends the thread. Errors: those of `gen_answers` and of opening the index; ValueError for `sentences` < 1.
    """

    def __init__(self, path: str, *, sentences: int = 3) -> None:
        self._path = path
        self._sentences = a_whole_number("IndexModel", "sentences", sentences, least=1)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._index: Index | None = None

    async def stream(self, features: Features) -> AsyncGenerator[Any, None]:
        """The sentences that answer, each when it is found."""
        question = features.request.text
        async with Owned() as owned:
            answers = from_sync(_answers(self._opened(), question, self._sentences), executor=self._thread)
            async for answer in owned.opened(answers):
                yield answer

    def _opened(self) -> Index:
        if self._index is None:
            self._index = self._thread.submit(Index, self._path).result()
        return self._index

    async def __aenter__(self) -> IndexModel:
        self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._index is not None:
            self._thread.submit(self._index.close).result()
            self._index = None
        self._thread.shutdown()


def _answers(index: Index, question: str, sentences: int) -> Any:
    for answer in gen_answers(index, question, sentences=sentences):
        citation = answer.citation
        yield {
            "text": answer.text,
            "heading": answer.heading,
            "citation": str(citation),
            "checked": citation.checked,
            "score": answer.score,
        }


class ManyAtOnce(Protocol):
    """A model that answers many requests in one call, in their order."""

    def predict_many(self, features: Sequence[Features]) -> Sequence[Any] | Awaitable[Sequence[Any]]: ...


class Classifier:
    """A scikit-learn classifier as a model: the class and its probability, one by one or many at once.

    >>> from funcpipe_rag.serving.features import combined
    >>> from funcpipe_rag.serving.requests import Request
    >>> class Even:
    ...     classes_ = ["odd", "even"]
    ...     def predict_proba(self, rows):
    ...         return [[0.25, 0.75] if row[0] % 2 == 0 else [1.0, 0.0] for row in rows]
    >>> Classifier(Even()).predict(combined(Request("r1"), [4], []))
    {'class': 'even', 'probability': 0.75}

    Class: pure in the fitted estimator. Memory: one matrix. Errors: those of the estimator.
    """

    def __init__(self, fitted: Any) -> None:
        if not hasattr(fitted, "predict_proba") or not hasattr(fitted, "classes_"):
            raise TypeError(
                f"Classifier: wants a fitted estimator with predict_proba(), got {type(fitted).__name__}; call fit() first"
            )
        self._fitted = fitted

    def predict(self, features: Features) -> Any:
        """What it says of one request."""
        return self.predict_many([features])[0]

    def predict_many(self, features: Sequence[Features]) -> list[Any]:
        """What it says of each."""
        # Imported here, so that serving an index does not wait for it.
        from numpy import stack

        classes = self._fitted.classes_
        said = []
        for row in self._fitted.predict_proba(stack([one.feature_vec for one in features])):
            best = max(range(len(classes)), key=lambda place: row[place])
            said.append({"class": _plain(classes[best]), "probability": round(float(row[best]), 6)})
        return said


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


class Batched:
    """Calls that come close together, as one call: for a model whose calls cost the same for one request as for many.

    A batch leaves when it has `max_size` requests or when its oldest has waited `max_wait` seconds, and no more than
    `concurrency` calls are on their way. At most `waiting` requests are without an answer; beyond that they are shed.
    Use it with `async with`, on one loop.

    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.features import combined
    >>> from funcpipe_rag.serving.requests import Request
    >>> sizes = []
    >>> class Model:
    ...     def predict_many(self, features):
    ...         sizes.append(len(features))
    ...         return [one.request_id for one in features]
    >>> async def five():
    ...     async with Batched(Model(), max_size=3, max_wait=0.01) as model:
    ...         requests = [combined(Request(f"r{place}"), [], []) for place in range(5)]
    ...         return await asyncio.gather(*map(model.predict, requests))
    >>> run(five()), sizes
    (['r0', 'r1', 'r2', 'r3', 'r4'], [3, 2])

    Class: clocked. Memory: `waiting` requests and their answers. Closing: calls in flight are cancelled and awaited;
    whoever waits for them is shed. Errors: the model's go to every request of the batch; Shed; ValueError where the
    model gives another number of answers; RuntimeError outside of `async with`.
    """

    def __init__(
        self,
        model: ManyAtOnce,
        *,
        max_size: int = 32,
        max_wait: float = 0.005,
        concurrency: int = 1,
        waiting: int = 1024,
    ) -> None:
        a_whole_number("Batched", "max_size", max_size, least=1)
        a_number("Batched", "max_wait", max_wait, above=0)
        self._model = model
        self._stages = abatch(max_size, max_wait=max_wait) | amap(self._asked, concurrency=concurrency)
        self._queue: asyncio.Queue[tuple[Features, asyncio.Future[Any]]] = asyncio.Queue(waiting)
        self._waiting = a_whole_number("Batched", "waiting", waiting, least=1)
        self._max_wait = max_wait
        self._task: asyncio.Task[None] | None = None
        self._open: set[asyncio.Future[Any]] = set()

    async def predict(self, features: Features) -> Any:
        """What the model says of this one, asked together with others."""
        if self._task is None or self._task.done():
            raise RuntimeError("Batched: use it with `async with`, so that it can end what it has begun")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Who has gone without an answer is in the queue for a while, and no longer counted.
        if len(self._open) >= self._waiting or self._queue.full():
            raise Shed(f"{self._waiting} requests are waiting", self._max_wait)
        self._queue.put_nowait((features, answer))
        self._open.add(answer)
        answer.add_done_callback(self._open.discard)
        return await answer

    async def __aenter__(self) -> Batched:
        self._task = asyncio.create_task(self._run(), name="a model's batches")
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def _run(self) -> None:
        try:
            async with self._stages(self._queued()) as batches:
                async for _ in batches:
                    pass
        finally:
            for answer in list(self._open):
                # Not cancelled: nobody has cancelled those who wait for it.
                answer.set_exception(Shed("the model is closing", 1.0))

    async def _queued(self) -> AsyncIterator[tuple[Features, asyncio.Future[Any]]]:
        while True:
            yield await self._queue.get()

    async def _asked(self, batch: list[tuple[Features, asyncio.Future[Any]]]) -> None:
        # Whoever has gone meanwhile needs no answer.
        batch = [(features, answer) for features, answer in batch if not answer.done()]
        if not batch:
            return
        try:
            said: Any = self._model.predict_many([features for features, _ in batch])
            said = await said if to_await(said) else said
            if len(said) != len(batch):
                raise ValueError(f"the model gave {len(said)} answers to {len(batch)} requests")
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # The model's own affair, such as a client that was closed: it ends this call and no other.
            self._fail(batch, RuntimeError("the model's call was cancelled"))
        except Exception as error:
            self._fail(batch, error)
        else:
            for (_, answer), value in zip(batch, said, strict=True):
                if not answer.done():
                    answer.set_result(value)

    def _fail(self, batch: list[tuple[Features, asyncio.Future[Any]]], error: Exception) -> None:
        for _, answer in batch:
            if not answer.done():
                answer.set_exception(error)


class Specialists:
    """A coordinator: each request goes to the model that is named for its kind.

    >>> from funcpipe_rag.serving.features import combined
    >>> from funcpipe_rag.serving.requests import Request
    >>> class Says:
    ...     def __init__(self, word):
    ...         self.word = word
    ...     def predict(self, features):
    ...         return self.word
    >>> team = Specialists({"prices": Says("dear"), "weather": Says("rain")})
    >>> team.predict(combined(Request("r1", kind="weather"), [], []))
    'rain'

    A kind that nobody is named for goes to the `default`; without one it is an error, which names those there are.

    >>> team.predict(combined(Request("r2", kind="sport"), [], []))
    Traceback (most recent call last):
    ...
    funcpipe_rag.serving.policies.NoSpecialist: nobody is named for 'sport'; there are prices, weather
    """

    def __init__(self, models: Mapping[str, ModelClient], *, default: ModelClient | None = None) -> None:
        self._models, self._default = dict(models), default

    def predict(self, features: Features) -> Any:
        """What the one for this kind says."""
        model = self._models.get(features.request.kind, self._default)
        if model is None:
            raise NoSpecialist(
                f"nobody is named for {features.request.kind[:60]!r}; there are {', '.join(self._models)}"
            )
        return model.predict(features)


__all__ = ["Batched", "Classifier", "IndexModel", "ManyAtOnce", "NoSpecialist", "Specialists"]
