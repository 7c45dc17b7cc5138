"""The exercises of M03C11, Capstone: ask the manual."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, zip_longest
from typing import Any, TypeAlias
from weakref import WeakSet

from funcpipe_rag.laws import Broken, Law, SourceSpec, World, holds, law, other_shape, same
from funcpipe_rag.laws.inputs import booleans, choice, integers, items_of, several
from funcpipe_rag.laws.mutants import Mutant, mutant
from funcpipe_rag.streams import (
    FakeTime,
    Source,
    Stage,
    fence_k,
    make_chain,
    make_roundrobin,
    make_tap,
    make_throttle,
    source,
    stage,
)
from funcpipe_rag.streams.ownership import close
from funcpipe_rag.streams.probe import Boom, Probe

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

Doc: TypeAlias = tuple[str, str]
"""A name and a text; a field note unpacks like one."""

Piece: TypeAlias = tuple[str, int, int, str]
"""A chunk: the name of its document, where it starts and stops there, and the text between the two."""

Texts: TypeAlias = tuple[str, ...]

HELD = 10
"""The most documents that a run may hold on to, however many go through."""

_ALL = 1000
"""More chunks than any of these inputs has."""


def eager_rag(
    sources: Iterable[Callable[[], Iterable[Doc]]], *, size: int, overlap: int, max_chunks: int, **_: object
) -> Callable[[], Iterator[Piece]]:
    """The capstone as one slow and clear program: everything is read, then everything is cut.

    >>> list(eager_rag([lambda: [("a", "abcdef")], lambda: [("b", "xy")]], size=4, overlap=1, max_chunks=9)())
    [('a', 0, 4, 'abcd'), ('a', 3, 6, 'def'), ('b', 0, 2, 'xy')]
    """
    rows = zip_longest(*[source() for source in sources])
    chunks = []
    for name, text in filter(None, chain.from_iterable(rows)):
        start = stop = 0
        while stop < len(text):
            stop = min(start + size, len(text))
            chunks.append((name, start, stop, text[start:stop]))
            start += size - overlap
    return lambda: iter(chunks[:max_chunks])


def documents_held(rag: Callable[..., Any], documents: int) -> int:
    """Let equal documents of one chunk each go through, from two sources, and count those that are still held.

    >>> documents_held(eager_rag, 1000)
    1000

    A document is held as long as anybody refers to its name: with it, or with a chunk of it.
    """
    return _held(rag, documents)[0]


def _held(rag: Callable[..., Any], documents: int) -> tuple[int, int]:
    """The most documents that were held, and the chunks that came."""
    held: WeakSet[_Name] = WeakSet()

    def docs() -> Iterator[Doc]:
        for number in range(documents // 2):
            name = _Name(number)
            held.add(name)
            yield name, "x" * 8

    time = FakeTime()
    made = rag(
        [docs, docs],
        size=8,
        overlap=0,
        max_chunks=documents,
        gap=0,
        clock=time.clock,
        sleeper=time.sleep,
        see=_nothing,
    )
    most = chunks = 0
    it = iter(made())
    for _chunk in it:
        chunks += 1
        most = max(most, len(held))
    close(it)
    return most, chunks


class _Name(str):
    """The name of a document that can be told from its equals, and weakly referred to."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _nothing(chunk: Piece) -> None:
    """Look at a chunk, and do nothing."""


_TEXTS = items_of(choice("a", "", "ab", "abc"), most=3)
_SOURCES = several(_TEXTS, least=1, most=3)


def _named(place: int, texts: Iterable[str]) -> tuple[Doc, ...]:
    return tuple((f"{'abc'[place]}{number}", text) for number, text in enumerate(texts))


def _probes(world: World, sources: Iterable[Texts]) -> list[Probe]:
    return world.sources([SourceSpec(_named(place, texts)) for place, texts in enumerate(sources)])


def _source(world: World, my_rag: Any, probes: Iterable[Probe], **given: Any) -> Any:
    """What `my_rag` makes of these sources, where nothing else is said: single letters, as many as there are."""
    time = FakeTime()
    settings = {
        "size": 1,
        "overlap": 0,
        "max_chunks": _ALL,
        "gap": 0,
        "clock": time.clock,
        "sleeper": time.sleep,
        "see": _nothing,
    }
    return my_rag(list(probes), **(settings | given))


def _checked(made: Any) -> Piece:
    match made:
        case (str(), int(), int(), str()) if type(made) is tuple:
            return made
    raise Broken(f"{made!r:.60} came", "a plain tuple (name, start, stop, text)")


def _something(came: object, sources: Iterable[Texts], most: int = _ALL) -> None:
    """Who gives nothing waits for nothing and leaks nothing: that is worth no point."""
    holds(bool(came) or most < 2 or not any(map(any, sources)), "no chunk came", "at least one")


def _chunks(world: World, made: Any) -> list[Piece]:
    return list(map(_checked, world.items(world.run(made))))


@law(
    "rag-gives-the-chunks-of-the-eager-version",
    about="my_rag",
    promise="same answer",
    points=15,
    label="chunks",
    says="Of one source, without overlap: the names and texts of the eager version's chunks, at most `max_chunks`.",
    hint="Which chunk is missing, or too many: the last of a document, or the last of all?",
    among=LAWS,
    texts=_TEXTS,
    size=integers(1, 3),
    max_chunks=integers(0, 4),
)
def _(world: World, my_rag: Any, texts: Texts, size: int, max_chunks: int) -> None:
    given = {"size": size, "max_chunks": max_chunks}
    got = _chunks(world, _source(world, my_rag, _probes(world, [texts]), **given))
    wanted = eager_rag([lambda: _named(0, texts)], overlap=0, **given)()
    same([(name, text) for name, _, _, text in got], [(name, text) for name, _, _, text in wanted])


@law(
    "rag-covers-each-document-with-true-offsets",
    about="my_rag",
    promise="same answer",
    points=15,
    label="offsets",
    says="A chunk is `text[start:stop]`; it repeats `overlap` letters, and brings a new one.",
    hint="Cut this text by hand. Where does the second chunk start, and which is the last?",
    among=LAWS,
    texts=items_of(choice("a", "", "ab", "abc", "abcd", "abcde"), most=2),
    size=integers(1, 4),
    overlap=integers(0, 3),
)
def _(world: World, my_rag: Any, texts: Texts, size: int, overlap: int) -> None:
    if overlap >= size:
        return
    given = {"size": size, "overlap": overlap}
    got = _chunks(world, _source(world, my_rag, _probes(world, [texts]), **given))
    for name, text in _named(0, texts):
        for _, start, stop, said in (chunk for chunk in got if chunk[0] == name):
            there = text[start:stop]
            holds(
                said == there, f"a chunk says that {said!r} stands at {start}:{stop} of {text!r}", repr(there)
            )
        spans = [(start, stop) for at, start, stop, _ in got if at == name]
        same(spans, list(_spans(len(text), size, overlap)), f"{text!r} was cut at {{}}")


def _spans(length: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    start = stop = 0
    while stop < length:
        stop = min(start + size, length)
        yield start, stop
        start += size - overlap


@law(
    "rag-opens-no-document-behind-the-chunk",
    about="my_rag",
    promise="on demand",
    points=20,
    says="A chunk costs no document behind its own; behind `max_chunks` none is asked for.",
    hint="Which of your lines asks for a document before its first chunk is wanted?",
    among=LAWS,
    sources=_SOURCES,
    k=integers(0, 4),
    fenced=booleans(),
)
def _(world: World, my_rag: Any, sources: list[Texts], k: int, fenced: bool) -> None:
    probes = _probes(world, sources)
    made = world.run(_source(world, my_rag, probes, max_chunks=k if fenced else _ALL))
    it = world.iterator(made)
    opened = _opened(world)
    holds(not opened, f"document {', '.join(opened)} had been read before anybody asked", "none")
    for number in range(1, k + 1):
        chunk = next(it, None)
        if chunk is None:
            # Turns are a later step: until then the first source is all there is.
            _something(number > 1, sources[:1], k if fenced else _ALL)
            return
        name, last = _checked(chunk)[0], _opened(world)[-1:]
        holds(
            last == [name],
            f"chunk {number} is of {name}, and document {''.join(last)} had been read",
            "none behind it",
        )
    before = _opened(world)
    if fenced:
        next(it, None)
        behind = _opened(world)[len(before) :]
        asked = f"{k} chunks were all, and behind them document {', '.join(behind)} was asked for"
        holds(not behind, asked, "none")


def _opened(world: World) -> list[str]:
    """The names of the documents that the sources have given."""
    return [event.item[0] for event in world.log.events if event.kind == "yield" and event.stage != "you"]  # type: ignore[index]


@law(
    "rag-lets-sources-take-turns",
    about="my_rag",
    promise="same answer",
    points=10,
    label="turns",
    says="Sources take turns, a document each, as long as they have any.",
    hint="Who was live and waiting while another had its second turn?",
    among=LAWS,
    sizes=several(integers(0, 3), most=3),
)
def _(world: World, my_rag: Any, sizes: list[int]) -> None:
    sources = [("x",) * size for size in sizes]
    got = [name for name, *_ in _chunks(world, _source(world, my_rag, _probes(world, sources)))]
    rows = zip_longest(*(_named(place, texts) for place, texts in enumerate(sources)))
    same(got, [doc[0] for row in rows for doc in row if doc], "the documents came in the order {}")


@law(
    "rag-starts-afresh",
    about="my_rag",
    promise="fresh",
    points=10,
    label="two runs",
    says="Two runs, also half-read ones, do not know of each other.",
    hint="What do you make once, outside of the run, that each run needs for itself?",
    among=LAWS,
    sources=_SOURCES,
    max_chunks=integers(0, 3),
    ahead=integers(0, 2),
)
def _(world: World, my_rag: Any, sources: list[Texts], max_chunks: int, ahead: int) -> None:
    alone = _chunks(world, _source(world, my_rag, _probes(world, sources), max_chunks=max_chunks))
    _something(alone, sources, max_chunks)
    made = _source(world, my_rag, _probes(world, sources), max_chunks=max_chunks)
    first = world.iterator(world.run(made))
    begun = list(islice(first, ahead))
    same(_chunks(world, made), alone, "the run that began second gave {}")
    same([*begun, *islice(first, _ALL)], alone, "the run that began first gave {}")


@law(
    "rag-closes-what-it-opened",
    about="my_rag",
    promise="closed",
    points=15,
    says="Whatever a run opened is closed, however it ends.",
    hint="Call `close()` on what your source gives. Who hears of it, and who tells the sources?",
    among=LAWS,
    sources=_SOURCES,
    k=integers(1, 3),
    ends=choice("you close it", "at max_chunks", "a source fails"),
)
def _(world: World, my_rag: Any, sources: list[Texts], k: int, ends: str) -> None:
    specs = [SourceSpec(_named(place, texts)) for place, texts in enumerate(sources)]
    if ends == "a source fails" and specs:
        specs[-1] = specs[-1]._replace(raises_at=len(specs[-1].items))
    probes = world.sources(specs)
    # Held until all is counted: what is forgotten is closed by CPython, and nobody would see the leak.
    made = world.run(_source(world, my_rag, probes, max_chunks=k if ends == "at max_chunks" else _ALL))
    it = world.iterator(made)
    came = 0
    try:
        for _ in islice(it, k if ends == "you close it" else _ALL):
            came += 1
    except Boom:
        came += 1
    _something(came, sources, k if ends == "at max_chunks" else _ALL)
    if ends == "you close it":
        close(it)
    for probe in probes:
        left = sum(not opened.closes for opened in probe.iterators)
        holds(not left, f"{probe.name} was opened and left open", "closed")
    del made


@law(
    "rag-keeps-the-gap-and-waits-no-longer",
    about="my_rag",
    promise="same answer",
    points=5,
    label="paced",
    says="Chunks come `gap` seconds apart or more, and nobody waits longer than that takes.",
    hint="How much of the gap had gone by while you worked, and who has to wait for the rest?",
    among=LAWS,
    gap=choice(0.125, 0.25),
    work=choice(0.0, 0.0625, 0.5),
    n=integers(0, 3),
)
def _(world: World, my_rag: Any, gap: float, work: float, n: int) -> None:
    time = FakeTime()
    given = {"gap": gap, "clock": time.clock, "sleeper": time.sleep}
    came: list[float] = []
    due: list[float] = []
    for _ in world.iterator(world.run(_source(world, my_rag, _probes(world, [("xyz"[:n],)]), **given))):
        came.append(time.clock())
        due.append(due[-1] + max(gap, work) if due else 0.0)
        time.advance(work)
        holds(len(came) <= n, f"it gave more than {n} chunks", "an end")
    _something(came, [("xyz"[:n],)])
    same(came, due, "the chunks came at {} seconds")
    end = due[-1] + work if due else 0.0
    holds(
        time.clock() == end,
        f"the end came at {time.clock()} seconds",
        f"at {end}: nobody waits behind the last",
    )


@law(
    "rag-shows-each-chunk-before-you-get-it",
    about="my_rag",
    promise="same answer",
    points=5,
    label="watched",
    says="`see` is shown every chunk, once, before you get it; and nothing else.",
    hint="Which comes first in your loop: `see(chunk)`, or handing the chunk on?",
    among=LAWS,
    texts=_TEXTS,
    max_chunks=integers(0, 3),
)
def _(world: World, my_rag: Any, texts: Texts, max_chunks: int) -> None:
    seen: list[Any] = []
    probes = _probes(world, [texts])
    it = world.iterator(world.run(_source(world, my_rag, probes, max_chunks=max_chunks, see=seen.append)))
    got = []
    for chunk in islice(it, _ALL):
        got.append(_checked(chunk))
        same(seen, got, f"with chunk {len(got)} in your hands, see had been shown {{}}")
    _something(got, [texts], max_chunks)
    same(seen, got, "at the end, see had been shown {}")


@law(
    "rag-holds-a-few-documents",
    about="my_rag",
    promise="flat",
    points=5,
    says=f"However many documents go through, it never holds more than {HELD}.",
    hint="What in your pipeline grows with each document, and what takes it out again?",
    among=LAWS,
    documents=choice(1_000, 10_000),
)
def _(world: World, my_rag: Any, documents: int) -> None:
    # From another process a document takes a thousand times as long, and a thousand tell as much.
    held, chunks = _held(my_rag, min(documents, world.most_items))
    holds(chunks > 0, "no chunk came", "one of each document")
    holds(held <= HELD, f"it held {held} documents at once", f"at most {HELD}")


def _cut(size: int, overlap: int) -> Stage[[Iterable[Doc]], Iterator[Piece]]:
    @stage
    def cut(docs: Iterable[Doc]) -> Iterator[Piece]:
        for name, text in docs:
            for start, stop in _spans(len(text), size, overlap):
                yield name, start, stop, text[start:stop]

    return cut


def _rag(
    sources: Iterable[Source[Doc]],
    *,
    size: int,
    overlap: int,
    max_chunks: int,
    gap: float,
    clock: Callable[[], float],
    sleeper: Callable[[float], object],
    see: Callable[[Any], object],
    merge: Callable[..., Any] = make_roundrobin,
    cut: Callable[[int, int], Any] = _cut,
    fence: Callable[[int], Any] = fence_k,
    pace: Callable[..., Any] = make_throttle,
    show: Callable[[Any], Any] = make_tap,
) -> Source[Piece]:
    """The right pipeline, for mutants that have one of its stages wrong."""
    paced = pace(gap, clock=clock, sleeper=sleeper)
    made: Source[Piece] = source(merge(*sources)) | cut(size, overlap) | fence(max_chunks) | paced | show(see)
    return made


def _mutant(killed_by: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return mutant(of="my_rag", killed_by=killed_by, among=MUTANTS, laws=LAWS)


@_mutant("rag-gives-the-chunks-of-the-eager-version")
def drops_the_tail(sources: Any, **given: Any) -> Any:
    """Starts a chunk only where a whole one fits."""

    def cut(size: int, overlap: int) -> Any:
        @stage
        def whole(docs: Iterable[Doc]) -> Iterator[Piece]:
            return (chunk for chunk in _cut(size, overlap)(docs) if chunk[2] - chunk[1] == size)

        return whole

    return _rag(sources, cut=cut, **given)


@_mutant("rag-gives-the-chunks-of-the-eager-version")
def counts_from_one(sources: Any, **given: Any) -> Any:
    """Counts the chunks from one, and stops at `max_chunks`: the last one is missing."""
    return _rag(sources, fence=lambda most: fence_k(max(0, most - 1)), **given)


@_mutant("rag-covers-each-document-with-true-offsets")
def redundant_tail(sources: Any, **given: Any) -> Any:
    """Starts a chunk at every step: the last one may lie wholly inside the one before it."""

    def cut(size: int, overlap: int) -> Any:
        @stage
        def at_every_step(docs: Iterable[Doc]) -> Iterator[Piece]:
            for name, text in docs:
                for start in range(0, len(text), size - overlap):
                    stop = min(start + size, len(text))
                    yield name, start, stop, text[start:stop]

        return at_every_step

    return _rag(sources, cut=cut, **given)


@_mutant("rag-covers-each-document-with-true-offsets")
def counts_on(sources: Any, **given: Any) -> Any:
    """Sets its place to zero once, and not for each document."""

    def cut(size: int, overlap: int) -> Any:
        @stage
        def counting_on(docs: Iterable[Doc]) -> Iterator[Piece]:
            begin = 0
            for name, text in docs:
                for start, stop in _spans(len(text), size, overlap):
                    yield name, begin + start, begin + stop, text[start:stop]
                begin += len(text)

        return counting_on

    return _rag(sources, cut=cut, **given)


@_mutant("rag-opens-no-document-behind-the-chunk")
def eager_inside(sources: Any, **given: Any) -> Any:
    """Loops over `list(docs)`: a generator outside, a list inside."""

    def cut(size: int, overlap: int) -> Any:
        return stage(lambda docs: _cut(size, overlap)(list(docs)))

    return _rag(sources, cut=cut, **given)


@_mutant("rag-opens-no-document-behind-the-chunk")
def one_pull_too_many(sources: Any, **given: Any) -> Any:
    """Has the next chunk in hand before it finds that there are enough."""

    def fence(most: int) -> Any:
        @stage
        def fenced(chunks: Iterable[Piece]) -> Iterator[Piece]:
            for number, chunk in enumerate(chunks):
                if number >= most:
                    return
                yield chunk

        return fenced

    return _rag(sources, fence=fence, **given)


@_mutant("rag-opens-no-document-behind-the-chunk")
def reads_a_row_ahead(sources: Any, **given: Any) -> Any:
    """Takes turns with `zip_longest`: a document of each source is read before the first is handed on."""

    def merge(*sources: Source[Doc]) -> Source[Doc]:
        def run() -> Iterator[Doc]:
            opened = [source() for source in sources]
            try:
                for row in zip_longest(*opened):
                    yield from filter(None, row)
            finally:
                for it in reversed(opened):
                    close(it)

        return run

    return _rag(sources, merge=merge, **given)


@_mutant("rag-lets-sources-take-turns")
def chains_instead(sources: Any, **given: Any) -> Any:
    """Takes all of the first source before the second."""
    return _rag(sources, merge=make_chain, **given)


@_mutant("rag-starts-afresh")
def shared_count(sources: Any, **given: Any) -> Any:
    """Counts the chunks outside of the run: the second run gets what the first has left."""

    def fence(most: int) -> Any:
        left = iter(range(most))
        return stage(lambda chunks: (chunk for _, chunk in zip(left, chunks, strict=False)))

    return _rag(sources, fence=fence, **given)


@_mutant("rag-starts-afresh")
def captured_iterator(sources: Any, **given: Any) -> Any:
    """Opens the merged sources once, when the pipeline is made; nobody feels responsible for closing them."""

    def merge(*sources: Source[Doc]) -> Source[Doc]:
        docs = make_roundrobin(*sources)()
        return lambda: islice(docs, None)

    return _rag(sources, merge=merge, **given)


@_mutant("rag-closes-what-it-opened")
def ends_in_islice(sources: Any, *, max_chunks: int, **given: Any) -> Any:
    """Puts `islice` around it all: an islice has no close()."""
    chunks = _rag(sources, max_chunks=max_chunks, **given)
    return lambda: islice(chunks(), max_chunks)


@_mutant("rag-closes-what-it-opened")
def leaks_its_sources(sources: Any, **given: Any) -> Any:
    """Opens the sources, and leaves the closing to them."""

    def merge(*sources: Source[Doc]) -> Source[Doc]:
        def run() -> Iterator[Doc]:
            live = [source() for source in sources]
            while live:
                for it in list(live):
                    doc = next(it, None)
                    if doc is None:
                        live.remove(it)
                    else:
                        yield doc

        return run

    return _rag(sources, merge=merge, **given)


@_mutant("rag-keeps-the-gap-and-waits-no-longer")
def ignores_the_work(sources: Any, **given: Any) -> Any:
    """Sleeps a whole gap before each chunk but the first, whatever you did meanwhile."""

    def pace(gap: float, *, clock: Any, sleeper: Any) -> Any:
        @stage
        def paced(chunks: Iterable[Piece]) -> Iterator[Piece]:
            for number, chunk in enumerate(chunks):
                if number:
                    sleeper(gap)
                yield chunk

        return paced

    return _rag(sources, pace=pace, **given)


@_mutant("rag-keeps-the-gap-and-waits-no-longer")
def paces_the_documents(sources: Any, *, gap: float, clock: Any, sleeper: Any, **given: Any) -> Any:
    """Waits between two documents: the chunks of one come all at once."""

    def merge(*sources: Source[Doc]) -> Source[Doc]:
        return make_roundrobin(*sources) | make_throttle(gap, clock=clock, sleeper=sleeper)

    return _rag(sources, merge=merge, gap=0, clock=clock, sleeper=sleeper, **given)


@_mutant("rag-shows-each-chunk-before-you-get-it")
def shows_the_documents(sources: Any, *, see: Any, **given: Any) -> Any:
    """Looks in the wrong place: `see` gets the documents."""
    return _rag(
        sources, merge=lambda *sources: make_roundrobin(*sources) | make_tap(see), see=_nothing, **given
    )


@_mutant("rag-shows-each-chunk-before-you-get-it")
def shows_it_afterwards(sources: Any, **given: Any) -> Any:
    """Hands the chunk on first: `see` gets it when you ask for the next one."""

    def show(see: Callable[[Any], object]) -> Any:
        @stage
        def shown(chunks: Iterable[Piece]) -> Iterator[Piece]:
            for chunk in chunks:
                yield chunk
                see(chunk)

        return shown

    return _rag(sources, show=show, **given)


@_mutant("rag-holds-a-few-documents")
def remembers_every_name(sources: Any, **given: Any) -> Any:
    """Keeps the names, so that no document comes twice: nobody has asked for that, and it grows for ever."""

    def cut(size: int, overlap: int) -> Any:
        @stage
        def once(docs: Iterable[Doc]) -> Iterator[Piece]:
            names: set[str] = set()

            def new(doc: Doc) -> bool:
                known = doc[0] in names
                names.add(doc[0])
                return not known

            yield from _cut(size, overlap)(filter(new, docs))

        return once

    return _rag(sources, cut=cut, **given)


MY_RAG = Exercise(
    id="m03c11e1",
    title="Several sources, one bounded, paced and watched stream of chunks",
    function="my_rag",
    starter="""\
def my_rag(sources, *, size, overlap, max_chunks, gap, clock, sleeper, see):
    ...
""",
    laws=tuple(LAWS.values()),
    hints=(
        "Say it as a row of stages, from the sources to you. Which of them must know of documents, and which of "
        "chunks?",
        "From the sources to you: turns, cut, fence, throttle, tap. A `|` joins them, and `return` gives all of it. "
        "Which line of the card is broken? Its step, unfolded, names what you need.",
    ),
    mutants=tuple(MUTANTS),
    all_laws=True,
    withheld=("make_multi_rag_fn",),
)

Case: TypeAlias = tuple[list[list[str]], int, int]
"""The texts of each source, a size and an overlap."""


def two_faults(sources: list[list[str]], size: int, overlap: int) -> list[Piece]:
    """Chunks of several sources in turns, as somebody has handed it in; it has two faults.

    >>> two_faults([["abcd"], ["xy"]], 3, 0)
    [('a0', 0, 3, 'abc'), ('a0', 3, 4, 'd'), ('b0', 0, 2, 'xy')]
    """
    return _pieces(_turns_missed(sources), size, overlap, _ends_late)


def right_chunks(sources: list[list[str]], size: int, overlap: int) -> list[Piece]:
    """The same without the faults."""
    return _pieces(_turns(sources), size, overlap, _spans)


def _pieces(docs: Iterable[Doc], size: int, overlap: int, spans: Callable[..., Any]) -> list[Piece]:
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap must be at least 0 and below the size, got {overlap} and {size}")
    return [
        (name, start, stop, text[start:stop])
        for name, text in docs
        for start, stop in spans(len(text), size, overlap)
    ]


def _turns(sources: list[list[str]]) -> Iterator[Doc]:
    return make_roundrobin(*(_from(place, texts) for place, texts in enumerate(sources)))()


def _from(place: int, texts: list[str]) -> Source[Doc]:
    return lambda: iter([(f"{chr(97 + place % 26)}{number}", text) for number, text in enumerate(texts)])


def _turns_missed(sources: list[list[str]]) -> Iterator[Doc]:
    live = [_from(place, texts)() for place, texts in enumerate(sources)]
    while live:
        for it in live:
            doc = next(it, None)
            if doc is None:
                live.remove(it)
            else:
                yield doc


def _ends_late(length: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, length)) for start in range(0, length, size - overlap))


def _faults(case: Case) -> set[str]:
    """Which of the two faults this input shows, each looked at alone."""
    sources, size, overlap = case
    right = right_chunks(*case)
    programs = {
        "turns": _pieces(_turns_missed(sources), size, overlap, _spans),
        "offsets": _pieces(_turns(sources), size, overlap, _ends_late),
    }
    return {fault for fault, chunks in programs.items() if chunks != right}


def _simpler(case: Case) -> Iterator[tuple[str, Case]]:
    """Each input with one thing taken away, and what that was."""
    sources, size, overlap = case
    for place, texts in enumerate(sources):
        yield f"source {place}", ([*sources[:place], *sources[place + 1 :]], size, overlap)
        for number, text in enumerate(texts):
            without = [*texts[:number], *texts[number + 1 :]]
            shorter = [*texts[:number], text[:-1], *texts[number + 1 :]]
            said = f"{text!r} of source {place}"
            yield said, ([*sources[:place], without, *sources[place + 1 :]], size, overlap)
            if text:
                yield (
                    f"a letter of {said}",
                    ([*sources[:place], shorter, *sources[place + 1 :]], size, overlap),
                )
    if size - 1 > overlap:
        yield "one of the size", (sources, size - 1, overlap)
    if overlap:
        yield "one of the overlap", (sources, size, overlap - 1)


def _cases(unmask: Callable[[], Any]) -> tuple[Case, Case]:
    given = unmask()
    match given:
        case ((list(), int(), int()) as one, (list(), int(), int()) as two) if _is_case(one) and _is_case(
            two
        ):
            return one, two
    raise other_shape(
        given,
        "two inputs, each (a list of lists of texts, a size, an overlap below it), like ([['ab'], ['c']], 2, 0), "
        "and small enough to read",
    )


def _is_case(case: Case) -> bool:
    sources, size, overlap = case
    texts = [text for source in sources if isinstance(source, list) for text in source]
    small = len(sources) <= 20 and len(texts) <= 100 and size <= 1000
    whole = all(isinstance(source, list) for source in sources) and all(
        isinstance(text, str) and len(text) <= 1000 for text in texts
    )
    return small and whole and 0 <= overlap < size


def _shows_a_fault(world: World, unmask: Callable[[], Any]) -> None:
    for place, case in zip(("first", "second"), _cases(unmask), strict=True):
        holds(
            two_faults(*case) != right_chunks(*case), f"the {place} input {case} comes out right", "a fault"
        )


def _shows_both(world: World, unmask: Callable[[], Any]) -> None:
    first, second = map(_faults, _cases(unmask))
    same = " and ".join(sorted(first & second))
    holds(
        first != second and first | second == {"turns", "offsets"},
        f"both show the fault in the {same}",
        "one each",
    )


def _is_smallest(world: World, unmask: Callable[[], Any]) -> None:
    for place, case in zip(("first", "second"), _cases(unmask), strict=True):
        for what, simpler in _simpler(case):
            holds(
                two_faults(*simpler) == right_chunks(*simpler),
                f"the {place} input {case} shows a fault without {what} as well",
                "an input from which nothing can be taken",
            )


def _law(id: str, says: str, hint: str, check: Callable[..., None]) -> Law:
    return Law(id, "unmask", "same answer", says, hint, {}, check, label="your input")


UNMASK = Exercise(
    id="m03c11e2",
    title="Two faults, and the smallest input for each",
    function="unmask",
    starter="""\
def unmask():
    ...
""",
    laws=(
        _law(
            "unmask-shows-a-fault-twice",
            "On each of the two inputs the pipeline gives something else than it should.",
            "Print both lists for your input. Where do they part?",
            _shows_a_fault,
        ),
        _law(
            "unmask-shows-both-faults",
            "The two inputs show two different faults.",
            "One fault is about who is next, the other about where a chunk ends. Which of them have you found?",
            _shows_both,
        ),
        _law(
            "unmask-takes-the-smallest-inputs",
            "Nothing can be taken from either: no source, no text, no letter, none of the size or overlap.",
            "Take it away, as the card says, and look at both lists once more. What do you need it for?",
            _is_smallest,
        ),
    ),
    hints=(
        "Each fault has had a lesson of its own: one is of the turns in M03C07, one of the tail in M03C04. On which "
        "inputs did they show?",
        "For the turns, an empty source and two behind it. For the tail, one text that fits in one chunk and is longer than "
        "the overlap.",
    ),
    mutants=(
        Mutant(
            "two_faults",
            "two_faults",
            "unmask-shows-a-fault-twice",
            "Removes an ended source from the list it loops over, and starts a chunk at every step.",
            two_faults,
        ),
    ),
)

EXERCISES = (MY_RAG, UNMASK)
