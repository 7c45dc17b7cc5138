"""The exercises of M06C01, The iterator protocol as a pipeline.

Stages are generators and a client is two functions, `read` and `write`: whoever calls them decides how many requests
are in the chain, and the laws count from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from typing import Any, TypeAlias

from funcpipe_rag.laws import (
    Broken,
    Law,
    SourceSpec,
    World,
    WrongKind,
    holds,
    kind_of,
    law,
    other_shape,
    same,
)
from funcpipe_rag.laws.inputs import STAGES, Items, choice, integers, numbers, several, sources
from funcpipe_rag.laws.law import times
from funcpipe_rag.laws.mutants import Mutant, mutant
from funcpipe_rag.laws.stages import passes_errors_on
from funcpipe_rag.streams.probe import Boom

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

Answer: TypeAlias = tuple[str | None, str, Any]
Features: TypeAlias = Iterable[tuple[str, Any]]
Model: TypeAlias = Callable[[Any], Any]
Read: TypeAlias = Callable[[], Any]
Write: TypeAlias = Callable[[Any], object]

_ROWS = numbers(most=4)
_MODELS = choice("double", "is_small", "to_none")


def _features(rows: Items) -> tuple[tuple[str, Any], ...]:
    """Each row with the id of its request."""
    return tuple((f"r{place}", row) for place, row in enumerate(rows, start=1))


def _answers(model: Model, rows: Items) -> list[Answer]:
    """What is to be said of each row."""
    answers: list[Answer] = []
    for request_id, row in _features(rows):
        try:
            answers.append((request_id, "ok", model(row)))
        except Boom:
            answers.append((request_id, "error", "Boom"))
    return answers


@law(
    "infer-answers-each-request",
    about="infer",
    promise="same answer",
    says="Each request gets one answer, in order, whatever the model says of it.",
    hint="Work the smallest input through by hand. Which request has no answer, or another's?",
    among=LAWS,
    rows=_ROWS,
    model=_MODELS,
)
def _(world: World, infer: Any, rows: Items, model: str) -> None:
    xs, _probe = world.stream(SourceSpec(_features(rows)))
    same(world.items(infer(xs, world.fn(model))), _answers(world.fn(model), rows))


@law(
    "infer-lets-a-failed-call-cost-its-own-request",
    about="infer",
    promise="same answer",
    says="A call of the model that fails is its request's answer, and the next request has its turn.",
    hint="The model raised for one row. Who still has no answer: that request, or those behind it?",
    among=LAWS,
    rows=_ROWS,
)
def _(world: World, infer: Any, rows: Items) -> None:
    model = world.fn("boom_at_3")
    xs, _probe = world.stream(SourceSpec(_features(rows)))
    # The picture and the inputs do not show the model, and a 3 alone says nothing of it.
    same(world.items(infer(xs, model)), _answers(model, rows), "where the model raises Boom at 3, it gave {}")


@law(
    "infer-ends-when-it-is-closed",
    about="infer",
    promise="closed",
    says="Closed half-way, the stage ends: that is no failed call, and nobody gets an answer for it.",
    hint="`close()` raises GeneratorExit at the `yield`. Which `except` of yours took that for an error of the model?",
    among=LAWS,
    rows=_ROWS,
    taken=integers(1, 4),
)
def _(world: World, infer: Any, rows: Items, taken: int) -> None:
    xs, _probe = world.stream(SourceSpec(_features(rows)))
    made = world.iterator(infer(xs, lambda row: row))
    k = len(list(islice(made, taken)))
    # A class or a map is as right, and has no close.
    close = getattr(made, "close", None)
    if close is None:
        return
    try:
        close()
    except RuntimeError:
        raise Broken(f"closed behind {_many(k, 'answer')}, it gave one more", "the end") from None


@law(
    "infer-asks-for-no-more-than-it-gives",
    about="infer",
    promise="on demand",
    says="k answers cost k requests and k calls of the model; before the first question, none.",
    hint="You asked for k answers. For whom was the request that was taken besides?",
    among=LAWS,
    rows=_ROWS,
    taken=integers(0, 4),
)
def _(world: World, infer: Any, rows: Items, taken: int) -> None:
    k = min(taken, len(rows))
    xs, probe = world.stream(SourceSpec(_features(rows)), budget=k)
    called: list[Any] = []

    def model(row: Any) -> Any:
        called.append(row)
        return row

    same(list(islice(world.iterator(infer(xs, model)), k)), _answers(lambda row: row, rows)[:k])
    holds(probe.pulls <= k, f"{probe.pulls} requests were taken for {_many(k, 'answer')}", f"{k}")
    holds(len(called) <= k, f"{_many(len(called), 'call')} of the model for {_many(k, 'answer')}", f"{k}")


@law(
    "infer-passes-an-error-of-its-input-on",
    about="infer",
    promise="same answer",
    says="An error of the stage before is no answer of the model: it reaches you as it is.",
    hint="Which lines does your `try` watch over: the call of the model alone, or the next request too?",
    among=LAWS,
    source=sources(_ROWS, "raises", handed=["iterator"]),
)
def _(world: World, infer: Any, source: SourceSpec) -> None:
    xs, _probe = world.stream(source._replace(items=_features(source.items)))
    passes_errors_on(
        world.iterator(infer(xs, lambda row: row)), _answers(lambda row: row, tuple(source.given))
    )


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


class _Client:
    """Who sends requests and takes answers: it notes how far the server has come at each reading."""

    def __init__(self, world: World, requests: Items) -> None:
        self._world = world
        self._probe = world.source(SourceSpec(requests), "read", budget=len(requests) + 8)
        self._requests = self._probe()
        self.written: list[Any] = []
        self.at_reads: list[int] = []

    @property
    def reads(self) -> int:
        return self._probe.pulls

    def read(self) -> Any:
        self.at_reads.append(len(self.written))
        return next(self._requests, None)

    def write(self, answer: Any) -> None:
        self._world.log.note("write", "yield", answer)
        self.written.append(answer)
        holds(len(self.written) <= 200, "it wrote more than 200 answers", "one for each request")

    def served(self, serve: Any, stages: Iterable[Any]) -> None:
        """Let `serve` do its work; it does that when it is called, and not when its result is read."""
        made = serve(self.read, self.write, *stages)
        if hasattr(made, "__next__"):
            hint = (
                "A function with a yield in it does nothing until somebody reads it. Who would read this one?"
            )
            raise WrongKind(f"it returned {kind_of(made)}", "the work done, when the call is over", hint)


_REQUESTS = numbers(most=4)
_TWO_AT_LEAST = numbers(least=2, most=4)
_NAMES = ("add1", "double", "running_sum")
_CHAIN = several(choice(*_NAMES), most=2)
# Nothing can stand behind a stage that gives None, so that one stands alone. There are few of these chains: each is to be
# among the inputs of every check.
_CHAIN_OR_NONE = choice(
    [],
    *([one] for one in _NAMES),
    ["to_none"],
    ["add1", "double"],
    ["double", "add1"],
    ["running_sum", "double"],
)


def _chain(world: World, names: list[str]) -> list[Any]:
    called = [
        f"{name} {place}" if names.count(name) > 1 else name for place, name in enumerate(names, start=1)
    ]
    return [world.stage(*both) for both in zip(called, names, strict=True)]


def _through(names: list[str], requests: Items) -> list[Any]:
    stream: Any = iter(requests)
    for name in names:
        stream = STAGES[name](stream)
    return list(stream)


@law(
    "serve-writes-what-the-stages-make",
    about="serve",
    promise="same answer",
    says="Each request goes through the stages from left to right, and what comes out is written.",
    hint="Send the smallest input through the stages by hand. What should be written, and in which order?",
    among=LAWS,
    requests=_REQUESTS,
    stages=_CHAIN_OR_NONE,
)
def _(world: World, serve: Any, requests: Items, stages: list[str]) -> None:
    client = _Client(world, requests)
    client.served(serve, _chain(world, stages))
    expected, written = _through(stages, requests), client.written
    if hint := _about_written(written, expected, client.reads):
        raise Broken(f"it wrote {written}", f"{expected}", hint)
    if any(hasattr(one, "__next__") for one in written):
        hint = "A whole stream was written where one answer belongs. What asks a stream for its answers, one by one?"
        raise WrongKind(f"it wrote {written}", f"{expected}", hint)
    if (
        repr(written)
        == repr([answer for one in requests for answer in _through(stages, (one,))])
        != repr(expected)
    ):
        hint = "`running_sum` remembers what it has seen. How often have you built it?"
        raise Broken(f"it wrote {written}", f"{expected}", hint)
    same(written, expected, "it wrote {}")


def _about_written(written: list[Any], expected: list[Any], reads: int) -> str:
    """A question about answers of which the last ones are missing; empty where it is something else."""
    if len(written) >= len(expected) or repr(written) != repr(expected[: len(written)]):
        return ""
    if not reads:
        return "Nothing is written, and `read` was not called once. Which line asks the chain, and is it always reached?"
    if not written:
        return (
            "A request was read, and nothing is written. What was taken for the end? Or who kept the answer?"
        )
    return "Nothing is written behind these. What was taken for the end? Or who kept the last answer?"


@law(
    "serve-writes-before-it-reads-on",
    about="serve",
    promise="on demand",
    says="One request is in the chain: its answer is written before the next request is read.",
    hint="Somebody asked for the next request, and an answer was not written yet. Which line of yours asked?",
    among=LAWS,
    requests=_TWO_AT_LEAST,
    stages=_CHAIN,
)
def _(world: World, serve: Any, requests: Items, stages: list[str]) -> None:
    client = _Client(world, requests)
    client.served(serve, _chain(world, stages))
    for read, written in enumerate(client.at_reads[: len(requests) + 1]):
        came = f"with {_many(written, 'answer')} written and {_many(read, 'request')} read, it read on"
        holds(written >= read, came, f"{_many(read, 'answer')} written first")


@law(
    "serve-reads-nothing-behind-the-end",
    about="serve",
    promise="on demand",
    says="The first None is the end: read is not called again.",
    hint="The client has hung up, and you ask it once more. How long do you wait for that answer?",
    among=LAWS,
    requests=_REQUESTS,
    stages=_CHAIN,
)
def _(world: World, serve: Any, requests: Items, stages: list[str]) -> None:
    client = _Client(world, requests)
    client.served(serve, _chain(world, stages))
    most = len(requests) + 1
    holds(client.reads <= most, f"read was called {times(client.reads)}", times(most))


@law(
    "serve-hides-no-error",
    about="serve",
    promise="same answer",
    says="When a stage raises, you see its error, behind the answers of the requests before.",
    hint="A stage has raised. Who is told: the one who called serve, or nobody?",
    among=LAWS,
    requests=_REQUESTS,
)
def _(world: World, serve: Any, requests: Items) -> None:
    fn = world.fn("boom_at_3")

    def weak(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield fn(x)

    served = (*requests, 3)
    before = list(served[: served.index(3)])
    client = _Client(world, served)
    try:
        client.served(serve, [weak])
    except Boom:
        same(client.written, before, "before the error it wrote {}")
        return
    said = f"it wrote {client.written}" if client.written else "it wrote nothing"
    # The inputs are those before it, so the card has to name the request that fails.
    came = f"then came a request 3, at which the stage raises: {said} and returned as if the client had gone"
    holds(False, came, "the error of the stage")


def _mutant(of: str, killed_by: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return mutant(of=of, killed_by=killed_by, among=MUTANTS, laws=LAWS)


@_mutant("infer", "infer-answers-each-request")
def skips_what_is_false(features: Features, model: Model) -> Iterator[Answer]:
    """Looks at whether the answer is true where it should only hand it on: a False and a None get lost."""
    for request_id, row in features:
        if value := model(row):
            yield request_id, "ok", value


@_mutant("infer", "infer-lets-a-failed-call-cost-its-own-request")
def tries_around_the_loop(features: Features, model: Model) -> Iterator[Answer]:
    """Puts the whole loop into the `try`: the first error is answered, and nobody behind it."""
    request_id = None
    try:
        for request_id, row in features:
            yield request_id, "ok", model(row)
    except Exception as error:
        yield request_id, "error", type(error).__name__


@_mutant("infer", "infer-lets-a-failed-call-cost-its-own-request")
def leaves_out_what_failed(features: Features, model: Model) -> Iterator[Answer]:
    """Goes on with the next request and says nothing of the failed one: its client waits for ever."""
    for request_id, row in features:
        try:
            value = model(row)
        except Exception:
            continue
        yield request_id, "ok", value


@_mutant("infer", "infer-lets-a-failed-call-cost-its-own-request")
def calls_a_failure_ok(features: Features, model: Model) -> Iterator[Answer]:
    """Answers a failed call with None and "ok": nobody can tell it from what a model says."""
    for request_id, row in features:
        try:
            value = model(row)
        except Exception:
            value = None
        yield request_id, "ok", value


@_mutant("infer", "infer-ends-when-it-is-closed")
def answers_its_own_close(features: Features, model: Model) -> Iterator[Answer]:
    """Yields within a `try` that catches everything: a close() is answered as an error of the model."""
    for request_id, row in features:
        try:
            yield request_id, "ok", model(row)
        except BaseException as error:
            yield request_id, "error", type(error).__name__


@_mutant("infer", "infer-asks-for-no-more-than-it-gives")
def reads_all_first(features: Features, model: Model) -> Iterator[Answer]:
    """Makes a list of the features, and is lazy behind it: the list server, one stage long."""
    for request_id, row in list(features):
        try:
            yield request_id, "ok", model(row)
        except Exception as error:
            yield request_id, "error", type(error).__name__


@_mutant("infer", "infer-asks-for-no-more-than-it-gives")
def keeps_one_back(features: Features, model: Model) -> Iterator[Answer]:
    """Hands an answer on when the next one is there: a look-ahead that nobody wanted."""
    kept: list[Answer] = []
    for request_id, row in features:
        try:
            kept.append((request_id, "ok", model(row)))
        except Exception as error:
            kept.append((request_id, "error", type(error).__name__))
        if len(kept) > 1:
            yield kept.pop(0)
    yield from kept


@_mutant("infer", "infer-passes-an-error-of-its-input-on")
def blames_the_model(features: Features, model: Model) -> Iterator[Answer]:
    """Asks for the next request within the `try`: an error of the input is answered in the model's name."""
    it = iter(features)
    request_id = None
    while True:
        try:
            request_id, row = next(it)
            yield request_id, "ok", model(row)
        except StopIteration:
            return
        except Exception as error:
            yield request_id, "error", type(error).__name__


def _wired(read: Read, stages: Iterable[Callable[..., Any]]) -> Iterator[Any]:
    """The right chain over a client; the mutants below leave it at one place each."""
    stream: Any = iter(read, None)
    for stage in stages:
        stream = stage(stream)
    return iter(stream)


@_mutant("serve", "serve-writes-what-the-stages-make")
def backwards(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Puts the last stage first: f(g(x)) read from the outside in."""
    for answer in _wired(read, reversed(stages)):
        write(answer)


@_mutant("serve", "serve-writes-what-the-stages-make")
def stops_at_what_is_false(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Writes `while request := read()`: a request of 0, or an empty line, hangs up on its client."""

    def requests() -> Iterator[Any]:
        while request := read():
            yield request

    it = requests()
    for answer in _wired(lambda: next(it, None), stages):
        write(answer)


@_mutant("serve", "serve-writes-what-the-stages-make")
def stops_at_an_answer_none(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Asks with `next(answers, None)` until None comes: a stage whose answer is None hangs up on its client."""
    answers = _wired(read, stages)
    while (answer := next(answers, None)) is not None:
        write(answer)


@_mutant("serve", "serve-writes-what-the-stages-make")
def a_chain_for_each_request(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Builds the stages anew for each request: what a stage remembers of the one before is gone."""
    for request in iter(read, None):
        for answer in _wired(chain([request], [None]).__next__, stages):
            write(answer)


@_mutant("serve", "serve-writes-what-the-stages-make")
def loses_the_last(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Writes an answer when the next one comes: behind the last one there is none."""
    answers = _wired(read, stages)
    answer = next(answers, None)
    for following in answers:
        write(answer)
        answer = following


@_mutant("serve", "serve-writes-before-it-reads-on")
def lists_between(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Makes a list behind each stage: all is parsed before anything is inferred, and written at the end."""
    stream: Any = iter(read, None)
    for stage in stages:
        stream = list(stage(stream))
    for answer in list(stream):
        write(answer)


@_mutant("serve", "serve-writes-before-it-reads-on")
def waits_for_a_pair(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Gathers two requests and sends both on, or the last one alone: a batch with a size and no limit of time."""
    requests = iter(read, None)

    def pairs() -> Iterator[Any]:
        while pair := list(islice(requests, 2)):
            yield from pair

    it = pairs()
    for answer in _wired(lambda: next(it, None), stages):
        write(answer)


@_mutant("serve", "serve-reads-nothing-behind-the-end")
def asks_again_to_be_sure(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Takes one None for a hiccup and asks once more: on a socket, that question has no answer."""

    def surely() -> Any:
        request = read()
        return read() if request is None else request

    for answer in _wired(surely, stages):
        write(answer)


@_mutant("serve", "serve-hides-no-error")
def asks_on_behind_an_error(read: Read, write: Write, *stages: Callable[..., Any]) -> None:
    """Believes that the others go on: asks the same chain again, which says that it has ended."""
    answers = _wired(read, stages)
    for _ in count():
        try:
            write(next(answers))
        except StopIteration:
            return
        except Exception:
            continue


INFER = Exercise(
    id="m06c01e1",
    title="A stage in which an error costs one request",
    function="infer",
    starter="""\
def infer(features, model):
    ...
""",
    laws=(
        LAWS["infer-answers-each-request"],
        LAWS["infer-lets-a-failed-call-cost-its-own-request"],
        # Before the laws that drop an iterator half-way: Python would complain of it in red, once for each input.
        LAWS["infer-ends-when-it-is-closed"],
        LAWS["infer-asks-for-no-more-than-it-gives"],
        LAWS["infer-passes-an-error-of-its-input-on"],
    ),
    hints=(
        "Which call may fail, and for whom? How much of your loop must the `try` hold?",
        "One `for request_id, row in features`. In it a `try` around the call of the model and nothing else, and a "
        "`yield` of three things either way; the name of an error is `type(error).__name__`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "infer"),
)

SERVE = Exercise(
    id="m06c01e2",
    title="The driver: who asks for the next request?",
    function="serve",
    starter="""\
def serve(read, write, *stages):
    ...
""",
    laws=(
        LAWS["serve-writes-what-the-stages-make"],
        LAWS["serve-writes-before-it-reads-on"],
        LAWS["serve-reads-nothing-behind-the-end"],
        LAWS["serve-hides-no-error"],
    ),
    hints=(
        "Who asks the last stage, and how often before it writes? And what does each stage get to read?",
        "`iter(read, None)` calls `read` for each item until it gives None. A `for` over the stages wraps that stream, "
        "one stage further each time; a second `for` writes what comes out.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "serve"),
)

MOST = 6
"""How many moves a client may make."""

Moves: TypeAlias = list[str]


class _BothWait(Exception):
    """The client waits for an answer, and the server for a request."""


def one_by_one(read: Read, write: Write) -> None:
    """The right server, for the client that the learner writes: an answer for each request, at once."""
    for request in iter(read, None):
        write(request)


def meeting(server: Callable[..., Any], moves: object) -> str:
    """What becomes of a client with these moves at a server: "ask" sends a request, "wait" waits until all are answered.

    >>> meeting(one_by_one, ["ask", "wait", "ask"])
    'asked 2, answered 2: both are done'
    >>> meeting(waits_for_a_pair, ["ask", "ask", "wait"])
    'asked 2, answered 2: both are done'

    Behind its last move the client hangs up, and takes what is still written. Other moves are not played:

    >>> meeting(one_by_one, ["Ask", "wait"])
    'not played: it takes a list of "ask" and "wait"'
    """
    # No TypeError: the cell that plays them shows a card, which says the same, and no traceback behind it.
    if not isinstance(moves, list) or any(move not in ("ask", "wait") for move in moves):
        return 'not played: it takes a list of "ask" and "wait"'
    left, asked, answered = iter(moves), 0, 0

    def read() -> int | None:
        nonlocal asked
        for move in left:
            if move == "ask":
                asked += 1
                return asked
            if answered < asked:
                raise _BothWait
        return None

    def write(answer: object) -> None:
        nonlocal answered
        answered += 1

    try:
        server(read, write)
    except _BothWait:
        return f"asked {asked}, answered {answered}: each waits for the other"
    return f"asked {asked}, answered {answered}: both are done"


def _check_client(world: World, client: Callable[[], Moves]) -> None:
    moves = client()
    pairs = meeting(waits_for_a_pair, moves)
    if pairs.startswith("not played"):
        raise other_shape(moves, 'a list of moves, like ["ask", "ask", "wait"]')
    holds(len(moves) <= MOST, f"{len(moves)} moves", f"at most {MOST}", "Which of them are needed?")
    holds(
        pairs.endswith("waits for the other"),
        f"with the moves {moves} at the server in pairs: {pairs}",
        "a client that waits for ever",
    )


CLIENT = Exercise(
    id="m06c01e3",
    title="Unmask the server that waits for a pair",
    function="client",
    starter="""\
def client() -> list[str]:
    ...
""",
    laws=(
        Law(
            id="client-unmasks-the-pairs",
            about="client",
            promise="on demand",
            says="With these moves the client and the server in pairs wait for each other.",
            hint="How many requests had the server when the client began to wait?",
            inputs={},
            label="your input",
            check=_check_client,
        ),
    ),
    hints=(
        "When has the server in pairs read a request and not answered it? What must the client do at that moment?",
        "Let the client wait for an answer while the number of requests that it has sent is odd.",
    ),
    mutants=tuple(m for m in MUTANTS if m.name == "waits_for_a_pair"),
)

EXERCISES = (INFER, SERVE, CLIENT)
