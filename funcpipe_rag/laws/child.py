"""The child of a `RemoteWorld`: loads one implementation, and answers for it over a pair of pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any


def load(target: str) -> Callable[..., Any]:
    """The implementation that `target` names: `module:name`, `module:mapping/key` or `file.py:name`."""
    place, _, name = target.rpartition(":")
    names = run_path(place) if place.endswith(".py") else vars(import_module(place))
    attribute, slash, key = name.partition("/")
    if attribute not in names:
        found = names.get("__getattr__")
        if found is None:
            raise LookupError(f"{place} has no {attribute}")
        names = {attribute: found(attribute)}
    implementation = names[attribute][key] if slash else names[attribute]
    if not callable(implementation):
        raise TypeError(f"{target} is a {type(implementation).__name__}, not a function")
    loaded: Callable[..., Any] = implementation
    return loaded


def main(target: str) -> None:
    """Talk over what was standard input and output; the implementation itself gets neither."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)

    from funcpipe_rag.laws.wire import Wire

    wire = Wire(incoming, outgoing)

    def implementation() -> Callable[..., Any]:
        return load(target)

    wire.export(implementation)
    wire.serve_forever()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main(sys.argv[1])
