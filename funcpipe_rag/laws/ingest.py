"""The laws of building an index: it is that of the last corpus, whatever has been there before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from funcpipe_rag.rag import Index, RagEnv, RawDoc

from .inputs import Input, Items, choice, items_of, several
from .law import holds, law, same
from .worlds import World

_ENV = RagEnv(4, 1, boundary="word")
_HISTORY: Input[list[Items]] = several(items_of(choice("", "a b", "c  \r\n d e f"), most=3), least=1, most=3)


def _docs(texts: Items) -> list[RawDoc]:
    return [RawDoc(f"d{n}", text, f"d{n}.md") for n, text in enumerate(texts)]


def _held(path: Path) -> list[tuple[str, int, int, str, str]]:
    with Index(path) as index:
        wrong = list(index.check())
        holds(not wrong, "; ".join(wrong), "a sound index")
        return list(
            index.rows(
                "SELECT source, start, stop, text, hex(chunk_id) FROM chunk "
                "JOIN document ON document.id = document ORDER BY source, start"
            )
        )


@law(
    "ingest-ends-in-the-last-corpus",
    about="gen_ingest",
    promise="same answer",
    says="After any history, an index holds what one holds that was made of the last corpus alone.",
    hint="What becomes of a document that has changed, and of one that is gone?",
    history=_HISTORY,
)
def _(world: World, gen_ingest: Any, history: list[Items]) -> None:
    folder = Path(world.folder())
    for texts in history:
        world.items(gen_ingest(str(folder / "lived.db"), _docs(texts), _ENV))
    world.items(gen_ingest(str(folder / "fresh.db"), _docs(history[-1]), _ENV))
    same(_held(folder / "lived.db"), _held(folder / "fresh.db"))


@law(
    "ingest-writes-nothing-at-birth",
    about="gen_ingest",
    promise="on demand",
    says="No index is made, and no document asked for, before the first event is.",
    hint="Which line runs before anybody has asked?",
    texts=items_of(choice("", "a b"), most=3),
)
def _(world: World, gen_ingest: Any, texts: Items) -> None:
    path = Path(world.folder()) / "later.db"
    world.iterator(gen_ingest(str(path), _docs(texts), _ENV))
    holds(not path.exists(), "there is an index before the first question", "not yet")


@law(
    "ingest-does-nothing-twice",
    about="gen_ingest",
    promise="fresh",
    says="The same corpus again is unchanged, document by document, and every id stays as it was.",
    hint="How do you know that you have seen this text before?",
    texts=items_of(choice("", "a b", "c  \r\n d e f"), most=3),
)
def _(world: World, gen_ingest: Any, texts: Items) -> None:
    path = Path(world.folder()) / "docs.db"
    world.items(gen_ingest(str(path), _docs(texts), _ENV))
    before = _held(path)
    events = world.items(gen_ingest(str(path), _docs(texts), _ENV))
    same([event.kind for event in events], ["unchanged"] * len(texts), "the second run says {}")
    same(_held(path), before)


@law(
    "ingest-removes-nothing-half-way",
    about="gen_ingest",
    promise="same answer",
    says="A run that is stopped half-way removes nothing.",
    hint="How do you know that a document is gone, and not merely still to come?",
    texts=items_of(choice("a b", "c"), least=2, most=3),
)
def _(world: World, gen_ingest: Any, texts: Items) -> None:
    path = Path(world.folder()) / "docs.db"
    world.items(gen_ingest(str(path), _docs(texts), _ENV))
    before = _held(path)
    world.items(gen_ingest(str(path), _docs(texts)[:1], _ENV, stop=lambda: True))
    same(_held(path), before)
