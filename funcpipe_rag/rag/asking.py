"""What the commands that ask an index have in common: which documents they mean, and whether vectors count."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from .console import Usage
from .embedding import Embedder, make_embedder
from .filters import Filter
from .index import Index

SourceOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="PATTERN",
        help='Only documents whose name fits, such as "guide/*"; may be repeated.',
    ),
]
WhereOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="KEY=VALUE", help="Only documents whose metadata say so; may be repeated."
    ),
]
LexicalOption: TypeAlias = Annotated[
    bool, typer.Option("--lexical", help="Rank by words alone, though the index has vectors of a model.")
]


def filter_of(sources: list[str] | None, where: list[str] | None) -> Filter:
    """The filter that the options ask for; Usage for a condition that is none."""
    metadata = {}
    for condition in where or ():
        key, equals, value = condition.partition("=")
        if not key or not equals:
            raise Usage(f"--where wants KEY=VALUE, got {condition!r}")
        metadata[key] = value
    return Filter(sources or (), metadata)


def embedder_of(index: Index, *, lexical: bool = False) -> Embedder | None:
    """The embedder that an index was built with, if its vectors mean something; None otherwise.

    The double knows no meanings, and would make the ranking worse.
    """
    spec = index.settings().get("embedder_spec")
    return None if lexical or not spec or spec.startswith("hash:") else make_embedder(spec)
